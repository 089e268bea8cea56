//! Finds dicts of tensors among the values of a pickle.

use std::collections::{HashMap, HashSet};

use super::error::{PytorchError, Result};
use super::pickle::value::{Id, Value, Values, View};
use crate::tensor_file::Entry;

/// The maximum number of containers around a dict of tensors, and of modules around a module.
const MAX_DEPTH: usize = 32;

/// The maximum number of dicts of tensors and of modules that are looked into.
const MAX_DICTS: usize = 100_000;

/// The maximum length of a key, in bytes.
const MAX_KEY_BYTES: usize = 1024;

/// The memory that the found tensors with their keys may take, in bytes. A small pickle can refer to one long key or
/// tensor a million times.
const MAX_FOUND_BYTES: usize = 64 << 20;

/// How many pairs may be looked at. Objects can share their attributes, so that a small pickle has many.
const MAX_STEPS: usize = 50_000_000;

/// The attributes in which an object of `torch.nn.Module` keeps its tensors and its parts.
const MODULE_ATTRIBUTES: [&str; 3] = ["_parameters", "_buffers", "_modules"];

/// A dict of tensors, or the tensors of a module.
pub(super) struct Found<'a> {
    /// The keys that lead to it, separated by dots.
    pub path: String,
    /// The tensors by key, in the order of the file.
    pub tensors: Vec<(String, &'a View)>,
}

/// Every dict that holds tensors, from the outside in. Tensors in lists have no keys, and are left out.
pub(super) fn dicts<'a>(values: &'a Values<'_>, root: Id) -> Result<Vec<Found<'a>>> {
    let mut limits = Limits::default();
    let mut found = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut nodes = vec![Node {
        id: root,
        key: String::new(),
        parent: 0,
        depth: 0,
    }];
    let mut next = 0;
    while let Some(node) = nodes.get(next) {
        let (id, depth) = (node.id, node.depth);
        let is_module = is_module(values, id, &mut limits)?;
        let tensors = if is_module {
            module(values, id, &mut limits)?
        } else {
            dict(values, id, &mut limits)?
        };
        if !tensors.is_empty() {
            limits.look_into()?;
            let path = path(&nodes, next, &mut limits)?;
            found.push(Found { path, tensors });
        }
        if !is_module && depth < MAX_DEPTH {
            for (key, child) in children(values, id, &mut limits)? {
                if is_container(values, child) && seen.insert(child) {
                    nodes.push(Node {
                        id: child,
                        key: key.text(&mut limits)?,
                        parent: next,
                        depth: depth + 1,
                    });
                }
            }
        }
        next += 1;
    }
    Ok(found)
}

/// A container and how it is reached.
struct Node {
    id: Id,
    key: String,
    /// The index of the container that holds it.
    parent: usize,
    depth: usize,
}

/// What may still be looked into.
struct Limits {
    dicts: usize,
    bytes: usize,
    steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dicts: MAX_DICTS,
            bytes: MAX_FOUND_BYTES,
            steps: MAX_STEPS,
        }
    }
}

impl Limits {
    fn look_into(&mut self) -> Result<()> {
        self.dicts = self.dicts.checked_sub(1).ok_or(PytorchError::TooLarge {
            what: "more dicts of tensors than a training state",
            limit: MAX_DICTS,
        })?;
        Ok(())
    }

    fn step(&mut self, pairs: usize) -> Result<()> {
        self.steps = self.steps.checked_sub(pairs).ok_or(PytorchError::TooLarge {
            what: "more attributes than a training state",
            limit: MAX_STEPS,
        })?;
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(PytorchError::TooLarge {
            what: "more names of tensors than a training state, in bytes",
            limit: MAX_FOUND_BYTES,
        })?;
        Ok(())
    }

    fn joined(&mut self, path: &str, key: &str) -> Result<String> {
        if key.len() > MAX_KEY_BYTES {
            return Err(PytorchError::TooLarge {
                what: "a key of too many bytes",
                limit: MAX_KEY_BYTES,
            });
        }
        self.take(path.len() + key.len())?;
        Ok(match path {
            "" => key.to_owned(),
            _ => format!("{path}.{key}"),
        })
    }

    /// A tensor that was found.
    fn keep<'a>(&mut self, key: String, view: &'a View, values: &Values<'_>) -> Result<(String, &'a View)> {
        let storage = values.text(view.storage.key).map_or(0, str::len);
        let sizes = 2 * size_of_val(view.shape.as_slice());
        self.take(storage + sizes + size_of::<Entry>())?;
        Ok((key, view))
    }
}

/// How a value is reached from its container.
enum Key<'a> {
    Text(&'a str),
    Number(i128),
}

impl Key<'_> {
    fn text(&self, limits: &mut Limits) -> Result<String> {
        match self {
            Self::Text(text) => limits.joined("", text),
            Self::Number(number) => limits.joined("", &number.to_string()),
        }
    }
}

