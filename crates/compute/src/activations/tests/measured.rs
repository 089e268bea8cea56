//! Compares activations from a file with those of a network.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use candle_core::Device;

use super::*;
use crate::control::{Control, Progress};
use crate::error::ComputeError;
use crate::executor::Mode;
use crate::images;
use crate::ingest::{self, IngestTask};
use crate::task::{DeviceContext, Task};
use scv_domain::vector::Degenerate;

const PROBES: usize = 12;

fn run<T: Task>(task: T, control: &Control) -> Result<T::Output, ComputeError> {
    task.run(&DeviceContext::new(Device::Cpu), control)
}

/// The outputs of a network's layers for its probe images.
fn taps(task: &IngestTask) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let network = &task.network;
    let input = images::to_tensor(&task.probes, &task.statistics, &Device::Cpu).unwrap();
    let mut taps = Vec::new();
    let mut tap = |index: usize, activations: &candle_core::Tensor| {
        let node = &network.graph().nodes[index];
        if node.is_layer {
            let numbers = activations.flatten_all()?.to_vec1::<f32>()?;
            taps.push((node.path.clone(), activations.dims().to_vec(), floats(&numbers)));
        }
        Ok(())
    };
    network.forward(&input, Mode::Inference, &mut tap).unwrap();
    taps
}

fn as_npz(taps: &[(String, Vec<usize>, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let entries: Vec<_> = taps
        .iter()
        .map(|(name, shape, numbers)| (name.as_str(), npy(&format!("({}, {})", shape[0], shape[1]), numbers)))
        .collect();
    npz(method, &entries)
}

/// A task with the layers of a network as a file.
pub(crate) fn task() -> ActivationTask {
    let taps = taps(&ingest::tests::task(PROBES));
    ActivationTask {
        file: as_npz(&taps, CompressionMethod::Stored).into(),
        limits: limits(PROBES),
    }
}

#[test]
fn layers_from_a_file_have_exactly_the_vectors_of_the_network() {
    let network = ingest::tests::task(PROBES);
    let expected = run(network.clone(), &Control::unwatched()).unwrap();
    let taps = taps(&network);
    for file in [
        as_npz(&taps, CompressionMethod::Stored),
        as_npz(&taps, CompressionMethod::Deflated),
        safetensors(&taps),
    ] {
        let task = ActivationTask {
            file: file.into(),
            limits: limits(PROBES),
        };
        let measured = run(task, &Control::unwatched()).unwrap();
        assert_eq!(measured.len(), 5);
        for (layer, outcome) in measured.iter().zip(&expected) {
            assert_eq!(layer.layer.name, network.network.graph().nodes[outcome.node].path);
            assert_eq!(
                layer.layer.shape,
                network.network.graph().nodes[outcome.node].output_shape
            );
            assert_eq!(layer.vector, outcome.vector, "layer {}", layer.layer.name);
        }
        assert_eq!(measured[2].vector, Err(Degenerate::Constant));
        assert_eq!(measured[3].vector, Err(Degenerate::NotFinite));
    }
}

#[test]
fn progress_reaches_one_and_cancelling_stops_at_the_next_layer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let progress = Arc::clone(&seen);
    let control = Control {
        progress: Arc::new(move |step| progress.lock().unwrap().push(step)),
        ..Control::unwatched()
    };
    run(task(), &control).unwrap();
    let expected = [0.2, 0.4, 0.6, 0.8, 1.0].map(Progress::Fraction);
    assert_eq!(*seen.lock().unwrap(), expected);

    let (progress, flag) = (Arc::clone(&seen), Arc::clone(&control.cancelled));
    let control = Control {
        progress: Arc::new(move |step| {
            progress.lock().unwrap().push(step);
            flag.store(true, Ordering::Relaxed);
        }),
        ..control
    };
    let result = run(task(), &control);
    assert!(matches!(result, Err(ComputeError::Cancelled)));
    assert_eq!(seen.lock().unwrap().len(), 6);
}

#[test]
fn an_invalid_file_is_not_measured_and_its_errors_are_listed() {
    let invalid = ActivationTask {
        limits: limits(PROBES + 1),
        ..task()
    };
    let error = run(invalid, &Control::unwatched()).unwrap_err();
    let ComputeError::Activations(errors) = error else {
        panic!("{error}")
    };
    assert_eq!(errors.len(), 5);
    assert!(errors.iter().all(|error| error.rule == ActivationRule::Probes));
}

#[test]
fn three_probe_images_are_too_few() {
    let file = npz(CompressionMethod::Stored, &[("a", npy("(3,)", &[0; 12]))]);
    let task = ActivationTask {
        file: file.into(),
        limits: limits(3),
    };
    let error = run(task, &Control::unwatched()).unwrap_err();
    assert!(
        matches!(error, ComputeError::TooFewProbes { given: 3, needed: 4 }),
        "{error}"
    );
}
