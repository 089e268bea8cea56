//! Inner products in the widest registers that the processor has.
//!
//! A function with `#[multiversion]` is compiled for several generations of processors, and the version for this one is called.
//! That covers what is inlined into it, so what it spends its time in must be `#[inline(always)]`.

use multiversion::multiversion;

/// Numbers that are multiplied and added in single precision before the sum goes on in double precision.
const BLOCK: usize = 128;

/// An inner product, multiplied and summed in double precision.
#[multiversion(targets("x86_64+avx512bw+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub(crate) fn dot_in_double(a: &[f32], b: &[f32]) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<16>();
    let (b_blocks, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0_f64; 16];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(a) * f64::from(b));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

/// An inner product, in single precision within blocks and in double precision across them.
#[multiversion(targets("x86_64+avx512bw+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let (a_blocks, a_rest) = a.as_chunks::<16>();
        let (b_blocks, b_rest) = b.as_chunks::<16>();
        let mut sums = [0.0_f32; 16];
        for (a, b) in a_blocks.iter().zip(b_blocks) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
                *sum += a * b;
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() + f64::from(rest);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_products_of_any_length_are_right() {
        for length in [0, 1, 15, 16, 17, 127, 128, 129, 4_950] {
            let a: Vec<f32> = (0..length).map(|index| (index as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..length).map(|index| (index as f32 * 0.73).cos()).collect();
            let expected: f64 = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            assert!((dot_in_double(&a, &b) - expected).abs() < 1e-12, "{length}");
            assert!((dot(&a, &b) - expected).abs() < 1e-5, "{length}");
        }
    }
}
