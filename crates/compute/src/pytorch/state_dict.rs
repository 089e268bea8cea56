//! Finds the state dict in a file, and reads its tensors.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::archive::{Container, Storages};
use super::element::ElementType;
use super::error::{PytorchError, Result};
use super::pickle;
use super::pickle::value::{Id, Value, Values, View};
use super::tensor;

/// The keys under which training states keep the state dict of their network.
const WRAPPERS: [&str; 4] = ["state_dict", "model_state_dict", "model", "net"];

/// The maximum nesting depth of wrappers.
const MAX_WRAPPERS: usize = 4;

/// The prefix that `DataParallel` and `DistributedDataParallel` add to every key.
const PARALLEL_PREFIX: &str = "module.";

/// The maximum length of a tensor's key, in bytes.
const MAX_KEY_BYTES: usize = 1024;

/// The tensors of a file, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    /// One entry per key.
    pub entries: Vec<Entry>,
    /// The keys of the dicts around the state dict, from the outside in; empty if the file is only the state dict.
    pub wrapper_keys: Vec<String>,
    /// Whether every key began with `module.`, which is removed.
    pub is_parallel: bool,
}

/// A tensor with its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Such as `features.0.weight`.
    pub key: String,
    /// The type of its elements in the file.
    pub element: ElementType,
    /// The size of each dimension.
    pub shape: Vec<usize>,
    /// The numbers in row-major order; `None` if they are not floating point numbers.
    pub numbers: Option<Vec<f32>>,
}

impl StateDict {
    /// Where in the file the tensors were found, as text for the user.
    pub fn origin(&self) -> String {
        let place = match self.wrapper_keys.as_slice() {
            [] => "the whole file".to_owned(),
            keys => format!("the dict under {}", keys.join(".")),
        };
        if self.is_parallel {
            format!("{place}, with {PARALLEL_PREFIX:?} removed from its keys")
        } else {
            place
        }
    }

    /// The tensor with this key, if there is one.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

/// Reads the state dict of a file of `torch.save`, without executing anything.
///
/// The file may be only the state dict, or a training state that holds it under one of the usual keys. Floating point
/// numbers become f32, tensors of other types keep their entry without numbers, and everything else is dropped.
///
/// # Errors
/// If the file was not written by PyTorch, is damaged, requires code to be executed, or holds no state dict.
pub fn read_state_dict(bytes: &[u8]) -> Result<StateDict> {
    match Container::open(bytes)? {
        Container::Zip(mut zip) => {
            let data = zip.pickle()?;
            let big_endian = zip.is_big_endian()?;
            let pickle = pickle::read(&data, 0)?;
            let located = LocatedTensors::find(&pickle.values, pickle.root)?;
            let mut storages = Storages::new();
            for key in located.storage_keys() {
                storages.insert(key.to_owned(), Cow::Owned(zip.storage(key)?));
            }
            located.read(&storages, big_endian, bytes.len())
        }
        Container::Legacy(legacy) => {
            let (pickle, storages) = legacy.read()?;
            LocatedTensors::find(&pickle.values, pickle.root)?.read(&storages, false, bytes.len())
        }
    }
}

/// The tensors of a state dict, before their numbers are read.
struct LocatedTensors<'a> {
    values: &'a Values<'a>,
    tensors: Vec<(&'a str, &'a View)>,
    wrapper_keys: Vec<String>,
}

impl<'a> LocatedTensors<'a> {
    /// Finds the innermost dict of tensors, through the wrappers around it.
    fn find(values: &'a Values<'a>, root: Id) -> Result<LocatedTensors<'a>> {
        let mut wrapper_keys = Vec::new();
        let mut dict = root;
        for _ in 0..MAX_WRAPPERS {
            let wrapped = wrapped(values, dict);
            match wrapped.as_slice() {
                [] => break,
                &[(key, inner)] => {
                    wrapper_keys.push(key.to_owned());
                    dict = inner;
                }
                several => {
                    let keys = several.iter().map(|(key, _)| (*key).to_owned()).collect();
                    return Err(PytorchError::SeveralStateDicts { keys });
                }
            }
        }
        let tensors = tensors(values, dict)?;
        if tensors.is_empty() {
            let found = describe(values, dict);
            return Err(PytorchError::NoStateDict { found });
        }
        Ok(LocatedTensors {
            values,
            tensors,
            wrapper_keys,
        })
    }

    /// The keys of the storages of floating point numbers, each once.
    fn storage_keys(&self) -> Vec<&'a str> {
        let mut seen = HashSet::new();
        let floats = self.tensors.iter().filter(|(_, view)| view.element.is_float());
        floats
            .filter_map(|(_, view)| self.values.text(view.storage.key))
            .filter(|key| seen.insert(*key))
            .collect()
    }

    fn read(&self, storages: &Storages<'_>, big_endian: bool, file_bytes: usize) -> Result<StateDict> {
        let is_parallel = self.tensors.iter().all(|(key, _)| key.starts_with(PARALLEL_PREFIX));
        // Views can overlap; together they may not have more numbers than there are bytes.
        let stored = storages.values().map(|bytes| bytes.len()).sum::<usize>();
        let mut numbers_left = stored.max(file_bytes);
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
                numbers_left = numbers_left.checked_sub(count).ok_or_else(|| {
                    wrong("it repeats the numbers of its storage too often; save a copy, with .contiguous()".to_owned())
                })?;
                let storage = self.values.text(view.storage.key).and_then(|key| storages.get(key));
                let bytes = storage.ok_or_else(|| wrong("its bytes are not in the file".to_owned()))?;
                numbers = Some(tensor::numbers(view, &shape, bytes, big_endian).map_err(wrong)?);
            }
            entries.push(Entry {
                key: key
                    .strip_prefix(PARALLEL_PREFIX)
                    .filter(|_| is_parallel)
                    .unwrap_or(key)
                    .to_owned(),
                element: view.element,
                shape,
                numbers,
            });
        }
        Ok(StateDict {
            entries,
            wrapper_keys: self.wrapper_keys.clone(),
            is_parallel,
        })
    }
}

/// The values of a dict under the usual keys, if they hold tensors or such keys again.
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

/// The tensors of a dict with their keys. Of two tensors with the same key the later one counts, at the position of the
/// first.
fn tensors<'a>(values: &'a Values<'a>, id: Id) -> Result<Vec<(&'a str, &'a View)>> {
    let mut positions = HashMap::new();
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
        let position = *positions.entry(key).or_insert(found.len());
        match found.get_mut(position) {
            Some(entry) => entry.1 = view,
            None => found.push((key, view)),
        }
    }
    Ok(found.into_iter().filter_map(|(key, view)| Some((key, view?))).collect())
}

/// Describes what a file holds instead of a state dict.
fn describe(values: &Values<'_>, id: Id) -> String {
    const MAX_SHOWN: usize = 8;
    match values.get(id) {
        Value::Dict(pairs) => {
            let keys = pairs.iter().filter_map(|&(key, _)| values.text(key));
            let shown: Vec<String> = keys.take(MAX_SHOWN).map(|key| key.chars().take(40).collect()).collect();
            if shown.is_empty() {
                "it is an empty dict".to_owned()
            } else {
                format!("it is a dict without tensors, whose keys are {}", shown.join(", "))
            }
        }
        Value::Tensor(_) => "it is a single tensor".to_owned(),
        Value::List(_) | Value::Tuple(_) => "it is a list".to_owned(),
        Value::None => "it is None".to_owned(),
        _ => "it is not a dict".to_owned(),
    }
}
