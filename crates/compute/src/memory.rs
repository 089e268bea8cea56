//! What a network takes of the memory before it is run: better refused than killed by the system.

use super::error::ComputeError;
use super::network::spent_values;
use scv_domain::graph::{Graph, ValueId};

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

/// Refuses a network that holds more than may be held while a single image passes.
///
/// # Errors
/// Those of [`check`].
pub(super) fn check_one_image(graph: &Graph, limit: u64) -> Result<(), ComputeError> {
    check(of_inference(graph, 1), limit, || {
        "one image: make its values smaller".to_owned()
    })
}

/// Most bytes of single-precision values that are alive together while `images` pass: the images all the time, any
/// other value from the node that makes it to the last node that reads it.
pub(super) fn of_inference(graph: &Graph, images: usize) -> u64 {
    let sizes = sizes(graph, images);
    let mut alive = sizes[0];
    let mut peak = alive;
    for (index, spent) in spent_values(graph).iter().enumerate() {
        alive = alive.saturating_add(sizes[index + 1]);
        peak = peak.max(alive);
        let freed = spent.iter().filter(|&&value| value != ValueId::INPUT);
        alive = alive.saturating_sub(freed.map(|value| sizes[value.0]).sum::<u64>());
    }
    peak.saturating_mul(FLOAT)
}

/// Bytes that a training step on so many images holds: the gradient needs every value of the network.
pub(super) fn of_training(graph: &Graph, images: usize) -> u64 {
    let all = sizes(graph, images).into_iter().fold(0_u64, u64::saturating_add);
    all.saturating_mul(FLOAT * HELD_BY_TRAINING)
}

/// How many images can go through at once, at most `wanted`; 0 if not even one.
pub(super) fn batch_within(graph: &Graph, wanted: usize, limit: u64) -> usize {
    let one = of_inference(graph, 1).max(1);
    usize::try_from(limit / one).unwrap_or(usize::MAX).min(wanted)
}

/// Numbers of every value of the network for so many images, its input first.
fn sizes(graph: &Graph, images: usize) -> Vec<u64> {
    let count = |dims: &[usize]| dims.iter().fold(1_u64, |count, &dim| count.saturating_mul(dim as u64));
    let mut sizes = vec![count(&graph.input_shape).saturating_mul(images as u64)];
    sizes.extend(graph.nodes.iter().map(|node| count(&node.dims(images))));
    sizes
}
