//! Finds the state dict in a file, and its tensors.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::archive::{Container, Storages};
use super::element::ElementType;
use super::error::{PytorchError, Result};
use super::pickle::{self, Id, Value, Values, View};
use super::tensor;

/// Under these keys a training state keeps the state dict of its network.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// How many wrappers may lie around each other.
const MAX_WRAPPERS: usize = 4;

/// What `DataParallel` and `DistributedDataParallel` put before every key.
const PARALLEL: &str = "module.";

/// The longest key of a tensor, in bytes.
const MAX_KEY_BYTES: usize = 1024;

/// The tensors of a file, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    /// One for each key.
    pub entries: Vec<Entry>,
    /// The keys under which the state dict lay, from the outside in: empty if the file is nothing else.
    pub taken: Vec<String>,
    /// Whether every key began with `module.`, which is taken off.
    pub parallel: bool,
}

/// A tensor with its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Such as `features.0.weight`.
    pub key: String,
    /// What the file keeps.
    pub element: ElementType,
    /// The size of each dimension.
    pub shape: Vec<usize>,
    /// The numbers in row-major order; `None` of a tensor that does not hold floating point numbers.
    pub numbers: Option<Vec<f32>>,
}

impl StateDict {
    /// Where in the file the tensors were, for the user to see.
    pub fn origin(&self) -> String {
        let place = match self.taken.as_slice() {
            [] => "the whole file".to_owned(),
            keys => format!("the dict under {}", keys.join(".")),
        };
        match self.parallel {
            true => format!("{place}, its keys without {PARALLEL:?}"),
            false => place,
        }
    }

    /// The tensor of one key, if there is one.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// Reads the state dict of a file of `torch.save`, without executing anything.
///
/// The file may be nothing but the state dict, or a training state that holds it under one of the
/// usual keys. Floating point numbers become f32; tensors of other types keep their place without
/// their numbers; what is no tensor is dropped.
///
/// # Errors
/// If the file is none of PyTorch's, is damaged, asks for anything to be executed, or holds no state dict.
pub fn read_state_dict(bytes: &[u8]) -> Result<StateDict> {
    match Container::open(bytes)? {
        Container::Zip(mut zip) => {
            let data = zip.pickle()?;
            let big_endian = zip.is_big_endian()?;
            let pickle = pickle::read(&data, 0)?;
            let found = Found::within(&pickle.values, pickle.root)?;
            let mut storages = Storages::new();
            for key in found.storages() {
                storages.insert(key.to_owned(), Cow::Owned(zip.storage(key)?));
            }
            found.read(&storages, big_endian, bytes.len())
        }
        Container::Legacy(legacy) => {
            let (pickle, storages) = legacy.read()?;
            Found::within(&pickle.values, pickle.root)?.read(&storages, false, bytes.len())
        }
    }
}

/// The tensors of a pickle, before their numbers are read.
struct Found<'a> {
    values: &'a Values<'a>,
    tensors: Vec<(&'a str, &'a View)>,
    taken: Vec<String>,
}

