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
use super::memory;
use super::network::Network;
use super::sketch::Sketcher;
use super::vector::layer_vector;
use scv_domain::graph::Node;
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::vector::{Degenerate, LayerVector, MIN_PROBES, SketchedVector};

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
        // Nothing is let in that would hold as many activations again.
        control.check()?;
        let node = &graph.nodes[index];
        if node.is_layer {
            vectors.push((index, vector_of(node, activations)?));
            control.report(Progress::Fraction(vectors.len() as f64 / count as f64));
        }
        Ok(())
    })?;
    let outcomes = with_sketches(vectors, sketcher)?;
    Ok(outcomes
        .into_iter()
        .map(|(node, vector)| LayerOutcome { node, vector })
        .collect())
}

fn check_memory(task: &IngestTask, probes: usize) -> Result<(), ComputeError> {
    let needed = memory::of_inference(task.network.graph(), probes);
    memory::check(needed, task.activation_limit, || {
        format!("{probes} probe images at once: use a probe set of fewer images")
    })
}

fn vector_of(node: &Node, activations: &Tensor) -> Result<Result<LayerVector, Degenerate>, ComputeError> {
    let gram = CentredGram::of(activations).map_err(|source| ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        source: Box::new(source),
    })?;
    Ok(layer_vector(&gram))
}

/// A vector of a layer, or why it has none.
pub(super) type OrDegenerate<V> = Result<V, Degenerate>;

/// Sketches all vectors in one batch and puts them back beside what they belong to.
///
/// # Errors
/// Those of [`Sketcher::sketch`].
pub(super) fn with_sketches<T>(
    vectors: Vec<(T, OrDegenerate<LayerVector>)>,
    sketcher: &Sketcher,
) -> Result<Vec<(T, OrDegenerate<SketchedVector>)>, ComputeError> {
    let mut whole = Vec::with_capacity(vectors.len());
    let places: Vec<(T, OrDegenerate<()>)> = vectors
        .into_iter()
        .map(|(owner, vector)| (owner, vector.map(|vector| whole.push(vector))))
        .collect();
    let mut sketched = sketcher.sketch(whole)?.into_iter();
    let with_sketch = |(owner, place): (T, OrDegenerate<()>)| {
        let vector = place.map(|()| {
            sketched
                .next()
                .expect("the sketcher gives back as many vectors as it was given")
        });
        (owner, vector)
    };
    Ok(places.into_iter().map(with_sketch).collect())
}

#[cfg(test)]
pub(super) mod tests;
