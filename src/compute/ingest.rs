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
use super::images;
use super::network::Network;
use super::sketch::Sketcher;
use super::vector::layer_vector;
use super::weights::Weights;
use crate::domain::graph::{BatchAxis, Graph, Node};
use crate::domain::image::{ChannelStatistics, Images};
use crate::domain::vector::{Degenerate, LayerVector, MIN_PROBES, SketchedVector};

/// Bytes of activations that a pass may hold when nothing else is configured: 8 GiB.
pub const DEFAULT_ACTIVATION_LIMIT: u64 = 8 << 30;

/// A network and the probe images that its layers are to be measured on.
#[derive(Debug, Clone)]
pub struct IngestTask {
    /// The network.
    pub graph: Arc<Graph>,
    /// Its weights, a safetensors file.
    pub weights: Arc<[u8]>,
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
/// Too few probe images, more activations than may be held, weights that do not fit the graph, a
/// layer that cannot be computed (the error names it), or cancellation.
pub fn ingest(
    task: &IngestTask,
    device: &Device,
    sketcher: &Sketcher,
    control: &Control,
) -> Result<Vec<LayerOutcome>, ComputeError> {
    let graph = &task.graph;
    let probes = task.probes.count();
    if probes < MIN_PROBES {
        return Err(ComputeError::TooFewProbes {
            given: probes,
            needed: MIN_PROBES,
        });
    }
    check_memory(task, probes)?;
    control.check()?;
    let network = Network::new(Arc::clone(graph), Weights::read(&task.weights, graph, device)?);
    let input = images::to_tensor(&task.probes, &task.statistics, device)?;

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
    let needed = peak_activation_bytes(&task.graph, probes);
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
    let rows = image_by_image(node, activations).map_err(ComputeError::from);
    let gram = rows.and_then(|rows| CentredGram::of(&rows)).map_err(|source| ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        source: Box::new(source),
    })?;
    Ok(layer_vector(&gram))
}

/// A value with the dimension that counts images in front, and nothing merged into it.
pub(super) fn image_by_image(node: &Node, value: &Tensor) -> candle_core::Result<Tensor> {
    let Some(BatchAxis { axis, factor }) = node.batch else {
        candle_core::bail!("it is the same for every image");
    };
    if axis == 0 && factor == 1 {
        return Ok(value.clone());
    }
    let mut axes: Vec<usize> = (0..value.rank()).collect();
    axes.remove(axis);
    axes.insert(0, axis);
    let images = value.dims()[axis] / factor;
    let rows = value.permute(axes)?.contiguous()?;
    rows.reshape((images, rows.elem_count() / images.max(1)))
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

/// Most bytes of single-precision values that are alive together while `probes` images pass: the
/// images all the time, any other value from the node that makes it to the last node that reads it.
fn peak_activation_bytes(graph: &Graph, probes: usize) -> u64 {
    let mut last_reader: Vec<usize> = (0..=graph.nodes.len()).map(|value| value.saturating_sub(1)).collect();
    for (reader, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            last_reader[input.0] = reader;
        }
    }
    last_reader[0] = graph.nodes.len();
    let size = |shape: &[usize]| shape.iter().map(|&length| length as u64).product::<u64>();
    let sizes: Vec<u64> = std::iter::once(size(&graph.input_shape))
        .chain(graph.nodes.iter().map(|node| size(&node.output_shape)))
        .collect();
    let mut alive = sizes[0];
    let mut peak = alive;
    for reader in 0..graph.nodes.len() {
        alive += sizes[reader + 1];
        peak = peak.max(alive);
        let freed = (0..=reader + 1).filter(|&value| last_reader[value] == reader);
        alive -= freed.map(|value| sizes[value]).sum::<u64>();
    }
    peak * probes as u64 * size_of::<f32>() as u64
}

#[cfg(test)]
pub(super) mod tests;
