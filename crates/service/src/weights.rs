//! Files of weights for blocks: mapped to the tensors of the network, and checked.

use bytes::Bytes;

use super::version::checked_graph;
use super::{Library, ServiceError};
use scv_compute::error::{ComputeError, WeightError, WeightRule};
use scv_compute::onnx::file::NamedFile;
use scv_compute::pytorch::{Mapping, is_pytorch, map, read_state_dict};
use scv_compute::weights::check_weights;
use scv_domain::block::Block;
use scv_domain::graph::Graph;

/// Weights that fit a network.
pub(super) struct FittingWeights {
    /// A safetensors file with the keys of the network.
    pub(super) file: Bytes,
    /// Where its tensors come from.
    pub(super) mapping: Mapping,
    /// Whether they come from a state dict of PyTorch.
    pub(super) is_state_dict: bool,
}

impl Library {
    /// How the tensors of a file become those of a network of blocks, as in [`Library::create_version`], or everything that
    /// does not fit. Nothing is written.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown data set, `BAD_USER_INPUT` with every error of the blocks, or if the file cannot be read.
    pub async fn map_weights(
        &self,
        blocks: &[Block],
        dataset: &str,
        weights: NamedFile,
    ) -> Result<Result<Mapping, Vec<WeightError>>, ServiceError> {
        let dataset = self.dataset_named(dataset).await?;
        let graph = checked_graph(blocks, &dataset)?;
        let fitted = tokio::task::spawn_blocking(move || fit(&weights, &graph));
        let fitted = fitted.await.map_err(ServiceError::internal)??;
        Ok(fitted.map(|fitting| fitting.mapping))
    }
}

/// The weights of a file that must fit a network.
///
/// # Errors
/// `BAD_USER_INPUT` with everything that does not fit, or if the file cannot be read.
pub(super) fn fitting_weights(file: &NamedFile, graph: &Graph) -> Result<FittingWeights, ServiceError> {
    fit(file, graph)?.map_err(|errors| misfit(file, errors))
}

/// The weights of a file, or everything that does not fit.
fn fit(file: &NamedFile, graph: &Graph) -> Result<Result<FittingWeights, Vec<WeightError>>, ServiceError> {
    if is_pytorch(&file.bytes) {
        return fit_state_dict(file, graph);
    }
    match check_weights(&file.bytes, graph) {
        Ok(ignored) => Ok(Ok(FittingWeights {
            file: file.bytes.clone(),
            mapping: Mapping::by_key(graph, ignored),
            is_state_dict: false,
        })),
        Err(errors) if errors.iter().any(|error| error.rule == WeightRule::Readable) => Err(misfit(file, errors)),
        Err(errors) => Ok(Err(errors)),
    }
}

fn fit_state_dict(file: &NamedFile, graph: &Graph) -> Result<Result<FittingWeights, Vec<WeightError>>, ServiceError> {
    let state = read_state_dict(&file.bytes)
        .map_err(|error| ServiceError::bad_input(format!("{:?} cannot be used: {error}", file.name)))?;
    let mapping = match map(graph, &state) {
        Ok(mapping) => mapping,
        Err(errors) => return Ok(Err(errors)),
    };
    let weights = mapping.to_safetensors(&state)?;
    if let Err(mut errors) = check_weights(&weights, graph) {
        // The caller knows the tensors by their keys in the state dict.
        for given in errors.iter_mut().filter_map(|error| error.tensors.given.as_mut()) {
            let pair = mapping.pairs.iter().find(|pair| pair.graph_key == given.key);
            given.key = pair.map_or_else(|| given.key.clone(), |pair| pair.state_key.clone());
        }
        return Ok(Err(errors));
    }
    Ok(Ok(FittingWeights {
        file: weights.into(),
        mapping,
        is_state_dict: true,
    }))
}

fn misfit(file: &NamedFile, errors: Vec<WeightError>) -> ServiceError {
    ServiceError::from(ComputeError::Weights(errors)).in_file(&file.name)
}
