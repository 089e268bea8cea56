//! Files of weights for blocks: mapped to the tensors of the network, and checked.

use bytes::Bytes;

use super::version::checked_graph;
use super::{Library, ServiceError};
use scv_compute::error::{ComputeError, WeightError, WeightRule};
use scv_compute::onnx::file::NamedFile;
use scv_compute::pytorch::{Mapping, StateDict, is_pytorch, map, read_state_dict};
use scv_compute::weights::check_weights;
use scv_domain::access::Scope;
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
    /// `FORBIDDEN` for a caller that may only read, `NOT_FOUND` for an unknown data set, `BAD_USER_INPUT` with every error of the
    /// blocks, or if the file cannot be read.
    pub async fn map_weights(
        &self,
        blocks: &[Block],
        dataset: &str,
        weights: NamedFile,
    ) -> Result<Result<Mapping, Vec<WeightError>>, ServiceError> {
        self.require(Scope::Write)?;
        let dataset = self.dataset_named(dataset).await?;
        let graph = checked_graph(blocks, &dataset)?;
        let fitted = self.compute(move |_| fit(&weights, &graph).map(|fitted| fitted.map(|(mapping, _)| mapping)));
        fitted.await?
    }
}

/// The weights of a file that must fit a network.
///
/// # Errors
/// `BAD_USER_INPUT` with everything that does not fit, or if the file cannot be read.
pub(super) fn fitting_weights(file: &NamedFile, graph: &Graph) -> Result<FittingWeights, ServiceError> {
    let (mapping, state) = fit(file, graph)?.map_err(|errors| misfit(file, errors))?;
    let converted = state.as_ref().map(|state| mapping.to_safetensors(state)).transpose()?;
    Ok(FittingWeights {
        is_state_dict: state.is_some(),
        file: converted.map_or_else(|| file.bytes.clone(), Bytes::from),
        mapping,
    })
}

/// A mapping of the weights of a file, and the state dict that they come from, if they do.
type Fitted = (Mapping, Option<StateDict>);

/// How the weights of a file become those of a network, or everything that does not fit.
fn fit(file: &NamedFile, graph: &Graph) -> Result<Result<Fitted, Vec<WeightError>>, ServiceError> {
    if is_pytorch(&file.bytes) {
        let state = read_state_dict(&file.bytes)
            .map_err(|error| ServiceError::bad_input(format!("{:?} cannot be used: {error}", file.name)))?;
        return Ok(map(graph, &state).map(|mapping| (mapping, Some(state))));
    }
    match check_weights(&file.bytes, graph) {
        Ok(ignored) => Ok(Ok((Mapping::by_key(graph, ignored), None))),
        Err(errors) if errors.iter().any(|error| error.rule == WeightRule::Readable) => Err(misfit(file, errors)),
        Err(errors) => Ok(Err(errors)),
    }
}

fn misfit(file: &NamedFile, errors: Vec<WeightError>) -> ServiceError {
    ServiceError::from(ComputeError::Weights(errors)).in_file(&file.name)
}
