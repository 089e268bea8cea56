//! A client of a server that may be killed at any moment: a request may get no response.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};

use super::networks::{initial_weights, perceptron, small_cnn};

/// How long a job may take: twenty times as long as it takes on a busy machine.
const JOB_TIMEOUT: Duration = Duration::from_secs(120);

/// Registers a version with its weights.
pub const CREATE_VERSION: &str = "mutation($input: CreateVersionInput!) { createVersion(input: $input) {
    version { id format } job { id } mapping { by pairs { key from shape } ignored } } }";

/// Imports a data set.
pub const IMPORT_DATASET: &str =
    "mutation($input: ImportDatasetInput!) { importDataset(input: $input) { job { id } } }";

/// The fields of the files of a data set.
pub const IDX_FILES: [&str; 4] = ["trainImages", "trainLabels", "testImages", "testLabels"];

/// An HTTP client with default settings.
pub fn http() -> reqwest::Client {
    scv_llm::use_ring();
    reqwest::Client::new()
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    /// The token that it sends.
    pub token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client of the server at a URL.
    pub fn new(url: String) -> Self {
        let http = http();
        Self { url, http, token: None }
    }

    /// A client of the same server that sends a token.
    pub fn with_token(&self, token: &str) -> Self {
        let header = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header)]);
        Self {
            url: self.url.clone(),
            http: reqwest::Client::builder().default_headers(headers).build().unwrap(),
            token: Some(token.to_owned()),
        }
    }

    /// A client of the same server that sends a new token of an account.
    pub async fn as_account(&self, account: &str, scope: &str) -> Self {
        let query = "mutation($input: CreateTokenInput!) { createToken(input: $input) { secret } }";
        let created = self
            .data(query, json!({ "input": { "account": account, "scope": scope } }))
            .await;
        self.with_token(&text(&created["createToken"]["secret"]))
    }

    /// The response to an operation, or why there is none.
    pub async fn execute(&self, query: &str, variables: Value) -> reqwest::Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let request = self.http.post(format!("{}/graphql", self.url)).json(&body);
        request.send().await?.json().await
    }

    /// The response to a GET request for a path of the server.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    /// Imports the digits again under the name `numbers` and returns the probe set of the new data set.
    pub async fn import_numbers(&self) -> String {
        let import = "mutation { importDataset(input: { name: \"numbers\", format: DIGITS }) { job { id } } }";
        let data = self.data(import, json!({})).await;
        let job = text(&data["importDataset"]["job"]["id"]);
        self.wait_for_success(&job).await;
        let query = "query($id: ID!) { job(id: $id) { dataset { probeSets { id } } } }";
        let data = self.data(query, json!({ "id": job })).await;
        text(&data["job"]["dataset"]["probeSets"][0]["id"])
    }

    /// Requests the import of four IDX files, in the order of [`IDX_FILES`], and returns the response.
    pub async fn import(&self, mut input: Value, files: &[Vec<u8>; 4]) -> Value {
        let names = IDX_FILES.map(|field| format!("input.{field}"));
        let files: Vec<_> = names
            .iter()
            .map(String::as_str)
            .zip(files.iter().map(Vec::as_slice))
            .collect();
        for field in IDX_FILES {
            input[field] = Value::Null;
        }
        self.upload(IMPORT_DATASET, json!({ "input": input }), &files)
            .await
            .unwrap()
    }

    /// Queues the import of four IDX files and returns the job.
    pub async fn start_import(&self, input: Value, files: &[Vec<u8>; 4]) -> String {
        let payload = &data(self.import(input, files).await)["importDataset"];
        text(&payload["job"]["id"])
    }

    /// Imports four IDX files and returns the job once it has succeeded.
    pub async fn import_and_wait(&self, input: Value, files: &[Vec<u8>; 4]) -> Value {
        let job = self.start_import(input, files).await;
        self.wait_for_success(&job).await
    }

    /// The data of an operation that must succeed.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        data(self.execute(query, variables).await.unwrap())
    }

    /// The code and message of the first error of an operation that must fail.
    pub async fn error(&self, query: &str, variables: Value) -> (String, String) {
        first_error(&self.execute(query, variables).await.unwrap())
    }

    /// The response to an operation with files, given as pairs of a variable (such as `input.weights`) and a content.
    pub async fn upload(&self, query: &str, variables: Value, files: &[(&str, &[u8])]) -> reqwest::Result<Value> {
        let map: Map<String, Value> = files
            .iter()
            .enumerate()
            .map(|(index, (name, _))| (index.to_string(), json!([format!("variables.{name}")])))
            .collect();
        let operations = json!({ "query": query, "variables": variables });
        let mut form = Form::new()
            .text("operations", operations.to_string())
            .text("map", Value::Object(map).to_string());
        for (index, (name, content)) in files.iter().enumerate() {
            let part = Part::bytes(content.to_vec()).file_name(name.to_string());
            form = form.part(index.to_string(), part);
        }
        let request = self.http.post(format!("{}/graphql", self.url));
        let request = request.header("graphql-preflight", "1").multipart(form);
        request.send().await?.json().await
    }

    /// Creates a model and returns its id; `None` if there was no response.
    pub async fn try_model(&self, name: &str) -> Option<String> {
        let query = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
        let response = self.execute(query, json!({ "input": { "name": name } })).await.ok()?;
        Some(text(&data(response)["createModel"]["model"]["id"]))
    }

    /// Creates a model and returns its id.
    pub async fn model(&self, name: &str) -> String {
        self.try_model(name).await.unwrap()
    }

    /// Registers a version with its weights and returns its id and that of its job; `None` if there was no response.
    pub async fn try_push(&self, model: &str, blocks: Value, weights: Vec<u8>) -> Option<(String, String)> {
        let input = json!({ "modelId": model, "dataset": "digits", "blocks": blocks, "weights": null });
        let response = self
            .upload(
                CREATE_VERSION,
                json!({ "input": input }),
                &[("input.weights", &weights)],
            )
            .await
            .ok()?;
        let payload = &data(response)["createVersion"];
        Some((text(&payload["version"]["id"]), text(&payload["job"]["id"])))
    }

    /// Registers a version with files such as `input.onnx` and returns the response.
    pub async fn create_version(&self, mut input: Value, files: &[(&str, &[u8])]) -> Value {
        for (field, _) in files {
            let field = field.strip_prefix("input.").unwrap();
            if !field.contains('.') {
                input[field] = Value::Null;
            }
        }
        self.upload(CREATE_VERSION, json!({ "input": input }), files)
            .await
            .unwrap()
    }

    /// Registers a version with files and returns the payload once the version is READY.
    pub async fn create_version_and_wait(&self, input: Value, files: &[(&str, &[u8])]) -> Value {
        let response = self.create_version(input, files).await;
        assert!(response.get("errors").is_none(), "{response:#}");
        let payload = response["data"]["createVersion"].clone();
        self.wait_for_success(payload["job"]["id"].as_str().unwrap()).await;
        payload
    }

    /// Downloads the file at a path.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap().to_vec()
    }

    /// Registers a version with its weights and returns the job that ingests it.
    pub async fn push(&self, model: &str, blocks: Value, weights: Vec<u8>) -> String {
        self.try_push(model, blocks, weights).await.unwrap().1
    }

    /// Registers a version with its weights and returns it once it is READY.
    pub async fn push_and_wait(&self, model: &str, blocks: Value, weights: Vec<u8>) -> String {
        let (version, job) = self.try_push(model, blocks, weights).await.unwrap();
        self.wait_for_success(&job).await;
        version
    }

    /// Starts the training of a version on the digits and returns the job.
    pub async fn train(&self, model: &str, blocks: Value, settings: Value) -> String {
        let query = "mutation($input: TrainVersionInput!) { trainVersion(input: $input) { job { id } } }";
        let input = json!({ "modelId": model, "dataset": "digits", "blocks": blocks, "settings": settings });
        let data = self.data(query, json!({ "input": input })).await;
        text(&data["trainVersion"]["job"]["id"])
    }

    /// Trains a version on the digits and returns it once it is READY.
    pub async fn train_and_wait(&self, model: &str, blocks: Value, settings: Value) -> String {
        let job = self.train(model, blocks, settings).await;
        text(&self.wait_for_success(&job).await["version"]["id"])
    }

    /// Waits until a condition holds for a job, and returns the job.
    pub async fn wait_for_job(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let query = "query($id: ID!) { job(id: $id) { status phase progress attempts epochs { epoch loss accuracy }
                     failure { code message layer } version { id status } } }";
        let end = Instant::now() + JOB_TIMEOUT;
        loop {
            let job = self.data(query, json!({ "id": id })).await["job"].take();
            if condition(&job) {
                return job;
            }
            assert!(Instant::now() < end, "the condition does not become true: {job:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts a training that runs until it is cancelled, and returns the job.
    pub async fn endless_job(&self) -> String {
        let model = self.model("endless").await;
        self.train(&model, small_cnn(), json!({ "epochs": 1_000 })).await
    }

    /// Adds versions to a model for as long as it is awaited, so that jobs change.
    pub async fn keep_jobs_changing(&self, model: &str) -> std::convert::Infallible {
        loop {
            self.push(model, perceptron(), initial_weights(&perceptron(), 1)).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Rebuilds the search index of a probe set, and returns it.
    pub async fn rebuild_search_index(&self, probe_set: &str) -> Value {
        let rebuild = "mutation($id: ID!) { rebuildSearchIndex(input: { probeSetId: $id }) { probeSet { id } } }";
        let before = self.search_index(probe_set).await;
        self.data(rebuild, json!({ "id": probe_set })).await;
        self.wait_for_rebuild(probe_set, &before).await
    }

    /// The search index of a probe set.
    pub async fn search_index(&self, probe_set: &str) -> Value {
        let query = "query($id: ID!) { node(id: $id) { ... on ProbeSet {
            searchIndex { fittedAt rebuilding layerCount } } } }";
        self.data(query, json!({ "id": probe_set })).await["node"]["searchIndex"].take()
    }

    /// Waits until a search index has been rebuilt, and returns the new one.
    pub async fn wait_for_rebuild(&self, probe_set: &str, before: &Value) -> Value {
        let end = Instant::now() + JOB_TIMEOUT;
        loop {
            let after = self.search_index(probe_set).await;
            if after["rebuilding"] == false {
                assert_ne!(after["fittedAt"], before["fittedAt"], "the rebuild failed");
                return after;
            }
            assert!(Instant::now() < end, "the rebuild does not end: {after:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Requests the cancellation of a job.
    pub async fn cancel(&self, job: &str) {
        let cancel = "mutation($id: ID!) { cancelJob(input: { id: $id }) { job { id } } }";
        self.data(cancel, json!({ "id": job })).await;
    }

    /// Waits until a job has ended, and returns it.
    pub async fn wait_for_end(&self, id: &str) -> Value {
        let has_ended = |job: &Value| !matches!(job["status"].as_str(), Some("QUEUED" | "RUNNING"));
        self.wait_for_job(id, has_ended).await
    }

    /// Waits until a job has succeeded, and returns it.
    pub async fn wait_for_success(&self, id: &str) -> Value {
        let job = self.wait_for_end(id).await;
        assert_eq!(job["status"], "SUCCEEDED", "{job:#}");
        job
    }
}

/// The code and message of the first error of a response.
pub fn first_error(response: &Value) -> (String, String) {
    let error = &response["errors"][0];
    assert!(error.is_object(), "no error in {response:#}");
    (text(&error["extensions"]["code"]), text(&error["message"]))
}

fn data(mut response: Value) -> Value {
    assert!(response.get("errors").is_none(), "{response:#}");
    response["data"].take()
}

/// A string in a response.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
