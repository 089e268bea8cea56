//! Whether images that pass through a network in one batch come out as each of them does alone.
//!
//! A file does not say. One that was exported for a single image may use its first dimension for something other than
//! the batch. An operation over that dimension would mix the images, and no shape would show it. So a network is tried
//! with two images of noise before it is trusted with batches.

use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::Result;
use crate::executor::Mode;
use crate::network::Network;

/// The largest difference due to rounding, relative to the largest number of a layer.
const TOLERANCE: f32 = 1e-4;

/// The most numbers of one image that are compared, in all layers together: more would be kept in memory than the network itself
/// needs.
const MAX_COMPARED: usize = 1 << 24;

/// Runs two images of noise in one batch and alone, and compares all layers.
pub(super) fn is_batch_independent(network: &Network, device: &Device) -> Result<bool> {
    let images = noise(&network.graph.input_shape, device)?;
    let mut alone = Vec::new();
    for image in 0..2 {
        alone.extend(layers(network, &images.narrow(0, image, 1)?)?);
    }
    let batched = layers(network, &images)?;
    Ok(batched
        .iter()
        .zip(&alone)
        .all(|(batched, alone)| is_close(batched, alone)))
}

/// Numbers of each layer for each image: all of them, or some at equal distances.
fn layers(network: &Network, images: &Tensor) -> Result<Vec<Vec<f32>>> {
    let most = MAX_COMPARED / network.graph.layers().count().max(1);
    let mut of_images = vec![Vec::new(); images.dim(0)?];
    network.forward(images, Mode::Inference, &mut |index, value| {
        if network.graph.nodes[index].is_layer {
            for (image, layers) in of_images.iter_mut().enumerate() {
                layers.push(sampled(&value.narrow(0, image, 1)?, most.max(1))?);
            }
        }
        Ok(())
    })?;
    Ok(of_images.concat())
}

/// At most so many numbers of a value.
fn sampled(value: &Tensor, most: usize) -> candle_core::Result<Vec<f32>> {
    let flat = value.flatten_all()?;
    let step = flat.elem_count().div_ceil(most).max(1);
    if step == 1 {
        return flat.to_vec1();
    }
    let places: Vec<u32> = (0..flat.elem_count()).step_by(step).map(|place| place as u32).collect();
    flat.index_select(&Tensor::new(places, flat.device())?, 0)?.to_vec1()
}

/// Two different images, the same on every call.
fn noise(shape: &[usize], device: &Device) -> candle_core::Result<Tensor> {
    let mut generator = ChaCha8Rng::seed_from_u64(0);
    let count = 2 * shape.iter().product::<usize>();
    let numbers = (0..count).map(|_| StandardNormal.sample(&mut generator));
    Tensor::from_vec(numbers.collect::<Vec<f32>>(), [&[2], shape].concat(), device)
}

fn is_close(a: &[f32], b: &[f32]) -> bool {
    let finite = b.iter().filter(|number| number.is_finite());
    let bound = TOLERANCE * finite.fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= bound || a == b || (a.is_nan() && b.is_nan());
    a.len() == b.len() && a.iter().zip(b).all(near)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use super::*;
    use crate::fixtures::Builder;
    use crate::weights::Weights;
    use scv_domain::graph::{Operator, TensorOperator};

    fn network(axis: usize) -> Network {
        let softmax = TensorOperator::Softmax {
            axes: vec![axis],
            log: false,
        };
        let graph = Builder::new(&[2, 3, 3])
            .conv(4, 3)
            .then(Operator::Tensor(softmax), &[4, 3, 3], &[])
            .flatten()
            .linear(2)
            .build();
        let weights = Weights::init(&graph, 1, &Device::Cpu).unwrap();
        Network::new(Arc::new(graph), weights)
    }

    #[test]
    fn an_operation_within_each_image_is_batch_independent() {
        assert!(is_batch_independent(&network(1), &Device::Cpu).unwrap());
    }

    #[test]
    fn an_operation_across_images_is_detected_and_harmless_once_they_run_one_by_one() {
        let mixing = network(0);
        assert!(!is_batch_independent(&mixing, &Device::Cpu).unwrap());
        assert!(is_batch_independent(&mixing.one_by_one(), &Device::Cpu).unwrap());
    }
}
