//! One pass of a network over the probe images, and a vector for each of its layers.
//!
//! All probe images go through at once, since a Gram compares every image with every other. Only
//! values that a later node still reads are in memory, so a pass takes at most n times the largest
//! sum of values alive together; that is known beforehand, and a pass that would take more than
//! the limit is refused before it begins. The operators' own scratch space comes on top.

use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::control::{Control, Progress};
use super::error::ComputeError;
use super::executor::Mode;
use super::gram::CentredGram;
use super::network::{Network, peak_activation_bytes};
use super::sketch::Sketcher;
use super::vector::layer_vector;
use crate::domain::graph::Node;
use crate::domain::image::{ChannelStatistics, Images};
use crate::domain::vector::{Degenerate, LayerVector, MIN_PROBES, SketchedVector};

/// Bytes of activations that a pass may hold when nothing else is configured: 8 GiB.
pub const DEFAULT_ACTIVATION_LIMIT: u64 = 8 << 30;

/// A network and the probe images that its layers are to be measured on.
#[derive(Debug, Clone)]
pub struct IngestTask {
    /// The network.
    pub network: Arc<Network>,
    /// The probe set, in its order.
    pub probes: Images,
    /// How pixels become numbers.
    pub statistics: ChannelStatistics,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// What became of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerOutcome {
    /// Position of the layer among the graph's nodes.
    pub node: usize,
    /// Its vector with sketches, or why it has none.
    pub vector: Result<SketchedVector, Degenerate>,
}

/// Makes the vectors of all layers of a network, in execution order.
///
/// # Errors
/// Too few probe images, more activations than may be held, images of another shape, a layer that cannot be computed (the error names it), or cancellation.
pub fn ingest(
    task: &IngestTask,
    device: &Device,
    sketcher: &Sketcher,
    control: &Control,
) -> Result<Vec<LayerOutcome>, ComputeError> {
    let (network, graph) = (&task.network, task.network.graph());
    let probes = task.probes.count();
    if probes < MIN_PROBES {
        return Err(ComputeError::TooFewProbes {
            given: probes,
            needed: MIN_PROBES,
        });
    }
    check_memory(task, probes)?;
    control.check()?;
    let input = network.input_of(&task.probes, &task.statistics, device)?;

    let count = graph.layers().count();
    let mut vectors = Vec::with_capacity(count);
    network.forward(&input, Mode::Inference, &mut |index, activations| {
        control.check()?;
        let node = &graph.nodes[index];
        if node.is_layer {
            vectors.push((index, vector_of(node, activations)?));
            control.report(Progress::Fraction(vectors.len() as f64 / count as f64));
        }
        Ok(())
    })?;
    with_sketches(vectors, sketcher)
}

fn check_memory(task: &IngestTask, probes: usize) -> Result<(), ComputeError> {
    let needed = peak_activation_bytes(task.network.graph(), probes);
    if needed <= task.activation_limit {
        return Ok(());
    }
    Err(ComputeError::Invalid(format!(
        "{probes} probe images at once take {} MiB of activations in this network, and {} MiB may be held; \
         use fewer probe images or raise the limit",
        needed.div_ceil(1 << 20),
        task.activation_limit >> 20
    )))
}

fn vector_of(node: &Node, activations: &Tensor) -> Result<Result<LayerVector, Degenerate>, ComputeError> {
    let gram = CentredGram::of(activations).map_err(|source| ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        source: Box::new(source),
    })?;
    Ok(layer_vector(&gram))
}

/// Sketches all vectors in one batch and puts them back where they belong.
fn with_sketches(
    vectors: Vec<(usize, Result<LayerVector, Degenerate>)>,
    sketcher: &Sketcher,
) -> Result<Vec<LayerOutcome>, ComputeError> {
    let mut whole = Vec::with_capacity(vectors.len());
    let places: Vec<(usize, Result<(), Degenerate>)> = vectors
        .into_iter()
        .map(|(node, vector)| (node, vector.map(|vector| whole.push(vector))))
        .collect();
    let mut sketched = sketcher.sketch(whole)?.into_iter();
    let outcome = |(node, place): (usize, Result<(), Degenerate>)| LayerOutcome {
        node,
        vector: place.map(|()| {
            sketched
                .next()
                .expect("the sketcher gives back as many vectors as it was given")
        }),
    };
    Ok(places.into_iter().map(outcome).collect())
}

#[cfg(test)]
pub(super) mod tests;
