//! What a network takes of the memory before it is run: better refused than killed by the system.

use super::error::ComputeError;
use crate::domain::graph::Graph;

/// Bytes of a number.
const FLOAT: u64 = size_of::<f32>() as u64;

/// Values that training holds for each one that the network makes: itself, its gradient, and what an operator keeps
/// aside for it.
const HELD_BY_TRAINING: u64 = 3;

/// Refuses what takes more than the limit; `what` says what takes it and what to do, after a colon.
///
/// # Errors
/// [`ComputeError::Invalid`], with both numbers.
pub(super) fn check(needed: u64, limit: u64, what: impl FnOnce() -> String) -> Result<(), ComputeError> {
    if needed <= limit {
        return Ok(());
    }
    Err(ComputeError::Invalid(format!(
        "this network would take {} MiB of memory, and {} MiB may be held (SCV_ACTIVATION_BYTES), for {}",
        needed.div_ceil(1 << 20),
        limit >> 20,
        what()
    )))
}

/// Most bytes of single-precision values that are alive together while `images` pass at once: the
/// images all the time, any other value from the node that makes it to the last node that reads it.
pub(super) fn of_inference(graph: &Graph, images: usize) -> u64 {
    let mut last_reader: Vec<usize> = (0..=graph.nodes.len()).map(|value| value.saturating_sub(1)).collect();
    for (reader, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            last_reader[input.0] = reader;
        }
    }
    last_reader[0] = graph.nodes.len();
    let sizes = sizes(graph);
    let mut alive = sizes[0];
    let mut peak = alive;
    for reader in 0..graph.nodes.len() {
        alive += sizes[reader + 1];
        peak = peak.max(alive);
        let freed = (0..=reader + 1).filter(|&value| last_reader[value] == reader);
        alive -= freed.map(|value| sizes[value]).sum::<u64>();
    }
    peak.saturating_mul(images as u64).saturating_mul(FLOAT)
}

/// Bytes that a training step on so many images holds: the gradient needs every value of the network.
pub(super) fn of_training(graph: &Graph, images: usize) -> u64 {
    let all = sizes(graph).into_iter().fold(0_u64, u64::saturating_add);
    all.saturating_mul(images as u64)
        .saturating_mul(FLOAT * HELD_BY_TRAINING)
}

/// How many images can go through at once, at most `wanted`; 0 if not even one.
pub(super) fn batch_within(graph: &Graph, wanted: usize, limit: u64) -> usize {
    let one = of_inference(graph, 1).max(1);
    usize::try_from(limit / one).unwrap_or(usize::MAX).min(wanted)
}

/// Numbers of every value of the network for one image, its input first.
fn sizes(graph: &Graph) -> Vec<u64> {
    let size = |shape: &[usize]| shape.iter().map(|&length| length as u64).product::<u64>();
    std::iter::once(size(&graph.input_shape))
        .chain(graph.nodes.iter().map(|node| size(&node.output_shape)))
        .collect()
}
