//! Accuracy and loss of networks whose outputs are known.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Mutex;

use candle_core::{Device, Tensor};

use super::*;
use crate::control::Progress;
use crate::fixtures::Builder;
use crate::memory;
use crate::weights::Weights;
use scv_domain::image::{ImageShape, Images};

/// Images of one pixel. The logit of class 1 is the pixel, those of classes 0 and 2 are 0.
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
            pixels: pixels.to_vec().into(),
        },
        labels: labels.into(),
    }
}

/// Evaluates a network with batches of at most `batch` images.
fn run(network: Network, data: LabelledImages, batch: u64, control: &Control) -> Result<Report> {
    let task = EvaluateTask {
        activation_limit: batch * memory::of_inference(network.graph(), 1),
        network: Arc::new(network),
        data,
        statistics: ChannelStatistics {
            mean: vec![0.0],
            std: vec![1.0 / 255.0],
        },
    };
    task.run(&DeviceContext::new(Device::Cpu), control)
}

#[test]
fn accuracy_and_loss_are_means_over_all_images_for_any_batch_size() {
    // Pixel 0 ties all classes, which goes to class 0; pixel 2 is class 1 by 2.
    let data = pixels(&[0, 2, 2, 0, 0], &[0, 1, 2, 1, 0]);
    let tie = 3f64.ln();
    let two = (2.0 + 2f64.exp()).ln();
    let expected = (tie + (two - 2.0) + two + tie + tie) / 5.0;
    for batch in [1, 2, 5, 100] {
        let result = run(brightness(), data.clone(), batch, &Control::unwatched()).unwrap();
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
    let run = |data| run(brightness(), data, 2, &Control::unwatched());
    let error = run(pixels(&[0, 1], &[0, 3])).unwrap_err();
    assert_eq!(error.to_string(), "label 3 is out of range: the network has 3 classes");
    assert!(run(pixels(&[0, 1], &[0])).is_err());
    assert!(run(pixels(&[], &[])).is_err());
}

#[test]
fn an_evaluation_reports_progress_and_can_be_cancelled() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let control = Control {
        progress: Arc::new(move |progress| sink.lock().unwrap().push(progress)),
        ..Control::unwatched()
    };
    let data = pixels(&[0, 1, 2, 3], &[0, 1, 1, 1]);
    run(brightness(), data.clone(), 1, &control).unwrap();
    assert_eq!(*seen.lock().unwrap(), [0.25, 0.5, 0.75, 1.0].map(Progress::Fraction));

    control.cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    let result = run(brightness(), data, 1, &control);
    assert!(matches!(result, Err(ComputeError::Cancelled)));
}

#[test]
fn classes_may_be_the_channels_of_an_image_of_one_pixel() {
    let graph = Builder::new(&[1, 1, 1]).conv(3, 1).build();
    let weights = Weights::init(&graph, 1, &Device::Cpu).unwrap();
    let network = Network::new(Arc::new(graph), weights);
    assert_eq!(network.classes().unwrap(), 3);
    let data = pixels(&[0, 2], &[0, 1]);
    let report = run(network, data, 2, &Control::unwatched()).unwrap();
    assert_eq!(report.image_count, 2);

    let graph = Builder::new(&[1, 2, 2]).conv(3, 1).build();
    let weights = Weights::init(&graph, 1, &Device::Cpu).unwrap();
    let error = Network::new(Arc::new(graph), weights)
        .classes()
        .unwrap_err()
        .to_string();
    assert!(error.contains("output has shape [3, 2, 2]"), "{error}");
}

#[test]
fn an_output_that_is_not_finite_is_reported_with_its_image() {
    let network = brightness_times(f32::MAX);
    let data = pixels(&[0, 1, 200], &[0, 1, 1]);
    let error = run(network, data, 2, &Control::unwatched()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the network's output for image 2 is NaN or infinite"),
        "{error}"
    );
}
