//! Assigns the tensors of a file to those of a network, for every format alike. Nothing is left to chance.
//!
//! The keys of a file come from a Python class; those of a graph are positions in a block list. Where the keys agree, also
//! without levels that wrappers of modules add, they decide. Otherwise the layers of both are compared: a layer whose
//! shapes no other has belongs to the one of these shapes. Layers of equal shapes could be swapped, so only the numbers in
//! their names tell which is which, if the names differ in nothing else. The order of the file does not decide, because
//! files are sorted and classes define their modules in any order. A given mapping settles the rest; without one, layers
//! that could be swapped are refused.

use std::collections::{HashMap, HashSet};

use safetensors::tensor::{Dtype, TensorView};

use crate::error::{ComputeError, NamedShape, WeightError};
use crate::tensor_file::{Entry, Storages, TensorDict, TensorFile};
use keys::Key;
pub use open::{TensorFileError, open};
use scv_domain::graph::Graph;
use scv_domain::weight_mapping::{GivenPair, MatchedBy, WeightMapping, WeightOptions, WeightPair};
use tensors::Tensor;

mod dicts;
mod given;
mod keys;
mod layers;
mod mismatches;
mod numbers;
mod open;
mod structure;
mod tensors;
mod values;

/// The weights of a file that fit a network.
#[derive(Debug, Clone, PartialEq)]
pub struct FittingWeights {
    /// A safetensors file in f32 with the keys of the network.
    pub file: Vec<u8>,
    /// Where its tensors come from.
    pub mapping: WeightMapping,
}

/// Why the weights of a file do not fit a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// Tensors do not fit.
    Tensors {
        /// The dict that comes closest; empty for the whole file.
        path: String,
        /// Everything that does not fit.
        errors: Vec<WeightError>,
    },
    /// Several dicts fit, and none is known to be the trained one.
    SeveralDicts(Vec<String>),
    /// Only parts of dicts fit: these tensors and no others.
    Parts(Vec<String>),
    /// The file has no dict with the path that was chosen.
    UnknownDict {
        /// The path.
        path: String,
        /// The paths of the dicts of the file.
        known: Vec<String>,
    },
}

/// Finds the tensors of a network in the bytes of a file.
///
/// # Errors
/// The file cannot be read. Weights that do not fit are an outcome.
pub fn fit(
    bytes: &[u8],
    graph: &Graph,
    options: &WeightOptions,
) -> Result<Result<FittingWeights, Unfit>, TensorFileError> {
    let TensorFile { dicts, mut storages } = open(bytes)?;
    Ok(choose_and_read(&dicts, &mut storages, graph, options))
}

fn choose_and_read(
    dicts: &[TensorDict],
    storages: &mut Storages<'_>,
    graph: &Graph,
    options: &WeightOptions,
) -> Result<FittingWeights, Unfit> {
    let (dict, other_dicts) = dicts::choose(dicts, graph, options)?;
    let unfit = |errors| Unfit::Tensors {
        path: dict.path.clone(),
        errors,
    };
    let matched = matched(graph, &dict, &options.map).map_err(unfit)?;
    let file = matched.read(storages).map_err(unfit)?;
    let mapping = WeightMapping {
        by: matched
            .pairs
            .iter()
            .map(|(pair, _)| pair.by)
            .max()
            .unwrap_or(MatchedBy::Key),
        dict: Some(dict.path.clone()).filter(|path| !path.is_empty()),
        other_dicts,
        prefix: matched.prefix,
        pairs: matched.pairs.into_iter().map(|(pair, _)| pair).collect(),
        ignored: matched.ignored,
    };
    Ok(FittingWeights { file, mapping })
}

/// The pairs of a network and a dict.
#[derive(Debug, Clone)]
struct Matched<'a> {
    pairs: Vec<(WeightPair, Tensor<'a>)>,
    prefix: Option<String>,
    ignored: Vec<String>,
}

