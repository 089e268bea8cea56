//! The client of a running server.

use std::error::Error as _;
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::exit::code;
use crate::config::{ClientConfig, DEFAULT_SERVER};
use crate::shell;
use scv_domain::access::Secret;

/// Maximum number of characters that an error quotes from a response that is not GraphQL.
const MAX_QUOTE_LENGTH: usize = 200;

/// How long an idle connection is kept: less than the server keeps it, which would otherwise close it under a request.
const IDLE_CONNECTION: Duration = Duration::from_secs(60);

/// A client of one server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    server: Url,
    endpoint: Url,
    /// The option that another command needs to reach the same server; empty for the default one.
    option: String,
}

/// A file of a request.
#[derive(Debug)]
pub(super) struct SentFile {
    /// The path of its variable, such as `input.weights`.
    variable: String,
    pub(super) path: PathBuf,
    /// What the server is told that its name is; that of the path if `None`.
    name: Option<String>,
}

impl SentFile {
    pub(super) fn new(variable: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            variable: variable.into(),
            path: path.into(),
            name: None,
        }
    }

    pub(super) fn named(self, name: String) -> Self {
        let name = Some(name);
        Self { name, ..self }
    }
}

/// Why a request has no data.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nothing listens there, or the connection broke.
    #[error(
        "cannot reach a server at {server} ({reason}): start one with `scv serve`, or set its address with --server or \
         SCV_SERVER"
    )]
    Unreachable {
        /// The address.
        server: Url,
        /// What the network reported.
        reason: String,
    },
    /// Another program listens there, or a proxy responded.
    #[error("{server} does not respond like an SCV server: {status} {body}")]
    NotGraphql {
        /// The address.
        server: Url,
        /// The status of the response.
        status: StatusCode,
        /// The beginning of the response.
        body: String,
    },
    /// The server refused the request.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<ApiError>),
    /// A file to upload cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: std::io::Error,
    },
}

impl ClientError {
    /// The code of the error: that of the API if the server sent it.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } => code::UNREACHABLE,
            // A proxy responds like this if the server behind it is gone.
            Self::NotGraphql { status, .. } if status.is_server_error() => code::UNREACHABLE,
            Self::NotGraphql { .. } | Self::File { .. } => code::FAILURE,
            Self::Refused(errors) => {
                let code = errors.first().and_then(|error| error.extensions.code.as_deref());
                code.unwrap_or(code::FAILURE)
            }
        }
    }

    /// The same error with other words in the messages of the server.
    pub(super) fn reworded(self, words: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Refused(errors) => {
                let errors = errors.into_iter().map(|mut error| {
                    error.message = words(&error.message);
                    for detail in &mut error.extensions.details {
                        detail.message = words(&detail.message);
                    }
                    error
                });
                Self::Refused(errors.collect())
            }
            other => other,
        }
    }
}

/// One error of the server.
#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    message: String,
    #[serde(default)]
    extensions: Extensions,
}

#[derive(Debug, Default, Deserialize)]
struct Extensions {
    code: Option<String>,
    #[serde(default)]
    details: Vec<ErrorDetail>,
}

/// One of the errors that an error message lists: of a block, or of the weights.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorDetail {
    #[serde(default)]
    path: String,
    #[serde(default)]
    kind: String,
    message: String,
}

/// The error with its place.
impl fmt::Display for ErrorDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "block {} ({}): {}", self.path, self.kind, self.message)
        }
    }
}

