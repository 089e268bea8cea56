//! The sums that a Gram matrix is computed from, on any device.

use candle_core::{D, DType, Tensor};

/// Features in one single-precision product.
const CHUNK_FEATURES: usize = 16_384;

/// Sums over the features of a layer.
pub(super) struct Sums {
    /// `Σ (x - mean) (x - mean)ᵀ`, n x n.
    pub(super) gram: Vec<f64>,
    /// The sum of the squares of the means.
    pub(super) squared_means: f64,
}

impl Sums {
    pub(super) fn zero(images: usize) -> Self {
        Self {
            gram: vec![0.0; images * images],
            squared_means: 0.0,
        }
    }

    pub(super) fn plus(mut self, other: Self) -> Self {
        self.gram
            .iter_mut()
            .zip(other.gram)
            .for_each(|(sum, value)| *sum += value);
        self.squared_means += other.squared_means;
        self
    }

    /// The sums over activations `[images, features]`, on any device.
    pub(super) fn of(activations: &Tensor) -> candle_core::Result<Self> {
        let (images, features) = activations.dims2()?;
        let device = activations.device();
        let averaging = Tensor::full(1.0 / images as f32, (1, images), device)?;
        let mut gram = Tensor::zeros((images, images), DType::F64, device)?;
        let mut squared_means = Tensor::zeros((), DType::F64, device)?;
        for start in (0..features).step_by(CHUNK_FEATURES) {
            let width = CHUNK_FEATURES.min(features - start);
            let chunk = activations.narrow(D::Minus1, start, width)?.contiguous()?;
            let scale = chunk.abs()?.max_all()?.maximum(f64::from(f32::MIN_POSITIVE))?;
            let scaled = chunk.broadcast_div(&scale)?;
            let means = averaging.matmul(&scaled)?;
            let centred = scaled.broadcast_sub(&means)?;
            let product = centred.matmul(&centred.t()?)?;

            // The scale stays on the device: reading it here would wait for the device each time.
            let unscale = scale.to_dtype(DType::F64)?.sqr()?;
            gram = (gram + product.to_dtype(DType::F64)?.broadcast_mul(&unscale)?)?;
            let squares = means.to_dtype(DType::F64)?.sqr()?.sum_all()?;
            squared_means = (squared_means + (squares * unscale)?)?;
        }
        Ok(Self {
            gram: gram.flatten_all()?.to_vec1()?,
            squared_means: squared_means.to_scalar()?,
        })
    }
}
