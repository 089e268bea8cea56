//! Questions to a running server.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::multipart::{Form, Part};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::{ClientConfig, DEFAULT_SERVER};
use scv_domain::access::Secret;

/// Characters of an answer that is not GraphQL which an error repeats.
const MAX_QUOTE_LENGTH: usize = 200;

/// How long a connection is kept for the next question: less than the server keeps it, which would close it under one.
const IDLE_CONNECTION: Duration = Duration::from_secs(60);

/// A server that is asked over HTTP.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    server: Url,
    endpoint: Url,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody listens, or the line broke.
    #[error(
        "no server answers at {server} ({reason}): start one with `scv serve`, or say where it is with --server or SCV_SERVER"
    )]
    Unreachable {
        /// Whom we asked.
        server: Url,
        /// What the network said.
        reason: String,
    },
    /// Somebody else listens, or something between us and the server answered.
    #[error("{server} does not answer as an SCV server does: {answer}")]
    NotGraphql {
        /// Whom we asked.
        server: Url,
        /// What it said.
        answer: String,
    },
    /// The server says no.
    #[error("{}", .0.iter().map(Refusal::to_text).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Refusal>),
    /// A file to upload cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
}

/// One error of the server.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    message: String,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Debug, Default, Deserialize)]
struct Extensions {
    code: Option<String>,
    #[serde(default)]
    details: Vec<Fault>,
}

/// One of the faults that an error lists: of a block, or of the weights.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    #[serde(default)]
    path: String,
    #[serde(default)]
    kind: String,
    message: String,
}

impl Fault {
    /// The fault with its place.
    pub(super) fn to_text(&self) -> String {
        match self.path.is_empty() {
            true => self.message.clone(),
            false => format!("block {} ({}): {}", self.path, self.kind, self.message),
        }
    }
}

impl Refusal {
    /// The message with its code, and each fault on a line of its own.
    fn to_text(&self) -> String {
        let code = match self.extensions.code.as_deref() {
            Some("UNAUTHENTICATED") => " [UNAUTHENTICATED]; the commands take a token from SCV_TOKEN".to_owned(),
            Some(code) => format!(" [{code}]"),
            None => String::new(),
        };
        if self.extensions.details.is_empty() {
            return format!("{}{code}", self.message);
        }
        // The message repeats the faults behind its first clause.
        let summary = self.message.split(": ").next().unwrap_or_default();
        let faults = self
            .extensions
            .details
            .iter()
            .map(|fault| format!("\n  {}", fault.to_text()));
        format!("{summary}{code}{}", faults.collect::<String>())
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<Refusal>,
}

impl Client {
    /// A client; nothing is sent yet.
    pub(super) fn new(config: &ClientConfig) -> anyhow::Result<Self> {
        Self::of(config.server.clone(), config.token.as_ref())
    }

    /// A client of the server at an address, with a token if it wants one.
    pub(super) fn of(server: Url, token: Option<&Secret>) -> anyhow::Result<Self> {
        let here = matches!(server.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut shown = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
                .context("SCV_TOKEN holds what no token is made of")?;
            shown.set_sensitive(true);
            headers.insert(AUTHORIZATION, shown);
        }
        let builder = reqwest::Client::builder()
            .default_headers(headers)
            .pool_idle_timeout(IDLE_CONNECTION);
        // A proxy could not reach what is on this machine.
        let http = if here { builder.no_proxy() } else { builder }.build()?;
        let mut endpoint = server.clone();
        endpoint.set_path(&format!("{}/graphql", server.path().trim_end_matches('/')));
        Ok(Self { http, server, endpoint })
    }

    /// The option that makes another command ask the same server; empty for the usual one.
    pub(super) fn option(&self) -> String {
        match self.server.as_str().trim_end_matches('/') {
            DEFAULT_SERVER => String::new(),
            server => format!(" --server {server}"),
        }
    }

    /// The address that opens the playground with a query about a layer.
    pub(super) fn playground(&self, query: &str, layer: &str) -> Url {
        let mut address = self.server.clone();
        address
            .query_pairs_mut()
            .append_pair("query", query)
            .append_pair("variables", &json!({ "layer": layer }).to_string());
        address
    }

    /// The data of a query.
    pub(super) async fn ask<T: DeserializeOwned>(&self, query: &str, variables: Value) -> Result<T, ClientError> {
        let body = json!({ "query": query, "variables": variables });
        self.send(self.http.post(self.endpoint.clone()).json(&body)).await
    }

    /// The data of a query with files: each a variable's path, such as `input.weights`, and a file, which is streamed.
    pub(super) async fn upload<T: DeserializeOwned>(
        &self,
        query: &str,
        variables: Value,
        files: &[(&str, &Path)],
    ) -> Result<T, ClientError> {
        let map: serde_json::Map<_, _> = files
            .iter()
            .enumerate()
            .map(|(i, (variable, _))| (i.to_string(), json!([format!("variables.{variable}")])))
            .collect();
        let mut form = Form::new()
            .text(
                "operations",
                json!({ "query": query, "variables": variables }).to_string(),
            )
            .text("map", Value::Object(map).to_string());
        for (index, (_, path)) in files.iter().enumerate() {
            let part = Part::file(path).await.map_err(|reason| ClientError::File {
                path: path.to_path_buf(),
                reason,
            })?;
            form = form.part(index.to_string(), part);
        }
        let request = self.http.post(self.endpoint.clone());
        // A page of another site cannot send it unasked.
        self.send(request.header("graphql-preflight", "1").multipart(form))
            .await
    }

    /// The whole address of a path of the server.
    pub(super) fn address(&self, path: &str) -> Url {
        let mut address = self.server.clone();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        address.set_path(&format!("{}{path}", self.server.path().trim_end_matches('/')));
        address.set_query(query);
        address
    }

    /// The file at a whole address of the server.
    pub(super) async fn file(&self, address: &str) -> Result<Vec<u8>, ClientError> {
        let unreachable = |error| self.unreachable(&error);
        let response = self.http.get(address).send().await.map_err(unreachable)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unreachable)?;
        match status.is_success() {
            true => Ok(bytes.to_vec()),
            false => Err(ClientError::NotGraphql {
                server: self.server.clone(),
                answer: format!("{status} {}", String::from_utf8_lossy(&bytes)),
            }),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            server: self.server.clone(),
            reason: innermost(error),
        }
    }

    async fn send<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
        let unreachable = |error| self.unreachable(&error);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        let strange = || ClientError::NotGraphql {
            server: self.server.clone(),
            answer: format!("{status} {}", text.chars().take(MAX_QUOTE_LENGTH).collect::<String>()),
        };
        let answer: Answer = serde_json::from_str(&text).map_err(|_| strange())?;
        if !answer.errors.is_empty() {
            return Err(ClientError::Refused(answer.errors));
        }
        let data = answer.data.ok_or_else(strange)?;
        serde_json::from_value(data).map_err(|error| ClientError::NotGraphql {
            server: self.server.clone(),
            answer: error.to_string(),
        })
    }
}

/// Makes sure that a file can be uploaded, before anything is asked of the server.
pub(super) fn check_file(path: &Path) -> anyhow::Result<()> {
    let problem = match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => return Ok(()),
        Ok(_) => "it is not a file".to_owned(),
        Err(error) => error.to_string(),
    };
    anyhow::bail!("cannot read {}: {problem}", path.display())
}

/// What happened at the bottom: reqwest itself only says that sending failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    reason
}