/// The message, and each detail on a line of its own. The code is for programs: `--json` has it.
impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Extensions { code, details } = &self.extensions;
        if details.is_empty() {
            f.write_str(&self.message)?;
        } else {
            // The message repeats the details after its first clause.
            f.write_str(self.message.split(": ").next().unwrap_or_default())?;
        }
        if code.as_deref() == Some("UNAUTHENTICATED") {
            f.write_str("; set SCV_TOKEN, or name a file that contains the token with --token-file")?;
        }
        for detail in details {
            write!(f, "\n  {detail}")?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct GraphqlResponse {
    data: Option<Value>,
    #[serde(default)]
    errors: Vec<ApiError>,
}

/// The token for requests: that of an option, else of the environment, else of a file that the settings name.
fn token(config: &ClientConfig) -> anyhow::Result<Option<Secret>> {
    if config.token.is_some() {
        return Ok(config.token.clone());
    }
    let file = config.token_file.as_ref();
    if let (Some(token), false) = (&config.environment_token, config.is_token_file_given) {
        return Ok(Some(token.clone()));
    }
    let Some(path) = file else {
        return Ok(None);
    };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the token file {}", path.display()))?;
    let text = text.trim();
    anyhow::ensure!(!text.is_empty(), "the token file {} is empty", path.display());
    Ok(Some(Secret::from(text.to_owned())))
}

impl Client {
    /// A client of the configured server; nothing is sent yet.
    ///
    /// # Errors
    /// The token cannot be read, or cannot be part of a request.
    pub(super) fn new(config: &ClientConfig) -> anyhow::Result<Self> {
        let client = Self::of(config.server.clone(), token(config)?.as_ref())?;
        let option = if config.is_server_given {
            client.option
        } else {
            String::new()
        };
        Ok(Self { option, ..client })
    }

    /// A client of the server at an address.
    ///
    /// # Errors
    /// The token cannot be part of a request.
    pub(super) fn of(server: Url, token: Option<&Secret>) -> anyhow::Result<Self> {
        let is_local = matches!(server.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.reveal()))
                .context("the token contains characters that no token has")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let builder = reqwest::Client::builder()
            .default_headers(headers)
            .pool_idle_timeout(IDLE_CONNECTION);
        // A proxy could not reach this machine.
        let http = if is_local { builder.no_proxy() } else { builder }.build()?;
        let mut endpoint = server.clone();
        endpoint.set_path(&format!("{}/graphql", server.path().trim_end_matches('/')));
        let option = match server.as_str().trim_end_matches('/') {
            DEFAULT_SERVER => String::new(),
            server => format!(" --server {}", shell::word(server)),
        };
        Ok(Self {
            http,
            server,
            endpoint,
            option,
        })
    }

    /// The option with which a printed command reaches the same server, after a space; empty if it is not needed.
    pub(super) fn option(&self) -> &str {
        &self.option
    }

    /// The address of the web page.
    pub(super) fn page(&self) -> &Url {
        &self.server
    }

    /// The address that opens GraphiQL with a query about a layer.
    pub(super) fn graphiql(&self, query: &str, layer: &str) -> Url {
        let mut address = self.server.clone();
        address.set_path("/graphiql");
        address
            .query_pairs_mut()
            .append_pair("query", query)
            .append_pair("variables", &json!({ "layer": layer }).to_string());
        address
    }

    /// The data of a query.
    pub(super) async fn query<T: DeserializeOwned>(&self, query: &str, variables: Value) -> Result<T, ClientError> {
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
        let files: Vec<_> = files
            .iter()
            .map(|&(variable, path)| SentFile::new(variable, path))
            .collect();
        self.upload_named(query, variables, &files).await
    }

    /// As [`Client::upload`], with files that may have other names for the server.
    pub(super) async fn upload_named<T: DeserializeOwned>(
        &self,
        query: &str,
        variables: Value,
        files: &[SentFile],
    ) -> Result<T, ClientError> {
        let map: serde_json::Map<_, _> = files
            .iter()
            .enumerate()
            .map(|(i, file)| (i.to_string(), json!([format!("variables.{}", file.variable)])))
            .collect();
        let mut form = Form::new()
            .text(
                "operations",
                json!({ "query": query, "variables": variables }).to_string(),
            )
            .text("map", Value::Object(map).to_string());
        for (index, SentFile { path, name, .. }) in files.iter().enumerate() {
            let part = Part::file(path).await.map_err(|reason| ClientError::File {
                path: path.clone(),
                reason,
            })?;
            let part = match name {
                Some(name) => part.file_name(name.clone()),
                None => part,
            };
            form = form.part(index.to_string(), part);
        }
        let request = self.http.post(self.endpoint.clone());
        // Web pages of other origins cannot set this header.
        self.send(request.header("graphql-preflight", "1").multipart(form))
            .await
    }

    /// The absolute URL of a path of the server.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.server.clone();
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        url.set_path(&format!("{}{path}", self.server.path().trim_end_matches('/')));
        url.set_query(query);
        url
    }

    /// The content of a file of the server.
    pub(super) async fn file(&self, url: &str) -> Result<Vec<u8>, ClientError> {
        let response = self.get(url).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok(bytes.to_vec())
    }

    /// Writes a file of the server to a path; the number of its bytes. A file that is not complete is removed.
    pub(super) async fn download(&self, url: &str, path: &Path) -> anyhow::Result<u64> {
        let response = self.get(url).await?;
        let written = self.write(response, path).await;
        if written.is_err() {
            // The first error is the one to report.
            let _ = std::fs::remove_file(path);
        }
        written
    }

    async fn write(&self, mut response: reqwest::Response, path: &Path) -> anyhow::Result<u64> {
        let cannot_write = || format!("cannot write {}", path.display());
        let mut file = File::create(path).with_context(cannot_write)?;
        let mut size = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            file.write_all(&chunk).with_context(cannot_write)?;
            size += chunk.len() as u64;
        }
        Ok(size)
    }

    async fn get(&self, url: &str) -> Result<reqwest::Response, ClientError> {
        let response = self.http.get(url).send().await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.map_err(|error| self.unreachable(&error))?;
        Err(self.not_graphql(status, &body))
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable {
            server: self.server.clone(),
            reason: innermost(error),
        }
    }

    fn not_graphql(&self, status: StatusCode, body: &str) -> ClientError {
        ClientError::NotGraphql {
            server: self.server.clone(),
            status,
            body: body.chars().take(MAX_QUOTE_LENGTH).collect(),
        }
    }

    async fn send<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        let Ok(response) = serde_json::from_str::<GraphqlResponse>(&text) else {
            return Err(self.not_graphql(status, &text));
        };
        if !response.errors.is_empty() {
            return Err(ClientError::Refused(response.errors));
        }
        let Some(data) = response.data else {
            return Err(self.not_graphql(status, &text));
        };
        serde_json::from_value(data).map_err(|error| self.not_graphql(status, &error.to_string()))
    }
}

/// Checks that a file can be read before a request is sent.
pub(super) fn check_file(path: &Path) -> anyhow::Result<()> {
    let problem = match File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => return Ok(()),
        Ok(_) => "not a regular file".to_owned(),
        Err(error) => error.to_string(),
    };
    anyhow::bail!("cannot read {}: {problem}", path.display())
}

/// Checks that a file begins as a PNG or JPEG file does, before it is uploaded. The server checks the rest.
///
/// # Errors
/// It cannot be read, or is another file.
pub(super) fn check_image(path: &Path) -> anyhow::Result<()> {
    check_file(path)?;
    let mut start = Vec::new();
    File::open(path)?.take(8).read_to_end(&mut start)?;
    if start.starts_with(b"\x89PNG\r\n\x1a\n") || start.starts_with(b"\xff\xd8\xff") {
        return Ok(());
    }
    anyhow::bail!(
        "{} is not an image that SCV can read: choose a PNG or JPEG file",
        path.display()
    )
}

/// The innermost cause: reqwest itself only reports that sending failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    reason
}
