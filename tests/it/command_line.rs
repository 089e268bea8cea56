//! The program as somebody at a terminal uses it: the real binary against a real server.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::idx;
use crate::support::look;
use crate::support::networks::{constant_weights, first_weights, perceptron, small_cnn};
use crate::support::server::Server;

const SCV: &str = env!("CARGO_BIN_EXE_scv");

/// Runs the program.
async fn scv(arguments: &[&str]) -> Output {
    Command::new(SCV)
        .args(arguments)
        .env_remove("SCV_SERVER")
        .env_remove("SCV_TOKEN")
        .env_remove("SCV_LOG")
        .output()
        .await
        .unwrap()
}

/// Runs a client command against a server.
async fn ask(server: &Server, arguments: &[&str]) -> Output {
    scv(&[arguments, &["--server", &server.api.url]].concat()).await
}

/// What a command that must succeed writes to standard output.
async fn text(server: &Server, arguments: &[&str]) -> String {
    let output = ask(server, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The one JSON document that a command writes, and nothing else.
async fn document(server: &Server, arguments: &[&str]) -> Value {
    let output = ask(server, &[arguments, &["--json"]].concat()).await;
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stderr(&output), "");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command that must fail says.
async fn complaint(server: &Server, arguments: &[&str]) -> String {
    let output = ask(server, arguments).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    stderr(&output)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A file in a folder, with its path as an argument.
fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Options that train a small network for one epoch.
fn training<'a>(model: &'a str, blocks: &'a str, seed: &'a str) -> Vec<&'a str> {
    let fixed = ["train", "--dataset", "digits", "--epochs", "1", "--model", model];
    [&fixed[..], &["--blocks", blocks, "--seed", seed]].concat()
}

#[tokio::test]
async fn networks_are_trained_and_searched_from_the_command_line() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "cnn.json", small_cnn().to_string());

    let job = document(&server, &[training("a", &blocks, "1"), vec!["--tag", "first"]].concat()).await;
    assert_eq!(job["status"], "SUCCEEDED");
    assert_eq!(job["epochs"].as_array().unwrap().len(), 1);
    assert_eq!(job["version"]["model"]["name"], "a");
    assert_eq!(job["version"]["layers"]["totalCount"], 7);
    let said = text(&server, &training("b", &blocks, "2")).await;
    assert!(
        said.starts_with("b:1 is ready: ") && said.contains("scv search b:1"),
        "{said}"
    );

    let answer = document(&server, &["search", "a:1", "4", "-n", "3", "--kind", "Conv2d"]).await;
    assert_eq!(answer["layer"]["name"], "4");
    assert_eq!(answer["exact"], true);
    assert_eq!(answer["totalCount"], 2);
    let hits = answer["hits"].as_array().unwrap();
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().all(|hit| hit["layer"]["version"]["model"]["name"] == "b"));

    let table = text(&server, &["search", "a", "@4", "--measure", "cka"]).await;
    assert!(table.contains("debiased CKA") && table.contains(" b:1 "), "{table}");
    assert!(table.contains("7 layers could answer; each was compared"), "{table}");
    let list = text(&server, &["search", "a"]).await;
    assert!(list.contains("MaxPool2d") && list.contains("8x4x4"), "{list}");
    let own = document(&server, &["search", "b", "4", "--tag", "first", "--exclude-model", "b"]).await;
    assert_eq!(own["totalCount"], 7);
    let explained = text(&server, &["explain", "a:1", "4", "b", "@4"]).await;
    assert!(explained.contains("## Structure"), "{explained}");
    assert!(explained.contains("written by rules: no language model"), "{explained}");
    let explained = document(&server, &["explain", "a", "4", "b", "4"]).await;
    assert_eq!(explained["source"], "RULES");
    assert_eq!(explained["otherLayer"]["version"]["model"]["name"], "b");
    let none = text(&server, &["search", "a", "4", "--exclude-model", "b"]).await;
    assert!(
        none.contains("no layer of another model on this data set is admitted"),
        "{none}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_can_be_left_and_followed_later() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "cnn.json", small_cnn().to_string());
    let left = document(&server, &[training("a", &blocks, "1"), vec!["--detach"]].concat()).await;
    let ended = document(&server, &["job", left["id"].as_str().unwrap()]).await;
    assert_eq!(ended["status"], "SUCCEEDED");

    let long = [
        "train",
        "--dataset",
        "digits",
        "--epochs",
        "1000",
        "--model",
        "b",
        "--blocks",
    ];
    let left = document(&server, &[&long[..], &[&blocks, "--detach"]].concat()).await;
    let id = left["id"].as_str().unwrap();
    text(&server, &["job", id, "--cancel"]).await;
    let said = complaint(&server, &["job", id]).await;
    assert!(said.contains("the job of b:1 was stopped on request"), "{said}");
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
    let said = complaint(&server, &[&training("a", &blocks, "1")[..], &wild].concat()).await;
    assert!(said.contains("the job of a:1 failed"), "{said}");
    assert!(said.contains("[NOT_FINITE]"), "{said}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_trained_network_is_brought_with_its_weights() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "blocks.json", perceptron().to_string());
    let right = file(folder.path(), "right.safetensors", first_weights(&perceptron(), 1));
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

    let wrong = file(
        folder.path(),
        "wrong.safetensors",
        constant_weights(&[("1.weight", &[10, 63], 0.5), ("1.bias", &[10], 0.0)]),
    );
    let said = complaint(&server, &[&push[..], &[&wrong]].concat()).await;
    assert!(
        said.contains("the weights do not fit") && said.contains("[BAD_USER_INPUT]"),
        "{said}"
    );
    assert!(said.lines().count() > 1 && said.contains("1.weight"), "{said}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn data_sets_are_imported_from_files() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let place = |name, content| file(folder.path(), name, content);
    let files = [
        "--train-images",
        &place("train-images", idx::images(40, 8)),
        "--train-labels",
        &place("train-labels", idx::labels(40, 2, 1)),
        "--test-images",
        &place("test-images", idx::images(20, 8)),
        "--test-labels",
        &place("test-labels", idx::labels(20, 2, 1)),
    ];
    let words = [
        "import",
        "idx",
        "--name",
        "noise",
        "--class-names",
        "even,odd",
        "--first-label",
        "1",
    ];
    let dataset = document(&server, &[&words[..], &files].concat()).await;
    assert_eq!(dataset["classNames"], json!(["even", "odd"]));
    assert_eq!(dataset["height"], 8);

    let said = text(&server, &["import", "digits", "--name", "numbers"]).await;
    assert!(
        said.starts_with("numbers: ") && said.contains("in 10 classes"),
        "{said}"
    );
    let said = complaint(&server, &["import", "digits", "--name", "numbers"]).await;
    assert!(said.contains("[CONFLICT]"), "{said}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn complaints_say_what_is_wrong_and_where() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let said = complaint(&server, &["search", "nobody", "0"]).await;
    assert!(
        said.contains("there is no model \"nobody\": the server has none yet"),
        "{said}"
    );

    let broken = file(
        folder.path(),
        "broken.json",
        "[\n  {\"kind\": \"ReLU\"},\n  {\"sort\": \"ReLU\"}\n]",
    );
    let said = complaint(&server, &training("a", &broken, "1")).await;
    assert!(said.contains("broken.json") && said.contains("line 3 column"), "{said}");
    let said = complaint(&server, &training("a", "/nowhere/blocks.json", "1")).await;
    assert!(said.contains("cannot read /nowhere/blocks.json"), "{said}");

    let faulty = json!([{ "kind": "Conv3d" }, { "kind": "Flatten" }, { "kind": "Linear", "parameters": {} }]);
    let faulty = file(folder.path(), "faulty.json", faulty.to_string());
    let said = complaint(&server, &training("a", &faulty, "1")).await;
    assert!(said.contains("\n  block 0 (Conv3d): "), "{said}");
    assert!(said.contains("\n  block 2 (Linear): "), "{said}");

    let good = file(folder.path(), "good.json", perceptron().to_string());
    let elsewhere = ["train", "--model", "a", "--dataset", "moon", "--blocks", &good];
    let said = complaint(&server, &elsewhere).await;
    assert!(said.contains("moon") && said.contains("[NOT_FOUND]"), "{said}");
    let said = complaint(&server, &["search", "a"]).await;
    assert!(
        said.contains("there is no model"),
        "what was refused left nothing behind: {said}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn who_misnames_a_version_is_told_which_there_are() {
    let server = Server::start().await;
    let model = server.api.model("a").await;
    let blocks = perceptron();
    server
        .api
        .pushed(&model, blocks.clone(), first_weights(&blocks, 1))
        .await;
    let said = complaint(&server, &["search", "a:7"]).await;
    assert!(
        said.contains("model \"a\" has no version 7: it has 1 version"),
        "{said}"
    );
    let said = complaint(&server, &["search", "a:newest"]).await;
    assert!(said.contains("there is no model \"a:newest\""), "{said}");
    assert!(said.contains("its number, latest and best"), "{said}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_what_to_do() {
    // Bound and closed again: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let output = scv(&["search", "a", "--server", &format!("http://127.0.0.1:{port}")]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains(&format!("no server answers at http://127.0.0.1:{port}/")),
        "{said}"
    );
    assert!(said.contains("scv serve"), "{said}");
}

#[tokio::test]
async fn the_schema_in_the_repository_is_the_one_the_program_prints() {
    let output = scv(&["schema"]).await;
    let recorded = include_str!("../../schema.graphql");
    assert!(
        String::from_utf8(output.stdout).unwrap() == recorded,
        "schema.graphql is out of date: write it again with `just schema`"
    );
}

#[tokio::test]
async fn versions_are_compared_from_the_command_line() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    for (name, seed) in [("a", 1), ("b", 2)] {
        let model = server.api.model(name).await;
        server
            .api
            .pushed(&model, small_cnn(), first_weights(&small_cnn(), seed))
            .await;
    }

    let list = text(&server, &["compare", "a"]).await;
    assert!(
        list.contains("versions most like a:1") && list.contains(" b:1 "),
        "{list}"
    );
    let path = folder.path().join("map.png");
    let pairs = text(&server, &["compare", "a", "b", "-o", path.to_str().unwrap()]).await;
    assert!(pairs.contains("0 Conv2d"), "{pairs}");
    assert!(std::fs::read(&path).unwrap().starts_with(b"\x89PNG"));
    let convolutions = document(&server, &["compare", "a", "a", "--kind", "Conv2d"]).await;
    assert_eq!(convolutions["pairs"].as_array().unwrap().len(), 2);
    let said = complaint(&server, &["compare", "a", "b", "-o", "map.gif"]).await;
    assert!(said.contains("map.gif ends neither in .svg nor in .png"), "{said}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_network_that_is_refused_leaves_no_model_behind() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let broken = file(folder.path(), "broken.onnx", "nothing of the kind");

    let said = complaint(&server, &["push", "--model", "fresh", "--dataset", "digits", &broken]).await;

    assert!(said.contains("is no ONNX file"), "{said}");
    let models = server.api.data("{ models { nodes { name } } }", json!({})).await;
    assert_eq!(models["models"]["nodes"], json!([]));
    // A model that was there before stays.
    server.api.model("kept").await;
    complaint(&server, &["push", "--model", "kept", "--dataset", "digits", &broken]).await;
    let models = server.api.data("{ models { nodes { name } } }", json!({})).await;
    assert_eq!(models["models"]["nodes"], json!([{ "name": "kept" }]));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn tokens_are_made_listed_and_ended_beside_a_server_that_wants_them() {
    let open = Server::start().await;
    let url = open.config.database_url.clone().unwrap();
    let token = async |arguments: &[&str]| {
        let mut command = Command::new(SCV);
        command
            .args(["--json", "token"])
            .args(arguments)
            .env("DATABASE_URL", &url)
            .env_remove("SCV_LOG");
        command.output().await.unwrap()
    };
    let made = token(&[
        "create",
        "ada",
        "--scope",
        "admin",
        "--days",
        "30",
        "--description",
        "mine",
    ])
    .await;
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let strict = Server::with(|config| {
        config.database_url = Some(url.clone());
        config.access = Some(scv::config::AccessChoice::Tokens);
    })
    .await;
    let search = async |secret: Option<&str>| {
        let mut command = Command::new(SCV);
        command
            .args(["compare", "none", "--server", &strict.api.url])
            .env_remove("SCV_TOKEN")
            .env_remove("SCV_LOG");
        if let Some(secret) = secret {
            command.env("SCV_TOKEN", secret);
        }
        stderr(&command.output().await.unwrap())
    };
    assert!(search(None).await.contains("[UNAUTHENTICATED]"));
    assert!(search(Some("scv_none")).await.contains("[UNAUTHENTICATED]"));
    let inside = search(Some(&secret)).await;
    assert!(
        inside.contains("none") && !inside.contains("UNAUTHENTICATED"),
        "{inside}"
    );

    let listed: Value = serde_json::from_slice(&token(&["list"]).await.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(
        (&listed[0]["account"], &listed[0]["description"]),
        (&json!("ada"), &json!("mine"))
    );
    assert!(
        listed[0]["lastUsedAt"].is_string() && listed[0].get("secret").is_none(),
        "{listed:#}"
    );
    let number = listed[0]["number"].to_string();
    assert!(token(&["revoke", &number]).await.status.success());
    assert!(search(Some(&secret)).await.contains("[UNAUTHENTICATED]"));
    assert!(stderr(&token(&["revoke", "99"]).await).contains("has no token 99"));
    strict.stop().await.unwrap();
    open.stop().await.unwrap();
}

#[tokio::test]
async fn a_network_is_looked_into_from_the_command_line() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let blocks = file(folder.path(), "cnn.json", small_cnn().to_string());
    document(&server, &training("a", &blocks, "1")).await;
    let hidden = [&training("a", &blocks, "1")[..], &["--private"]].concat();
    assert!(complaint(&server, &hidden).await.contains("everybody sees it"));
    let hidden = [&training("b", &blocks, "1")[..], &["--private"]].concat();
    document(&server, &hidden).await;
    let model = server
        .api
        .data("{ model(name: \"b\") { visibility } }", json!({}))
        .await;
    assert_eq!(model["model"]["visibility"], "PRIVATE");
    let seen = folder.path().join("seen");
    let seen = seen.to_str().unwrap();

    let evaluation = document(&server, &["evaluate", "a", "--open-dir", seen]).await;
    let evaluation = &evaluation["evaluation"];
    assert_eq!(evaluation["imageCount"], 355);
    assert_eq!(evaluation["classes"].as_array().unwrap().len(), 10);
    let listed = text(&server, &["evaluate", "a", "--open-dir", seen]).await;
    let first = &evaluation["mistakes"]["nodes"][0];
    let line = listed.lines().find(|line| line.contains("mistake-01.png")).unwrap();
    let named = [&first["actual"]["name"], &first["predicted"]["name"]].map(|name| name.as_str().unwrap());
    assert!(named.iter().all(|name| line.contains(name)), "{line}");
    let table = text(&server, &["evaluate", "a:1"]).await;
    assert!(table.contains("precision") && table.contains("355"), "{table}");

    let image = image::RgbImage::from_fn(8, 8, |x, _| image::Rgb(if x == 4 { [255; 3] } else { [0; 3] }));
    let png = file(folder.path(), "one.png", look::file(&image, image::ImageFormat::Png));
    let prediction = document(&server, &["predict", "a", &png]).await;
    let probabilities = prediction["predictions"].as_array().unwrap().iter();
    let sum: f64 = probabilities.map(|class| class["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{prediction:#}");
    let told = text(&server, &["predict", "a", &png, "--invert", "no", "--open-dir", seen]).await;
    assert!(
        told.contains("made grey") && told.contains("and 5 more, all less likely"),
        "{told}"
    );
    assert_eq!(image::open(folder.path().join("seen/shown.png")).unwrap().width(), 112);
    let no_image = file(folder.path(), "notes.txt", "no image");
    assert!(
        complaint(&server, &["predict", "a", &no_image])
            .await
            .contains("[BAD_USER_INPUT]")
    );

    document(
        &server,
        &["visualize", "a", "--class", "3", "--steps", "2", "--open-dir", seen],
    )
    .await;
    let layer = ["visualize", "a", "--layer", "0", "--channel", "0", "--image", "7"];
    document(&server, &[&layer[..], &["--open-dir", seen]].concat()).await;
    let pictures = std::fs::read_dir(seen).unwrap().map(|entry| entry.unwrap().path());
    let pictures: Vec<_> = pictures
        .filter(|path| path.extension().is_some_and(|ending| ending == "png"))
        .collect();
    assert!(pictures.len() >= 3, "{pictures:?}");
    for picture in pictures {
        assert!(image::open(&picture).unwrap().width() > 0, "{}", picture.display());
    }
    let looked = text(
        &server,
        &["visualize", "a", "--class", "3", "--layer", "0", "--image", "7"],
    )
    .await;
    assert!(
        looked.contains("test image 7, of class ") && looked.contains("class 3 has "),
        "{looked}"
    );
    assert!(
        looked.contains("http://127.0.0.1") && looked.contains("/images/"),
        "{looked}"
    );
    let only_looked = document(&server, &["visualize", "a", "--image", "7"]).await;
    assert_eq!(only_looked["targets"], json!([]));
    let cam = ["visualize", "a", "--file", &png, "--method", "grad-cam"];
    assert!(complaint(&server, &cam).await.contains("name one with --layer"));
    let cam = text(&server, &[&cam[..], &["--layer", "0"]].concat()).await;
    assert!(
        cam.contains("yellow where most speaks for that class (grad cam)"),
        "{cam}"
    );
    assert!(
        cam.contains("one.png: http") && cam.contains("the image was made grey"),
        "{cam}"
    );
    let maps = text(&server, &["visualize", "a", "--file", &png, "--layer", "0"]).await;
    assert!(
        maps.contains("feature maps, dark violet") && !maps.contains("logit"),
        "{maps}"
    );
    let negative = ask(&server, &["visualize", "a", "--layer", "0", "--channel", "-1"]).await;
    assert!(
        stderr(&negative).contains("invalid value '-1' for '--channel"),
        "{}",
        stderr(&negative)
    );
    assert!(
        complaint(&server, &["visualize", "a", "--class", "-1"])
            .await
            .contains("there is no class -1")
    );
    let of_what = complaint(&server, &["visualize", "a", "--method", "gradient"]).await;
    assert!(of_what.contains("name one with --image or --file"), "{of_what}");
    let neuron = [
        "visualize",
        "a",
        "--layer",
        "0",
        "--channel",
        "1",
        "--row",
        "2",
        "--column",
        "3",
    ];
    let neuron = document(&server, &[&neuron[..], &["--steps", "2", "--padding", "edge"]].concat()).await;
    assert_eq!(neuron["targets"][0]["target"], "layer 0, channel 1, row 2, column 3");
    let exemplars = ["visualize", "a", "--layer", "0", "--exemplars"];
    let all = document(&server, &[&exemplars[..], &["--open-dir", seen]].concat()).await;
    let channels = all["exemplars"]["channels"].as_array().unwrap();
    assert!(
        channels.len() == 8 && channels[0]["images"].as_array().unwrap().len() == 9,
        "{all:#}"
    );
    let shown = format!("seen/{}", all["pictures"][0]["name"].as_str().unwrap());
    assert!(
        image::open(folder.path().join(&shown)).is_ok() && shown.contains("-exemplar-1-image-"),
        "{shown}"
    );
    let one = text(&server, &[&exemplars[..], &["--channel", "5"]].concat()).await;
    assert!(one.contains("greatest answer"), "{one}");
    let both = ["visualize", "a", "--image", "7", "--steps", "2"];
    let refused = ask(&server, &both).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("cannot be used with"));
    let both = complaint(&server, &["visualize", "a", "--class", "3", "--layer", "0"]).await;
    assert!(both.contains("leave one of --class and --layer out"), "{both}");
    assert!(
        complaint(&server, &["visualize", "a", "--class", "Hat"])
            .await
            .contains("by their names 0, 1, 2")
    );
    let beyond = complaint(&server, &["visualize", "a", "--image", "355"]).await;
    assert!(beyond.contains("are 0 to 354"), "{beyond}");
    let missing = ["visualize", "a", "--layer", "0", "--channel", "999", "--open-dir", seen];
    assert!(complaint(&server, &missing).await.contains("[BAD_USER_INPUT]"));
    server.stop().await.unwrap();
}