impl<'a> Matched<'a> {
    /// The entries of the file that are taken.
    fn entries(&self) -> impl Iterator<Item = &'a Entry> {
        self.pairs.iter().flat_map(|(_, tensor)| tensor.entries())
    }

    /// The tensors under the keys of the network, as a safetensors file in f32.
    fn read(&self, storages: &mut Storages<'_>) -> Result<Vec<u8>, Vec<WeightError>> {
        let mut buffers = Vec::with_capacity(self.pairs.len());
        let mut errors = Vec::new();
        for (pair, tensor) in &self.pairs {
            match values::read(tensor, pair, storages) {
                Ok(numbers) => {
                    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
                    buffers.push((pair, bytes));
                }
                Err(error) => errors.push(*error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let views = buffers
            .iter()
            .map(|(pair, bytes)| Ok((&pair.key, TensorView::new(Dtype::F32, pair.shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        let file = views.and_then(|views| safetensors::serialize(views, None));
        file.map_err(|error| vec![mismatches::unwritable(&ComputeError::Invalid(error.to_string()))])
    }
}

/// Finds a tensor of `dict` for each tensor of `graph`.
fn matched<'a>(graph: &Graph, dict: &'a TensorDict, map: &[GivenPair]) -> Result<Matched<'a>, Vec<WeightError>> {
    let needed: Vec<NamedShape> = graph
        .parameters()
        .map(|(key, parameter)| NamedShape::new(&key, &parameter.shape))
        .collect();
    let tensors::Tensors { weights, ignored } = tensors::of_dict(dict)?;
    let sides = Sides {
        our_keys: keys::keys(needed.iter().map(|tensor| tensor.key.as_str())),
        their_keys: keys::keys(weights.iter().map(|tensor| tensor.key.as_str())),
        needed,
        weights,
        is_ordered: dict.is_ordered,
    };
    let given = given::pairs(&sides.needed, &sides.weights, map)?;
    let by = MatchedBy::Map;
    let given = given.into_iter().map(|(ours, theirs)| Found { ours, theirs, by });
    let mut found: Vec<Found> = given.collect();
    let rest = sides.rest(&found);
    found.extend(sides.match_rest(&rest)?);
    found.sort_by_key(|found| found.ours);
    Ok(Matched {
        pairs: found.iter().map(|found| sides.pair(found)).collect(),
        prefix: sides.prefix(&rest),
        ignored,
    })
}

/// The tensors of a network and of a file.
struct Sides<'a> {
    needed: Vec<NamedShape>,
    weights: Vec<Tensor<'a>>,
    our_keys: Vec<Key>,
    their_keys: Vec<Key>,
    is_ordered: bool,
}

/// A tensor of the network and one of the file, by their positions.
struct Found {
    ours: usize,
    theirs: usize,
    by: MatchedBy,
}

/// The positions of tensors that no mapping names.
struct Rest {
    ours: Vec<usize>,
    theirs: Vec<usize>,
}

impl<'a> Sides<'a> {
    fn pair(&self, found: &Found) -> (WeightPair, Tensor<'a>) {
        let (needed, tensor) = (&self.needed[found.ours], &self.weights[found.theirs]);
        let pair = WeightPair {
            key: needed.key.clone(),
            from: tensor.key.clone(),
            computed_from: tensor.computed_from(),
            shape: needed.shape.clone(),
            by: found.by,
        };
        (pair, tensor.clone())
    }

    fn rest(&self, found: &[Found]) -> Rest {
        let ours: HashSet<usize> = found.iter().map(|found| found.ours).collect();
        let theirs: HashSet<usize> = found.iter().map(|found| found.theirs).collect();
        Rest {
            ours: (0..self.needed.len()).filter(|index| !ours.contains(index)).collect(),
            theirs: (0..self.weights.len())
                .filter(|index| !theirs.contains(index))
                .collect(),
        }
    }

    /// What all keys begin with, if the rest is the network's.
    fn prefix(&self, rest: &Rest) -> Option<String> {
        let (ours, theirs) = self.keys(rest);
        keys::prefix(&ours, &theirs).filter(|prefix| !prefix.is_empty())
    }

    fn keys(&self, rest: &Rest) -> (Vec<&Key>, Vec<&Key>) {
        let ours = rest.ours.iter().map(|&index| &self.our_keys[index]);
        let theirs = rest.theirs.iter().map(|&index| &self.their_keys[index]);
        (ours.collect(), theirs.collect())
    }

    fn match_rest(&self, rest: &Rest) -> Result<Vec<Found>, Vec<WeightError>> {
        let (ours, theirs) = self.keys(rest);
        let pair = |(&ours, theirs): (&usize, usize)| Found {
            ours,
            theirs: rest.theirs[theirs],
            by: MatchedBy::Key,
        };
        let by_key = keys::matched(&ours, &theirs);
        let by_key = by_key.map(|found| rest.ours.iter().zip(found).map(pair).collect::<Vec<_>>());
        let have_equal_shapes = |found: &Found| self.needed[found.ours].shape == self.weights[found.theirs].shape;
        match by_key {
            Some(pairs) if pairs.iter().all(have_equal_shapes) => Ok(pairs),
            _ if keys::prefix(&ours, &theirs).is_some() => Err(self.misfits_by_key(rest)),
            _ => self.by_layer(rest),
        }
    }

    /// What does not fit in a file that has all keys of the network.
    fn misfits_by_key(&self, rest: &Rest) -> Vec<WeightError> {
        let (ours, theirs) = self.keys(rest);
        let prefix = keys::prefix(&ours, &theirs).unwrap_or_default();
        let needed: HashMap<String, &NamedShape> = rest
            .ours
            .iter()
            .map(|&index| (format!("{prefix}{}", self.needed[index].key), &self.needed[index]))
            .collect();
        let misfit = |&index: &usize| {
            let tensor = &self.weights[index];
            let given = NamedShape::new(&tensor.key, tensor.shape);
            match needed.get(&tensor.key) {
                None => Some(mismatches::unused(given)),
                Some(needed) if needed.shape != given.shape => Some(mismatches::shape((*needed).clone(), given)),
                Some(_) => None,
            }
        };
        rest.theirs.iter().filter_map(misfit).collect()
    }

    fn by_layer(&self, rest: &Rest) -> Result<Vec<Found>, Vec<WeightError>> {
        let ours: HashMap<&str, usize> = rest
            .ours
            .iter()
            .map(|&index| (self.needed[index].key.as_str(), index))
            .collect();
        let theirs: HashMap<&str, usize> = rest
            .theirs
            .iter()
            .map(|&index| (self.weights[index].key.as_str(), index))
            .collect();
        let network = layers::of_tensors(rest.ours.iter().map(|&index| {
            let NamedShape { key, shape } = &self.needed[index];
            (key.as_str(), shape.as_slice())
        }));
        let file = layers::of_tensors(rest.theirs.iter().map(|&index| {
            let tensor = &self.weights[index];
            (tensor.key.as_str(), tensor.shape)
        }));
        let mut pairs = Vec::new();
        for pair in structure::matched(&network, &file, self.is_ordered)? {
            let (layer, other) = (&network[pair.ours], &file[pair.theirs]);
            for (name, _) in layer.shapes() {
                let found = (ours.get(layer.key(name).as_str()), theirs.get(other.key(name).as_str()));
                if let (Some(&ours), Some(&theirs)) = found {
                    pairs.push(Found {
                        ours,
                        theirs,
                        by: pair.by,
                    });
                }
            }
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests;