fn path(nodes: &[Node], mut index: usize, limits: &mut Limits) -> Result<String> {
    let mut keys = Vec::new();
    while index != 0 {
        keys.push(nodes[index].key.as_str());
        index = nodes[index].parent;
    }
    keys.reverse();
    limits.take(keys.iter().map(|key| key.len() + 1).sum())?;
    Ok(keys.join("."))
}

fn is_container(values: &Values<'_>, id: Id) -> bool {
    matches!(
        values.get(id),
        Value::Dict(_) | Value::List(_) | Value::Tuple(_) | Value::Object(_)
    )
}

fn dict<'a>(values: &'a Values<'_>, id: Id, limits: &mut Limits) -> Result<Vec<(String, &'a View)>> {
    let tensors = direct(values, id, limits)?.into_iter();
    tensors
        .map(|(key, view)| {
            let key = limits.joined("", key)?;
            limits.keep(key, view, values)
        })
        .collect()
}

/// The tensors of a module and its parts, in the order of its state dict. Parts that are shared are repeated, as there.
fn module<'a>(values: &'a Values<'_>, root: Id, limits: &mut Limits) -> Result<Vec<(String, &'a View)>> {
    let mut tensors = Vec::new();
    let mut stack = vec![(root, String::new(), 0)];
    while let Some((id, prefix, depth)) = stack.pop() {
        limits.look_into()?;
        if depth > MAX_DEPTH {
            return Err(PytorchError::TooLarge {
                what: "modules nested deeper than a network",
                limit: MAX_DEPTH,
            });
        }
        limits.step(values.attributes(id).len())?;
        let [parameters, buffers, parts] = MODULE_ATTRIBUTES.map(|name| attribute(values, id, name));
        for dict in [parameters, buffers].into_iter().flatten() {
            for (key, view) in direct(values, dict, limits)? {
                let key = limits.joined(&prefix, key)?;
                tensors.push(limits.keep(key, view, values)?);
            }
        }
        let Some(parts) = parts else { continue };
        for (key, part) in children(values, parts, limits)?.into_iter().rev() {
            if is_module(values, part, limits)? {
                let key = key.text(limits)?;
                stack.push((part, limits.joined(&prefix, &key)?, depth + 1));
            }
        }
    }
    Ok(tensors)
}

/// Describes what a file holds instead of tensors.
pub(super) fn describe(values: &Values<'_>, id: Id) -> String {
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
        Value::Object(_) => match values.class_name(id) {
            Some(name) => format!("it is an object of {name}, whose tensors only Python can find"),
            None => "it is an object, whose tensors only Python can find".to_owned(),
        },
        _ => "it is not a dict".to_owned(),
    }
}

/// The values that a container holds.
fn children<'a>(values: &'a Values<'_>, id: Id, limits: &mut Limits) -> Result<Vec<(Key<'a>, Id)>> {
    if let Some(items) = values.sequence(id) {
        let numbered = items.iter().enumerate();
        return Ok(numbered
            .map(|(index, &item)| (Key::Number(index as i128), item))
            .collect());
    }
    limits.step(values.pairs(id).len() + values.attributes(id).len())?;
    let key = |&(key, value): &(Id, Id)| match values.get(key) {
        Value::Text(text) => Some((Key::Text(text), value)),
        Value::Integer(integer) => Some((Key::Number(*integer), value)),
        _ => None,
    };
    let pairs = values.pairs(id).iter().chain(values.attributes(id));
    Ok(pairs.filter_map(key).collect())
}

/// The tensors that stand in a dict itself. Of two with the same key the later one counts, at the position of the first.
fn direct<'a>(values: &'a Values<'_>, id: Id, limits: &mut Limits) -> Result<Vec<(&'a str, &'a View)>> {
    limits.step(values.pairs(id).len() + values.attributes(id).len())?;
    let mut positions = HashMap::new();
    let mut found: Vec<(&str, Option<&View>)> = Vec::new();
    for &(key, value) in values.pairs(id).iter().chain(values.attributes(id)) {
        let Some(key) = values.text(key) else { continue };
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
    let tensors = found.into_iter();
    Ok(tensors.filter_map(|(key, view)| Some((key, view?))).collect())
}

fn is_module(values: &Values<'_>, id: Id, limits: &mut Limits) -> Result<bool> {
    limits.step(values.attributes(id).len())?;
    let is_there = |name: &&str| attribute(values, id, name).is_some();
    Ok(MODULE_ATTRIBUTES.iter().all(is_there))
}

fn attribute(values: &Values<'_>, id: Id, name: &str) -> Option<Id> {
    let mut attributes = values.attributes(id).iter().rev();
    let found = attributes.find(|(key, _)| values.text(*key) == Some(name));
    found.map(|&(_, value)| value)
}
