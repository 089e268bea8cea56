//! Which tensor of a state dict is which of a network: by its key, or by its place and shape.
//!
//! The keys of a file are those of somebody's Python class, those of a graph are places in a block list.
//! Where they agree they decide. Otherwise the layers of both are walked in order: the n-th layer with
//! tensors is the n-th of the file, if the roles and shapes of all of them agree. If only the order
//! differs, the shapes decide as long as no two layers are alike. Anything else is refused, with all that
//! does not fit.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use super::state_dict::{Entry, StateDict};
use crate::error::{ComputeError, WeightError};
use scv_domain::graph::Graph;
use layers::{Layer, layers_of_file, layers_of_graph};

mod faults;
mod layers;

/// What PyTorch counts beside the running statistics; it changes nothing at inference.
const COUNTER: &str = "num_batches_tracked";

/// The tensors of a network, each with the one of the file that it is filled from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mapping {
    /// How they were told.
    pub by: MappedBy,
    /// One pair for each tensor of the network, in its order.
    pub pairs: Vec<Pair>,
    /// Tensors of the file that hold no weights, such as counters of batches.
    pub ignored: Vec<String>,
}

/// How the tensors of a file were told from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MappedBy {
    /// The keys are those of the network.
    Key,
    /// The layers stand in the order of the network, with its shapes.
    Order,
    /// The order differs, but every layer has a shape of its own.
    Shape,
}

/// A tensor of the network and one of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// In the network, such as `3.main.0.weight`.
    pub graph_key: String,
    /// In the file, such as `layer1.0.conv1.weight`.
    pub state_key: String,
    /// Of both.
    pub shape: Vec<usize>,
}

/// Finds the tensor of `state` for each of `graph`.
///
/// # Errors
/// Everything that does not fit: tensors that are missing, left over, of another shape or type, or that
/// could be several.
pub fn map(graph: &Graph, state: &StateDict) -> Result<Mapping, Vec<WeightError>> {
    let (ignored, candidates): (Vec<&Entry>, Vec<&Entry>) = state.entries.iter().partition(|entry| is_ignored(entry));
    let entries: HashMap<&str, &Entry> = candidates.iter().map(|entry| (entry.key.as_str(), *entry)).collect();
    let (by, pairs) = match graph.parameters().all(|(key, _)| entries.contains_key(key.as_str())) {
        true => (MappedBy::Key, by_key(graph, &candidates)?),
        false => by_layer(&layers_of_graph(graph), &layers_of_file(&candidates))?,
    };
    let wrong_types: Vec<WeightError> = pairs
        .iter()
        .filter_map(|pair| faults::wrong_type(entries.get(pair.state_key.as_str())?))
        .collect();
    match wrong_types.is_empty() {
        true => Ok(Mapping {
            by,
            pairs,
            ignored: ignored.into_iter().map(|entry| entry.key.clone()).collect(),
        }),
        false => Err(wrong_types),
    }
}

impl Mapping {
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

/// Whether a tensor is no weight: a counter, or an index without the name of a weight.
fn is_ignored(entry: &Entry) -> bool {
    let (_, name) = layers::split(&entry.key);
    name == COUNTER || (entry.numbers.is_none() && layers::role(name).is_none())
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
            errors.push(faults::other_shape(&key, &parameter.shape, entry));
        }
        pairs.push(Pair {
            graph_key: key,
            state_key: entry.key.clone(),
            shape: parameter.shape.clone(),
        });
    }
    let left_over = candidates.iter().filter(|entry| left.contains_key(entry.key.as_str()));
    errors.extend(left_over.map(|entry| faults::left_over(&entry.key)));
    if errors.is_empty() { Ok(pairs) } else { Err(errors) }
}

fn by_layer(network: &[Layer], file: &[Layer]) -> Result<(MappedBy, Vec<Pair>), Vec<WeightError>> {
    let is_alike = |(ours, theirs): (&Layer, &Layer)| ours.is_like(theirs);
    if network.len() == file.len() && network.iter().zip(file).all(is_alike) {
        let pairs = network.iter().zip(file).flat_map(|(ours, theirs)| ours.pairs(theirs));
        return Ok((MappedBy::Order, pairs.collect()));
    }
    let mut kinds: HashMap<&[(_, Vec<usize>)], Vec<&Layer>> = HashMap::new();
    for layer in file {
        kinds.entry(layer.shapes()).or_default().push(layer);
    }
    let errors = faults::of_layers(network, file);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut pairs = Vec::new();
    let mut errors = Vec::new();
    for ours in network {
        match kinds.get(ours.shapes()).map(Vec::as_slice) {
            Some([theirs]) => pairs.extend(ours.pairs(theirs)),
            several => errors.extend(faults::several(ours, several.unwrap_or_default())),
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
