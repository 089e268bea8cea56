//! Everything that can fail to fit between a file and a network, with messages that say what to do.

use std::collections::HashMap;

use super::layers::Layer;
use super::pair::Pair;
use crate::error::{NamedShape, UnfitTensors, WeightError, WeightRule};
use crate::pytorch::state_dict::Entry;
use crate::weights::not_finite;

/// A tensor that is used as a weight, but does not hold floating point numbers, or not only finite ones.
pub(super) fn wrong_numbers(pair: &Pair, entry: &Entry) -> Option<WeightError> {
    let given = NamedShape::new(&entry.key, &entry.shape);
    let needed = NamedShape::new(&pair.graph_key, &pair.shape);
    if let Some(numbers) = &entry.numbers {
        return not_finite(given, needed, numbers.iter().copied());
    }
    let (expected, actual) = ("float32, float16, bfloat16 or float64", entry.element.to_string());
    Some(WeightError {
        message: format!("Tensor {} has type {actual}; save it as {expected}.", entry.key),
        tensors: UnfitTensors::pair(given, needed),
        ..error(&entry.key, WeightRule::Dtype, expected, &actual)
    })
}

/// A tensor with a key of the network, but another shape.
pub(super) fn other_shape(key: &str, shape: &[usize], entry: &Entry) -> WeightError {
    shape_mismatch(NamedShape::new(key, shape), NamedShape::new(&entry.key, &entry.shape))
}

/// A tensor that belongs to no layer of the network.
pub(super) fn unused(tensor: NamedShape) -> WeightError {
    let key = &tensor.key;
    WeightError {
        message: format!("Tensor {key} belongs to no layer of the network; remove it, or add the layer it belongs to."),
        tensors: UnfitTensors::only_given(tensor.clone()),
        ..error(key, WeightRule::Known, "nothing", "a tensor")
    }
}

/// A layer that several layers of the file could fill.
pub(super) fn ambiguous(layer: &Layer, candidates: &[&Layer]) -> Vec<WeightError> {
    const MAX_SHOWN: usize = 4;
    let mismatch = |(name, shape): &(String, Vec<usize>)| {
        let key = layer.key(name);
        let keys: Vec<String> = candidates
            .iter()
            .take(MAX_SHOWN)
            .map(|candidate| candidate.key(name))
            .collect();
        let keys = keys.join(", ");
        let more = if candidates.len() > MAX_SHOWN { ", …" } else { "" };
        WeightError {
            message: format!(
                "Tensor {key} could be any of {keys}{more}: they have its shape, and the layers of the file are not in \
                 the order of the network; rename the keys of the file to those of the network."
            ),
            tensors: UnfitTensors::only_needed(NamedShape::new(&key, shape)),
            ..error(
                &key,
                WeightRule::Present,
                &format!("{shape:?}"),
                &format!("{keys}{more}"),
            )
        }
    };
    layer.shapes().iter().map(mismatch).collect()
}

/// The layers of either side that have no counterpart with the same shapes. Two layers that differ only in their shapes
/// are reported together, because one was probably meant to be the other.
pub(super) fn of_layers(network: &[Layer], file: &[Layer]) -> Vec<WeightError> {
    let (missing, mut unused_layers) = unmatched(network, file);
    let mut errors = Vec::new();
    for ours in missing {
        match unused_layers.iter().position(|theirs| ours.has_names_of(theirs)) {
            Some(position) => errors.extend(shape_mismatches(ours, unused_layers.remove(position))),
            None => errors.extend(
                ours.shapes()
                    .iter()
                    .map(|(name, shape)| missing_tensor(NamedShape::new(&ours.key(name), shape))),
            ),
        }
    }
    let tensors = unused_layers.iter().flat_map(|theirs| {
        let tensors = theirs.shapes().iter();
        tensors.map(|(name, shape)| NamedShape::new(&theirs.key(name), shape))
    });
    errors.extend(tensors.map(unused));
    errors
}

/// The layers of both sides that remain after pairs of layers with the same shapes are removed.
fn unmatched<'a>(network: &'a [Layer], file: &'a [Layer]) -> (Vec<&'a Layer>, Vec<&'a Layer>) {
    let counts = |layers: &'a [Layer]| {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for layer in layers {
            *counts.entry(layer.shapes()).or_default() += 1;
        }
        counts
    };
    let surplus = |layers: &'a [Layer], mut others: HashMap<_, usize>| {
        let mut surplus = Vec::new();
        for layer in layers {
            match others.get_mut(layer.shapes()) {
                Some(count) if *count > 0 => *count -= 1,
                _ => surplus.push(layer),
            }
        }
        surplus
    };
    (surplus(network, counts(file)), surplus(file, counts(network)))
}

fn shape_mismatches(ours: &Layer, theirs: &Layer) -> Vec<WeightError> {
    let tensors = ours.shapes().iter().zip(theirs.shapes());
    tensors
        .filter(|((_, needed), (_, given))| needed != given)
        .map(|((name, needed), (_, given))| {
            let given = NamedShape::new(&theirs.key(name), given);
            shape_mismatch(NamedShape::new(&ours.key(name), needed), given)
        })
        .collect()
}

fn shape_mismatch(needed: NamedShape, given: NamedShape) -> WeightError {
    let (key, state_key) = (needed.key.clone(), &given.key);
    let (expected, actual) = (format!("{:?}", needed.shape), format!("{:?}", given.shape));
    let message = if key == *state_key {
        format!("Tensor {key} has shape {actual} but the layer needs {expected}; change the block or the file.")
    } else {
        format!(
            "Tensor {state_key} of the file has shape {actual} but {key}, its closest match, needs {expected}; change \
             the block or the file."
        )
    };
    WeightError {
        message,
        tensors: UnfitTensors::pair(given, needed),
        ..error(&key, WeightRule::Shape, &expected, &actual)
    }
}

fn missing_tensor(tensor: NamedShape) -> WeightError {
    let NamedShape { key, shape } = &tensor;
    WeightError {
        message: format!(
            "No tensor of the file has the position and the shape {shape:?} of tensor {key}; add it to the file."
        ),
        tensors: UnfitTensors::only_needed(tensor.clone()),
        ..error(key, WeightRule::Present, &format!("{shape:?}"), "nothing")
    }
}

/// An error without its message and its tensors.
fn error(key: &str, rule: WeightRule, expected: &str, actual: &str) -> WeightError {
    WeightError {
        key: Some(key.to_owned()),
        rule,
        expected: expected.to_owned(),
        actual: actual.to_owned(),
        message: String::new(),
        tensors: UnfitTensors::default(),
    }
}
