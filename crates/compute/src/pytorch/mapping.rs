//! Assigns the tensors of a state dict to those of a network: by key, or by position and shape.
//!
//! The keys of a file come from a Python class; those of a graph are positions in a block list. Where the keys agree,
//! they decide. Otherwise the layers of both are compared in order: the n-th layer with tensors is the n-th of the
//! file, if the roles and shapes of all layers agree. If only the order differs, the shapes decide, as long as no two
//! layers have the same shapes. Anything else is refused, with a list of everything that does not fit.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use super::state_dict::{Entry, StateDict};
use crate::error::{ComputeError, NamedShape, WeightError};
use layers::{Layer, layers_of_file, layers_of_graph};
pub use pair::Pair;
use scv_domain::graph::{Graph, Parameter};

mod layers;
mod mismatches;
mod pair;

/// The counter that PyTorch keeps next to the running statistics; it has no effect at inference.
const BATCH_COUNTER: &str = "num_batches_tracked";

/// The tensors of a network, each with the tensor of the file that fills it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// How the tensors were matched.
    pub by: MappedBy,
    /// One pair per tensor of the network, in the order of the network.
    pub pairs: Vec<Pair>,
    /// Tensors of the file that are not weights, such as batch counters.
    pub ignored: Vec<String>,
}

/// How the tensors of a file were matched with those of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MappedBy {
    /// By their keys, which are those of the network.
    Key,
    /// By the order of the layers, which have the shapes of the network.
    Order,
    /// By their shapes: the order differs, but no two layers have the same shapes.
    Shape,
}

/// Finds the tensor of `state` for each tensor of `graph`.
///
/// # Errors
/// Everything that does not fit: tensors that are missing, unused, ambiguous, of another shape or type, or not finite.
pub fn map(graph: &Graph, state: &StateDict) -> Result<Mapping, Vec<WeightError>> {
    let (ignored, candidates): (Vec<&Entry>, Vec<&Entry>) = state.entries.iter().partition(|entry| is_ignored(entry));
    let entries: HashMap<&str, &Entry> = candidates.iter().map(|entry| (entry.key.as_str(), *entry)).collect();
    let has_all_keys = graph.parameters().all(|(key, _)| entries.contains_key(key.as_str()));
    let (by, pairs) = if has_all_keys {
        (MappedBy::Key, by_key(graph, &candidates)?)
    } else {
        by_layer(&layers_of_graph(graph), &layers_of_file(&candidates))?
    };
    let wrong_numbers: Vec<WeightError> = pairs
        .iter()
        .filter_map(|pair| mismatches::wrong_numbers(pair, entries.get(pair.state_key.as_str())?))
        .collect();
    if !wrong_numbers.is_empty() {
        return Err(wrong_numbers);
    }
    Ok(Mapping {
        by,
        pairs,
        ignored: ignored.into_iter().map(|entry| entry.key.clone()).collect(),
    })
}

impl Mapping {
    /// The mapping of a file whose keys are those of the network.
    pub fn by_key(graph: &Graph, ignored: Vec<String>) -> Self {
        let pair = |(key, parameter): (String, &Parameter)| Pair {
            state_key: key.clone(),
            graph_key: key,
            shape: parameter.shape.clone(),
        };
        Self {
            by: MappedBy::Key,
            pairs: graph.parameters().map(pair).collect(),
            ignored,
        }
    }

    /// The tensors of `state` under the keys of the network, as a safetensors file in f32.
    ///
    /// # Errors
    /// If `state` is not the one that was mapped.
    pub fn to_safetensors(&self, state: &StateDict) -> Result<Vec<u8>, ComputeError> {
        let entries: HashMap<&str, &Entry> = state.entries.iter().map(|entry| (entry.key.as_str(), entry)).collect();
        let mut buffers = Vec::with_capacity(self.pairs.len());
        for pair in &self.pairs {
            let numbers = entries
                .get(pair.state_key.as_str())
                .and_then(|entry| entry.numbers.as_deref());
            let numbers = numbers.ok_or_else(|| {
                ComputeError::Invalid(format!("the state dict has no numbers for {}", pair.state_key))
            })?;
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            buffers.push((&pair.graph_key, &pair.shape, bytes));
        }
        let views = buffers
            .iter()
            .map(|(key, shape, bytes)| Ok((key, TensorView::new(Dtype::F32, (*shape).clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        views
            .and_then(|views| safetensors::serialize(views, None))
            .map_err(|error| ComputeError::Invalid(format!("the weights cannot be written: {error}")))
    }
}

/// Whether a tensor is not a weight: a batch counter, or integers without the name of a weight.
fn is_ignored(entry: &Entry) -> bool {
    let (_, name) = layers::split(&entry.key);
    name == BATCH_COUNTER || (entry.numbers.is_none() && layers::role(name).is_none())
}

fn by_key(graph: &Graph, candidates: &[&Entry]) -> Result<Vec<Pair>, Vec<WeightError>> {
    let mut left: HashMap<&str, &Entry> = candidates.iter().map(|entry| (entry.key.as_str(), *entry)).collect();
    let mut pairs = Vec::new();
    let mut errors = Vec::new();
    for (key, parameter) in graph.parameters() {
        let Some(entry) = left.remove(key.as_str()) else {
            continue;
        };
        if entry.shape != parameter.shape {
            errors.push(mismatches::other_shape(&key, &parameter.shape, entry));
        }
        pairs.push(Pair {
            graph_key: key,
            state_key: entry.key.clone(),
            shape: parameter.shape.clone(),
        });
    }
    let left_over = candidates.iter().filter(|entry| left.contains_key(entry.key.as_str()));
    errors.extend(left_over.map(|entry| mismatches::unused(NamedShape::new(&entry.key, &entry.shape))));
    if errors.is_empty() { Ok(pairs) } else { Err(errors) }
}

fn by_layer(network: &[Layer], file: &[Layer]) -> Result<(MappedBy, Vec<Pair>), Vec<WeightError>> {
    let have_equal_shapes = |(ours, theirs): (&Layer, &Layer)| ours.has_shapes_of(theirs);
    if network.len() == file.len() && network.iter().zip(file).all(have_equal_shapes) {
        let pairs = network.iter().zip(file).flat_map(|(ours, theirs)| ours.pairs(theirs));
        return Ok((MappedBy::Order, pairs.collect()));
    }
    let mut by_shapes: HashMap<&[(_, Vec<usize>)], Vec<&Layer>> = HashMap::new();
    for layer in file {
        by_shapes.entry(layer.shapes()).or_default().push(layer);
    }
    let errors = mismatches::of_layers(network, file);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut pairs = Vec::new();
    let mut errors = Vec::new();
    for ours in network {
        match by_shapes.get(ours.shapes()).map(Vec::as_slice) {
            Some([theirs]) => pairs.extend(ours.pairs(theirs)),
            several => errors.extend(mismatches::ambiguous(ours, several.unwrap_or_default())),
        }
    }
    if errors.is_empty() {
        Ok((MappedBy::Shape, pairs))
    } else {
        Err(errors)
    }
}

#[cfg(test)]
mod tests;
