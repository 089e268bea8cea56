//! Layer vectors in few bits. They rule most layers out for a quarter of what whole vectors take to read.

use multiversion::multiversion;

use super::LayerVector;

/// Numbers that share a step. The fewer, the smaller the steps, and the closer the bounds; with half as many, the further sums take
/// as much time as closer bounds save. The sum of so many products of 16 and 8 bits fits in 32 bits.
const BLOCK: usize = 128;

/// A layer vector as multiples of a step of each block, and how far off they are together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rounded<T> {
    /// Those of the leading part, then those of the rest.
    multiples: Box<[T]>,
    /// The step of each block. No block has numbers of both parts.
    steps: Box<[f32]>,
    /// Lengths of the differences between the two parts and the multiples of their steps.
    pub(super) errors: [f64; 2],
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

    #[inline(always)]
    fn nearest(number: f32) -> Self {
        number.round_ties_even() as Self
    }

    #[inline(always)]
    fn number(self) -> f32 {
        self.into()
    }
}

impl Multiple for i16 {
    const MAX: f32 = Self::MAX as f32;

    #[inline(always)]
    fn nearest(number: f32) -> Self {
        number.round_ties_even() as Self
    }

    #[inline(always)]
    fn number(self) -> f32 {
        self.into()
    }
}

impl<T: Multiple> Rounded<T> {
    /// A vector in steps that the greatest number of each block is the greatest multiple of.
    pub(super) fn new(vector: &LayerVector) -> Self {
        let parts = [&vector.lead, &vector.tail];
        let mut multiples = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        let mut steps = Vec::with_capacity(parts.iter().map(|part| part.len().div_ceil(BLOCK)).sum());
        let errors = parts.map(|part| round(part, &mut multiples, &mut steps));
        Self {
            multiples: multiples.into(),
            steps: steps.into(),
            errors,
        }
    }

    /// Bytes that it takes, beside itself.
    pub(super) fn byte_count(&self) -> usize {
        size_of_val(&*self.multiples) + size_of_val(&*self.steps)
    }

    /// The blocks of the leading part, which has so many numbers, and those of the rest.
    #[inline(always)]
    fn parts(&self, lead: usize) -> [Blocks<'_, T>; 2] {
        let (lead, tail) = self.multiples.split_at(lead);
        let (lead_steps, tail_steps) = self.steps.split_at(lead.len().div_ceil(BLOCK));
        [(lead, lead_steps), (tail, tail_steps)]
    }
}

/// The multiples of some blocks, and their steps.
type Blocks<'a, T> = (&'a [T], &'a [f32]);

/// Rounds a part. Returns how far off it is then.
#[multiversion(targets("x86_64+avx512bw+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn round<T: Multiple>(part: &[f32], multiples: &mut Vec<T>, steps: &mut Vec<f32>) -> f64 {
    let mut squared = 0.0;
    for block in part.chunks(BLOCK) {
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
        steps.push(step);
        squared += sums.iter().sum::<f64>();
    }
    squared.sqrt()
}

/// The inner products of the leading parts of two vectors, which have so many numbers, and of the rests.
#[multiversion(targets("x86_64+avx512bw+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub(super) fn products(a: &Rounded<i16>, b: &Rounded<i8>, lead: usize) -> [f64; 2] {
    let ([a_lead, a_tail], [b_lead, b_tail]) = (a.parts(lead), b.parts(lead));
    [product(a_lead, b_lead), product(a_tail, b_tail)]
}

#[inline(always)]
fn product((a, a_steps): Blocks<'_, i16>, (b, b_steps): Blocks<'_, i8>) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<BLOCK>(), b.as_chunks::<BLOCK>());
    // Blocks of a length that is known to the compiler, and what is left at the end.
    let blocks = a.iter().zip(b).map(|(a, b)| sum(a, b));
    let sums = blocks.chain([sum(a_rest, b_rest)]);
    let steps = a_steps.iter().zip(b_steps);
    sums.zip(steps)
        .map(|(sum, (&a_step, &b_step))| f64::from(sum) * f64::from(a_step) * f64::from(b_step))
        .sum()
}

#[inline(always)]
fn sum(a: &[i16], b: &[i8]) -> i32 {
    a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum()
}
