//! Limits for files, checked before memory is reserved or anything is computed.
//!
//! A few bytes can describe a padding of a billion positions or the product of two huge matrices. So there are limits
//! for every shape, for the work of every operation, and for everything that is computed while a network is planned.
//! They are those of block networks.

use scv_domain::block::{MAX_DIMENSION, MAX_MULTIPLY_ACCUMULATES, MAX_VALUE_LENGTH};
use scv_domain::graph::{Operator, TensorOperator};
use scv_memory::{MemoryBudget, MemoryError, Reservation};

/// The maximum number of dimensions of a value.
pub(super) const MAX_RANK: usize = 16;

/// The maximum size of all constants together that are computed while a network is planned, in numbers.
const MAX_CONSTANT_NUMBERS: u64 = 1 << 28;

/// The maximum number of multiply-accumulates for constants while a network is planned.
const MAX_CONSTANT_WORK: u64 = 1 << 34;

/// Bytes of a number of a constant, the largest of all types.
const NUMBER_BYTES: u64 = size_of::<i64>() as u64;

/// How much has been computed so far while a network is planned, and the memory that it takes.
#[derive(Debug)]
pub(super) struct ConstantBudget {
    numbers: u64,
    work: u64,
    memory: Reservation,
}

impl ConstantBudget {
    /// A budget whose memory comes from `memory`.
    pub(super) fn new(memory: &MemoryBudget) -> Self {
        Self {
            numbers: 0,
            work: 0,
            memory: memory.empty(),
        }
    }

    /// Charges for a constant before it is computed.
    ///
    /// # Errors
    /// The budget is exhausted.
    pub(super) fn charge(&mut self, dims: &[usize], work: u64) -> Result<(), String> {
        check_shape(dims, 1)?;
        self.numbers += length(dims).unwrap_or(u64::MAX);
        self.work += work;
        if self.numbers > MAX_CONSTANT_NUMBERS || self.work > MAX_CONSTANT_WORK {
            return Err(
                "the network's constants take too much memory or time to compute: simplify the file".to_owned(),
            );
        }
        let bytes = length(dims).unwrap_or(u64::MAX).saturating_mul(NUMBER_BYTES);
        self.reserve(bytes).map_err(|error| error.to_string())
    }

    /// Takes the memory of a constant that the file holds, before it is decoded.
    ///
    /// # Errors
    /// There is not so much.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), MemoryError> {
        self.memory.grow(bytes)
    }
}

/// The number of elements of a value. A dimension of 0 counts as 1, so that no product of some of the dimensions is
/// larger.
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
/// It is too large.
pub(super) fn check_shape(dims: &[usize], images: usize) -> Result<(), String> {
    if dims.len() > MAX_RANK {
        return Err(format!(
            "a value of {} dimensions is not supported: the limit is {MAX_RANK}",
            dims.len()
        ));
    }
    match length(dims) {
        Some(length) if length <= MAX_VALUE_LENGTH.saturating_mul(images as u64) => Ok(()),
        _ => Err(format!(
            "a value of shape {dims:?} is too large: the limit is {MAX_VALUE_LENGTH} numbers per image"
        )),
    }
}

/// The shapes that the work of an operation depends on.
pub(super) struct OperandShapes<'a> {
    /// Of the first input.
    pub(super) input: Option<&'a [usize]>,
    /// Of the weight that the operation owns.
    pub(super) weight: Option<&'a [usize]>,
    pub(super) output: &'a [usize],
}

/// The multiply-accumulates of an operation, for all images together.
///
/// # Errors
/// There are too many.
pub(super) fn work(operator: &Operator, shapes: &OperandShapes<'_>, images: usize) -> Result<u64, String> {
    let outputs = length(shapes.output).unwrap_or(u64::MAX);
    let inputs = shapes.input.and_then(length).unwrap_or(1);
    // How many products one output of a convolution needs, or one input of a transposed convolution enters.
    let taps = shapes.weight.and_then(|weight| length(weight.get(1..)?)).unwrap_or(1);
    let window = |kernel: &[usize; 2]| kernel[0] as u64 * kernel[1] as u64;
    let work = match operator {
        Operator::Conv2d { .. } | Operator::Linear => outputs.saturating_mul(taps),
        Operator::ConvTranspose2d { .. } => inputs.saturating_mul(taps),
        Operator::MaxPool2d { kernel, .. } | Operator::AvgPool2d { kernel, .. } => {
            outputs.saturating_mul(window(kernel))
        }
        Operator::Tensor(TensorOperator::MatMul) => {
            let inner = shapes.input.and_then(|input| input.last().copied());
            outputs.saturating_mul(inner.unwrap_or(1) as u64)
        }
        _ => 0,
    };
    if work <= MAX_MULTIPLY_ACCUMULATES.saturating_mul(images as u64) {
        Ok(work)
    } else {
        Err(format!(
            "it takes more than {MAX_MULTIPLY_ACCUMULATES} multiply-accumulates per image"
        ))
    }
}

/// Checks a number of positions that a file states, such as a size, a step or a padding.
///
/// # Errors
/// It is negative or too large.
pub(super) fn check_extent(name: &str, number: i64) -> Result<usize, String> {
    let extent = usize::try_from(number).ok().filter(|&extent| extent <= MAX_DIMENSION);
    extent.ok_or_else(|| format!("{name} is {number}, which is out of range (0–{MAX_DIMENSION})"))
}
