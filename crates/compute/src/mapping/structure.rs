//! Matches layers by their shapes, and those of equal shapes by the numbers in their names.

use std::collections::HashMap;

use super::layers::Layer;
use super::mismatches;
use super::numbers::{Names, Unordered};
use crate::error::WeightError;
use scv_domain::weight_mapping::MatchedBy;

/// A layer of the network and one of the file, by their positions.
pub(super) struct LayerPair {
    pub ours: usize,
    pub theirs: usize,
    pub by: MatchedBy,
}

/// Layers of equal shapes, by their positions in the network and in the file.
#[derive(Debug, Default)]
struct Class {
    ours: Vec<usize>,
    theirs: Vec<usize>,
}

/// Pairs the layers of a network with those of a file. The order of the file does not decide: it can only contradict
/// numbers.
///
/// # Errors
/// Every tensor without a counterpart, or layers that could be swapped.
pub(super) fn matched(network: &[Layer], file: &[Layer], is_ordered: bool) -> Result<Vec<LayerPair>, Vec<WeightError>> {
    let errors = mismatches::of_layers(network, file);
    if !errors.is_empty() {
        return Err(errors);
    }
    let classes = classes(network, file);
    let several: Vec<Vec<usize>> = classes.iter().map(|class| class.theirs.clone()).collect();
    let names = Names::new(file, &several, is_ordered);
    let orders: Vec<_> = classes.iter().map(|class| names.order(&class.theirs)).collect();
    let contradicted = contradicted(&names, &classes, &orders);
    let mut pairs = Vec::new();
    let mut errors = Vec::new();
    for (class, order) in classes.iter().zip(orders) {
        let is_contradicted = |order: &Vec<usize>| order.len() > 1 && order.iter().any(|index| contradicted[*index]);
        let order = match order {
            Ok(order) if is_contradicted(&order) => Err(Unordered::Network),
            order => order,
        };
        match order {
            Ok(order) => {
                let by = if order.len() == 1 {
                    MatchedBy::Shape
                } else {
                    MatchedBy::Number
                };
                let matched = class.ours.iter().zip(order);
                pairs.extend(matched.map(|(&ours, theirs)| LayerPair { ours, theirs, by }));
            }
            Err(reason) => {
                let ours: Vec<&Layer> = class.ours.iter().map(|&index| &network[index]).collect();
                let theirs: Vec<&Layer> = class.theirs.iter().map(|&index| &file[index]).collect();
                errors.push(mismatches::ambiguous(&ours, &theirs, reason));
            }
        }
    }
    if errors.is_empty() { Ok(pairs) } else { Err(errors) }
}

/// In the order of the network. Both sides have as many layers of each class.
fn classes(network: &[Layer], file: &[Layer]) -> Vec<Class> {
    let mut positions = HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    for (index, layer) in network.iter().enumerate() {
        let position = *positions.entry(layer.shapes()).or_insert(classes.len());
        if position == classes.len() {
            classes.push(Class::default());
        }
        classes[position].ours.push(index);
    }
    for (index, layer) in file.iter().enumerate() {
        if let Some(&position) = positions.get(layer.shapes()) {
            classes[position].theirs.push(index);
        }
    }
    classes
}

/// For each layer of the file, whether layers whose names differ in numbers only run in another order than that of the
/// numbers.
fn contradicted(names: &Names<'_>, classes: &[Class], orders: &[Result<Vec<usize>, Unordered>]) -> Vec<bool> {
    let mut places: HashMap<&usize, &usize> = HashMap::new();
    for (class, order) in classes.iter().zip(orders) {
        let order = order.as_deref().unwrap_or_default();
        places.extend(order.iter().zip(&class.ours));
    }
    let mut contradicted = vec![false; classes.iter().map(|class| class.theirs.len()).sum()];
    for family in names.families() {
        let in_network = family.iter().filter_map(|index| places.get(index));
        if !in_network.is_sorted() {
            for index in family {
                contradicted[index] = true;
            }
        }
    }
    contradicted
}
