//! A whole server on a free port and a database of its own, made by the builder that `scv serve` uses.

use std::path::Path;

use reqwest::multipart::Form;
use scv::app::App;
use scv::config::Config;
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cluster;

/// A running server; it stops when dropped.
pub struct Server {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    /// What the server was built from.
    pub config: Config,
    client: reqwest::Client,
    shutdown: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    _data_dir: tempfile::TempDir,
}

impl Server {
    /// A server with nothing in it but the digits.
    pub async fn start() -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let config = config(data_dir.path()).await;
        let app = App::build(&config).await.unwrap();
        let url = format!("http://{}", app.address());
        let shutdown = CancellationToken::new();
        let running = Some(tokio::spawn(app.run(shutdown.clone())));
        Self {
            url,
            config,
            client: reqwest::Client::new(),
            shutdown,
            running,
            _data_dir: data_dir,
        }
    }

    /// The whole response to a query.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let body = json!({ "query": query, "variables": variables });
        let response = self
            .client
            .post(format!("{}/graphql", self.url))
            .json(&body)
            .send()
            .await
            .unwrap();
        response.json().await.unwrap()
    }

    /// The data of a query that must succeed.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let mut response = self.ask(query, variables).await;
        assert!(response.get("errors").is_none(), "{query} failed: {response:#}");
        response["data"].take()
    }

    /// The code and message of the first error of a query that must fail.
    pub async fn error(&self, query: &str, variables: Value) -> (String, String) {
        let response = self.ask(query, variables).await;
        first_error(&response)
    }

    /// The whole response to a query with files; `files` are variables (such as `input.weights`) and contents.
    pub async fn upload(&self, query: &str, variables: Value, files: Vec<(&str, Vec<u8>)>) -> Value {
        let map: Value = files
            .iter()
            .enumerate()
            .map(|(i, (name, _))| (i.to_string(), json!([format!("variables.{name}")])))
            .collect();
        let operations = json!({ "query": query, "variables": variables });
        let mut form = Form::new()
            .text("operations", operations.to_string())
            .text("map", map.to_string());
        for (index, (name, bytes)) in files.into_iter().enumerate() {
            let part = reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
            form = form.part(index.to_string(), part);
        }
        let response = self
            .client
            .post(format!("{}/graphql", self.url))
            .multipart(form)
            .send()
            .await
            .unwrap();
        response.json().await.unwrap()
    }

    /// Registers a model and gives its id.
    pub async fn model(&self, name: &str) -> String {
        let query = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
        let data = self.data(query, json!({ "input": { "name": name } })).await;
        data["createModel"]["model"]["id"].as_str().unwrap().to_owned()
    }

    /// Trains a version on the digits and gives its id once it is READY.
    pub async fn train(&self, model: &str, blocks: Value, settings: Value) -> String {
        let query =
            "mutation($input: TrainVersionInput!) { trainVersion(input: $input) { job { id } version { id } } }";
        let input = json!({ "modelId": model, "dataset": "digits", "blocks": blocks, "settings": settings });
        let data = self.data(query, json!({ "input": input })).await;
        let job = self.finish(data["trainVersion"]["job"]["id"].as_str().unwrap()).await;
        assert_eq!(job["status"], "SUCCEEDED", "{job:#}");
        data["trainVersion"]["version"]["id"].as_str().unwrap().to_owned()
    }

    /// A job once it has ended.
    pub async fn finish(&self, job: &str) -> Value {
        let query = "query($id: ID!) { job(id: $id) { status phase progress attempts epochs { epoch loss accuracy }
                     failure { code message layer } version { id status } } }";
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
        loop {
            let job = self.data(query, json!({ "id": job })).await["job"].take();
            if !matches!(job["status"].as_str(), Some("QUEUED" | "RUNNING")) {
                return job;
            }
            assert!(tokio::time::Instant::now() < deadline, "the job does not end: {job:#}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Stops the server in order and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.running.take().unwrap().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Settings of a server with a database of its own, on a free port.
pub async fn config(data_dir: &Path) -> Config {
    let options = cluster::database().await;
    Config {
        data_dir: data_dir.to_owned(),
        database_url: Some(options.to_url_lossy().to_string()),
        database_connections: 8,
        cache_dir: cluster::cache_dir(),
        device: "cpu".parse().unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        ..Config::defaults()
    }
}

/// The code and message of the first error of a response.
pub fn first_error(response: &Value) -> (String, String) {
    let error = &response["errors"][0];
    let text = |value: &Value| {
        value
            .as_str()
            .unwrap_or_else(|| panic!("no such error in {response:#}"))
            .to_owned()
    };
    (text(&error["extensions"]["code"]), text(&error["message"]))
}

/// A small convolutional network for the digits.
pub fn small_cnn() -> Value {
    json!([
        { "kind": "Conv2d", "parameters": { "out_channels": 8, "kernel_size": 3, "padding": 1 } },
        { "kind": "BatchNorm2d" },
        { "kind": "ReLU" },
        { "kind": "MaxPool2d", "parameters": { "kernel_size": 2 } },
        { "kind": "Conv2d", "parameters": { "out_channels": 16, "kernel_size": 3, "padding": 1 } },
        { "kind": "ReLU" },
        { "kind": "Flatten" },
        { "kind": "Linear", "parameters": { "out_features": 10 } },
    ])
}
