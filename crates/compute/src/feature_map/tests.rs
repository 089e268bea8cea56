//! Feature maps of networks whose activations are known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};

use super::*;
use crate::fixtures::Builder;
use crate::weights::Weights;
use scv_domain::image::ImageShape;

const SHAPE: ImageShape = ImageShape {
    channels: 1,
    height: 2,
    width: 3,
};

/// A 1x1 convolution with the weights 1, -1 and 2, then a linear layer with zero weights.
fn task(layer: usize, channels: ChannelChoice) -> FeatureMapTask {
    let graph = Builder::new(&[1, 2, 3]).conv(3, 1).flatten().linear(2).build();
    let keys: Vec<String> = graph.parameters().map(|(key, _)| key).collect();
    let device = Device::Cpu;
    let mut weights = Weights::default();
    for (key, parameter) in graph.parameters() {
        let zeros = Tensor::zeros(parameter.shape.clone(), DType::F32, &device).unwrap();
        weights.0.insert(key, zeros);
    }
    let kernel = Tensor::new(&[1.0f32, -1.0, 2.0], &device)
        .unwrap()
        .reshape((3, 1, 1, 1))
        .unwrap();
    weights.0.insert(keys[0].clone(), kernel);
    FeatureMapTask {
        network: Arc::new(Network::new(Arc::new(graph), weights)),
        image: Images {
            shape: SHAPE,
            pixels: vec![0, 51, 102, 153, 204, 255].into(),
        },
        statistics: ChannelStatistics {
            mean: vec![0.0],
            std: vec![0.2],
        },
        layer,
        channels,
        activation_limit: u64::MAX,
    }
}

fn run(task: FeatureMapTask) -> Result<Vec<FeatureMap>> {
    task.run(&DeviceContext::new(Device::Cpu), &Control::unwatched())
}

#[test]
fn a_map_has_the_activations_of_its_channel_row_after_row() {
    let maps = run(task(0, ChannelChoice::Given(vec![2, 1]))).unwrap();
    assert_eq!(maps.iter().map(|map| map.channel).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((maps[0].height, maps[0].width), (2, 3));
    for (map, factor) in maps.iter().zip([2.0, -1.0]) {
        for (index, value) in map.values.iter().enumerate() {
            assert!((value - factor * index as f32).abs() < 1e-5, "{map:?}");
        }
    }
}

#[test]
fn the_most_active_channels_come_first() {
    let maps = run(task(0, ChannelChoice::MostActive(2))).unwrap();
    assert_eq!(maps.iter().map(|map| map.channel).collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn numbers_without_rows_and_columns_are_channels_of_one_number() {
    let layers = task(0, ChannelChoice::MostActive(1)).network.graph().layers().count();
    let maps = run(task(layers - 1, ChannelChoice::MostActive(9))).unwrap();
    assert_eq!(maps.len(), 2);
    assert!(
        maps.iter()
            .all(|map| (map.height, map.width, map.values.len()) == (1, 1, 1))
    );
}

#[test]
fn a_channel_or_layer_out_of_range_is_refused() {
    let error = run(task(0, ChannelChoice::Given(vec![0, 3]))).unwrap_err();
    assert_eq!(error.to_string(), "channel 3 of layer 0 is out of range (0–2)");
    assert!(run(task(99, ChannelChoice::MostActive(1))).is_err());
}
