//! Tensors that are matched, and everything that keeps them from it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::borrow::Cow;

use super::*;
use crate::error::WeightRule;
use crate::fixtures::Builder;
use crate::pytorch::element::ElementType;
use crate::tensor_file::Place;

mod files;
mod given;
mod keys;
mod order;

/// Tensors by key and shape.
type Shapes<'s> = &'s [(&'s str, &'s [usize])];

/// Three square layers `0`, `1` and `2`, which could be swapped, and a last one that could not.
fn squares() -> Graph {
    Builder::new(&[3]).linear(3).linear(3).linear(3).linear(2).build()
}

/// Two linear layers `0` and `1` of the given widths.
fn two_layers(input: usize, hidden: usize, output: usize) -> Graph {
    Builder::new(&[input]).linear(hidden).linear(output).build()
}

/// The tensors of linear layers of [`squares`] with these names.
fn linear_layers(names: [&str; 4]) -> Vec<(String, Vec<usize>)> {
    let tensors = names.iter().enumerate().flat_map(|(index, name)| {
        let outputs = if index == 3 { 2 } else { 3 };
        let weight = (format!("{name}.weight"), vec![outputs, 3]);
        [weight, (format!("{name}.bias"), vec![outputs])]
    });
    tensors.collect()
}

/// A dict of tensors, of which number i is filled with i.
fn dict(path: &str, tensors: &[(impl AsRef<str>, impl AsRef<[usize]>)]) -> TensorDict {
    let entry = |(key, shape): &(_, _)| {
        let (key, shape) = (AsRef::<str>::as_ref(key), AsRef::<[usize]>::as_ref(shape));
        Entry {
            key: key.to_owned(),
            element: ElementType::Float32,
            shape: shape.to_vec(),
            place: Place::whole(&format!("{path}/{key}"), shape),
        }
    };
    TensorDict {
        path: path.to_owned(),
        entries: tensors.iter().map(entry).collect(),
        is_ordered: true,
    }
}

/// The storages of dicts, with the numbers of the tensors if these are given.
fn storages(dicts: &[TensorDict], numbers: impl Fn(usize, &Entry) -> Vec<f32>) -> Storages<'static> {
    let mut storages = Storages::new(1 << 20);
    for (index, entry) in dicts.iter().flat_map(|dict| &dict.entries).enumerate() {
        let bytes: Vec<u8> = numbers(index, entry)
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        storages.hold(&entry.place.storage, Cow::Owned(bytes));
    }
    storages
}

fn fit_dicts(graph: &Graph, dicts: Vec<TensorDict>, options: &WeightOptions) -> Result<FittingWeights, Unfit> {
    let mut storages = storages(&dicts, |index, entry| vec![index as f32; entry.shape.iter().product()]);
    choose_and_read(&dicts, &mut storages, graph, options)
}

fn map_of(graph: &Graph, dict: TensorDict) -> Result<WeightMapping, Unfit> {
    fit_dicts(graph, vec![dict], &WeightOptions::default()).map(|fitting| fitting.mapping)
}

fn pairs(mapping: &WeightMapping) -> Vec<(&str, &str)> {
    let pairs = mapping.pairs.iter();
    pairs.map(|pair| (pair.key.as_str(), pair.from.as_str())).collect()
}

/// What each weight of the network, not its biases, was taken from.
fn weights_from(mapping: &WeightMapping) -> Vec<&str> {
    let weights = mapping.pairs.iter().filter(|pair| pair.key.ends_with(".weight"));
    weights.map(|pair| pair.from.as_str()).collect()
}

fn errors_of(unfit: Unfit) -> Vec<WeightError> {
    match unfit {
        Unfit::Tensors { errors, .. } => errors,
        other => panic!("{other:?}"),
    }
}

fn errors(graph: &Graph, dict: TensorDict) -> Vec<(String, WeightRule)> {
    let errors = errors_of(map_of(graph, dict).unwrap_err()).into_iter();
    errors.map(|error| (error.key.unwrap(), error.rule)).collect()
}

fn message(graph: &Graph, dict: TensorDict) -> String {
    let errors = errors_of(map_of(graph, dict).unwrap_err());
    errors
        .into_iter()
        .map(|error| error.message)
        .collect::<Vec<_>>()
        .join("\n")
}
