#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use scv_compute::device::{DeviceChoice, open};
use scv_compute::error::{UnfitTensors, WeightError, WeightRule};
use scv_compute::images::to_tensor;
use scv_domain::id::VersionId;
use scv_domain::image::{ChannelStatistics, ImageShape, Images};

use super::*;

const CALLER: Fault = Fault::Caller;
const SERVER: Fault = Fault::Server;

/// The variant of an error. No wildcard: a new variant does not compile until it has a name here, and the test below then
/// fails until the table has a row for it.
fn variant(error: &ServiceError) -> &'static str {
    match error {
        ServiceError::BadInput { .. } => "BadInput",
        ServiceError::NotFound { .. } => "NotFound",
        ServiceError::Conflict(_) => "Conflict",
        ServiceError::Unauthenticated(_) => "Unauthenticated",
        ServiceError::Forbidden(_) => "Forbidden",
        ServiceError::Overloaded => "Overloaded",
        ServiceError::TimedOut => "TimedOut",
        ServiceError::Damaged(_) => "Damaged",
        ServiceError::Missing(_) => "Missing",
        ServiceError::Internal(_) => "Internal",
        ServiceError::Compute(error) => match &**error {
            ComputeError::Weights(_) => "Weights",
            ComputeError::Activations(_) => "Activations",
            ComputeError::Onnx(_) => "Onnx",
            ComputeError::Invalid(_) => "Invalid",
            ComputeError::NoDevice(_) => "NoDevice",
            ComputeError::ThreadFailed(_) => "ThreadFailed",
            ComputeError::TooFewProbes { .. } => "TooFewProbes",
            ComputeError::NotFinite { .. } => "NotFinite",
            ComputeError::OutputNotFinite { .. } => "OutputNotFinite",
            ComputeError::Cancelled => "Cancelled",
            ComputeError::Overloaded => "QueueFull",
            ComputeError::Layer { .. } => "Layer",
            ComputeError::Candle(_) => "Candle",
        },
    }
}

/// How many names [`variant`] gives.
const VARIANTS: usize = 23;

/// An error of the device: statistics of no channel for images of one.
fn device_error() -> ComputeError {
    let images = Images {
        shape: ImageShape {
            channels: 1,
            height: 1,
            width: 1,
        },
        pixels: vec![0].into(),
    };
    let statistics = ChannelStatistics {
        mean: Vec::new(),
        std: Vec::new(),
    };
    let device = open(DeviceChoice::Cpu).unwrap();
    to_tensor(&images, &statistics, device.device()).unwrap_err().into()
}

fn in_a_layer(cause: ComputeError) -> ComputeError {
    ComputeError::Layer {
        path: "3.main.0".to_owned(),
        kind: "Conv2d",
        cause: Box::new(cause),
    }
}

/// An error as it comes, whether or not [`From`] would give it another variant.
fn compute(error: ComputeError) -> ServiceError {
    ServiceError::Compute(Arc::new(error))
}

