//! The attributes of a node, each read as the type that it should have.

use super::flat::FlatNode;
use super::proto::{AttributeProto, TensorProto};

/// The attributes of a node. A missing one is `None`, because its default depends on the operator.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub(super) &'a FlatNode<'a>);

impl<'a> Attributes<'a> {
    pub(super) fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.0.attribute(name)
    }

    pub(super) fn float(&self, name: &str) -> Option<f64> {
        // Goes through the shortest decimal, so that 0.1 in single precision becomes 0.1 in double precision.
        self.find(name)
            .map(|attribute| attribute.f.to_string().parse().unwrap_or(f64::from(attribute.f)))
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        self.find(name).map(|attribute| attribute.i)
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.integer(name).map_or(default, |value| value != 0)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(&self.find(name)?.s).ok()
    }

    pub(super) fn integers(&self, name: &str) -> Option<&'a [i64]> {
        self.find(name).map(|attribute| attribute.ints.as_slice())
    }

    pub(super) fn floats(&self, name: &str) -> Option<&'a [f32]> {
        self.find(name).map(|attribute| attribute.floats.as_slice())
    }

    pub(super) fn tensor(&self, name: &str) -> Option<&'a TensorProto> {
        self.find(name)?.t.as_ref()
    }
}
