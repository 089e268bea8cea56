//! Networks of other programs: ONNX files and activations; and the export.

use prost::Message as _;
use scv_compute::onnx::proto::{ModelProto, NodeProto};
use serde_json::{Value, json};

use crate::support::client::{Client, first_error, text};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

const READ_BLOCKS: &str = "mutation($input: ReadBlocksInput!) { readBlocks(input: $input) {
    blocks problems { node operator message } imageShape report { valid parameterCount } } }";

/// The layers of a version with their best hit in another model.
async fn best_hits_in(api: &Client, version: &Value, model: &str) -> Vec<Value> {
    let query = "query($id: ID!, $in: ID!) { version(id: $id) { accuracy layers { nodes { name kind
                   similar(first: 1, filter: { models: [$in] }) { edges { debiasedCka node { name kind } } } } } } }";
    let data = api.data(query, json!({ "id": version, "in": model })).await;
    data["version"]["layers"]["nodes"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_exported_onnx_file_is_imported_with_the_same_layers() {
    let server = Server::start().await;
    let api = &server.api;
    let blocks_model = api.model("blocks").await;
    let version = api
        .train_and_wait(&blocks_model, small_cnn(), json!({ "epochs": 2, "seed": 1 }))
        .await;
    let query = "query($id: ID!) { version(id: $id) { accuracy code downloads { onnx pytorch safetensors } } }";
    let exported = api.data(query, json!({ "id": version })).await["version"].take();
    assert!(
        exported["code"].as_str().unwrap().contains("nn.Conv2d("),
        "{exported:#}"
    );
    let onnx = api.download(exported["downloads"]["onnx"].as_str().unwrap()).await;
    let source = api.download(exported["downloads"]["pytorch"].as_str().unwrap()).await;
    assert_eq!(String::from_utf8(source).unwrap(), exported["code"].as_str().unwrap());
    let weights = api
        .download(exported["downloads"]["safetensors"].as_str().unwrap())
        .await;
    api.push_and_wait(&blocks_model, small_cnn(), weights).await;

    let onnx_model = api.model("onnx").await;
    let input = json!({ "modelId": onnx_model, "dataset": "digits" });
    let payload = api.create_version_and_wait(input, &[("input.onnx", &onnx)]).await;
    assert_eq!(payload["version"]["format"], "ONNX");
    let query = "query($id: ID!) { version(id: $id) { accuracy parameterCount code downloads { onnx pytorch }
                   preprocessing { channels height width channelOrder mean std } } }";
    let imported = api.data(query, json!({ "id": payload["version"]["id"] })).await["version"].take();
    assert_eq!(imported["accuracy"], exported["accuracy"]);
    assert_eq!(
        (&imported["code"], &imported["downloads"]["pytorch"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        api.download(imported["downloads"]["onnx"].as_str().unwrap()).await,
        onnx
    );
    insta::assert_json_snapshot!(imported["preprocessing"]);

    let layers = best_hits_in(api, &payload["version"]["id"], &blocks_model).await;
    let names: Vec<_> = layers.iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["0", "1", "2", "3", "4", "5", "7"],
        "the positions of the blocks, without the flattening"
    );
    for layer in &layers {
        let best = &layer["similar"]["edges"][0];
        assert!((best["debiasedCka"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{layer:#}");
        assert_eq!(best["node"]["kind"], layer["kind"], "{layer:#}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_inputs_of_layers_are_the_edges_of_the_network() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("residual").await;
    let convolution = json!({ "kind": "Conv2d", "parameters": { "out_channels": 1, "kernel_size": 3, "padding": 1 } });
    let blocks = json!([
        { "kind": "Residual", "main": [convolution, { "kind": "ReLU" }] },
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": 10 } },
    ]);
    let version = api
        .push_and_wait(&model, blocks.clone(), initial_weights(&blocks, 1))
        .await;
    let query = "query($id: ID!) { version(id: $id) { layers { nodes { index name inputs } } downloads { onnx } } }";
    let found = api.data(query, json!({ "id": version })).await["version"].take();
    // The sum reads the image too, and the Flatten before the last layer is no layer.
    let expected = json!([
        { "index": 0, "name": "0.main.0", "inputs": [-1] },
        { "index": 1, "name": "0.main.1", "inputs": [0] },
        { "index": 2, "name": "0", "inputs": [1, -1] },
        { "index": 3, "name": "2", "inputs": [2] },
    ]);
    assert_eq!(found["layers"]["nodes"], expected);

    let onnx = api.download(text(&found["downloads"]["onnx"]).as_str()).await;
    let input = json!({ "modelId": model, "dataset": "digits" });
    let imported = api.create_version_and_wait(input, &[("input.onnx", &onnx)]).await;
    let of_file = api.data(query, json!({ "id": imported["version"]["id"] })).await["version"].take();
    let edges = |version: &Value| -> Vec<Value> {
        let layers = version["layers"]["nodes"].as_array().unwrap();
        layers.iter().map(|layer| layer["inputs"].clone()).collect()
    };
    assert_eq!(edges(&of_file), edges(&found));

    let input = json!({ "modelId": model, "dataset": "digits" });
    let computed = api
        .create_version_and_wait(input, &[("input.activations", &activations(100, 1.0))])
        .await;
    let unknown = api.data(query, json!({ "id": computed["version"]["id"] })).await["version"].take();
    assert_eq!(edges(&unknown), [Value::Null, Value::Null]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_onnx_file_with_unsupported_operators_is_refused_with_every_node() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let version = api
        .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
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
    let response = api
        .create_version(input.clone(), &[("input.onnx", &file.encode_to_vec())])
        .await;
    insta::assert_json_snapshot!(response["errors"][0], { ".locations" => "[locations]" });

    for bad in [&b"not a network"[..], &onnx[..onnx.len() / 2], b""] {
        let response = api.create_version(input.clone(), &[("input.onnx", bad)]).await;
        assert_eq!(first_error(&response).0, "BAD_USER_INPUT", "{response:#}");
    }
    let both = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron() });
    let response = api.create_version(both, &[("input.onnx", &onnx)]).await;
    assert!(first_error(&response).1.contains("specify one network"), "{response:#}");
    let query = "query($id: ID!) { model(id: $id) { versions { totalCount } } }";
    let data = api.data(query, json!({ "id": model })).await;
    assert_eq!(data["model"]["versions"]["totalCount"], 1, "nothing was stored");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_onnx_network_runs_on_another_data_set_with_its_own_preprocessing() {
    let server = Server::start().await;
    let api = &server.api;
    api.import_numbers().await;
    // The file was made for one data set and is registered for another; its input size is that of the file.
    let model = api.model("m").await;
    let version = api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    let onnx = api.download(&format!("/versions/{version}/network.onnx")).await;
    let preprocessing = json!({ "mean": [0.5], "std": [0.25], "scale": 0.00392157, "channelOrder": "BGR" });
    let input = json!({ "modelId": model, "dataset": "numbers", "preprocessing": preprocessing });
    let payload = api
        .create_version_and_wait(input.clone(), &[("input.onnx", &onnx)])
        .await;
    let query = "query($id: ID!) { version(id: $id) { preprocessing { channelOrder mean } dataset { name } } }";
    let data = api.data(query, json!({ "id": payload["version"]["id"] })).await;
    assert_eq!(data["version"]["preprocessing"]["channelOrder"], "BGR");
    let bad = json!({ "modelId": model, "dataset": "numbers", "preprocessing": { "mean": [0.5, 0.5, 0.5], "std": [1, 1, 1] } });
    let response = api.create_version(bad, &[("input.onnx", &onnx)]).await;
    assert!(
        first_error(&response).1.contains("has 1 input channels"),
        "{response:#}"
    );
    let bad = json!({ "modelId": model, "dataset": "numbers", "preprocessing": { "height": 9, "width": 9 } });
    let response = api.create_version(bad, &[("input.onnx", &onnx)]).await;
    assert_eq!(first_error(&response).0, "BAD_USER_INPUT", "{response:#}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_onnx_file_is_read_as_blocks_to_be_changed_and_trained() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let version = api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    let onnx = api.download(&format!("/versions/{version}/network.onnx")).await;
    let read = async |dataset: &str, file: &[u8]| {
        let input = json!({ "dataset": dataset, "file": null });
        let files = [("input.file", file)];
        api.upload(READ_BLOCKS, json!({ "input": input }), &files)
            .await
            .unwrap()
    };
    let payload = read("digits", &onnx).await["data"]["readBlocks"].take();
    assert_eq!(payload["problems"], json!([]));
    assert_eq!(payload["imageShape"], json!([1, 8, 8]));
    assert_eq!(payload["blocks"], small_cnn());
    assert_eq!(payload["report"]["valid"], true);
    let query =
        "query($id: ID!) { version(id: $id) { parameterCount } model(name: \"m\") { versions { totalCount } } }";
    let data = api.data(query, json!({ "id": version })).await;
    assert_eq!(
        payload["report"]["parameterCount"].as_f64(),
        data["version"]["parameterCount"].as_f64()
    );
    assert_eq!(data["model"]["versions"]["totalCount"], 1, "nothing is registered");
    api.train_and_wait(&model, payload["blocks"].clone(), json!({ "epochs": 1 }))
        .await;

    let mut file = ModelProto::decode(onnx.as_slice()).unwrap();
    let nodes = &mut file.graph.as_mut().unwrap().node;
    let relu = nodes.iter_mut().find(|node| node.op_type == "Relu").unwrap();
    relu.op_type = "HardSwish".to_owned();
    let payload = read("digits", &file.encode_to_vec()).await["data"]["readBlocks"].take();
    assert_eq!((&payload["blocks"], &payload["report"]), (&Value::Null, &Value::Null));
    insta::assert_json_snapshot!(payload["problems"]);

    for bad in [&b"not a network"[..], &onnx[..onnx.len() / 2], b""] {
        let registered = json!({ "modelId": model, "dataset": "digits" });
        let registered = api.create_version(registered, &[("input.onnx", bad)]).await;
        let (code, message) = first_error(&read("digits", bad).await);
        let (same_code, same_message) = first_error(&registered);
        assert_eq!(
            (code, message),
            (same_code, same_message.replace("input.onnx", "input.file"))
        );
    }
    assert_eq!(first_error(&read("moon", &onnx).await).0, "NOT_FOUND");
    server.stop().await.unwrap();
}

/// Two arrays with a number of rows, as a safetensors file; `second` is the scale of the second array.
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

/// The response to a search with the layers of a file of activations.
async fn search_with_activations(api: &Client, file: &[u8], layers: Value) -> Value {
    let input = json!({ "dataset": "digits", "activations": null, "layers": layers, "first": 3 });
    api.upload(SIMILAR, json!({ "input": input }), &[("input.activations", file)])
        .await
        .unwrap()
}

#[tokio::test]
async fn activations_are_registered_as_a_version_that_cannot_be_run() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("elsewhere").await;
    let file = activations(100, 0.0);
    let input = json!({ "modelId": model, "dataset": "digits" });
    let payload = api
        .create_version_and_wait(input, &[("input.activations", &file)])
        .await;
    assert_eq!(payload["version"]["format"], "ACTIVATIONS");
    let query = "query($id: ID!) { version(id: $id) { accuracy probeSet { isDefault }
                   layers { nodes { name kind outputShape degenerate { reason } } } } }";
    let data = api.data(query, json!({ "id": payload["version"]["id"] })).await;
    insta::assert_json_snapshot!(data["version"]);
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

#[tokio::test]
async fn a_search_with_activations_finds_similar_layers() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("elsewhere").await;
    let file = activations(100, 0.0);
    let input = json!({ "modelId": model, "dataset": "digits" });
    api.create_version_and_wait(input, &[("input.activations", &file)])
        .await;
    let response = search_with_activations(api, &file, Value::Null).await;
    assert!(response.get("errors").is_none(), "{response:#}");
    let [first, second] = response["data"]["similarToActivations"]["matches"]
        .as_array()
        .unwrap()
        .as_slice()
    else {
        panic!("{response:#}")
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
    let response = search_with_activations(api, &file, json!(["first"])).await;
    assert_eq!(
        response["data"]["similarToActivations"]["matches"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let response = search_with_activations(api, &file, json!(["third"])).await;
    assert!(first_error(&response).1.contains("no array \"third\""), "{response:#}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn activations_for_another_number_of_images_are_refused() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("elsewhere").await;
    let input = json!({ "modelId": model, "dataset": "digits" });
    let file = activations(99, 1.0);
    let response = api.create_version(input, &[("input.activations", &file)]).await;
    insta::assert_json_snapshot!(response["errors"][0], { ".locations" => "[locations]" });
    let response = search_with_activations(api, &file, Value::Null).await;
    assert_eq!(first_error(&response).0, "BAD_USER_INPUT", "{response:#}");
    server.stop().await.unwrap();
}
