//! Layer vectors in few bits. They rule most layers out for a quarter of what whole vectors take to read.

use crate::simd::vectorized;

/// Numbers that share a step. The sum of so many products of 16 and 8 bits fits in 32 bits: 512 · 32,767 · 127 is less than 2³¹.
const BLOCK: usize = 512;

/// Numbers as multiples of a step of their block, and how far off they are together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rounded<T> {
    multiples: Box<[T]>,
    /// The step of each block.
    steps: Box<[f32]>,
    /// Length of the difference between the numbers and the multiples of their steps.
    pub(super) error: f64,
}

/// The integers that are multiples.
pub(super) trait Multiple: Copy {
    const MAX: f32;

    /// The nearest integer.
    fn nearest(number: f32) -> Self;

    fn number(self) -> f32;
}

impl Multiple for i8 {
    const MAX: f32 = Self::MAX as f32;

    fn nearest(number: f32) -> Self {
        number.round_ties_even() as Self
    }

    fn number(self) -> f32 {
        self.into()
    }
}

impl Multiple for i16 {
    const MAX: f32 = Self::MAX as f32;

    fn nearest(number: f32) -> Self {
        number.round_ties_even() as Self
    }

    fn number(self) -> f32 {
        self.into()
    }
}

impl<T: Multiple> Rounded<T> {
    /// Numbers in steps that the greatest of each block is the greatest multiple of.
    pub(super) fn new(numbers: &[f32]) -> Self {
        let (mut multiples, mut steps) = (Vec::with_capacity(numbers.len()), Vec::new());
        let mut squared = 0.0;
        vectorized(|| {
            for block in numbers.chunks(BLOCK) {
                let greatest = block
                    .iter()
                    .fold(0.0_f32, |greatest, number| greatest.max(number.abs()));
                // Not zero, by which the numbers of an empty block would be divided.
                let step = (greatest / T::MAX).max(f32::MIN_POSITIVE);
                let mut sums = [0.0_f64; 16];
                for numbers in block.chunks(sums.len()) {
                    for (sum, &number) in sums.iter_mut().zip(numbers) {
                        // Never the least integer, whose products could overflow.
                        let multiple = T::nearest((number / step).clamp(-T::MAX, T::MAX));
                        *sum += (f64::from(number) - f64::from(multiple.number()) * f64::from(step)).powi(2);
                        multiples.push(multiple);
                    }
                }
                squared += sums.iter().sum::<f64>();
                steps.push(step);
            }
        });
        Self {
            multiples: multiples.into(),
            steps: steps.into(),
            error: squared.sqrt(),
        }
    }

    /// Bytes that it takes, beside itself.
    pub(super) fn byte_count(&self) -> usize {
        size_of_val(&*self.multiples) + size_of_val(&*self.steps)
    }
}

/// The inner product of rounded numbers.
#[inline]
pub(super) fn product(a: &Rounded<i16>, b: &Rounded<i8>) -> f64 {
    let blocks = a.multiples.chunks(BLOCK).zip(b.multiples.chunks(BLOCK));
    let steps = a.steps.iter().zip(&b.steps);
    blocks
        .zip(steps)
        .map(|((a, b), (&a_step, &b_step))| {
            let sum: i32 = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
            f64::from(sum) * f64::from(a_step) * f64::from(b_step)
        })
        .sum()
}
