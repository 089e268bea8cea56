//! The layer-by-layer difference between two versions.
//!
//! Layers are aligned by a longest common subsequence of their kinds. Networks are repetitive, so there are often many
//! such alignments; the one that leaves the most layers unchanged is chosen. A deeper network of the same family then
//! differs only by the inserted blocks, and not by everything after them.

use std::collections::HashMap;

use serde_json::Value;

use super::id::LayerId;
use super::version::Layer;
use notation::in_terms_of_blocks;

mod notation;

/// Maximum product of the layer counts of two versions, without the identical layers at their beginning and end.
pub const MAX_LAYER_PRODUCT: usize = 16_000_000;

/// How a layer changed from one version to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Both versions have it with the same parameters and shapes.
    Same,
    /// Both have it, but with different parameters or shapes, or a different layer takes its place.
    Changed,
    /// Only the other version has it.
    Added,
    /// Only the first version has it.
    Removed,
}

/// A property in which two layers differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `kind`, `inputShape`, `outputShape`, or the name of a parameter.
    pub name: String,
    /// Its value in the first layer; `None` if the layer has no such parameter.
    pub value: Option<Value>,
    /// Its value in the other layer; `None` if the layer has no such parameter.
    pub other_value: Option<Value>,
}

/// One entry of the alignment.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// How the layer changed.
    pub change: Change,
    /// The layer of the first version; `None` if it was added.
    pub layer: Option<Layer>,
    /// The layer of the other version; `None` if it was removed.
    pub other_layer: Option<Layer>,
    /// How the two differ; empty unless the layer was changed.
    pub differences: Vec<Difference>,
}

impl Entry {
    /// Both layers, if the entry has two.
    pub fn pair(&self) -> Option<(&Layer, &Layer)> {
        Some((self.layer.as_ref()?, self.other_layer.as_ref()?))
    }
}

/// The number of entries by kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Entries that are [`Change::Same`].
    pub same: usize,
    /// Entries that are [`Change::Changed`].
    pub changed: usize,
    /// Entries that are [`Change::Added`].
    pub added: usize,
    /// Entries that are [`Change::Removed`].
    pub removed: usize,
}

impl Counts {
    /// Counts the entries of each change.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut counts = Self::default();
        for entry in entries {
            *match entry.change {
                Change::Same => &mut counts.same,
                Change::Changed => &mut counts.changed,
                Change::Added => &mut counts.added,
                Change::Removed => &mut counts.removed,
            } += 1;
        }
        counts
    }
}

/// Two versions have too many layers to align.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the versions are too large to align: they have {layers} and {others} layers, not counting identical layers at the \
     beginning and end, and the product of the two may be at most {MAX_LAYER_PRODUCT}"
)]
pub struct TooManyLayers {
    layers: usize,
    others: usize,
}

/// The changes from one list of layers to another, in execution order. Swapping the lists swaps additions and removals
/// and changes nothing else.
///
/// # Errors
/// The lists have too many layers.
pub fn diff(layers: &[Layer], others: &[Layer]) -> Result<Vec<Entry>, TooManyLayers> {
    let [one, two] = [layers, others].map(|layers| layers.iter().map(in_terms_of_blocks).collect::<Vec<_>>());
    // If alignments tie, the choice must not depend on the direction.
    let mut entries = if kinds(&two).lt(kinds(&one)) {
        align(&two, &one)?.into_iter().map(reversed).collect()
    } else {
        align(&one, &two)?
    };
    let [layers, others] = [layers, others].map(|layers| layers.iter().map(|layer| (layer.id, layer)).collect());
    let as_given = |layer: &mut Option<Layer>, given: &HashMap<LayerId, &Layer>| {
        if let Some(layer) = layer.as_mut()
            && let Some(&given) = given.get(&layer.id)
        {
            *layer = given.clone();
        }
    };
    for entry in &mut entries {
        as_given(&mut entry.layer, &layers);
        as_given(&mut entry.other_layer, &others);
    }
    Ok(entries)
}

fn kinds(layers: &[Layer]) -> impl Iterator<Item = &str> {
    layers.iter().map(|layer| layer.kind.as_str())
}

fn reversed(entry: Entry) -> Entry {
    let differences = entry.differences.into_iter().map(|difference| Difference {
        name: difference.name,
        value: difference.other_value,
        other_value: difference.value,
    });
    Entry {
        change: match entry.change {
            Change::Added => Change::Removed,
            Change::Removed => Change::Added,
            unchanged => unchanged,
        },
        layer: entry.other_layer,
        other_layer: entry.layer,
        differences: differences.collect(),
    }
}

fn align(layers: &[Layer], others: &[Layer]) -> Result<Vec<Entry>, TooManyLayers> {
    // Skipping identical layers at both ends never makes an alignment worse, and leaves little work for versions of one
    // model.
    let is_same = |(layer, other): &(&Layer, &Layer)| is_same(layer, other);
    let head = layers.iter().zip(others).take_while(is_same).count();
    let (rest, other_rest) = (&layers[head..], &others[head..]);
    let tail = rest
        .iter()
        .rev()
        .zip(other_rest.iter().rev())
        .take_while(is_same)
        .count();
    let (middle, other_middle) = (&rest[..rest.len() - tail], &other_rest[..other_rest.len() - tail]);
    let mut entries: Vec<Entry> = layers.iter().zip(others).take(head).map(paired).collect();
    let (mut at, mut other_at) = (0, 0);
    for (next, other_next) in common(middle, other_middle)? {
        entries.extend(replaced(&middle[at..next], &other_middle[other_at..other_next]));
        entries.push(paired((&middle[next], &other_middle[other_next])));
        (at, other_at) = (next + 1, other_next + 1);
    }
    entries.extend(replaced(&middle[at..], &other_middle[other_at..]));
    let ends = rest[middle.len()..].iter().zip(&other_rest[other_middle.len()..]);
    entries.extend(ends.map(paired));
    Ok(entries)
}

