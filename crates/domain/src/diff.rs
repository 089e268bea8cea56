//! How two versions differ, layer by layer.
//!
//! Layers are aligned by a longest common subsequence of their kinds. Networks repeat themselves, so there are often many
//! such alignments: of those, one is taken that leaves the most layers as they are. A deeper network of the same family then
//! differs by the blocks that were put in, and not by everything behind them.

use serde_json::Value;

use super::version::Layer;

/// Most layers of two versions, one number times the other, once what they begin and end with alike is set aside.
pub const MAX_ALIGNED: usize = 16_000_000;

/// What became of a layer on the way from one version to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Both versions have it with the same parameters and shapes.
    Same,
    /// Both have it, but with other parameters or shapes, or another layer stands in its place.
    Changed,
    /// Only the other version has it.
    Added,
    /// Only the one version has it.
    Removed,
}

/// Something in which two layers differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `kind`, `inputShape`, `outputShape`, or a parameter by its name.
    pub name: String,
    /// What it is in the one layer; none if the layer has no such parameter.
    pub value: Option<Value>,
    /// What it is in the other layer.
    pub other_value: Option<Value>,
}

/// One place of the alignment.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What became of the layer.
    pub change: Change,
    /// The layer of the one version; none if it was added.
    pub layer: Option<Layer>,
    /// The layer of the other version; none if it was removed.
    pub other_layer: Option<Layer>,
    /// In what the two differ; empty unless the layer was changed.
    pub differences: Vec<Difference>,
}

impl Entry {
    /// Both layers, where there are two.
    pub fn pair(&self) -> Option<(&Layer, &Layer)> {
        Some((self.layer.as_ref()?, self.other_layer.as_ref()?))
    }
}

/// How many layers met each fate.
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
    /// Counts entries.
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

/// Two versions have too many layers to be aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "versions of {layers} and {others} layers, not counting those that they begin and end with alike, are too large to be \
     aligned: one number times the other may be at most {MAX_ALIGNED}"
)]
pub struct TooManyLayers {
    layers: usize,
    others: usize,
}

/// What leads from one list of layers to another, in execution order. The other way round it is the same with additions and
/// removals exchanged.
///
/// # Errors
/// There are too many layers.
pub fn diff(layers: &[Layer], others: &[Layer]) -> Result<Vec<Entry>, TooManyLayers> {
    // Where alignments tie, which one is taken must not depend on the direction.
    if kinds(others).lt(kinds(layers)) {
        return Ok(align(others, layers)?.into_iter().map(reversed).collect());
    }
    align(layers, others)
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
            both => both,
        },
        layer: entry.other_layer,
        other_layer: entry.layer,
        differences: differences.collect(),
    }
}

fn align(layers: &[Layer], others: &[Layer]) -> Result<Vec<Entry>, TooManyLayers> {
    // Setting aside what is the same at both ends spoils no alignment, and leaves little to do for versions of one model.
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

/// A run of layers in the place of another run: they pair up in order for as long as both last.
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
    let differences = differences(layer, other);
    Entry {
        change: match differences.is_empty() {
            true => Change::Same,
            false => Change::Changed,
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

/// In what two layers differ. Their names say only where they stand.
pub fn differences(layer: &Layer, other: &Layer) -> Vec<Difference> {
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
            names
                .map(|name| (name.clone(), own.get(name).cloned(), others.get(name).cloned()))
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

/// The places of a longest common subsequence of kinds, of all such one with the most layers that are the same.
fn common(layers: &[Layer], others: &[Layer]) -> Result<Vec<(usize, usize)>, TooManyLayers> {
    let width = others.len() + 1;
    if layers.len() * others.len() > MAX_ALIGNED {
        return Err(TooManyLayers {
            layers: layers.len(),
            others: others.len(),
        });
    }
    // By place: pairs from there to the end, and below them in the number, how many of those are the same. Neither count can
    // exceed 65,535: the shorter list would have to be that long, and the two together too large.
    const PAIR: u32 = 1 << 16;
    let worth = |layer: &Layer, other: &Layer| match layer.kind == other.kind {
        true => PAIR + u32::from(is_same(layer, other)),
        false => 0,
    };
    let mut best = vec![0_u32; (layers.len() + 1) * width];
    for (at, layer) in layers.iter().enumerate().rev() {
        for (other_at, other) in others.iter().enumerate().rev() {
            let skipped = best[(at + 1) * width + other_at].max(best[at * width + other_at + 1]);
            let paired = match worth(layer, other) {
                0 => 0,
                worth => worth + best[(at + 1) * width + other_at + 1],
            };
            best[at * width + other_at] = paired.max(skipped);
        }
    }
    let (mut at, mut other_at, mut pairs) = (0, 0, Vec::new());
    while at < layers.len() && other_at < others.len() {
        let here = best[at * width + other_at];
        let worth = worth(&layers[at], &others[other_at]);
        if worth > 0 && here == worth + best[(at + 1) * width + other_at + 1] {
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
