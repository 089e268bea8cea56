//! What does not fit between a file and a network, in sentences that say what to do.

use std::collections::HashMap;

use super::layers::Layer;
use crate::error::{WeightError, WeightRule};
use crate::pytorch::state_dict::Entry;

/// A tensor that would be a weight, but holds no floating point numbers.
pub(super) fn wrong_type(entry: &Entry) -> Option<WeightError> {
    if entry.numbers.is_some() {
        return None;
    }
    let (expected, actual) = ("float32, float16, bfloat16 or float64", entry.element.to_string());
    Some(WeightError {
        message: format!("Tensor {} has type {actual}; save it as {expected}.", entry.key),
        ..error(&entry.key, WeightRule::Dtype, expected, &actual)
    })
}

/// A tensor with the key of the network but not its shape.
pub(super) fn other_shape(key: &str, shape: &[usize], entry: &Entry) -> WeightError {
    shape_fault(key, shape, &entry.key, &entry.shape)
}

/// A tensor that the network has no place for.
pub(super) fn left_over(key: &str) -> WeightError {
    WeightError {
        message: format!("Tensor {key} belongs to no layer of the network; remove it, or add the layer it belongs to."),
        ..error(key, WeightRule::Known, "nothing", "a tensor")
    }
}

/// A layer that could be several of the file.
pub(super) fn several(layer: &Layer, candidates: &[&Layer]) -> Vec<WeightError> {
    const SHOWN: usize = 4;
    let fault = |(name, shape): &(String, Vec<usize>)| {
        let key = layer.key(name);
        let keys: Vec<String> = candidates
            .iter()
            .take(SHOWN)
            .map(|candidate| candidate.key(name))
            .collect();
        let keys = keys.join(", ");
        let more = if candidates.len() > SHOWN { ", …" } else { "" };
        WeightError {
            message: format!(
                "Tensor {key} could be any of {keys}{more}: they have its shape, and the layers of the file do not stand \
                 in the network's order; rename the keys of the file to those of the network."
            ),
            ..error(
                &key,
                WeightRule::Present,
                &format!("{shape:?}"),
                &format!("{keys}{more}"),
            )
        }
    };
    layer.shapes().iter().map(fault).collect()
}

/// The layers without a counterpart of their shapes, on either side. Two that differ in their shapes
/// alone are told together, since one was probably meant to be the other.
pub(super) fn of_layers(network: &[Layer], file: &[Layer]) -> Vec<WeightError> {
    let (missing, mut left) = unmatched(network, file);
    let mut errors = Vec::new();
    for ours in missing {
        match left.iter().position(|theirs| ours.has_names_of(theirs)) {
            Some(place) => errors.extend(shapes(ours, left.remove(place))),
            None => errors.extend(ours.shapes().iter().map(|(name, shape)| absent(&ours.key(name), shape))),
        }
    }
    let keys = left
        .iter()
        .flat_map(|theirs| theirs.shapes().iter().map(|(name, _)| theirs.key(name)));
    errors.extend(keys.map(|key| left_over(&key)));
    errors
}

/// What is left of both sides once layers of the same shapes are taken out in pairs.
fn unmatched<'a>(network: &'a [Layer], file: &'a [Layer]) -> (Vec<&'a Layer>, Vec<&'a Layer>) {
    let counts = |layers: &'a [Layer]| {
        let mut counts: HashMap<_, usize> = HashMap::new();
        for layer in layers {
            *counts.entry(layer.shapes()).or_default() += 1;
        }
        counts
    };
    let beyond = |layers: &'a [Layer], mut others: HashMap<_, usize>| {
        let mut beyond = Vec::new();
        for layer in layers {
            match others.get_mut(layer.shapes()) {
                Some(count) if *count > 0 => *count -= 1,
                _ => beyond.push(layer),
            }
        }
        beyond
    };
    (beyond(network, counts(file)), beyond(file, counts(network)))
}

fn shapes(ours: &Layer, theirs: &Layer) -> Vec<WeightError> {
    let tensors = ours.shapes().iter().zip(theirs.shapes());
    tensors
        .filter(|((_, wanted), (_, given))| wanted != given)
        .map(|((name, wanted), (_, given))| shape_fault(&ours.key(name), wanted, &theirs.key(name), given))
        .collect()
}

fn shape_fault(key: &str, wanted: &[usize], state_key: &str, given: &[usize]) -> WeightError {
    let (expected, actual) = (format!("{wanted:?}"), format!("{given:?}"));
    let message = match key == state_key {
        true => {
            format!("Tensor {key} has shape {actual} but the layer needs {expected}; change the block or the file.")
        }
        false => format!(
            "Tensor {state_key} of the file has shape {actual} but {key}, which comes nearest to it, needs {expected}; \
             change the block or the file."
        ),
    };
    WeightError {
        message,
        ..error(key, WeightRule::Shape, &expected, &actual)
    }
}

fn absent(key: &str, shape: &[usize]) -> WeightError {
    WeightError {
        message: format!("Nothing in the file has the place and shape {shape:?} of tensor {key}; add it to the file."),
        ..error(key, WeightRule::Present, &format!("{shape:?}"), "nothing")
    }
}

/// An error without its message.
fn error(key: &str, rule: WeightRule, expected: &str, actual: &str) -> WeightError {
    WeightError {
        key: Some(key.to_owned()),
        rule,
        expected: expected.to_owned(),
        actual: actual.to_owned(),
        message: String::new(),
    }
}