/// A run of layers that replaces another run: the layers pair up in order until one run ends.
fn replaced<'a>(layers: &'a [Layer], others: &'a [Layer]) -> impl Iterator<Item = Entry> + 'a {
    let pairs = layers.iter().zip(others).map(paired);
    let removed = layers.iter().skip(others.len()).map(|layer| Entry {
        change: Change::Removed,
        layer: Some(layer.clone()),
        other_layer: None,
        differences: Vec::new(),
    });
    let added = others.iter().skip(layers.len()).map(|layer| Entry {
        change: Change::Added,
        layer: None,
        other_layer: Some(layer.clone()),
        differences: Vec::new(),
    });
    pairs.chain(removed).chain(added)
}

fn paired((layer, other): (&Layer, &Layer)) -> Entry {
    let differences = differences_of(layer, other);
    Entry {
        change: if differences.is_empty() {
            Change::Same
        } else {
            Change::Changed
        },
        layer: Some(layer.clone()),
        other_layer: Some(other.clone()),
        differences,
    }
}

fn is_same(layer: &Layer, other: &Layer) -> bool {
    layer.kind == other.kind
        && layer.input_shape == other.input_shape
        && layer.output_shape == other.output_shape
        && layer.parameters == other.parameters
}

/// The properties in which two layers differ. Names are ignored, because they only give the position of a layer.
pub fn differences(layer: &Layer, other: &Layer) -> Vec<Difference> {
    differences_of(&in_terms_of_blocks(layer), &in_terms_of_blocks(other))
}

fn differences_of(layer: &Layer, other: &Layer) -> Vec<Difference> {
    let fixed = [
        (
            "kind",
            Value::from(layer.kind.as_str()),
            Value::from(other.kind.as_str()),
        ),
        (
            "inputShape",
            Value::from(layer.input_shape.as_slice()),
            Value::from(other.input_shape.as_slice()),
        ),
        (
            "outputShape",
            Value::from(layer.output_shape.as_slice()),
            Value::from(other.output_shape.as_slice()),
        ),
    ];
    let fixed = fixed.map(|(name, value, other)| (name.to_owned(), Some(value), Some(other)));
    let parameters = match (&layer.parameters, &other.parameters) {
        (Value::Object(own), Value::Object(others)) => {
            let only_other = others.keys().filter(|name| !own.contains_key(*name));
            let names = own.keys().chain(only_other);
            // A parameter without a value is one that does not exist.
            let value = |of: &serde_json::Map<String, Value>, name: &str| {
                of.get(name).filter(|value| !value.is_null()).cloned()
            };
            names
                .map(|name| (name.clone(), value(own, name), value(others, name)))
                .collect()
        }
        (own, others) => vec![("parameters".to_owned(), Some(own.clone()), Some(others.clone()))],
    };
    fixed
        .into_iter()
        .chain(parameters)
        .filter(|(_, value, other_value)| value != other_value)
        .map(|(name, value, other_value)| Difference {
            name,
            value,
            other_value,
        })
        .collect()
}

/// The positions of a longest common subsequence of kinds; among all of these, of one with the most identical layers.
fn common(layers: &[Layer], others: &[Layer]) -> Result<Vec<(usize, usize)>, TooManyLayers> {
    let width = others.len() + 1;
    if layers.len() * others.len() > MAX_LAYER_PRODUCT {
        return Err(TooManyLayers {
            layers: layers.len(),
            others: others.len(),
        });
    }
    // Each entry packs two counts for the rest of the lists: pairs in the upper 16 bits, identical pairs in the lower
    // 16. Neither count can exceed 65,535, because two lists of that length would be over the limit.
    const PAIR: u32 = 1 << 16;
    let pair_score = |layer: &Layer, other: &Layer| {
        if layer.kind == other.kind {
            PAIR + u32::from(is_same(layer, other))
        } else {
            0
        }
    };
    let mut best = vec![0_u32; (layers.len() + 1) * width];
    for (at, layer) in layers.iter().enumerate().rev() {
        for (other_at, other) in others.iter().enumerate().rev() {
            let skipped = best[(at + 1) * width + other_at].max(best[at * width + other_at + 1]);
            let paired = match pair_score(layer, other) {
                0 => 0,
                score => score + best[(at + 1) * width + other_at + 1],
            };
            best[at * width + other_at] = paired.max(skipped);
        }
    }
    let (mut at, mut other_at, mut pairs) = (0, 0, Vec::new());
    while at < layers.len() && other_at < others.len() {
        let here = best[at * width + other_at];
        let score = pair_score(&layers[at], &others[other_at]);
        if score > 0 && here == score + best[(at + 1) * width + other_at + 1] {
            pairs.push((at, other_at));
            (at, other_at) = (at + 1, other_at + 1);
        } else if here == best[(at + 1) * width + other_at] {
            at += 1;
        } else {
            other_at += 1;
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;
