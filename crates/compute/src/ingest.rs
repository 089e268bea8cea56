//! One pass of a network over the probe images, and a vector for each of its layers.
//!
//! All probe images pass together, because a Gram matrix compares every image with every other. Only values that a
//! later node still reads are in memory, so a pass takes at most n times the largest sum of values that are alive
//! together. That is known beforehand, and a pass that would exceed the limit is refused before it starts. The
//! operators' own scratch space comes on top.

use std::sync::Arc;

use candle_core::Tensor;
use tracing::Span;

use super::control::{Control, Progress};
use super::error::ComputeError;
use super::executor::Mode;
use super::gram::CentredGram;
use super::memory;
use super::network::Network;
use super::task::{DeviceContext, Task};
use super::vector::layer_vector;
use scv_domain::graph::Node;
use scv_domain::image::{ChannelStatistics, Images};
use scv_domain::vector::{Degenerate, LayerVector, MIN_PROBES};

/// A network and the probe images to measure its layers on.
#[derive(Debug, Clone)]
pub struct IngestTask {
    /// The network.
    pub network: Arc<Network>,
    /// The probe set, in its order.
    pub probes: Images,
    /// What pixels are normalised with.
    pub statistics: ChannelStatistics,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// The result for one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerOutcome {
    /// Position of the layer among the graph's nodes.
    pub node: usize,
    /// Its vector, or why it has none.
    pub vector: Result<LayerVector, Degenerate>,
}

impl Task for IngestTask {
    /// One outcome per layer, in execution order.
    type Output = Vec<LayerOutcome>;

    fn span(&self) -> Span {
        tracing::info_span!("compute.ingest", probes = self.probes.count())
    }

    /// Computes the vectors of all layers of the network.
    ///
    /// # Errors
    /// Too few probe images, more activations than the limit, images of another shape, a layer that cannot be computed
    /// (the error names it), or cancellation.
    fn run(self, context: &DeviceContext, control: &Control) -> Result<Vec<LayerOutcome>, ComputeError> {
        let (network, graph) = (&self.network, self.network.graph());
        let probes = self.probes.count();
        if probes < MIN_PROBES {
            return Err(ComputeError::TooFewProbes {
                given: probes,
                needed: MIN_PROBES,
            });
        }
        memory::check(
            memory::of_inference(graph, probes),
            self.activation_limit,
            format_args!("{probes} probe images in one pass"),
            "use a probe set of fewer images",
        )?;
        control.check()?;
        let input = network.input_tensor(&self.probes, &self.statistics, &context.device)?;

        let count = graph.layers().count();
        let mut outcomes = Vec::with_capacity(count);
        network.forward(&input, Mode::Inference, &mut |index, activations| {
            // No request runs here: it could hold as many activations again.
            control.check()?;
            let node = &graph.nodes[index];
            if node.is_layer {
                let vector = vector_of(node, activations)?;
                outcomes.push(LayerOutcome { node: index, vector });
                control.report(Progress::Fraction(outcomes.len() as f64 / count as f64));
            }
            Ok(())
        })?;
        Ok(outcomes)
    }
}

fn vector_of(node: &Node, activations: &Tensor) -> Result<Result<LayerVector, Degenerate>, ComputeError> {
    let gram = CentredGram::of(activations).map_err(|cause| ComputeError::Layer {
        path: node.path.clone(),
        kind: node.kind,
        cause: Box::new(cause),
    })?;
    Ok(layer_vector(&gram))
}

#[cfg(test)]
pub(super) mod tests;
