//! The error function, vectorised.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::slices::{map, output, values};

/// From here on, the error function is 1 in single precision.
const SATURATION: f32 = 3.925;

/// `P` of the rational function `x P(x²) / Q(x²)` that TensorFlow and Eigen use for the error function, highest power
/// first.
const NUMERATOR: [f32; 7] = [
    -2.726_142e-10,
    2.770_681_4e-8,
    -2.101_024e-6,
    -5.692_506_4e-5,
    -7.349_906_3e-4,
    -2.954_6e-3,
    -1.609_603_3e-2,
];
/// `Q` of the same function, highest power first.
const DENOMINATOR: [f32; 5] = [
    -1.456_607_2e-5,
    -2.133_740_6e-4,
    -1.682_827e-3,
    -7.373_329_2e-3,
    -1.426_473_9e-2,
];

/// `erf(x)` within 5e-7, without calls, so that the compiler vectorises it.
#[inline]
pub(super) fn erf(x: f32) -> f32 {
    let square = x * x;
    let polynomial = |factors: &[f32]| factors.iter().fold(0.0, |sum, factor| sum * square + factor);
    let inside = x * polynomial(&NUMERATOR) / polynomial(&DENOMINATOR);
    if x.abs() >= SATURATION {
        1.0_f32.copysign(x)
    } else {
        inside
    }
}

/// The error function of every element.
pub(super) fn of(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() && !x.track_op() {
        x.contiguous()?.apply_op1_no_bwd(&Erf)
    } else {
        x.erf()
    }
}

struct Erf;

impl CustomOp1 for Erf {
    fn name(&self) -> &'static str {
        "error function"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        output(map(values(storage, layout)?, erf), layout.shape().clone())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::cpu::erf::erf_f64;

    use super::erf;

    #[test]
    fn erf_agrees_with_the_exact_error_function_everywhere() {
        for step in -60_000..=60_000 {
            let x = step as f32 * 1e-4;
            let exact = erf_f64(f64::from(x));
            assert!(
                (f64::from(erf(x)) - exact).abs() <= 5e-7,
                "erf({x}) is {}, not {exact}",
                erf(x)
            );
        }
        // Exactly, so that functions built on it vanish where they should.
        assert_eq!([erf(4.0), erf(f32::INFINITY)], [1.0, 1.0]);
        assert_eq!([erf(-4.0), erf(f32::NEG_INFINITY)], [-1.0, -1.0]);
        assert!(erf(f32::NAN).is_nan());
    }
}
