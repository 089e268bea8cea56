//! Whatever is sent, a server stays within its memory, and goes on.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::join_all;
use prost::Message as _;
use scv_compute::onnx::proto::{
    DataType, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use serde_json::{Value, json};

use crate::support::client::{Client, first_error};
use crate::support::networks::{initial_weights, perceptron};
use crate::support::process::{Installation, Process};

/// The memory of the server in mebibytes: the least that one can have.
const MEMORY_MIB: u64 = 1_024;

/// The most memory that a process has had, in mebibytes.
fn peak_mib(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

/// A network of 60 layers without weights, for large images.
fn many_large_values() -> Vec<u8> {
    let value = |name: &str| ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: DataType::Float as i32,
                shape: Some(TensorShapeProto {
                    dim: [None, Some(3), Some(4_096), Some(4_096)]
                        .map(|dim_value| DimensionProto {
                            dim_value,
                            dim_param: None,
                        })
                        .to_vec(),
                }),
            }),
        }),
    };
    let relu = |index: usize| NodeProto {
        input: vec![format!("v{index}")],
        output: vec![format!("v{}", index + 1)],
        op_type: "Relu".to_owned(),
        ..NodeProto::default()
    };
    let model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            node: (0..60).map(relu).collect(),
            input: vec![value("v0")],
            output: vec![value("v60")],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// A gzipped file of zeros with a header.
fn gzipped(header: &[u32], zeros: usize) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&[0, 0, 8, header.len() as u8]).unwrap();
    for number in header {
        gzip.write_all(&number.to_be_bytes()).unwrap();
    }
    let block = vec![0; 1 << 20];
    for _ in 0..zeros >> 20 {
        gzip.write_all(&block).unwrap();
    }
    gzip.write_all(&block[..zeros % (1 << 20)]).unwrap();
    gzip.finish().unwrap()
}

/// A PNG of many grey pixels in few bytes.
fn large_png() -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    let image = image::DynamicImage::ImageLuma16(image::ImageBuffer::new(3_000, 3_000));
    image.write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

async fn failure(api: &Client, job: &Value) -> String {
    let ended = api.wait_for_end(job["id"].as_str().unwrap()).await;
    ended["failure"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn small_files_that_become_large_are_refused_and_the_server_stays_within_its_memory() {
    let installation = Installation::with_database().await;
    let mut command = installation.serve();
    command.args(["--memory", &format!("{MEMORY_MIB}MiB")]);
    let mut server = Process::run(&installation, command).await;
    let api = &server.api;

    let input = json!({ "newModel": { "name": "relus" }, "dataset": "digits" });
    let relus = many_large_values();
    let created = api.create_version(input, &[("input.onnx", &relus)]).await;
    let message = failure(api, &created["data"]["createVersion"]["job"]).await;
    assert!(
        message.contains("MiB of memory for two images; the server allows"),
        "{relus} bytes: {message}",
        relus = relus.len()
    );

    let (count, side) = (1_200, 512_u32);
    let images = gzipped(&[count, side, side], (count * side * side) as usize);
    let labels = gzipped(&[count], count as usize);
    assert!(images.len() < 4 << 20);
    let files = [images.clone(), labels.clone(), images, labels];
    let input = json!({ "name": "zeros", "allowEmptyClasses": true });
    let imported = api.import(input, &files).await;
    let message = failure(api, &imported["data"]["importDataset"]["job"]).await;
    assert!(
        message.contains("it needs 600 MiB of memory, and the server allows"),
        "{message}"
    );

    let model = api.model("m").await;
    let version = api
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let predict = "mutation($input: PredictInput!) { predict(input: $input) { preparedImage { width } } }";
    let png = large_png();
    let variables = json!({ "input": { "versionId": version, "image": null } });
    let files: [(&str, &[u8]); 1] = [("input.image", &png)];
    let predictions = join_all((0..4).map(|_| api.upload(predict, variables.clone(), &files)));
    for response in predictions.await {
        let response = response.unwrap();
        assert!(
            response["errors"].is_null() || first_error(&response).0 == "OVERLOADED",
            "{response:#}"
        );
    }

    let peak = peak_mib(&server);
    assert!(peak < MEMORY_MIB, "the server has had {peak} MiB");
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_server_says_how_much_memory_it_needs() {
    let installation = Installation::empty();
    let mut command = installation.serve();
    command.args(["--memory", "100MiB"]);
    let (status, log) = crate::support::process::run_to_exit(&installation, &mut command);
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(
        log.contains("--memory is 100 MiB; a server needs at least 1024 MiB"),
        "{log}"
    );
}
