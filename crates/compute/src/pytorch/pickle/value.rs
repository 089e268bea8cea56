//! The values of a pickle.
//!
//! Values are stored in one list and refer to each other by their index. However deeply a file nests them, and even if
//! they form a cycle, dropping them is a walk along that list.

use std::borrow::Cow;

use super::global::Global;
use crate::pytorch::element::ElementType;

/// The index of a value.
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
    /// Pairs in the order in which they were set. Of two pairs with the same key the later one counts.
    Dict(Vec<(Id, Id)>),
    /// One of the allowed names.
    Global(Global),
    Storage(Storage),
    Tensor(Box<View>),
    /// Values that SCV does not need: booleans, floating point numbers, bytes, a device.
    Other,
}

/// Where the numbers of tensors are stored, according to the pickle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Storage {
    /// The type of its elements; `None` if the pickle does not state it.
    pub element: Option<ElementType>,
    /// The name of its bytes in the file, a text.
    pub key: Id,
    /// The index of its first element in those bytes: not 0 if it is a part of another storage.
    pub first: u64,
    /// The number of its elements, or of its bytes if the type is not stated.
    pub count: u64,
}

/// A tensor: some elements of a storage in some order.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub storage: Storage,
    pub element: ElementType,
    /// The index of the first element in the storage.
    pub offset: u64,
    pub shape: Vec<u64>,
    /// For each dimension, the number of elements from one index to the next.
    pub strides: Vec<u64>,
}

/// All values of a pickle.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    list: Vec<Value<'a>>,
    /// The number of pairs copied from lists into dicts, which take memory like values.
    copied: usize,
}

impl<'a> Values<'a> {
    pub(crate) fn get(&self, id: Id) -> &Value<'a> {
        &self.list[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value<'a> {
        &mut self.list[id.0 as usize]
    }

    /// Adds a value. The machine stops long before the indices overflow; see [`Values::size`].
    pub(super) fn add(&mut self, value: Value<'a>) -> Id {
        self.list.push(value);
        Id((self.list.len() - 1) as u32)
    }

    /// Adds a dict with pairs of values that already exist.
    pub(super) fn add_copy(&mut self, pairs: Vec<(Id, Id)>) -> Id {
        self.copied += pairs.len();
        self.add(Value::Dict(pairs))
    }

    /// The number of values and of copied pairs.
    pub(super) fn size(&self) -> usize {
        self.list.len() + self.copied
    }

    pub(crate) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A non-negative integer.
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

    /// The pairs of a dict; empty if the value is not a dict.
    pub(crate) fn pairs(&self, id: Id) -> &[(Id, Id)] {
        match self.get(id) {
            Value::Dict(pairs) => pairs,
            _ => &[],
        }
    }

    /// The arguments of a call: the first eight, because no allowed name reads more.
    pub(super) fn arguments(&self, id: Id) -> Option<Vec<Id>> {
        Some(self.sequence(id)?.iter().take(8).copied().collect())
    }

    /// Every storage of the pickle, in order.
    pub(crate) fn storages(&self) -> impl Iterator<Item = Storage> {
        self.list.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some(*storage),
            _ => None,
        })
    }
}
