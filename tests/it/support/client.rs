//! A client of a server that may be killed at any moment: what is asked may go unanswered.

use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};

use super::networks::small_cnn;

/// How long a job may take: twenty times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Registers a version with its weights.
pub const CREATE_VERSION: &str = "mutation($input: CreateVersionInput!) { createVersion(input: $input) {
    version { id format } job { id } mapping { by pairs { key from shape } ignored } } }";

/// An HTTP client with nothing set.
pub fn http() -> reqwest::Client {
    scv_llm::use_ring();
    reqwest::Client::new()
}

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    /// What it is asked with.
    pub token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client of the server at a URL.
    pub fn new(url: String) -> Self {
        let http = http();
        Self { url, http, token: None }
    }

    /// The same server, asked with a token.
    pub fn with_token(&self, token: &str) -> Self {
        let shown = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        let headers = HeaderMap::from_iter([(AUTHORIZATION, shown)]);
        Self {
            url: self.url.clone(),
            http: reqwest::Client::builder().default_headers(headers).build().unwrap(),
            token: Some(token.to_owned()),
        }
    }

    /// The same server, asked with a new token of an account.
    pub async fn as_account(&self, account: &str, scope: &str) -> Self {
        let query = "mutation($input: CreateTokenInput!) { createToken(input: $input) { secret } }";
        let made = self
            .data(query, json!({ "input": { "account": account, "scope": scope } }))
            .await;
        self.with_token(&text(&made["createToken"]["secret"]))
    }

    /// The response to a query, or why there is none.
    pub async fn ask(&self, query: &str, variables: Value) -> reqwest::Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let request = self.http.post(format!("{}/graphql", self.url)).json(&body);
        request.send().await?.json().await
    }

    /// What is at a path of the server.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(format!("{}{path}", self.url)).send().await.unwrap()
    }

    /// Imports the digits once more under the name `numbers`; gives the new data set's probe set.
    pub async fn import_numbers(&self) -> String {
        let import =
            "mutation { importDataset(input: { name: \"numbers\", format: DIGITS }) { dataset { probeSets { id } } } }";
        let data = self.data(import, json!({})).await;
        text(&data["importDataset"]["dataset"]["probeSets"][0]["id"])
    }

    /// The data of a query that must succeed.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        data(self.ask(query, variables).await.unwrap())
    }

    /// The code and message of the first error of a query that must fail.
    pub async fn error(&self, query: &str, variables: Value) -> (String, String) {
        first_error(&self.ask(query, variables).await.unwrap())
    }

    /// The response to a query with files; `files` are variables (such as `input.weights`) and contents.
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

    /// A new model's id; `None` if there was no answer.
    pub async fn try_model(&self, name: &str) -> Option<String> {
        let query = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
        let answer = self.ask(query, json!({ "input": { "name": name } })).await.ok()?;
        Some(text(&data(answer)["createModel"]["model"]["id"]))
    }

    /// A new model's id.
    pub async fn model(&self, name: &str) -> String {
        self.try_model(name).await.unwrap()
    }

    /// A new version's id and that of its job; `None` if there was no answer.
    pub async fn try_push(&self, model: &str, blocks: Value, weights: Vec<u8>) -> Option<(String, String)> {
        let input = json!({ "modelId": model, "dataset": "digits", "blocks": blocks, "weights": null });
        let answer = self
            .upload(
                CREATE_VERSION,
                json!({ "input": input }),
                &[("input.weights", &weights)],
            )
            .await
            .ok()?;
        let payload = &data(answer)["createVersion"];
        Some((text(&payload["version"]["id"]), text(&payload["job"]["id"])))
    }

    /// The response to a registration with files such as `input.onnx`.
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

    /// What a registration with files answers, once the version is READY.
    pub async fn created_version(&self, input: Value, files: &[(&str, &[u8])]) -> Value {
        let answer = self.create_version(input, files).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        let payload = answer["data"]["createVersion"].clone();
        self.succeed(payload["job"]["id"].as_str().unwrap()).await;
        payload
    }

    /// The file at a path.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap().to_vec()
    }

    /// The job that takes in a version with its weights.
    pub async fn push(&self, model: &str, blocks: Value, weights: Vec<u8>) -> String {
        self.try_push(model, blocks, weights).await.unwrap().1
    }

    /// A version with its weights, once it is READY.
    pub async fn pushed(&self, model: &str, blocks: Value, weights: Vec<u8>) -> String {
        let (version, job) = self.try_push(model, blocks, weights).await.unwrap();
        self.succeed(&job).await;
        version
    }

    /// The job that trains a version on the digits.
    pub async fn train(&self, model: &str, blocks: Value, settings: Value) -> String {
        let query = "mutation($input: TrainVersionInput!) { trainVersion(input: $input) { job { id } } }";
        let input = json!({ "modelId": model, "dataset": "digits", "blocks": blocks, "settings": settings });
        let data = self.data(query, json!({ "input": input })).await;
        text(&data["trainVersion"]["job"]["id"])
    }

    /// A version that was trained on the digits, once it is READY.
    pub async fn trained(&self, model: &str, blocks: Value, settings: Value) -> String {
        let job = self.train(model, blocks, settings).await;
        text(&self.succeed(&job).await["version"]["id"])
    }

    /// A job once a condition holds.
    pub async fn job_once(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let query = "query($id: ID!) { job(id: $id) { status phase progress attempts epochs { epoch loss accuracy }
                     failure { code message layer } version { id status } } }";
        let end = Instant::now() + PATIENCE;
        loop {
            let job = self.data(query, json!({ "id": id })).await["job"].take();
            if condition(&job) {
                return job;
            }
            assert!(Instant::now() < end, "this does not come: {job:#}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A training that goes on until it is cancelled.
    pub async fn endless_job(&self) -> String {
        let model = self.model("endless").await;
        self.train(&model, small_cnn(), json!({ "epochs": 1_000 })).await
    }

    /// Asks for a job to be stopped.
    pub async fn cancel(&self, job: &str) {
        let cancel = "mutation($id: ID!) { cancelJob(input: { id: $id }) { job { id } } }";
        self.data(cancel, json!({ "id": job })).await;
    }

    /// A job once it has ended.
    pub async fn finish(&self, id: &str) -> Value {
        let over = |job: &Value| !matches!(job["status"].as_str(), Some("QUEUED" | "RUNNING"));
        self.job_once(id, over).await
    }

    /// A job once it has ended well.
    pub async fn succeed(&self, id: &str) -> Value {
        let job = self.finish(id).await;
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

fn data(mut answer: Value) -> Value {
    assert!(answer.get("errors").is_none(), "{answer:#}");
    answer["data"].take()
}

/// A string of an answer.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
