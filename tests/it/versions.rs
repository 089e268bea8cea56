//! Versions: validated before anything is stored, and evaluated on data sets that fit.

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};

use crate::support::client::{CREATE_VERSION, first_error};
use crate::support::networks::{constant_weights, initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

/// The error of a registration that must be refused.
async fn refusal(server: &Server, blocks: Value, weights: &[u8]) -> Value {
    let model = server.api.model(&uuid::Uuid::new_v4().to_string()).await;
    let input = json!({ "modelId": model, "dataset": "digits", "blocks": blocks, "weights": null });
    let response = server
        .api
        .upload(CREATE_VERSION, json!({ "input": input }), &[("input.weights", weights)])
        .await
        .unwrap();
    assert_eq!(first_error(&response).0, "BAD_USER_INPUT");
    let query = "query($id: ID!) { model(id: $id) { versions { totalCount } } }";
    let data = server.api.data(query, json!({ "id": model })).await;
    assert_eq!(data["model"]["versions"]["totalCount"], 0, "nothing was stored");
    response["errors"][0].clone()
}

#[tokio::test]
async fn invalid_blocks_are_refused_with_every_error_and_its_path() {
    let server = Server::start().await;
    let blocks = json!([
        { "kind": "Conv2d", "parameters": { "out_channels": 8, "kernel_size": 9 } },
        { "kind": "Relu" },
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": 7 } },
    ]);
    let error = refusal(&server, blocks.clone(), &initial_weights(&perceptron(), 1)).await;
    insta::assert_json_snapshot!(error, { ".locations" => "[locations]" });

    let query = "query($blocks: [BlockInput!]!) { validateBlocks(blocks: $blocks, dataset: \"digits\") {
                   valid outputShape parameterCount multiplyAccumulates
                   errors { path kind parameter rule expected actual message }
                   layers { path kind inputShape outputShape parameterCount multiplyAccumulates } } }";
    let report = server.api.data(query, json!({ "blocks": blocks })).await;
    insta::assert_json_snapshot!(report);
    let report = server.api.data(query, json!({ "blocks": small_cnn() })).await;
    insta::assert_json_snapshot!(report);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn valid_blocks_have_source_code_before_they_are_registered() {
    let server = Server::start().await;
    let query = "query($blocks: [BlockInput!]!) { validateBlocks(blocks: $blocks, dataset: \"digits\") {
                   valid code same: code(format: PYTORCH) } }";
    let code = async |blocks: Value| server.api.data(query, json!({ "blocks": blocks })).await["validateBlocks"].take();
    let valid = code(small_cnn()).await;
    let source = valid["code"].as_str().unwrap();
    assert!(source.contains("class Network(nn.Sequential)"), "{source}");
    assert!(source.contains("nn.Linear(256, 10)"), "{source}");
    assert_eq!(valid["code"], valid["same"]);
    let invalid = code(json!([{ "kind": "Flatten" }, { "kind": "Linear", "parameters": { "out_features": 7 } }])).await;
    assert_eq!(invalid, json!({ "valid": false, "code": null, "same": null }));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn mismatched_weights_are_refused_with_every_mismatch() {
    let server = Server::start().await;
    let weights = constant_weights(&[("1.weight", &[10, 63], 0.5), ("2.bias", &[10], 0.0)]);
    let error = refusal(&server, perceptron(), &weights).await;
    insta::assert_json_snapshot!(error, { ".locations" => "[locations]" });
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_file_that_claims_a_header_of_two_gigabytes_is_refused() {
    let server = Server::start().await;
    let mut weights = (2_u64 << 30).to_le_bytes().to_vec();
    weights.extend(b"{\"1.weight\"");
    let error = refusal(&server, perceptron(), &weights).await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("2147483648"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn weights_in_half_precision_are_accepted() {
    let server = Server::start().await;
    let model = server.api.model("m").await;
    server
        .api
        .train_and_wait(&model, perceptron(), json!({ "epochs": 3 }))
        .await;
    let query = "{ model(name: \"m\") { version(alias: \"latest\") { accuracy } } }";
    let whole = server.api.data(query, json!({})).await["model"]["version"]["accuracy"]
        .as_f64()
        .unwrap();
    let stored = std::fs::read_dir(server.config.data_dir.join("artifacts/weights"))
        .unwrap()
        .next();
    let halved = halved(&std::fs::read(stored.unwrap().unwrap().path()).unwrap());
    server.api.push_and_wait(&model, perceptron(), halved).await;
    let half = server.api.data(query, json!({})).await["model"]["version"]["accuracy"]
        .as_f64()
        .unwrap();
    assert!((whole - half).abs() < 0.02, "{whole} and {half}");
    server.stop().await.unwrap();
}

/// The same tensors in f16.
fn halved(file: &[u8]) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(file).unwrap();
    let halves: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(key, view)| {
            let numbers = view
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes));
            let bytes = numbers.flat_map(|number| f16::from_f32(number).to_le_bytes()).collect();
            (key.to_owned(), view.shape().to_vec(), bytes)
        })
        .collect();
    let views = halves
        .iter()
        .map(|(key, shape, bytes)| (key, TensorView::new(Dtype::F16, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[tokio::test]
async fn a_version_can_be_evaluated_on_any_data_set_that_fits() {
    let server = Server::start().await;
    let api = &server.api;
    api.import_numbers().await;
    let model = api.model("m").await;
    let version = api.train_and_wait(&model, perceptron(), json!({ "epochs": 3 })).await;
    let accuracies = "query($id: ID!) { version(id: $id) { own: accuracy other: accuracy(dataset: \"numbers\")
                evaluation { accuracy loss imageCount dataset { name } }
                elsewhere: evaluation(dataset: \"numbers\") { accuracy loss imageCount dataset { name } } } }";
    let before = api.data(accuracies, json!({ "id": version })).await["version"].take();
    assert_eq!(before["other"], Value::Null);
    assert_eq!(before["evaluation"]["imageCount"], 355);

    let evaluate = "mutation($id: ID!, $on: String) {
                      evaluateVersion(input: { versionId: $id, dataset: $on }) { job { id kind } } }";
    let job = api.data(evaluate, json!({ "id": version, "on": "numbers" })).await["evaluateVersion"]["job"].take();
    assert_eq!(job["kind"], "EVALUATE");
    api.wait_for_success(job["id"].as_str().unwrap()).await;
    let after = api.data(accuracies, json!({ "id": version })).await["version"].take();
    assert_eq!(after["other"], before["own"], "both data sets have the same images");
    assert_eq!(after["elsewhere"]["loss"], before["evaluation"]["loss"]);
    assert_eq!(after["elsewhere"]["dataset"]["name"], "numbers");

    let (code, _) = api.error(evaluate, json!({ "id": version, "on": "moon" })).await;
    assert_eq!(code, "NOT_FOUND");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_training_settings_are_refused_by_name() {
    let server = Server::start().await;
    let model = server.api.model("m").await;
    let train = "mutation($input: TrainVersionInput!) { trainVersion(input: $input) { job { id } } }";
    let bad = [
        json!({ "epochs": 0 }),
        json!({ "epochs": 1001 }),
        json!({ "batchSize": 0 }),
        json!({ "batchSize": 4097 }),
        json!({ "learningRate": 0.0 }),
        json!({ "learningRate": 10.5 }),
        json!({ "momentum": 1.0, "optimizer": "SGD" }),
        json!({ "weightDecay": -0.1 }),
        json!({ "seed": -1 }),
    ];
    for settings in bad {
        let input = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron(), "settings": settings });
        let (code, message) = server.api.error(train, json!({ "input": input })).await;
        assert_eq!(code, "BAD_USER_INPUT", "{settings}");
        let field = settings.as_object().unwrap().keys().next().unwrap();
        assert!(message.contains(&format!("`settings.{field}` must be")), "{message}");
    }
    for settings in [
        json!({ "momentum": 0.5 }),
        json!({ "momentum": 0.9, "optimizer": "ADAMW" }),
    ] {
        let input = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron(), "settings": settings });
        let (code, message) = server.api.error(train, json!({ "input": input })).await;
        assert_eq!(code, "BAD_USER_INPUT", "{settings}");
        assert_eq!(
            message,
            "`settings.momentum` applies only to the optimizer SGD: omit it, or set `settings.optimizer` to SGD"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_block_language_describes_itself() {
    let server = Server::start().await;
    let query = "{ blockKinds { name summary parameters { name values required default description } } }";
    let data = server.api.data(query, json!({})).await;
    let kinds = data["blockKinds"].as_array().unwrap();
    let names: Vec<_> = kinds.iter().map(|kind| kind["name"].as_str().unwrap()).collect();
    for expected in [
        "Conv2d",
        "ConvTranspose2d",
        "MaxPool2d",
        "AvgPool2d",
        "AdaptiveAvgPool2d",
        "ReflectionPad2d",
        "ReplicationPad2d",
        "ZeroPad2d",
        "ConstantPad2d",
        "BatchNorm2d",
        "Dropout",
        "Flatten",
        "Linear",
        "Softmax",
        "ReLU",
        "LeakyReLU",
        "ELU",
        "GELU",
        "SiLU",
        "Sigmoid",
        "Tanh",
        "Hardtanh",
        "ReLU6",
        "Softplus",
        "Residual",
    ] {
        assert!(names.contains(&expected), "{expected} is missing in {names:?}");
    }
    insta::assert_json_snapshot!(kinds[0]);
    server.stop().await.unwrap();
}

/// How a version came to be.
const HISTORY: &str = "query($id: ID!) { version(id: $id) {
    createdBy job { id kind status } trainSettings { epochs batchSize learningRate optimizer momentum weightDecay schedule seed
    validationShare } epochs { epoch validationAccuracy validationLoss } trainingCurve } }";

#[tokio::test]
async fn a_version_says_how_it_was_trained_by_whom_and_in_which_job() {
    let server = Server::start().await;
    let ada = server.api.as_account("ada", "WRITE").await;
    let model = server.api.model("m").await;
    let settings = json!({ "epochs": 2, "batchSize": 32, "learningRate": 0.01, "optimizer": "SGD", "momentum": 0.5,
                           "weightDecay": 0.001, "schedule": "COSINE", "seed": 7 });
    let job = ada.train(&model, perceptron(), settings.clone()).await;
    let version = ada.wait_for_success(&job).await["version"]["id"].take();
    let seen = server.api.data(HISTORY, json!({ "id": version })).await["version"].take();
    let mut expected = settings;
    expected["validationShare"] = json!(0.0);
    assert_eq!(seen["trainSettings"], expected);
    assert_eq!(seen["createdBy"], "ada");
    assert_eq!(
        seen["job"],
        json!({ "id": job, "kind": "TRAIN", "status": "SUCCEEDED" })
    );
    let unmeasured = |epoch| json!({ "epoch": epoch, "validationAccuracy": null, "validationLoss": null });
    assert_eq!(seen["epochs"], json!([unmeasured(1), unmeasured(2)]));

    // Later jobs, such as the measurement on another probe set, did not build it.
    let probe_set =
        "mutation { createProbeSet(input: { dataset: \"digits\", imageCount: 20, seed: 2 }) { jobs { id kind } } }";
    let jobs = server.api.data(probe_set, json!({})).await["createProbeSet"]["jobs"].take();
    assert_eq!(jobs[0]["kind"], "INGEST");
    server.api.wait_for_success(jobs[0]["id"].as_str().unwrap()).await;
    let again = server.api.data(HISTORY, json!({ "id": version })).await["version"].take();
    assert_eq!(again["job"], seen["job"]);

    let weights = initial_weights(&perceptron(), 1);
    let (version, job) = server.api.try_push(&model, perceptron(), weights).await.unwrap();
    server.api.wait_for_success(&job).await;
    let seen = server.api.data(HISTORY, json!({ "id": version })).await["version"].take();
    assert_eq!(seen["trainSettings"], Value::Null, "it was not trained here");
    assert_eq!(seen["createdBy"], Value::Null, "no token was required");
    assert_eq!(seen["job"]["kind"], "INGEST");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_share_of_the_training_images_can_be_kept_out_and_measured_after_each_epoch() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let settings = json!({ "epochs": 3, "seed": 1, "learningRate": 0.01, "validationShare": 0.2 });
    let version = api.train_and_wait(&model, perceptron(), settings).await;
    let seen = api.data(HISTORY, json!({ "id": version })).await["version"].take();
    assert_eq!(seen["trainSettings"]["validationShare"], 0.2);
    let of_epoch = |epoch: usize, field: &str| seen["epochs"][epoch][field].as_f64().unwrap();
    for epoch in 0..3 {
        assert!((0.0..=1.0).contains(&of_epoch(epoch, "validationAccuracy")), "{seen:#}");
    }
    assert!(
        of_epoch(2, "validationLoss") < of_epoch(0, "validationLoss"),
        "{seen:#}"
    );
    let curve = api.download(seen["trainingCurve"].as_str().unwrap()).await;
    assert!(String::from_utf8(curve).unwrap().contains("validation accuracy"));

    let train = "mutation($input: TrainVersionInput!) { trainVersion(input: $input) { job { id } } }";
    for share in [-0.1, 0.6] {
        let settings = json!({ "validationShare": share });
        let input = json!({ "modelId": model, "dataset": "digits", "blocks": perceptron(), "settings": settings });
        let (code, message) = api.error(train, json!({ "input": input })).await;
        assert_eq!(code, "BAD_USER_INPUT");
        assert_eq!(message, "`settings.validationShare` must be 0 to 0.5");
    }
    server.stop().await.unwrap();
}
