//! What a pickle is made into.
//!
//! Values lie in one list and refer to each other by their place in it. However deep a file nests
//! them, and even if it ties them into a circle, dropping them is a walk along that list.

use std::borrow::Cow;

use super::global::Global;
use crate::pytorch::element::ElementType;

/// The place of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id(u32);

/// One value of a pickle.
#[derive(Debug)]
pub(crate) enum Value<'a> {
    None,
    Integer(i128),
    Text(Cow<'a, str>),
    /// A list or a set.
    List(Vec<Id>),
    Tuple(Vec<Id>),
    /// Pairs in the order they were set; of two with one key the later counts.
    Dict(Vec<(Id, Id)>),
    /// A name of the list of allowed ones.
    Global(Global),
    Storage(Storage),
    Tensor(Box<View>),
    /// What SCV has no use for: truth values, floating point numbers, bytes, a device.
    Other,
}

/// Where the numbers of tensors lie, as a pickle names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storage {
    /// `None` for one that does not say.
    pub element: Option<ElementType>,
    /// A text: the name of its bytes in the file.
    pub key: Id,
    /// Its first element among those bytes: not 0 if it is a part of another storage.
    pub first: u64,
    /// How many elements it has; bytes if it does not say of what.
    pub count: u64,
}

/// A tensor: some elements of a storage in some order.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub storage: Storage,
    pub element: ElementType,
    /// The first element.
    pub offset: u64,
    pub shape: Vec<u64>,
    /// Elements from one index to the next, by dimension.
    pub strides: Vec<u64>,
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    list: Vec<Value<'a>>,
    /// Pairs copied from lists into dicts, which take room as values do.
    copied: usize,
}

impl<'a> Values<'a> {
    pub(crate) fn get(&self, id: Id) -> &Value<'a> {
        &self.list[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value<'a> {
        &mut self.list[id.0 as usize]
    }

    /// The machine stops long before the places run out; see [`Values::size`].
    pub(super) fn add(&mut self, value: Value<'a>) -> Id {
        self.list.push(value);
        Id((self.list.len() - 1) as u32)
    }

    /// Adds a dict whose pairs stand in values that are kept as well.
    pub(super) fn add_copy(&mut self, pairs: Vec<(Id, Id)>) -> Id {
        self.copied += pairs.len();
        self.add(Value::Dict(pairs))
    }

    /// How many values there are, and pairs that were copied.
    pub(super) fn size(&self) -> usize {
        self.list.len() + self.copied
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is not negative and can count something.
    pub(crate) fn count(&self, id: Id) -> Option<u64> {
        match *self.get(id) {
            Value::Integer(integer) => u64::try_from(integer).ok(),
            _ => None,
        }
    }

    pub(crate) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a dict; none of what is no dict.
    pub(crate) fn pairs(&self, id: Id) -> &[(Id, Id)] {
        match self.get(id) {
            Value::Dict(pairs) => pairs,
            _ => &[],
        }
    }

    /// The arguments of a call, as many as any name here looks at.
    pub(super) fn arguments(&self, id: Id) -> Option<Vec<Id>> {
        Some(self.sequence(id)?.iter().take(8).copied().collect())
    }

    /// Every storage that the pickle names, in order.
    pub(crate) fn storages(&self) -> impl Iterator<Item = Storage> {
        self.list.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(*storage),
            _ => None,
        })
    }
}
