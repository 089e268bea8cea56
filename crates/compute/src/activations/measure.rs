//! The vectors of the layers of a file, made as those of a network are.

use bytes::Bytes;
use candle_core::{Device, Tensor};

use super::{ActivationFile, ActivationLayer, ActivationLimits};
use crate::control::{Control, Progress};
use crate::error::ComputeError;
use crate::gram::CentredGram;
use crate::ingest::with_sketches;
use crate::sketch::Sketcher;
use crate::vector::layer_vector;
use scv_domain::vector::{Degenerate, MIN_PROBES, SketchedVector};

/// A file of activations that is to be measured.
#[derive(Debug, Clone)]
pub struct ActivationTask {
    /// The file, `.npz` or safetensors.
    pub file: Bytes,
    /// What it is held against.
    pub limits: ActivationLimits,
}

/// What became of one layer of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredLayer {
    /// The layer.
    pub layer: ActivationLayer,
    /// Its vector with sketches, or why it has none.
    pub vector: Result<SketchedVector, Degenerate>,
}

/// Makes the vectors of all layers of a file, in its order.
///
/// # Errors
/// Too few probe images, a file with faults ([`ComputeError::Activations`] lists them), a layer
/// whose Gram cannot be made (the error names it), or cancellation.
pub fn measure(
    task: &ActivationTask,
    device: &Device,
    sketcher: &Sketcher,
    control: &Control,
) -> Result<Vec<MeasuredLayer>, ComputeError> {
    let probes = task.limits.probes;
    if probes < MIN_PROBES {
        return Err(ComputeError::TooFewProbes {
            given: probes,
            needed: MIN_PROBES,
        });
    }
    control.check()?;
    let file = ActivationFile::open(&task.file, task.limits).map_err(ComputeError::Activations)?;
    let count = file.layer_count();
    let mut vectors = Vec::with_capacity(count);
    for (layer, numbers) in file.layers() {
        let numbers = numbers.map_err(|error| ComputeError::Activations(vec![error]))?;
        let gram = gram_of(numbers, probes, device).map_err(|source| ComputeError::Layer {
            path: layer.name.clone(),
            kind: "Activations",
            source: Box::new(source),
        })?;
        vectors.push((layer.clone(), layer_vector(&gram)));
        control.report(Progress::Fraction(vectors.len() as f64 / count as f64));
        control.between_steps()?;
    }
    let measured = with_sketches(vectors, sketcher)?;
    Ok(measured
        .into_iter()
        .map(|(layer, vector)| MeasuredLayer { layer, vector })
        .collect())
}

fn gram_of(numbers: Vec<f32>, probes: usize, device: &Device) -> Result<CentredGram, ComputeError> {
    let features = numbers.len() / probes;
    CentredGram::of(&Tensor::from_vec(numbers, (probes, features), device)?)
}
