//! Networks that were made elsewhere: ONNX files, state dicts of PyTorch, activations; and the way out again.

use prost::Message as _;
use scv_compute::onnx::proto::{ModelProto, NodeProto};
use serde_json::{Value, json};

use crate::support::client::{Client, first_error, text};
use crate::support::idx;
use crate::support::networks::{first_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// The layers of a version with their best hit in another model.
async fn best_in(api: &Client, version: &Value, model: &str) -> Vec<Value> {
    let query = "query($id: ID!, $in: ID!) { version(id: $id) { accuracy layers { nodes { name kind
                   similar(first: 1, filter: { models: [$in] }) { edges { debiasedCka node { name kind } } } } } } }";
    let data = api.data(query, json!({ "id": version, "in": model })).await;
    data["version"]["layers"]["nodes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_network_that_goes_out_as_onnx_comes_back_with_the_same_layers() {
    let server = Server::start().await;
    let api = &server.api;
    let blocks_model = api.model("blocks").await;
    let version = api
        .trained(&blocks_model, small_cnn(), json!({ "epochs": 2, "seed": 1 }))
        .await;
    let query = "query($id: ID!) { version(id: $id) { accuracy code downloads { onnx pytorch safetensors } } }";
    let out = api.data(query, json!({ "id": version })).await["version"].take();
    assert!(out["code"].as_str().unwrap().contains("nn.Conv2d("), "{out:#}");
    let onnx = api.download(out["downloads"]["onnx"].as_str().unwrap()).await;
    let source = api.download(out["downloads"]["pytorch"].as_str().unwrap()).await;
    assert_eq!(String::from_utf8(source).unwrap(), out["code"].as_str().unwrap());
    let weights = api.download(out["downloads"]["safetensors"].as_str().unwrap()).await;
    api.pushed(&blocks_model, small_cnn(), weights).await;

    let onnx_model = api.model("onnx").await;
    let input = json!({ "modelId": onnx_model, "dataset": "digits" });
    let payload = api.created_version(input, &[("input.onnx", &onnx)]).await;
    assert_eq!(payload["version"]["format"], "ONNX");
    let query = "query($id: ID!) { version(id: $id) { accuracy parameterCount code downloads { onnx pytorch }
                   preprocessing { channels height width channelOrder mean std } } }";
    let back = api.data(query, json!({ "id": payload["version"]["id"] })).await["version"].take();
    assert_eq!(back["accuracy"], out["accuracy"]);
    assert_eq!(
        (&back["code"], &back["downloads"]["pytorch"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(api.download(back["downloads"]["onnx"].as_str().unwrap()).await, onnx);
    insta::assert_json_snapshot!(back["preprocessing"]);

    let layers = best_in(api, &payload["version"]["id"], &blocks_model).await;
    let names: Vec<_> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["0", "1", "2", "3", "4", "5", "7"],
        "the places of the blocks, without the flattening"
    );
    for layer in &layers {
        let best = &layer["similar"]["edges"][0];
        assert!((best["debiasedCka"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{layer:#}");
        assert_eq!(best["node"]["kind"], layer["kind"], "{layer:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_onnx_file_that_cannot_be_computed_is_refused_with_every_node() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let version = api.pushed(&model, perceptron(), first_weights(&perceptron(), 1)).await;
    let onnx = api.download(&format!("/versions/{version}/network.onnx")).await;
    let mut file = ModelProto::decode(onnx.as_slice()).unwrap();
    for (name, domain) in [("Frobnicate", ""), ("Attention", "com.example")] {
        let last = file.graph.as_ref().unwrap().output[0].name.clone();
        file.graph.as_mut().unwrap().node.push(NodeProto {
            input: vec![last],
            output: vec![name.to_lowercase()],
            name: format!("the_{}", name.to_lowercase()),
            op_type: name.to_owned(),
            domain: domain.to_owned(),
            ..NodeProto::default()
        });
    }
    let input = json!({ "modelId": model, "dataset": "digits" });
    let answer = api
        .create_version(input.clone(), &[("input.onnx", &file.encode_to_vec())])
        .await;
    insta::assert_json_snapshot!(answer["errors"][0], { ".locations" => "[locations]" });

    for bad in [&b"no network at all"[..], &onnx[..onnx.len() / 2], b""] {
        let answer = api.create_version(input.clone(), &[("input.onnx", bad)]).await;
        assert_eq!(first_error(&answer).0, "BAD_USER_INPUT", "{answer:#}");
    }
    let both = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron() });
    let answer = api.create_version(both, &[("input.onnx", &onnx)]).await;
    assert!(first_error(&answer).1.contains("give one network"), "{answer:#}");
    let query = "query($id: ID!) { model(id: $id) { versions { totalCount } } }";
    let data = api.data(query, json!({ "id": model })).await;
    assert_eq!(data["model"]["versions"]["totalCount"], 1, "nothing was written");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_onnx_network_runs_on_images_of_another_size_and_colour() {
    let server = Server::start().await;
    let api = &server.api;
    api.import_numbers().await;
    // Made for one data set, registered for another: its own size is that of the file.
    let model = api.model("m").await;
    let version = api.pushed(&model, small_cnn(), first_weights(&small_cnn(), 1)).await;
    let onnx = api.download(&format!("/versions/{version}/network.onnx")).await;
    let preprocessing = json!({ "mean": [0.5], "std": [0.25], "scale": 0.00392157, "channelOrder": "BGR" });
    let input = json!({ "modelId": model, "dataset": "numbers", "preprocessing": preprocessing });
    let payload = api.created_version(input.clone(), &[("input.onnx", &onnx)]).await;
    let query = "query($id: ID!) { version(id: $id) { preprocessing { channelOrder mean } dataset { name } } }";
    let data = api.data(query, json!({ "id": payload["version"]["id"] })).await;
    assert_eq!(data["version"]["preprocessing"]["channelOrder"], "BGR");
    let bad = json!({ "modelId": model, "dataset": "numbers", "preprocessing": { "mean": [0.5, 0.5, 0.5], "std": [1, 1, 1] } });
    let answer = api.create_version(bad, &[("input.onnx", &onnx)]).await;
    assert!(first_error(&answer).1.contains("reads 1 channels"), "{answer:#}");
    let bad = json!({ "modelId": model, "dataset": "numbers", "preprocessing": { "height": 9, "width": 9 } });
    let answer = api.create_version(bad, &[("input.onnx", &onnx)]).await;
    assert_eq!(first_error(&answer).0, "BAD_USER_INPUT", "{answer:#}");
    server.stop().await.unwrap();
}

/// Two arrays of 100 rows, as a safetensors file.
fn activations(rows: usize, second: f32) -> Vec<u8> {
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    let numbers = |columns: usize, scale: f32| -> Vec<u8> {
        (0..rows * columns)
            .flat_map(|place| (((place * place + 7 * place) % 31) as f32 * scale).to_le_bytes())
            .collect()
    };
    let (first, other) = (numbers(12, 0.1), numbers(6, second));
    let views = [
        ("first", TensorView::new(Dtype::F32, vec![rows, 3, 4], &first).unwrap()),
        ("second", TensorView::new(Dtype::F32, vec![rows, 6], &other).unwrap()),
    ];
    safetensors::serialize(views, None).unwrap()
}

const SIMILAR: &str = "mutation($input: SimilarToActivationsInput!) { similarToActivations(input: $input) { matches {
    name shape degenerate exact hits { rank debiasedCka node { name kind version { format model { name } } } } } } }";

#[tokio::test]
async fn activations_become_a_version_or_are_only_asked_about() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("elsewhere").await;
    let file = activations(100, 0.0);
    let input = json!({ "modelId": model, "dataset": "digits" });
    let payload = api
        .created_version(input.clone(), &[("input.activations", &file)])
        .await;
    assert_eq!(payload["version"]["format"], "ACTIVATIONS");
    let query = "query($id: ID!) { version(id: $id) { accuracy probeSet { isDefault }
                   layers { nodes { name kind outputShape degenerate { reason } } } } }";
    let data = api.data(query, json!({ "id": payload["version"]["id"] })).await;
    insta::assert_json_snapshot!(data["version"]);

    let asked = |file: Vec<u8>, layers: Value| async move {
        let files = [("input.activations", file.as_slice())];
        let input = json!({ "dataset": "digits", "activations": null, "layers": layers, "first": 3 });
        api.upload(SIMILAR, json!({ "input": input }), &files).await.unwrap()
    };
    let answer = asked(file.clone(), Value::Null).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    let [first, second] = answer["data"]["similarToActivations"]["matches"]
        .as_array()
        .unwrap()
        .as_slice()
    else {
        panic!("{answer:#}")
    };
    assert_eq!(first["hits"][0]["node"]["name"], "first");
    assert!(
        (first["hits"][0]["debiasedCka"].as_f64().unwrap() - 1.0).abs() < 1e-5,
        "{first:#}"
    );
    assert_eq!(
        (&second["degenerate"], &second["hits"]),
        (&json!("CONSTANT"), &json!([]))
    );
    let answer = asked(file.clone(), json!(["first"])).await;
    assert_eq!(
        answer["data"]["similarToActivations"]["matches"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let answer = asked(file, json!(["third"])).await;
    assert!(first_error(&answer).1.contains("no array \"third\""), "{answer:#}");

    let answer = api
        .create_version(input.clone(), &[("input.activations", &activations(99, 1.0))])
        .await;
    insta::assert_json_snapshot!(answer["errors"][0], { ".locations" => "[locations]" });
    let answer = asked(activations(99, 1.0), Value::Null).await;
    assert_eq!(first_error(&answer).0, "BAD_USER_INPUT", "{answer:#}");
    let evaluate = "mutation($id: ID!) { evaluateVersion(input: { versionId: $id }) { job { id } } }";
    let (code, _) = api.error(evaluate, json!({ "id": payload["version"]["id"] })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    let response = reqwest::get(format!(
        "{}/versions/{}/network.onnx",
        api.url,
        text(&payload["version"]["id"])
    ))
    .await;
    assert_eq!(response.unwrap().status(), 400);
    server.stop().await.unwrap();
}

/// The network whose state dicts lie in `tests/golden/pytorch`.
fn golden_blocks() -> Value {
    json!([
        { "kind": "Conv2d", "parameters": { "out_channels": 2, "kernel_size": 3 } },
        { "kind": "BatchNorm2d" },
        { "kind": "ReLU" },
        { "kind": "Conv2d", "parameters": { "out_channels": 3, "kernel_size": 3, "bias": false } },
        { "kind": "AdaptiveAvgPool2d", "parameters": { "output_size": 1 } },
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": 4 } },
    ])
}

#[tokio::test]
async fn a_state_dict_of_pytorch_is_matched_shown_and_used_and_a_hostile_one_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let import = "mutation($input: ImportDatasetInput!) { importDataset(input: $input) { dataset { name } } }";
    let input =
        json!({ "name": "four", "trainImages": null, "trainLabels": null, "testImages": null, "testLabels": null });
    let files = [
        idx::images(120, 8),
        idx::labels(120, 4, 0),
        idx::images(40, 8),
        idx::labels(40, 4, 0),
    ];
    let fields = [
        "input.trainImages",
        "input.trainLabels",
        "input.testImages",
        "input.testLabels",
    ];
    let files: Vec<_> = fields.into_iter().zip(files.iter().map(Vec::as_slice)).collect();
    let answer = api.upload(import, json!({ "input": input }), &files).await.unwrap();
    assert!(answer.get("errors").is_none(), "{answer:#}");
    let model = api.model("m").await;
    let golden = |name: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/pytorch");
        std::fs::read(format!("{folder}/{name}.pth")).unwrap()
    };
    let input = json!({ "modelId": model, "dataset": "four", "blocks": golden_blocks() });
    let mut dry = input.clone();
    dry["dryRun"] = json!(true);

    let answer = api
        .create_version(dry, &[("input.weights", &golden("named_legacy"))])
        .await;
    insta::assert_json_snapshot!(answer["data"]["createVersion"]);
    let query = "query($id: ID!) { model(id: $id) { versions { totalCount } } }";
    let data = api.data(query, json!({ "id": model })).await;
    assert_eq!(data["model"]["versions"]["totalCount"], 0, "a dry run writes nothing");

    let named = api
        .created_version(input.clone(), &[("input.weights", &golden("named_zip"))])
        .await;
    assert_eq!(named["mapping"]["by"], "ORDER");
    let plain = api
        .created_version(input.clone(), &[("input.weights", &golden("plain_legacy"))])
        .await;
    assert_eq!(plain["mapping"]["by"], "KEY");
    let weights = |version: &Value| format!("/versions/{}/weights.safetensors", text(&version["version"]["id"]));
    let (named, plain) = (
        api.download(&weights(&named)).await,
        api.download(&weights(&plain)).await,
    );
    assert_eq!(named, plain, "the same network under other names");

    for (name, wanted) in [
        ("hostile_zip", "system"),
        ("hostile_legacy", "system"),
        ("script", "TorchScript"),
    ] {
        let answer = api
            .create_version(input.clone(), &[("input.weights", &golden(name))])
            .await;
        let (code, message) = first_error(&answer);
        assert_eq!(code, "BAD_USER_INPUT", "{name}");
        assert!(message.contains(wanted), "{name}: {message}");
    }
    let mut other = input;
    other["blocks"] = json!([{ "kind": "Flatten" }, { "kind": "Linear", "parameters": { "out_features": 4 } }]);
    let answer = api
        .create_version(other, &[("input.weights", &golden("plain_zip"))])
        .await;
    assert_eq!(first_error(&answer).0, "BAD_USER_INPUT", "{answer:#}");
    assert!(
        answer["errors"][0]["extensions"]["details"].as_array().unwrap().len() > 1,
        "{answer:#}"
    );
    server.stop().await.unwrap();
}
