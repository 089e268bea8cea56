//! Files of weights for blocks: mapped to the tensors of the network, and checked.

use super::version::checked_graph;
use super::{Library, ServiceError};
use scv_compute::error::ComputeError;
use scv_compute::mapping::{FittingWeights, TensorFileError, Unfit, fit};
use scv_compute::onnx::file::NamedFile;
use scv_domain::access::Scope;
use scv_domain::block::Block;
use scv_domain::graph::Graph;
use scv_domain::weight_mapping::{WeightMapping, WeightOptions};

/// How many dicts of a file an error lists.
const MAX_SHOWN: usize = 12;

impl Library {
    /// How the tensors of a file become those of a network of blocks, as in [`Library::create_version`], or what does not
    /// fit. Nothing is written.
    ///
    /// # Errors
    /// `FORBIDDEN` for a caller that may only read, `NOT_FOUND` for an unknown data set, `BAD_USER_INPUT` with every error of the
    /// blocks, or if the file cannot be read.
    pub async fn map_weights(
        &self,
        blocks: &[Block],
        dataset: &str,
        weights: NamedFile,
        options: WeightOptions,
    ) -> Result<Result<WeightMapping, Unfit>, ServiceError> {
        self.require(Scope::Write)?;
        let dataset = self.dataset_named(dataset).await?;
        let graph = checked_graph(blocks, &dataset)?;
        let permit = self.compute_permit().await;
        let memory = self.memory.reserve(fitting_bytes(&weights, &graph)).await?;
        let fitted = permit.run(move || {
            let _memory = memory;
            let fitted = fit(&weights.bytes, &graph, &options).map_err(|error| unreadable(&weights, error))?;
            Ok(fitted.map(|fitting| fitting.mapping))
        });
        fitted.await?
    }
}

/// The memory that it takes to fit the weights of a file to a network, in bytes: the numbers that the file holds, the fitting ones,
/// and the file that is written of these.
pub(super) fn fitting_bytes(file: &NamedFile, graph: &Graph) -> u64 {
    file.bytes.len() as u64 + 2 * 4 * graph.parameter_count()
}

/// The weights of a file that must fit a network.
///
/// # Errors
/// `BAD_USER_INPUT` with everything that does not fit, or if the file cannot be read.
pub(super) fn fitting_weights(
    file: &NamedFile,
    graph: &Graph,
    options: &WeightOptions,
) -> Result<FittingWeights, ServiceError> {
    let fitted = fit(&file.bytes, graph, options).map_err(|error| unreadable(file, error))?;
    fitted.map_err(|unfit| refused_weights(&file.name, unfit))
}

/// The error for weights of a file that do not fit.
pub fn refused_weights(name: &str, unfit: Unfit) -> ServiceError {
    match unfit {
        Unfit::Tensors { path, errors } => {
            let place = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{name}, {path}")
            };
            ServiceError::from(ComputeError::Weights(errors)).in_file(&place)
        }
        Unfit::SeveralDicts(paths) => ServiceError::bad_input(format!(
            "{name:?} holds several dicts of tensors that fit: choose one of {} as `weightsKey`",
            list(&paths)
        )),
        Unfit::Parts(paths) => ServiceError::bad_input(format!(
            "{name:?} holds more tensors than the network has, and those under {} fit: choose them with `weightsKey`",
            list(&paths)
        )),
        Unfit::UnknownDict { path, known } if known.is_empty() => ServiceError::bad_input(format!(
            "{name:?} holds no tensors under {path:?}, and a single dict of tensors: leave out `weightsKey`"
        )),
        Unfit::UnknownDict { path, known } => ServiceError::bad_input(format!(
            "{name:?} holds no tensors under {path:?}: choose one of {} as `weightsKey`",
            list(&known)
        )),
    }
}

fn unreadable(file: &NamedFile, error: TensorFileError) -> ServiceError {
    match error {
        TensorFileError::Pytorch(error) => ServiceError::bad_input(format!("{:?} cannot be used: {error}", file.name)),
        TensorFileError::Safetensors(error) => {
            ServiceError::from(ComputeError::Weights(vec![*error])).in_file(&file.name)
        }
    }
}

fn list(paths: &[String]) -> String {
    let shown: Vec<String> = paths.iter().take(MAX_SHOWN).map(|path| format!("{path:?}")).collect();
    let more = if paths.len() > MAX_SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
