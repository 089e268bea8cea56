//! How much memory a network needs, known before it runs: better to refuse it than to be killed by the system.

use std::fmt::Display;

use super::error::ComputeError;
use scv_domain::graph::liveness::values_to_free;
use scv_domain::graph::{Graph, ValueId};

/// Bytes per number.
const FLOAT: u64 = size_of::<f32>() as u64;

/// Values that training holds for each value of the network: itself, its gradient, and what an operator keeps for the
/// backward pass.
const HELD_BY_TRAINING: u64 = 3;

/// Refuses work that needs more than `limit` bytes. The message names the `work` and gives the `advice`.
///
/// # Errors
/// [`ComputeError::Invalid`], with both numbers.
pub(super) fn check(needed: u64, limit: u64, work: impl Display, advice: &str) -> Result<(), ComputeError> {
    if needed <= limit {
        return Ok(());
    }
    Err(ComputeError::Invalid(format!(
        "this network needs {} MiB of memory for {work}; the server allows {} MiB (a part of --memory): {advice}",
        needed.div_ceil(1 << 20),
        limit >> 20,
    )))
}

/// Refuses a network that needs more than `limit` bytes for a single image.
///
/// # Errors
/// Those of [`check`].
pub(super) fn check_one_image(graph: &Graph, limit: u64) -> Result<(), ComputeError> {
    check(of_inference(graph, 1), limit, "one image", "make its values smaller")
}

/// Refuses a network that needs more than `limit` bytes for a gradient through a single image.
///
/// # Errors
/// Those of [`check`].
pub(super) fn check_one_gradient(graph: &Graph, limit: u64) -> Result<(), ComputeError> {
    let work = "a gradient through one image";
    check(of_training(graph, 1), limit, work, "make its values smaller")
}

/// The most bytes of single-precision values that are alive together while `images` pass: the images all the time, any
/// other value from the node that makes it to the last node that reads it.
pub(super) fn of_inference(graph: &Graph, images: usize) -> u64 {
    let sizes = sizes(graph, images);
    let mut alive = sizes[0];
    let mut peak = alive;
    for (index, to_free) in values_to_free(graph).iter().enumerate() {
        alive = alive.saturating_add(sizes[index + 1]);
        peak = peak.max(alive);
        let freed = to_free.iter().filter(|&&value| value != ValueId::INPUT);
        alive = alive.saturating_sub(freed.map(|value| sizes[value.0]).sum::<u64>());
    }
    peak.saturating_mul(FLOAT)
}

/// Bytes that a training step on `images` holds: the gradient needs every value of the network.
pub(super) fn of_training(graph: &Graph, images: usize) -> u64 {
    let all = sizes(graph, images).into_iter().fold(0_u64, u64::saturating_add);
    all.saturating_mul(FLOAT * HELD_BY_TRAINING)
}

/// How many images can pass together within `limit` bytes, at most `max`.
///
/// # Errors
/// Those of [`check`], for a single image.
pub(super) fn batch_size(graph: &Graph, max: usize, limit: u64) -> Result<usize, ComputeError> {
    check_one_image(graph, limit)?;
    let one = of_inference(graph, 1).max(1);
    Ok(usize::try_from(limit / one).unwrap_or(usize::MAX).clamp(1, max))
}

/// Numbers of every value of the network for a batch of `images`, its input first.
fn sizes(graph: &Graph, images: usize) -> Vec<u64> {
    let count = |dims: &[usize]| dims.iter().fold(1_u64, |count, &dim| count.saturating_mul(dim as u64));
    let mut sizes = vec![count(&graph.input_shape).saturating_mul(images as u64)];
    sizes.extend(graph.nodes.iter().map(|node| count(&node.dims(images))));
    sizes
}
