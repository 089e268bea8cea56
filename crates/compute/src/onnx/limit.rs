//! What a file may ask for, checked before anything is reserved or computed for it.
//!
//! A few bytes can name a padding of a billion places or the product of two huge matrices. So every shape, the work of
//! every operation, and all that is computed while a network is planned have limits: those of block networks.

use super::plan::Step;
use scv_domain::block::{MAX_DIMENSION, MAX_MULTIPLY_ACCUMULATES, MAX_VALUE_LENGTH};
use scv_domain::graph::{Operator, ParameterRole, TensorOperator};

/// Most dimensions of a value.
pub(super) const MAX_RANK: usize = 16;

/// Most numbers of all constants together that are computed while a network is planned.
const MAX_COMPUTED: u64 = 1 << 28;

/// Most multiply-accumulates spent on constants while a network is planned.
const MAX_WORK: u64 = 1 << 34;

/// What planning a network has used up.
#[derive(Debug, Default)]
pub(super) struct Spent {
    numbers: u64,
    work: u64,
}

impl Spent {
    /// Counts a constant that is to be computed.
    ///
    /// # Errors
    /// In words: it is too much.
    pub(super) fn constant(&mut self, dims: &[usize], work: u64) -> Result<(), String> {
        shape(dims, 1)?;
        self.numbers += length(dims).unwrap_or(u64::MAX);
        self.work += work;
        if self.numbers > MAX_COMPUTED || self.work > MAX_WORK {
            return Err("the constants of the network take too much to compute: simplify the file".to_owned());
        }
        Ok(())
    }
}

/// Numbers in a value; a dimension of 0 counts as 1, so that no product of dimensions can be larger.
pub(super) fn length(dims: &[usize]) -> Option<u64> {
    let mut length = 1_u64;
    for &dim in dims {
        length = length.checked_mul(dim.max(1) as u64)?;
    }
    Some(length)
}

/// Checks the shape of a value for a number of images.
///
/// # Errors
/// In words: it is too large.
pub(super) fn shape(dims: &[usize], images: usize) -> Result<(), String> {
    if dims.len() > MAX_RANK {
        return Err(format!(
            "a value of {} dimensions is not supported: the most is {MAX_RANK}",
            dims.len()
        ));
    }
    match length(dims) {
        Some(length) if length <= MAX_VALUE_LENGTH.saturating_mul(images as u64) => Ok(()),
        _ => Err(format!(
            "a value of shape {dims:?} is too large: at most {MAX_VALUE_LENGTH} numbers an image"
        )),
    }
}

/// Multiply-accumulates of a step, all images together.
///
/// # Errors
/// In words: it takes too long.
pub(super) fn work(step: &Step, images: usize) -> Result<u64, String> {
    let outputs = length(&step.dims).unwrap_or(u64::MAX);
    let inputs = step.inputs.first().and_then(|input| length(input.dims())).unwrap_or(1);
    let weight = step.owned.iter().find(|(role, _)| *role == ParameterRole::Weight);
    // For each place along its first dimension: what one output of a product, or one input of its inverse, takes part in.
    let taps = weight
        .and_then(|(_, weight)| length(weight.dims().get(1..)?))
        .unwrap_or(1);
    let window = |kernel: &[usize; 2]| kernel[0] as u64 * kernel[1] as u64;
    let work = match &step.operator {
        Operator::Conv2d { .. } | Operator::Linear => outputs.saturating_mul(taps),
        Operator::ConvTranspose2d { .. } => inputs.saturating_mul(taps),
        Operator::MaxPool2d { kernel, .. } | Operator::AvgPool2d { kernel, .. } => {
            outputs.saturating_mul(window(kernel))
        }
        Operator::Tensor(TensorOperator::MatMul) => {
            let inner = step.inputs.first().and_then(|input| input.dims().last().copied());
            outputs.saturating_mul(inner.unwrap_or(1) as u64)
        }
        _ => 0,
    };
    match work <= MAX_MULTIPLY_ACCUMULATES.saturating_mul(images as u64) {
        true => Ok(work),
        false => Err(format!(
            "it takes more than {MAX_MULTIPLY_ACCUMULATES} multiply-accumulates an image"
        )),
    }
}

/// A number of places that a file states: a size, a step, a padding.
///
/// # Errors
/// In words: it is negative or too large.
pub(super) fn places(name: &str, number: i64) -> Result<usize, String> {
    let places = usize::try_from(number).ok().filter(|&places| places <= MAX_DIMENSION);
    places.ok_or_else(|| format!("{name} of {number} is not supported: 0 to {MAX_DIMENSION} are"))
}