impl<'a> Found<'a> {
    /// Looks for the innermost dict of tensors, through the wrappers around it.
    fn within(values: &'a Values<'a>, root: Id) -> Result<Found<'a>> {
        let mut taken = Vec::new();
        let mut place = root;
        for _ in 0..MAX_WRAPPERS {
            let wrapped = wrapped(values, place);
            match wrapped.as_slice() {
                [] => break,
                &[(key, inner)] => {
                    taken.push(key.to_owned());
                    place = inner;
                }
                several => {
                    let keys = several.iter().map(|(key, _)| (*key).to_owned()).collect();
                    return Err(PytorchError::SeveralStateDicts { keys });
                }
            }
        }
        let tensors = tensors(values, place)?;
        if tensors.is_empty() {
            let found = description(values, place);
            return Err(PytorchError::NoStateDict { found });
        }
        Ok(Found { values, tensors, taken })
    }

    /// The keys of the storages of floating point numbers, each once.
    fn storages(&self) -> Vec<&'a str> {
        let mut seen = HashSet::new();
        let floats = self.tensors.iter().filter(|(_, view)| view.element.is_float());
        floats
            .filter_map(|(_, view)| self.values.text(view.storage.key))
            .filter(|key| seen.insert(*key))
            .collect()
    }

    fn read(&self, storages: &Storages<'_>, big_endian: bool, file_bytes: usize) -> Result<StateDict> {
        let parallel = self.tensors.iter().all(|(key, _)| key.starts_with(PARALLEL));
        // Views can lie upon each other; together they may not have more numbers than there are bytes.
        let held = storages.values().map(|bytes| bytes.len()).sum::<usize>();
        let mut room = held.max(file_bytes);
        let mut entries = Vec::with_capacity(self.tensors.len());
        for &(key, view) in &self.tensors {
            let wrong = |what: String| PytorchError::Tensor {
                key: key.to_owned(),
                what,
            };
            let shape = tensor::shape(view).map_err(wrong)?;
            let mut numbers = None;
            if view.element.is_float() {
                let count = tensor::element_count(&shape).unwrap_or(usize::MAX);
                room = room.checked_sub(count).ok_or_else(|| {
                    wrong("it repeats the numbers of its storage too often; save a copy, with .contiguous()".to_owned())
                })?;
                let storage = self.values.text(view.storage.key).and_then(|key| storages.get(key));
                let bytes = storage.ok_or_else(|| wrong("its bytes are not in the file".to_owned()))?;
                numbers = Some(tensor::numbers(view, &shape, bytes, big_endian).map_err(wrong)?);
            }
            entries.push(Entry {
                key: key
                    .strip_prefix(PARALLEL)
                    .filter(|_| parallel)
                    .unwrap_or(key)
                    .to_owned(),
                element: view.element,
                shape,
                numbers,
            });
        }
        Ok(StateDict {
            entries,
            taken: self.taken.clone(),
            parallel,
        })
    }
}

/// What lies under the usual keys of a dict and holds tensors, or such keys again.
fn wrapped<'a>(values: &'a Values<'a>, id: Id) -> Vec<(&'static str, Id)> {
    let holds_tensors = |&(_, id): &(&str, Id)| {
        let pairs = values.pairs(id);
        pairs.iter().any(|&(key, value)| match values.get(value) {
            Value::Tensor(_) => true,
            Value::Dict(_) => values.text(key).is_some_and(|key| WRAPPERS.contains(&key)),
            _ => false,
        })
    };
    let last = |wrapper: &'static str| {
        let mut pairs = values.pairs(id).iter().rev();
        let found = pairs.find(|(key, _)| values.text(*key) == Some(wrapper));
        found.map(|&(_, value)| (wrapper, value))
    };
    WRAPPERS.into_iter().filter_map(last).filter(holds_tensors).collect()
}

/// The tensors of a dict by their keys; of two with one key the later, in the place of the first.
fn tensors<'a>(values: &'a Values<'a>, id: Id) -> Result<Vec<(&'a str, &'a View)>> {
    let mut places = HashMap::new();
    let mut found: Vec<(&str, Option<&View>)> = Vec::new();
    for &(key, value) in values.pairs(id) {
        let Some(key) = values.text(key) else { continue };
        if key.len() > MAX_KEY_BYTES {
            return Err(PytorchError::TooLarge {
                what: "a key of too many bytes",
                limit: MAX_KEY_BYTES,
            });
        }
        let view = match values.get(value) {
            Value::Tensor(view) => Some(view.as_ref()),
            _ => None,
        };
        let place = *places.entry(key).or_insert(found.len());
        match found.get_mut(place) {
            Some(entry) => entry.1 = view,
            None => found.push((key, view)),
        }
    }
    Ok(found.into_iter().filter_map(|(key, view)| Some((key, view?))).collect())
}

/// What a file holds in place of a state dict.
fn description(values: &Values<'_>, id: Id) -> String {
    const SHOWN: usize = 8;
    match values.get(id) {
        Value::Dict(pairs) => {
            let keys = pairs.iter().filter_map(|&(key, _)| values.text(key));
            let shown: Vec<String> = keys.take(SHOWN).map(|key| key.chars().take(40).collect()).collect();
            match shown.is_empty() {
                true => "it is an empty dict".to_owned(),
                false => format!("it is a dict without tensors, whose keys are {}", shown.join(", ")),
            }
        }
        Value::Tensor(_) => "it is a single tensor".to_owned(),
        Value::List(_) | Value::Tuple(_) => "it is a list".to_owned(),
        Value::None => "it is None".to_owned(),
        _ => "it is no dict".to_owned(),
    }
}