#[test]
fn every_error_says_who_is_at_fault_what_code_a_job_fails_with_and_whether_it_is_tried_again() {
    let text = || "something is wrong".to_owned();
    let (is_final, is_retried) = (1, MAX_ATTEMPTS);
    let table = [
        (
            ServiceError::bad_input(text()),
            CALLER,
            FailureCode::CannotRun,
            is_final,
        ),
        (
            ServiceError::not_found("version", VersionId(1)),
            CALLER,
            FailureCode::CannotRun,
            is_final,
        ),
        (
            ServiceError::Conflict(text()),
            CALLER,
            FailureCode::CannotRun,
            is_retried,
        ),
        (
            ServiceError::Unauthenticated(text()),
            CALLER,
            FailureCode::CannotRun,
            is_final,
        ),
        (
            ServiceError::Forbidden(text()),
            CALLER,
            FailureCode::CannotRun,
            is_final,
        ),
        (ServiceError::Overloaded, SERVER, FailureCode::Internal, is_retried),
        (ServiceError::TimedOut, SERVER, FailureCode::Internal, is_retried),
        (
            ServiceError::Damaged(text()),
            SERVER,
            FailureCode::ArtifactUnreadable,
            is_final,
        ),
        (
            ServiceError::Missing(text()),
            SERVER,
            FailureCode::ArtifactUnreadable,
            MAX_ATTEMPTS_WITHOUT_FILES,
        ),
        (
            ServiceError::internal(anyhow::anyhow!("the database is away")),
            SERVER,
            FailureCode::Internal,
            is_retried,
        ),
        (
            compute(ComputeError::Weights(Vec::new())),
            CALLER,
            FailureCode::WeightsDoNotFit,
            is_final,
        ),
        (
            compute(ComputeError::Activations(Vec::new())),
            CALLER,
            FailureCode::CannotRun,
            is_final,
        ),
        (
            compute(OnnxError::Unreadable(text()).into()),
            CALLER,
            FailureCode::CannotRun,
            is_final,
        ),
        (
            compute(ComputeError::Invalid(text())),
            CALLER,
            FailureCode::CannotRun,
            is_final,
        ),
        (
            compute(ComputeError::NoDevice(text())),
            SERVER,
            FailureCode::Internal,
            is_final,
        ),
        (
            compute(ComputeError::ThreadFailed(text())),
            SERVER,
            FailureCode::Internal,
            is_final,
        ),
        (
            compute(ComputeError::TooFewProbes { given: 3, needed: 4 }),
            CALLER,
            FailureCode::CannotRun,
            is_final,
        ),
        (
            compute(ComputeError::NotFinite {
                what: "the loss",
                epoch: 1,
                step: 1,
            }),
            CALLER,
            FailureCode::NotFinite,
            is_final,
        ),
        (
            compute(ComputeError::OutputNotFinite { image: 0 }),
            CALLER,
            FailureCode::NotFinite,
            is_final,
        ),
        (
            compute(ComputeError::Cancelled),
            CALLER,
            FailureCode::Cancelled,
            is_final,
        ),
        (
            compute(ComputeError::Overloaded),
            SERVER,
            FailureCode::Internal,
            is_retried,
        ),
        (
            compute(in_a_layer(ComputeError::Invalid(text()))),
            CALLER,
            FailureCode::LayerFailed,
            is_final,
        ),
        (
            compute(in_a_layer(device_error())),
            SERVER,
            FailureCode::LayerFailed,
            is_final,
        ),
        (compute(device_error()), SERVER, FailureCode::Internal, is_retried),
    ];
    for (error, fault, code, max_attempts) in &table {
        let expected = Classification {
            fault: *fault,
            code: *code,
            max_attempts: *max_attempts,
        };
        assert_eq!(error.classify(), expected, "{error:?}");
    }
    let covered: BTreeSet<_> = table.iter().map(|(error, ..)| variant(error)).collect();
    assert_eq!(covered.len(), VARIANTS, "{covered:?}");
}

#[test]
fn the_failure_of_a_job_gives_errors_of_the_caller_in_full_and_hides_those_of_the_server() {
    let failure = compute(ComputeError::Invalid("the network has no classes".to_owned())).failure();
    assert_eq!(failure.message, "the network has no classes");
    let failure = ServiceError::internal(anyhow::anyhow!("password of the database")).failure();
    assert!(!failure.message.contains("password"), "{failure:?}");
    let failure = compute(in_a_layer(ComputeError::Invalid("no room".to_owned()))).failure();
    assert_eq!(failure.layer.as_deref(), Some("3.main.0"));
    assert!(failure.message.contains("no room"), "{failure:?}");
}

#[test]
fn a_list_of_errors_is_counted_in_the_message_and_given_whole_in_the_details() {
    let missing = |key: &str| WeightError {
        key: Some(key.to_owned()),
        rule: WeightRule::Present,
        expected: "[2]".to_owned(),
        actual: "nothing".to_owned(),
        message: format!("{key} is missing"),
        tensors: UnfitTensors::default(),
    };
    let error = compute(ComputeError::Weights(vec![missing("0.weight"), missing("0.bias")]));
    assert_eq!(
        error.to_string(),
        "the weights do not fit (2 errors): 0.weight is missing | 0.bias is missing"
    );
    let details = error.details().unwrap();
    assert_eq!(details.as_array().unwrap().len(), 2);
    assert_eq!(details[1]["message"], "0.bias is missing");
}

#[test]
fn the_error_of_an_upload_names_its_file_and_keeps_the_details() {
    let error = compute(ComputeError::Weights(vec![WeightError {
        key: None,
        rule: WeightRule::Readable,
        expected: "a safetensors file".to_owned(),
        actual: "text".to_owned(),
        message: "The file is text.".to_owned(),
        tensors: UnfitTensors::default(),
    }]))
    .in_file("notes.txt");
    assert_eq!(
        error.to_string(),
        "the weights in \"notes.txt\" do not fit (1 error): The file is text."
    );
    assert_eq!(error.details().unwrap()[0]["rule"], "READABLE");
    let error = compute(OnnxError::Unreadable("it is empty".to_owned()).into()).in_file("net.onnx");
    assert_eq!(
        error.to_string(),
        "the ONNX file \"net.onnx\" cannot be read: it is empty"
    );
    let other = ServiceError::Conflict("the name is taken".to_owned()).in_file("net.onnx");
    assert_eq!(other.to_string(), "the name is taken");
}

#[test]
fn something_that_is_missing_is_named_as_the_caller_knows_it_and_not_by_its_key() {
    let error = ServiceError::not_found("version", VersionId(12));
    assert_eq!(error.to_string(), "there is no such version");
    let error = ServiceError::not_found_by_name("data set", "\"moon\"");
    assert_eq!(error.to_string(), "there is no data set \"moon\"");
}
