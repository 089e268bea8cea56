//! The tensors of a dict as a network would have them: those that a reparametrisation splits are one.

use std::collections::{HashMap, HashSet};

use super::mismatches;
use crate::error::WeightError;
use crate::tensor_file::{Entry, TensorDict};
use scv_domain::graph::ParameterRole;

/// The counter that PyTorch keeps next to the running statistics; it has no effect at inference.
const BATCH_COUNTER: &str = "num_batches_tracked";

/// Where `torch.nn.utils.parametrize` keeps what a tensor is computed from.
const PARAMETRIZATIONS: &str = "parametrizations.";

/// A tensor that a network may have.
#[derive(Debug, Clone)]
pub(super) struct Tensor<'a> {
    /// The key in the file, or the key that PyTorch gives it once it is computed.
    pub key: String,
    pub shape: &'a [usize],
    pub content: Content<'a>,
}

/// Where the numbers of a tensor come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    Plain(&'a Entry),
    /// A direction whose length along one dimension is given by another tensor.
    WeightNorm {
        length: &'a Entry,
        direction: &'a Entry,
    },
}

/// The tensors of a dict.
pub(super) struct Tensors<'a> {
    /// Those that a network may have, in the order of the file.
    pub weights: Vec<Tensor<'a>>,
    /// The keys of those that are not weights.
    pub ignored: Vec<String>,
}

impl<'a> Tensor<'a> {
    /// The keys in the file that it is computed from; none if it is in the file itself.
    pub(super) fn computed_from(&self) -> Vec<String> {
        match self.content {
            Content::Plain(_) => Vec::new(),
            Content::WeightNorm { length, direction } => vec![length.key.clone(), direction.key.clone()],
        }
    }

    /// The entries of the file that it consists of.
    pub(super) fn entries(&self) -> Vec<&'a Entry> {
        match self.content {
            Content::Plain(entry) => vec![entry],
            Content::WeightNorm { length, direction } => vec![length, direction],
        }
    }
}

/// The tensors of a dict that a network may have.
///
/// # Errors
/// Every tensor that is computed from others in a way that is not supported.
pub(super) fn of_dict(dict: &TensorDict) -> Result<Tensors<'_>, Vec<WeightError>> {
    let entries: HashMap<&str, &Entry> = dict.entries.iter().map(|entry| (entry.key.as_str(), entry)).collect();
    let mut done = HashSet::new();
    let mut found = Tensors {
        weights: Vec::new(),
        ignored: Vec::new(),
    };
    let mut errors = Vec::new();
    for entry in &dict.entries {
        if let Some(parts) = weight_norm(&entry.key) {
            let there = (
                entries.get(parts.length.as_str()),
                entries.get(parts.direction.as_str()),
            );
            if let (Some(&length), Some(&direction)) = there {
                if !done.insert(parts.key.clone()) {
                    continue;
                }
                if norm_dimension(&length.shape, &direction.shape).is_none() {
                    errors.push(mismatches::not_computed(entry));
                    continue;
                }
                found.weights.push(Tensor {
                    key: parts.key,
                    shape: &direction.shape,
                    content: Content::WeightNorm { length, direction },
                });
                continue;
            }
        }
        if is_reparametrised(&entry.key, &entries) {
            errors.push(mismatches::not_computed(entry));
        } else if is_ignored(entry) {
            found.ignored.push(entry.key.clone());
        } else {
            found.weights.push(Tensor {
                key: entry.key.clone(),
                shape: &entry.shape,
                content: Content::Plain(entry),
            });
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// The dimension along which the direction has the given lengths: `Some(None)` if it has a single one. `None` if the two
/// shapes do not belong together.
pub(super) fn norm_dimension(length: &[usize], direction: &[usize]) -> Option<Option<usize>> {
    if length.iter().all(|&size| size == 1) {
        let is_scalar = length.is_empty();
        let is_column = length.len() == direction.len() && direction.contains(&1);
        return (is_scalar || is_column).then_some(None);
    }
    let dimension = length.iter().position(|&size| size != 1)?;
    let mut expected = vec![1; direction.len()];
    *expected.get_mut(dimension)? = direction[dimension];
    (length == expected).then_some(Some(dimension))
}

/// The keys of a tensor and of the two that it is computed from.
struct WeightNormKeys {
    key: String,
    length: String,
    direction: String,
}

/// The keys of a weight normalisation, of which this may be one.
fn weight_norm(key: &str) -> Option<WeightNormKeys> {
    if let Some(base) = key.strip_suffix("_g").or_else(|| key.strip_suffix("_v")) {
        return Some(WeightNormKeys {
            key: base.to_owned(),
            length: format!("{base}_g"),
            direction: format!("{base}_v"),
        });
    }
    let base = key
        .strip_suffix(".original0")
        .or_else(|| key.strip_suffix(".original1"))?;
    let (module, name) = base.split_at(base.rfind(PARAMETRIZATIONS)?);
    Some(WeightNormKeys {
        key: format!("{module}{}", name.strip_prefix(PARAMETRIZATIONS)?),
        length: format!("{base}.original0"),
        direction: format!("{base}.original1"),
    })
}

/// Whether a tensor is computed from this one and others at each call: by a spectral normalisation, by pruning, or by any
/// parametrisation.
fn is_reparametrised(key: &str, entries: &HashMap<&str, &Entry>) -> bool {
    let has = |base: &str, ending: &str| entries.contains_key(format!("{base}{ending}").as_str());
    let is_original = key
        .strip_suffix("_orig")
        .is_some_and(|base| has(base, "_u") || has(base, "_mask"));
    is_original || key.starts_with(PARAMETRIZATIONS) || key.contains(&format!(".{PARAMETRIZATIONS}"))
}

/// Whether a tensor is not a weight: a batch counter, or integers without the name of a weight.
fn is_ignored(entry: &Entry) -> bool {
    let name = entry.key.rsplit('.').next().unwrap_or_default();
    name == BATCH_COUNTER || (!entry.element.is_float() && !is_role(name))
}

fn is_role(name: &str) -> bool {
    use ParameterRole::{Bias, RunningMean, RunningVar, Weight};
    [Weight, Bias, RunningMean, RunningVar]
        .iter()
        .any(|role| role.name() == name)
}
