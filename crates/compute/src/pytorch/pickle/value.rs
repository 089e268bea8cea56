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
    /// One of the names with a meaning.
    Global(Global),
    /// Any other name.
    Unknown {
        /// The module, a text.
        module: Id,
        /// The name in the module, a text.
        name: Id,
    },
    Object(Box<Object>),
    Storage(Storage),
    Tensor(Box<View>),
    /// Values that SCV does not need: booleans, floating point numbers, bytes, a device.
    Other,
}

/// An object of a class that means nothing here, as far as the pickle spells it out.
#[derive(Debug)]
pub(crate) struct Object {
    /// What was called to make it, which is usually its class.
    pub class: Id,
    /// Its attributes: a dict, or a tuple that begins with one.
    pub state: Option<Id>,
    /// Its pairs, if its class is a kind of dict.
    pub items: Vec<(Id, Id)>,
}

impl Object {
    pub(super) fn of(class: Id) -> Self {
        Self {
            class,
            state: None,
            items: Vec::new(),
        }
    }
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

    /// The pairs of a dict, or of an object that is a kind of dict; empty for other values.
    pub(crate) fn pairs(&self, id: Id) -> &[(Id, Id)] {
        match self.get(id) {
            Value::Dict(pairs) => pairs,
            Value::Object(object) => &object.items,
            _ => &[],
        }
    }

    /// The attributes of an object; empty for other values.
    pub(crate) fn attributes(&self, id: Id) -> &[(Id, Id)] {
        let Value::Object(object) = self.get(id) else {
            return &[];
        };
        let Some(state) = object.state else { return &[] };
        match self.get(state) {
            Value::Tuple(parts) => parts.first().map_or(&[], |&dict| self.dict(dict)),
            _ => self.dict(state),
        }
    }

    fn dict(&self, id: Id) -> &[(Id, Id)] {
        match self.get(id) {
            Value::Dict(pairs) => pairs,
            _ => &[],
        }
    }

    /// The name of a name or of the class of an object, such as `numpy.ndarray`.
    pub(crate) fn class_name(&self, id: Id) -> Option<String> {
        /// The longest part of a name that fits into a message, in characters.
        const MAX_SHOWN: usize = 60;
        let shown = |id| {
            self.text(id)
                .map(|text| text.chars().take(MAX_SHOWN).collect::<String>())
        };
        match self.get(id) {
            Value::Unknown { module, name } => Some(format!("{}.{}", shown(*module)?, shown(*name)?)),
            Value::Object(object) => match self.get(object.class) {
                Value::Unknown { module, name } => Some(format!("{}.{}", shown(*module)?, shown(*name)?)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The arguments of a call: the first eight, because no name with a meaning reads more.
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
