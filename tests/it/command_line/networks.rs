//! Training, uploading, searching and comparing networks.

use serde_json::{Value, json};

use super::{document, error, file, push_and_wait, text, training};
use crate::support::networks::{constant_weights, initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

#[tokio::test]
async fn networks_are_trained_and_searched() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "cnn.json", small_cnn().to_string());

    let job = document(&server, &[training("a", &blocks, "1"), vec!["--tag", "first"]].concat()).await;
    assert_eq!(job["status"], "SUCCEEDED");
    assert_eq!(job["epochs"].as_array().unwrap().len(), 1);
    assert_eq!(job["version"]["model"]["name"], "a");
    assert_eq!(job["version"]["layers"]["totalCount"], 7);
    let output = text(&server, &training("b", &blocks, "2")).await;
    assert!(
        output.starts_with("b:1 is ready: ") && output.contains("scv layer list b:1"),
        "{output}"
    );

    let found = document(&server, &["search", "a:1", "4", "-n", "3", "--kind", "Conv2d"]).await;
    assert_eq!(found["layer"]["name"], "4");
    assert_eq!(found["exact"], true);
    assert_eq!(found["totalCount"], 2);
    let hits = found["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().all(|hit| hit["layer"]["version"]["model"]["name"] == "b"));

    let table = text(&server, &["search", "a", "@4", "--measure", "cka"]).await;
    assert!(
        table.starts_with("most similar layers to layer 4 (Conv2d) of a:1"),
        "{table}"
    );
    assert!(table.contains("debiased CKA") && table.contains(" b:1 "), "{table}");
    assert!(
        table.contains("proven: no other of 7 candidate layers is more similar"),
        "{table}"
    );
    let list = text(&server, &["search", "a"]).await;
    assert!(list.contains("MaxPool2d") && list.contains("8x4x4"), "{list}");
    assert!(list.contains("not listed: 6, because blocks such as Flatten"), "{list}");
    let own = document(&server, &["search", "b", "4", "--tag", "first", "--exclude-model", "b"]).await;
    assert_eq!(own["totalCount"], 7);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_search_without_candidates_says_why() {
    let server = Server::start().await;
    push_and_wait(&server, "a", 1).await;
    let alone = text(&server, &["search", "a", "4"]).await;
    assert!(
        alone.contains("no other model has been measured on this data set"),
        "{alone}"
    );
    push_and_wait(&server, "b", 2).await;
    let none = text(&server, &["search", "a", "4", "--exclude-model", "b"]).await;
    assert!(none.contains("no layer matches --exclude-model b"), "{none}");
    let kind = text(&server, &["search", "a", "4", "--kind", "conv2d"]).await;
    assert!(kind.contains("did you mean Conv2d?"), "{kind}");
    let tag = text(&server, &["search", "a", "4", "--tag", "nope"]).await;
    assert!(tag.contains("no model has the tag \"nope\""), "{tag}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn layers_are_explained_and_versions_compared() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    push_and_wait(&server, "a", 1).await;
    push_and_wait(&server, "b", 2).await;

    let explained = text(&server, &["explain", "a:1", "4", "b", "@4"]).await;
    assert!(explained.contains("## Structure"), "{explained}");
    assert!(explained.contains("written by rules: no language model"), "{explained}");
    let explained = document(&server, &["explain", "a", "4", "b", "4"]).await;
    assert_eq!(explained["source"], "RULES");
    assert_eq!(explained["otherLayer"]["version"]["model"]["name"], "b");

    let list = text(&server, &["compare", "a"]).await;
    assert!(
        list.contains("most similar versions to a:1") && list.contains(" b:1 "),
        "{list}"
    );
    let path = folder.path().join("map.png");
    let pairs = text(&server, &["compare", "a", "b", "-o", path.to_str().unwrap()]).await;
    assert!(pairs.contains("0 Conv2d"), "{pairs}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"\x89PNG"));
    let convolutions = document(&server, &["compare", "a", "a", "--kind", "Conv2d"]).await;
    assert_eq!(convolutions["pairs"].as_array().unwrap().len(), 2);
    let message = error(&server, 3, &["compare", "a", "b", "--kind", "conv2d"]).await;
    assert!(
        message.contains("a:1 and b:1 have no layers of kind conv2d") && message.contains("did you mean Conv2d?"),
        "{message}"
    );
    let message = error(&server, 3, &["compare", "a", "--kind", "Softmax"]).await;
    assert!(
        message.contains("a:1 has no layers of kind Softmax: the kinds are BatchNorm2d, "),
        "{message}"
    );

    let diff = document(&server, &["diff", "a", "b"]).await;
    assert_eq!(diff["diff"]["changedCount"], 0);
    let diff = text(&server, &["diff", "a", "b", "--all"]).await;
    assert!(diff.starts_with("a:1 and b:1: ") && diff.contains("4 Conv2d"), "{diff}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_comparison_across_data_sets_names_both() {
    let server = Server::start().await;
    push_and_wait(&server, "a", 1).await;
    text(&server, &["dataset", "import", "digits", "--name", "numbers"]).await;
    let model = server.api.model("b").await;
    let weights = initial_weights(&small_cnn(), 2);
    let input = json!({ "modelId": model, "dataset": "numbers", "blocks": small_cnn() });
    server
        .api
        .create_version_and_wait(input, &[("input.weights", &weights)])
        .await;
    let message = error(&server, 1, &["compare", "a", "b"]).await;
    assert!(message.contains("a:1 (digits) with b:1 (numbers)"), "{message}");
    assert!(
        message.contains("must be for the same data set") && !message.contains("version 1"),
        "{message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_training_that_fails_says_why() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = json!([
        { "kind": "Conv2d", "parameters": { "out_channels": 8, "kernel_size": 3 } },
        { "kind": "Conv2d", "parameters": { "out_channels": 8, "kernel_size": 3 } },
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": 10 } },
    ]);
    let blocks = file(folder.path(), "deep.json", blocks.to_string());
    let wild = ["--learning-rate", "10", "--optimizer", "sgd"];
    let message = error(&server, 6, &[&training("a", &blocks, "1")[..], &wild].concat()).await;
    assert!(message.contains("the job of a:1 failed"), "{message}");
    assert!(message.contains("[NOT_FINITE]"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_trained_network_is_uploaded_with_its_weights() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "blocks.json", perceptron().to_string());
    let right = file(folder.path(), "right.safetensors", initial_weights(&perceptron(), 1));
    let push = [
        "push",
        "--model",
        "mine",
        "--dataset",
        "digits",
        "--blocks",
        &blocks,
        "--weights",
    ];

    let job = document(&server, &[&push[..], &[&right]].concat()).await;
    assert_eq!(job["status"], "SUCCEEDED");
    assert_eq!(job["kind"], "INGEST");
    assert_eq!(job["version"]["parameterCount"], 650);
    let again = text(&server, &[&push[..], &[&right]].concat()).await;
    assert!(
        again.contains("mine:2 is ready") && again.contains("it duplicates mine:1"),
        "{again}"
    );

    let wrong = file(
        folder.path(),
        "wrong.safetensors",
        constant_weights(&[("1.weight", &[10, 63], 0.5), ("1.bias", &[10], 0.0)]),
    );
    let message = error(&server, 1, &[&push[..], &[&wrong]].concat()).await;
    assert!(
        message.contains("the weights in \"wrong.safetensors\" do not fit (") && !message.contains("BAD_USER_INPUT"),
        "{message}"
    );
    assert!(message.lines().count() > 1 && message.contains("1.weight"), "{message}");

    let layers = constant_weights(&[("0.weight", &[5, 64], 0.5), ("1.weight", &[10, 5], 0.5)]);
    let layers = file(folder.path(), "layers.safetensors", layers);
    let alone = ["push", "--model", "mine", "--dataset", "digits", &layers];
    let message = error(&server, 2, &alone).await;
    assert!(message.contains("looks like weights, not activations"), "{message}");
    let message = error(
        &server,
        2,
        &["push", "--model", "mine", "--dataset", "digits", "--weights", &right],
    )
    .await;
    assert!(
        message.contains("weights alone do not say how the layers are connected: add --blocks")
            && message.contains("torch.onnx.export(model.eval(), images, \"network.onnx\")"),
        "{message}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_dry_run_prints_a_mapping_that_can_be_changed_and_given_back() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let linear = |outputs: usize| json!({ "kind": "Linear", "parameters": { "out_features": outputs } });
    let list = json!([{ "kind": "Flatten" }, linear(64), linear(64), linear(10)]);
    let blocks = file(folder.path(), "blocks.json", list.to_string());
    let square: &[usize] = &[64, 64];
    let tensors = |names: [&'static str; 3]| {
        let [one, other, last] = names.map(|name| (format!("{name}.weight"), format!("{name}.bias")));
        constant_weights(&[
            (one.0.as_str(), square, 0.1),
            (one.1.as_str(), &[64], 0.0),
            (other.0.as_str(), square, 0.2),
            (other.1.as_str(), &[64], 0.0),
            (last.0.as_str(), &[10, 64], 0.3),
            (last.1.as_str(), &[10], 0.0),
        ])
    };
    let numbered = file(
        folder.path(),
        "numbered.safetensors",
        tensors(["net.fc1", "net.fc2", "net.out"]),
    );
    let named = file(folder.path(), "named.safetensors", tensors(["second", "first", "out"]));
    let push = [
        "push",
        "--model",
        "new",
        "--dataset",
        "digits",
        "--blocks",
        &blocks,
        "--weights",
    ];

    let map = text(&server, &[&push[..], &[&numbered, "--dry-run"]].concat()).await;
    let map: Value = serde_json::from_str(&map).unwrap();
    assert_eq!(map, json!({ "1": "net.fc1", "2": "net.fc2", "3": "net.out" }));

    let message = error(&server, 1, &[&push[..], &[&named]].concat()).await;
    assert!(
        message.contains("Layers 1, 2 could each be any of first, second of the file")
            && message.contains("in a file for --map, as {\"1\": \"first\", \"2\": \"second\"}"),
        "{message}"
    );
    let twice = file(folder.path(), "twice.json", "{\n\"1\": \"first\",\n\"1\": \"second\"}");
    let message = error(&server, 1, &[&push[..], &[&named, "--map", &twice]].concat()).await;
    assert!(message.contains("the key \"1\" occurs twice at line 3"), "{message}");
    let models = server.api.data("{ models { nodes { name } } }", json!({})).await;
    assert_eq!(models["models"]["nodes"], json!([]), "nothing was created");

    let given = file(folder.path(), "map.json", "{\"2\": \"second\"}");
    document(&server, &[&push[..], &[&named, "--map", &given]].concat()).await;
    let query = "{ model(name: \"new\") { version(number: 1) { weightMapping { by dict otherDicts prefix ignored
                   pairs { key from computedFrom by } } } } }";
    let kept = server.api.data(query, json!({})).await["model"]["version"]["weightMapping"].take();
    assert_eq!((&kept["by"], &kept["dict"]), (&json!("MAP"), &Value::Null));
    let expected = json!({ "key": "1.weight", "from": "first.weight", "computedFrom": [], "by": "SHAPE" });
    assert_eq!(kept["pairs"][0], expected);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_network_that_is_refused_leaves_no_model_behind() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let broken = file(folder.path(), "broken.onnx", "nothing of the kind");

    let message = error(
        &server,
        1,
        &["push", "--model", "fresh", "--dataset", "digits", &broken],
    )
    .await;

    assert!(
        message.contains("the ONNX file \"broken.onnx\" cannot be read"),
        "{message}"
    );
    let models = server
        .api
        .data(
            "{ models { totalCount } deleted: models(filter: { deleted: true }) { totalCount } }",
            json!({}),
        )
        .await;
    assert_eq!(
        models,
        json!({ "models": { "totalCount": 0 }, "deleted": { "totalCount": 0 } })
    );
    // A model that existed before stays.
    server.api.model("kept").await;
    error(&server, 1, &["push", "--model", "kept", "--dataset", "digits", &broken]).await;
    let models = server.api.data("{ models { nodes { name } } }", json!({})).await;
    assert_eq!(models["models"]["nodes"], json!([{ "name": "kept" }]));
    server.stop().await.unwrap();
}
