//! Feature maps of networks whose answers are known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::Tensor;

use super::*;
use crate::fixtures::Builder;
use crate::weights::Weights;
use scv_domain::image::ImageShape;

const SHAPE: ImageShape = ImageShape {
    channels: 1,
    height: 2,
    width: 3,
};

/// A convolution of one place with the weights 1, -1 and 2, then three numbers that add up each channel.
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
            pixels: [0, 51, 102, 153, 204, 255].into(),
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

#[test]
fn a_map_is_what_the_channel_answers_place_by_place() {
    let maps = feature_maps(&task(0, ChannelChoice::Given(vec![2, 1])), &Device::Cpu).unwrap();
    assert_eq!(maps.iter().map(|map| map.channel).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((maps[0].height, maps[0].width), (2, 3));
    for (map, factor) in maps.iter().zip([2.0, -1.0]) {
        for (place, value) in map.values.iter().enumerate() {
            assert!((value - factor * place as f32).abs() < 1e-5, "{map:?}");
        }
    }
}

#[test]
fn the_most_active_channels_come_first() {
    let maps = feature_maps(&task(0, ChannelChoice::MostActive(2)), &Device::Cpu).unwrap();
    assert_eq!(maps.iter().map(|map| map.channel).collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn numbers_without_rows_and_columns_are_channels_of_one_place() {
    let layers = task(0, ChannelChoice::MostActive(1)).network.graph().layers().count();
    let maps = feature_maps(&task(layers - 1, ChannelChoice::MostActive(9)), &Device::Cpu).unwrap();
    assert_eq!(maps.len(), 2);
    assert!(
        maps.iter()
            .all(|map| (map.height, map.width, map.values.len()) == (1, 1, 1))
    );
}

#[test]
fn a_channel_or_layer_that_is_not_there_is_told() {
    let error = feature_maps(&task(0, ChannelChoice::Given(vec![0, 3])), &Device::Cpu).unwrap_err();
    assert_eq!(error.to_string(), "layer 0 has channels 0 to 2, and none of index 3");
    assert!(feature_maps(&task(99, ChannelChoice::MostActive(1)), &Device::Cpu).is_err());
}
