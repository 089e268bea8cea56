//! Which tensors of a file became those of a network.

use async_graphql::{Enum, InputObject, SimpleObject};

use scv_domain::weight_mapping as domain;

/// How the tensors of a file became those of a network.
#[derive(Debug, SimpleObject)]
pub struct WeightMapping {
    /// The furthest of the evidence that its pairs needed: `KEY`, else `SHAPE`, else `NUMBER`, else `MAP`.
    by: MappedBy,
    /// The keys that lead to the dict of the file that was taken, separated by dots; null for the whole file.
    dict: Option<String>,
    /// Other dicts of the file that fit too, to be chosen as `weightsKey`.
    other_dicts: Vec<String>,
    /// What all keys of the file have before those of the network, such as `_orig_mod.`; null if that is not so.
    prefix: Option<String>,
    /// Every tensor of the network with the one that it is taken from.
    pairs: Vec<WeightPair>,
    /// Tensors of the dict that no inference needs.
    ignored: Vec<String>,
}

/// A tensor of a network and where it comes from.
#[derive(Debug, SimpleObject)]
pub struct WeightPair {
    /// Its key in the network.
    key: String,
    /// Its key in the file, or the key that PyTorch gives it when it is computed.
    from: String,
    /// The keys in the file that it was computed from, as for a weight normalisation; empty if the file holds it as it is.
    computed_from: Vec<String>,
    /// Its shape.
    shape: Vec<usize>,
    /// What told that both belong together.
    by: MappedBy,
}

/// What tells that a tensor of a file belongs to a tensor of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::MatchedBy")]
pub enum MappedBy {
    /// Their keys, which are the same but for levels that tell nothing, such as those of wrappers.
    Key,
    /// The shapes of their layers, which no other layers have.
    Shape,
    /// The numbers in the keys of layers of equal shapes, which differ in nothing else.
    Number,
    /// The mapping of the request.
    Map,
}

/// A line of a mapping from a network to a file: two tensors, or a layer and a module with all of their tensors.
#[derive(Debug, InputObject)]
pub struct WeightMapInput {
    /// Key of a tensor of the network, such as `3.weight`, or the path of a layer, such as `3`.
    key: String,
    /// Key of a tensor in the file, such as `conv2.weight`, or the beginning of those of a module, such as `conv2`.
    from: String,
}

/// What a request says about the weights of a file.
pub fn weight_options(dict: Option<String>, map: Vec<WeightMapInput>) -> domain::WeightOptions {
    let pair = |WeightMapInput { key, from }| domain::GivenPair { key, from };
    domain::WeightOptions {
        dict,
        map: map.into_iter().map(pair).collect(),
    }
}

impl From<domain::WeightMapping> for WeightMapping {
    fn from(mapping: domain::WeightMapping) -> Self {
        let pairs = mapping.pairs.into_iter().map(|pair| WeightPair {
            key: pair.key,
            from: pair.from,
            computed_from: pair.computed_from,
            shape: pair.shape,
            by: pair.by.into(),
        });
        Self {
            by: mapping.by.into(),
            dict: mapping.dict,
            other_dicts: mapping.other_dicts,
            prefix: mapping.prefix,
            pairs: pairs.collect(),
            ignored: mapping.ignored,
        }
    }
}
