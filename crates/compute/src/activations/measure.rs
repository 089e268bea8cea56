//! Computes the vectors of the layers of a file, in the same way as those of a network.

use bytes::Bytes;
use candle_core::{Device, Tensor};
use tracing::Span;

use super::array::ActivationLayer;
use super::file::ActivationFile;
use super::limits::ActivationLimits;
use crate::control::{Control, Progress};
use crate::error::ComputeError;
use crate::gram::CentredGram;
use crate::task::{DeviceContext, Task};
use crate::vector::layer_vector;
use scv_domain::vector::{Degenerate, LayerVector, MIN_PROBES};

/// A file of activations whose layers need vectors.
#[derive(Debug, Clone)]
pub struct ActivationTask {
    /// The file, `.npz` or safetensors.
    pub file: Bytes,
    /// What it is checked against.
    pub limits: ActivationLimits,
}

/// The result for one layer of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredActivations {
    /// The layer.
    pub layer: ActivationLayer,
    /// Its vector, or the reason why it has none.
    pub vector: Result<LayerVector, Degenerate>,
}

impl Task for ActivationTask {
    /// One result per layer, in the order of the file.
    type Output = Vec<MeasuredActivations>;

    fn span(&self) -> Span {
        tracing::info_span!("compute.measure", probes = self.limits.probes, bytes = self.file.len())
    }

    /// Computes the vectors of all layers of the file.
    ///
    /// # Errors
    /// Too few probe images, an invalid file ([`ComputeError::Activations`] lists them), a layer whose Gram matrix
    /// cannot be computed (the error names it), or cancellation.
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Vec<MeasuredActivations>, ComputeError> {
        let probes = self.limits.probes;
        if probes < MIN_PROBES {
            return Err(ComputeError::TooFewProbes {
                given: probes,
                needed: MIN_PROBES,
            });
        }
        control.check()?;
        let file = ActivationFile::open(&self.file, self.limits).map_err(ComputeError::Activations)?;
        let count = file.layer_count();
        let mut measured = Vec::with_capacity(count);
        for (layer, numbers) in file.layers() {
            let numbers = numbers.map_err(|error| ComputeError::Activations(vec![error]))?;
            let gram = gram_of(numbers, probes, &context.device).map_err(|cause| ComputeError::Layer {
                path: layer.name.clone(),
                kind: "Activations",
                cause: Box::new(cause),
            })?;
            measured.push(MeasuredActivations {
                layer: layer.clone(),
                vector: layer_vector(&gram),
            });
            control.report(Progress::Fraction(measured.len() as f64 / count as f64));
            control.between_steps()?;
        }
        Ok(measured)
    }
}

fn gram_of(numbers: Vec<f32>, probes: usize, device: &Device) -> Result<CentredGram, ComputeError> {
    let features = numbers.len() / probes;
    CentredGram::of(&Tensor::from_vec(numbers, (probes, features), device)?)
}
