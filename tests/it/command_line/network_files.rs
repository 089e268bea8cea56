//! The files beside an ONNX file that it keeps weights in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use prost::Message as _;
use scv_compute::onnx::proto::{ModelProto, StringStringEntryProto};

use super::{error, text};
use crate::support::client::Client;
use crate::support::networks::{initial_weights, small_cnn};
use crate::support::server::Server;

/// Writes a network into a folder, with its weights in a file at a location.
async fn write_network(api: &Client, folder: &Path, location: &str) {
    let model = api.model("origin").await;
    let version = api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    let onnx = api.download(&format!("/versions/{version}/network.onnx")).await;
    let mut file = ModelProto::decode(onnx.as_slice()).unwrap();
    let mut weights = Vec::new();
    for tensor in &mut file.graph.as_mut().unwrap().initializer {
        let bytes = if tensor.raw_data.is_empty() {
            tensor.float_data.drain(..).flat_map(f32::to_le_bytes).collect()
        } else {
            std::mem::take(&mut tensor.raw_data)
        };
        let entry = |key: &str, value: String| StringStringEntryProto {
            key: key.to_owned(),
            value,
        };
        if bytes.is_empty() {
            continue;
        }
        tensor.data_location = 1;
        tensor.external_data = vec![
            entry("location", location.to_owned()),
            entry("offset", weights.len().to_string()),
            entry("length", bytes.len().to_string()),
        ];
        weights.extend(bytes);
    }
    fs::write(folder.join("net.onnx"), file.encode_to_vec()).unwrap();
    let path = folder.join(location);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, weights).unwrap();
}

#[tokio::test]
async fn a_network_is_uploaded_with_the_files_beside_it() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    write_network(&server.api, folder.path(), "weights/net.data").await;
    let network = folder.path().join("net.onnx");
    let network = network.to_str().unwrap();
    let push = ["push", "--model", "whole", "--dataset", "digits", network];
    let output = text(&server, &push).await;
    assert!(output.contains("whole:1 is ready"), "{output}");
    assert!(output.contains("it duplicates origin:1"), "{output}");
    let dry = text(&server, &[&push[..], &["--dry-run"]].concat()).await;
    assert!(
        dry.contains("nothing was written\ninput: 1x8x8, channels first, float32, mean [")
            && dry.contains("set with --mean and --std"),
        "{dry}"
    );

    let data = folder.path().join("weights/net.data");
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("net.data");
    fs::rename(&data, &moved).unwrap();
    let message = error(&server, 1, &push).await;
    assert!(
        message.contains(
            "keeps weights in \"weights/net.data\", which is not beside it: put it there, or name it with --data"
        ),
        "{message}"
    );
    let named = text(&server, &[&push[..], &["--data", moved.to_str().unwrap()]].concat()).await;
    assert!(named.contains("whole:2 is ready"), "{named}");
    symlink(&moved, &data).unwrap();
    let message = error(&server, 1, &push).await;
    assert!(
        message.contains("which is not in the folder of the network"),
        "{message}"
    );

    // As caches of downloads have them: links to files that stand together.
    let linked = tempfile::tempdir().unwrap();
    fs::rename(network, elsewhere.path().join("blob")).unwrap();
    symlink(elsewhere.path().join("blob"), linked.path().join("net.onnx")).unwrap();
    fs::create_dir(linked.path().join("weights")).unwrap();
    symlink(&moved, linked.path().join("weights/net.data")).unwrap();
    let network = linked.path().join("net.onnx");
    let output = text(
        &server,
        &[
            "push",
            "--model",
            "linked",
            "--dataset",
            "digits",
            network.to_str().unwrap(),
        ],
    )
    .await;
    assert!(output.contains("linked:1 is ready"), "{output}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_of_another_kind_is_told_with_the_way_to_onnx() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    for (name, bytes, words) in [
        (
            "net.tflite",
            &b"\x1c\0\0\0TFL3\0\0"[..],
            "a TensorFlow Lite file: convert it",
        ),
        ("net.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("net.pt", b"anything", "export the network to ONNX"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let message = error(
            &server,
            2,
            &["push", "--model", "m", "--dataset", "digits", path.to_str().unwrap()],
        )
        .await;
        assert!(
            message.contains("is neither an ONNX file") && message.contains(words),
            "{message}"
        );
    }
    server.stop().await.unwrap();
}
