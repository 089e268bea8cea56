//! Takes tensors as a given mapping says.

use std::collections::{HashMap, HashSet};

use super::tensors::Tensor;
use crate::error::{NamedShape, UnfitTensors, WeightError, WeightRule};
use scv_domain::weight_mapping::GivenPair;

/// How many names an error lists.
const MAX_SHOWN: usize = 12;

/// A tensor of the network and one of the file, by their positions.
pub(super) type Position = (usize, usize);

/// The pairs that a mapping gives. Each of its lines names a tensor, or a layer or module with all of its tensors.
///
/// # Errors
/// Every line that names nothing, or something twice, or tensors of different shapes.
pub(super) fn pairs(
    network: &[NamedShape],
    file: &[Tensor<'_>],
    map: &[GivenPair],
) -> Result<Vec<Position>, Vec<WeightError>> {
    let files: HashMap<&str, usize> = file
        .iter()
        .enumerate()
        .map(|(index, tensor)| (tensor.key.as_str(), index))
        .collect();
    let mut used = (HashSet::new(), HashSet::new());
    let mut pairs = Vec::new();
    let mut errors = Vec::new();
    for line in map {
        let named = named(network, &line.key);
        if named.is_empty() {
            errors.push(unknown_key(network, line));
        }
        for (ours, rest) in named {
            let key = if rest.is_empty() || line.from.is_empty() {
                format!("{}{}", line.from, rest.trim_start_matches('.'))
            } else {
                format!("{}{rest}", line.from)
            };
            let Some(&theirs) = files.get(key.as_str()) else {
                errors.push(unknown_tensor(&network[ours], &key, file));
                continue;
            };
            let given = NamedShape::new(&key, file[theirs].shape);
            if !used.0.insert(ours) {
                errors.push(error(
                    &network[ours],
                    Some(given),
                    format!("The mapping names {} twice.", network[ours].key),
                ));
            } else if !used.1.insert(theirs) {
                let message = format!("The mapping takes tensor {key} of the file twice.");
                errors.push(error(&network[ours], Some(given), message));
            } else if file[theirs].shape != network[ours].shape {
                let message = format!(
                    "The mapping takes tensor {key} of shape {:?} for {}, which needs {:?}.",
                    given.shape, network[ours].key, network[ours].shape
                );
                errors.push(WeightError {
                    rule: WeightRule::Shape,
                    ..error(&network[ours], Some(given), message)
                });
            } else {
                pairs.push((ours, theirs));
            }
        }
    }
    if errors.is_empty() { Ok(pairs) } else { Err(errors) }
}

/// The tensors of the network that a line names, each with the rest of its key.
fn named<'a>(network: &'a [NamedShape], key: &str) -> Vec<(usize, &'a str)> {
    let rest = |tensor: &'a NamedShape| {
        let rest = tensor.key.strip_prefix(key)?;
        (rest.is_empty() || rest.starts_with('.')).then_some(rest)
    };
    let tensors = network.iter().enumerate();
    tensors
        .filter_map(|(index, tensor)| Some((index, rest(tensor)?)))
        .collect()
}

fn unknown_key(network: &[NamedShape], line: &GivenPair) -> WeightError {
    let layers = network.iter().filter_map(|tensor| tensor.key.rsplit_once('.'));
    let mut layers: Vec<&str> = layers.map(|(layer, _)| layer).collect();
    layers.dedup();
    WeightError {
        key: Some(line.key.clone()),
        rule: WeightRule::Mapped,
        expected: "a layer or tensor of the network".to_owned(),
        actual: line.key.clone(),
        message: format!(
            "The mapping names {:?}, but the network has no layer or tensor of this name; its layers with weights are {}.",
            line.key,
            list(layers.into_iter())
        ),
        tensors: UnfitTensors::default(),
    }
}

fn unknown_tensor(needed: &NamedShape, key: &str, file: &[Tensor<'_>]) -> WeightError {
    let of_shape = file.iter().filter(|tensor| tensor.shape == needed.shape);
    let fitting = list(of_shape.map(|tensor| tensor.key.as_str()));
    let advice = match fitting.as_str() {
        "" => "no tensor of the file has its shape".to_owned(),
        _ => format!("those of its shape are {fitting}"),
    };
    let message = format!(
        "The mapping takes {key:?} for {}, but the file has no such tensor; {advice}.",
        needed.key
    );
    error(needed, None, message)
}

fn error(needed: &NamedShape, given: Option<NamedShape>, message: String) -> WeightError {
    WeightError {
        key: Some(needed.key.clone()),
        rule: WeightRule::Mapped,
        expected: format!("{:?}", needed.shape),
        actual: given
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |given| given.key.clone()),
        message,
        tensors: UnfitTensors {
            given,
            needed: Some(needed.clone()),
        },
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let shown = names[..names.len().min(MAX_SHOWN)].join(", ");
    match names.len() > MAX_SHOWN {
        true => format!("{shown}, …"),
        false => shown,
    }
}
