//! Everything that can fail to fit between a file and a network, with messages that say what to do.

use std::collections::HashMap;

use super::layers::Layer;
use super::numbers::Unordered;
use crate::error::{ComputeError, NamedShape, UnfitTensors, WeightError, WeightRule};
use crate::pytorch::error::PytorchError;
use crate::tensor_file::Entry;

/// How many layers a message names.
const MAX_SHOWN: usize = 12;

/// A tensor that is used as a weight, but does not hold floating point numbers.
pub(super) fn other_type(needed: NamedShape, entry: &Entry) -> WeightError {
    let (expected, actual) = ("float32, float16, bfloat16 or float64", entry.element.to_string());
    WeightError {
        message: format!("Tensor {} has type {actual}; save it as {expected}.", entry.key),
        tensors: UnfitTensors::pair(NamedShape::new(&entry.key, &entry.shape), needed),
        ..error(&entry.key, WeightRule::Dtype, expected, &actual)
    }
}

/// A tensor whose numbers cannot be read.
pub(super) fn unreadable(needed: NamedShape, entry: &Entry, reason: &PytorchError) -> WeightError {
    WeightError {
        message: format!("Tensor {}: {reason}.", entry.key),
        tensors: UnfitTensors::pair(NamedShape::new(&entry.key, &entry.shape), needed),
        ..error(&entry.key, WeightRule::Present, "its numbers", "nothing")
    }
}

/// A tensor that is computed from others in a way that is not supported.
pub(super) fn not_computed(entry: &Entry) -> WeightError {
    let key = &entry.key;
    WeightError {
        message: format!(
            "Tensor {key} is part of a parametrisation, such as a spectral normalisation or pruning, and only weight \
             normalisation is computed here; make it permanent before saving, with \
             torch.nn.utils.parametrize.remove_parametrizations, remove_spectral_norm or prune.remove."
        ),
        tensors: UnfitTensors::only_given(NamedShape::new(key, &entry.shape)),
        ..error(key, WeightRule::Known, "a weight", "a part of one")
    }
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

/// Layers of equal shapes that nothing tells apart.
pub(super) fn ambiguous(ours: &[&Layer], theirs: &[&Layer], reason: Unordered) -> WeightError {
    let why = match reason {
        Unordered::Names => "their names do not tell their order",
        Unordered::File => "the numbers in their names contradict their order in the file",
        Unordered::Network => "the numbers in their names contradict the order of other layers",
    };
    let quoted = ours.iter().zip(theirs).take(MAX_SHOWN);
    let quoted: Vec<String> = quoted
        .map(|(ours, theirs)| format!("{:?}: {:?}", ours.word(), theirs.word()))
        .collect();
    let more = if ours.len() > MAX_SHOWN { ", …" } else { "" };
    let (needed, given) = (words(ours), words(theirs));
    let key = ours
        .first()
        .and_then(|layer| Some(layer.key(&layer.shapes().first()?.0)))
        .unwrap_or_default();
    let shape = ours
        .first()
        .and_then(|layer| layer.shapes().first())
        .map(|(_, shape)| shape.clone());
    WeightError {
        message: format!(
            "Layers {needed} could each be any of {given} of the file: these have equal shapes, and {why}. Say which is which \
             with `map`, as {{{}{more}}} in the right order.",
            quoted.join(", ")
        ),
        tensors: UnfitTensors::only_needed(NamedShape::new(&key, &shape.unwrap_or_default())),
        ..error(&key, WeightRule::Distinct, &needed, &given)
    }
}

fn words(layers: &[&Layer]) -> String {
    let shown: Vec<&str> = layers.iter().take(MAX_SHOWN).map(|layer| layer.word()).collect();
    let more = if layers.len() > MAX_SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Weights that cannot be written.
pub(super) fn unwritable(reason: &ComputeError) -> WeightError {
    WeightError {
        key: None,
        message: format!("The weights cannot be written: {reason}."),
        ..error("", WeightRule::Readable, "tensors", "none")
    }
}

/// The layers of either side that have no counterpart with the same shapes. Two layers that differ only in their shapes
/// are reported together, because one was probably meant to be the other.
pub(super) fn of_layers(network: &[Layer], file: &[Layer]) -> Vec<WeightError> {
    let (missing_layers, mut unused_layers) = unmatched(network, file);
    let (mut errors, mut missing) = (Vec::new(), Vec::new());
    for ours in missing_layers {
        match unused_layers.iter().position(|theirs| ours.has_names_of(theirs)) {
            Some(position) => errors.extend(shape_mismatches(ours, unused_layers.remove(position))),
            None => missing.extend(tensors_of(ours)),
        }
    }
    let mut unused_tensors: Vec<NamedShape> = unused_layers.into_iter().flat_map(tensors_of).collect();
    for needed in missing {
        match unused_tensors.iter().position(|given| given.key == needed.key) {
            Some(position) => errors.push(shape(needed, unused_tensors.remove(position))),
            None => errors.push(missing_tensor(needed)),
        }
    }
    errors.extend(unused_tensors.into_iter().map(unused));
    errors
}

fn tensors_of(layer: &Layer) -> impl Iterator<Item = NamedShape> {
    let tensors = layer.shapes().iter();
    tensors.map(|(name, shape)| NamedShape::new(&layer.key(name), shape))
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
            shape(NamedShape::new(&ours.key(name), needed), given)
        })
        .collect()
}

/// A tensor of another shape.
pub(super) fn shape(needed: NamedShape, given: NamedShape) -> WeightError {
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
