//! Accuracy and loss of networks whose answers are known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::Mutex;

use candle_core::Tensor;

use super::*;
use crate::control::Progress;
use crate::fixtures::Builder;
use crate::weights::Weights;
use scv_domain::image::{ImageShape, Images};

/// Images of one pixel; class 1 has the logit of the pixel, class 0 and class 2 have 0.
fn brightness() -> Network {
    brightness_times(1.0)
}

fn brightness_times(factor: f32) -> Network {
    let graph = Builder::new(&[1, 1, 1]).flatten().linear(3).build();
    let device = Device::Cpu;
    let mut weights = Weights::default();
    weights.0.insert(
        "1.weight".into(),
        Tensor::new(&[[0.0f32], [factor], [0.0]], &device).unwrap(),
    );
    weights
        .0
        .insert("1.bias".into(), Tensor::new(&[0.0f32, 0.0, 0.0], &device).unwrap());
    Network::new(Arc::new(graph), weights)
}

fn pixels(pixels: &[u8], labels: &[u16]) -> LabelledImages {
    let shape = ImageShape {
        channels: 1,
        height: 1,
        width: 1,
    };
    LabelledImages {
        images: Images {
            shape,
            pixels: pixels.into(),
        },
        labels: labels.into(),
    }
}

fn statistics() -> ChannelStatistics {
    ChannelStatistics {
        mean: vec![0.0],
        std: vec![1.0 / 255.0],
    }
}

#[test]
fn accuracy_and_loss_are_means_over_all_images_whatever_the_batch() {
    // Pixel 0 ties all classes, which goes to class 0; pixel 2 is class 1 by 2.
    let data = pixels(&[0, 2, 2, 0, 0], &[0, 1, 2, 1, 0]);
    let tie = 3f64.ln();
    let two = (2.0 + 2f64.exp()).ln();
    let expected = (tie + (two - 2.0) + two + tie + tie) / 5.0;
    for batch in [1, 2, 5, 100] {
        let result = evaluate(
            &brightness(),
            &data,
            &statistics(),
            batch,
            &Device::Cpu,
            &Control::unwatched(),
        )
        .unwrap();
        assert_eq!((result.accuracy, result.image_count), (0.6, 5));
        let cells = result
            .cells
            .iter()
            .map(|cell| (cell.actual, cell.predicted, cell.image_count, cell.exemplar.index));
        assert_eq!(
            cells.collect::<Vec<_>>(),
            [(0, 0, 2, 0), (1, 0, 1, 3), (1, 1, 1, 1), (2, 1, 1, 2)]
        );
        assert!(
            (result.loss - expected).abs() < 1e-6,
            "{} is not {expected}",
            result.loss
        );
    }
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let run = |data| {
        evaluate(
            &brightness(),
            &data,
            &statistics(),
            2,
            &Device::Cpu,
            &Control::unwatched(),
        )
    };
    let error = run(pixels(&[0, 1], &[0, 3])).unwrap_err();
    assert_eq!(error.to_string(), "label 3 is beyond the 3 classes of the network");
    assert!(run(pixels(&[0, 1], &[0])).is_err());
    assert!(run(pixels(&[], &[])).is_err());
}

#[test]
fn an_evaluation_can_be_watched_and_stopped() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let control = Control {
        progress: Arc::new(move |progress| sink.lock().unwrap().push(progress)),
        ..Control::unwatched()
    };
    let data = pixels(&[0, 1, 2, 3], &[0, 1, 1, 1]);
    evaluate(&brightness(), &data, &statistics(), 1, &Device::Cpu, &control).unwrap();
    assert_eq!(*seen.lock().unwrap(), [0.25, 0.5, 0.75, 1.0].map(Progress::Fraction));

    control.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    let result = evaluate(&brightness(), &data, &statistics(), 1, &Device::Cpu, &control);
    assert!(matches!(result, Err(ComputeError::Cancelled)));
}

#[test]
fn classes_may_be_the_channels_of_an_image_of_one_pixel() {
    let graph = Builder::new(&[1, 1, 1]).conv(3, 1).build();
    let weights = Weights::init(&graph, 1, &Device::Cpu).unwrap();
    let network = Network::new(Arc::new(graph), weights);
    assert_eq!(network.classes().unwrap(), 3);
    let data = pixels(&[0, 2], &[0, 1]);
    let report = evaluate(&network, &data, &statistics(), 2, &Device::Cpu, &Control::unwatched()).unwrap();
    assert_eq!(report.image_count, 2);

    let graph = Builder::new(&[1, 2, 2]).conv(3, 1).build();
    let weights = Weights::init(&graph, 1, &Device::Cpu).unwrap();
    let error = Network::new(Arc::new(graph), weights)
        .classes()
        .unwrap_err()
        .to_string();
    assert!(error.contains("numbers of shape [3, 2, 2]"), "{error}");
}

#[test]
fn an_answer_that_is_no_number_is_told_with_its_image() {
    let network = brightness_times(f32::MAX);
    let data = pixels(&[0, 1, 200], &[0, 1, 1]);
    let error = evaluate(&network, &data, &statistics(), 2, &Device::Cpu, &Control::unwatched()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the network's answer to image 2 is NaN or infinite"),
        "{error}"
    );
}
