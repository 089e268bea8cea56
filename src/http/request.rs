//! Reads GraphQL requests from bodies, query strings and uploads.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut};
use async_graphql::{Request, Variables};
use futures::StreamExt as _;
use mime::Mime;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::body::LimitedBody;
use super::documents::DOCUMENT_ID;
use super::error::HttpError;
use crate::config::Limits;
use scv_memory::Reservation;

mod upload;

/// Bytes of a body that are not counted: the bodies of most requests.
const SMALL_BODY_BYTES: usize = 16 << 10;

/// How many times its own bytes a body takes: as text, and as values that are parsed from it.
const JSON_COPIES: u64 = 8;

/// How long a body may take to arrive, beyond the time that [`MIN_BYTES_PER_SECOND`] allows for its length.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const MIN_BYTES_PER_SECOND: u64 = 4 << 10;

/// When the next piece of a body has to have arrived.
fn deadline(started: Instant, received: u64) -> Instant {
    started + BODY_TIMEOUT + Duration::from_secs(received / MIN_BYTES_PER_SECOND)
}

fn too_slow() -> HttpError {
    HttpError::request_timeout(format!(
        "the body arrives too slowly: the limit is {} seconds, plus one second for every {MIN_BYTES_PER_SECOND} bytes",
        BODY_TIMEOUT.as_secs()
    ))
}

/// Headers that a page of another site cannot set without a preflight request. Without this check, any page could
/// upload files on behalf of the user who opens it, because browsers send `multipart/form-data` without a preflight.
const PREFLIGHT_HEADERS: [&str; 3] = ["graphql-preflight", "apollo-require-preflight", "x-requested-with"];

/// The names of UTF-8 in content types. The second one is wrong and common.
const UTF_8_NAMES: [&str; 2] = ["utf-8", "utf8"];

/// Some programs write it before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Checks a request whose files have not arrived.
pub type CheckBeforeFiles<'a> = dyn Fn(Request) -> Result<(), HttpError> + 'a;

/// How a body is read.
pub struct BodyRules<'a> {
    /// The limits of its size.
    pub limits: &'a Limits,
    /// What its memory is taken from.
    pub memory: &'a Reservation,
    /// Checks the rest before files are read.
    pub check: &'a CheckBeforeFiles<'a>,
}

/// The body of an HTTP request.
#[derive(Debug)]
pub enum ReceivedBody {
    /// A text in JSON, not parsed yet.
    Json(Bytes),
    /// Requests with files.
    Upload(GraphqlRequest),
}

/// The requests of one HTTP request.
#[derive(Debug)]
pub enum GraphqlRequest {
    /// One request.
    Single(Box<Request>),
    /// A list of requests, which gets a list of responses.
    Batch(Vec<Request>),
}

/// Reads a request from a query string: `query`, `operationName`, `documentId`, and as JSON `variables` and
/// `extensions`.
///
/// # Errors
/// A parameter is invalid.
pub fn from_query_string(request: &HttpRequest) -> Result<Request, HttpError> {
    let mut parameters = Map::new();
    for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
        let value = match &*name {
            "variables" | "extensions" => serde_json::from_str(&value)
                .map_err(|error| HttpError::bad_request(format!("`{name}` must be JSON: {error}")))?,
            _ => Value::String(value.into_owned()),
        };
        parameters.insert(name.into_owned(), value);
    }
    from_parameters(parameters)
}

impl ReceivedBody {
    /// Reads the body of a request. If it has files, the rest is checked before they are read, as far as it comes before.
    ///
    /// # Errors
    /// The content type is not supported, the body is too large or too slow, an upload is invalid, or the server has no memory for it.
    pub async fn read(request: &HttpRequest, payload: Payload, rules: &BodyRules<'_>) -> Result<Self, HttpError> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type: Option<Mime> = content_type.parse().ok();
        match media_type
            .as_ref()
            .map(|media_type| (media_type.essence_str(), media_type))
        {
            Some(("application/json", media_type)) => match media_type.get_param(mime::CHARSET) {
                Some(other) if !UTF_8_NAMES.iter().any(|name| other.as_str().eq_ignore_ascii_case(name)) => Err(
                    HttpError::unsupported_media_type(format!("the body is encoded as {other}: encode it as UTF-8")),
                ),
                _ => read_json(payload, rules).await.map(Self::Json),
            },
            Some(("multipart/form-data", media_type)) => match media_type.get_param(mime::BOUNDARY) {
                Some(boundary) => {
                    check_preflight_header(request)?;
                    let received = upload::read(payload, boundary.as_str(), rules.limits, rules.check);
                    received.await.map(Self::Upload)
                }
                None => Err(HttpError::unsupported_media_type(
                    "the content type has no `boundary` parameter",
                )),
            },
            _ => Err(HttpError::unsupported_media_type(format!(
                "unsupported content type {content_type:?}: send application/json, or multipart/form-data with files"
            ))),
        }
    }
}

async fn read_json(payload: Payload, rules: &BodyRules<'_>) -> Result<Bytes, HttpError> {
    let BodyRules { limits, memory, .. } = rules;
    let mut body = LimitedBody::new(payload, limits.body_bytes);
    let overflow = body.overflow();
    let mut bytes = BytesMut::new();
    let started = Instant::now();
    loop {
        let piece = timeout_at(deadline(started, bytes.len() as u64), body.next()).await;
        let Some(piece) = piece.map_err(|_| too_slow())? else {
            break;
        };
        match piece {
            Ok(piece) => {
                bytes.extend_from_slice(&piece);
                let counted = bytes.len().saturating_sub(SMALL_BODY_BYTES) as u64;
                let missing = (counted * JSON_COPIES).saturating_sub(memory.bytes());
                memory.grow(missing).map_err(|_| HttpError::overloaded())?;
            }
            Err(_) if overflow.happened() => {
                return Err(HttpError::too_large(format!(
                    "the request is larger than {} bytes, which is the limit for a request without files",
                    limits.body_bytes
                )));
            }
            Err(error) => return Err(HttpError::bad_request(format!("the body is incomplete: {error}"))),
        }
    }
    Ok(bytes.freeze())
}

impl GraphqlRequest {
    /// Reads a body in JSON.
    ///
    /// # Errors
    /// A parameter is invalid, or the batch has no requests or too many.
    pub fn from_json(text: &[u8], limits: &Limits) -> Result<Self, HttpError> {
        let parsed = serde_json::from_slice(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
        match parsed.map_err(|error| HttpError::bad_request(format!("the body must be JSON: {error}")))? {
            Value::Object(parameters) => from_parameters(parameters).map(|request| Self::Single(Box::new(request))),
            Value::Array(requests) if requests.is_empty() => {
                Err(HttpError::bad_request("the batch has no requests: send at least one"))
            }
            Value::Array(requests) if requests.len() > limits.batch => Err(HttpError::bad_request(format!(
                "the batch has {} requests; the limit is {}",
                requests.len(),
                limits.batch
            ))),
            Value::Array(requests) => {
                let requests = requests.into_iter().enumerate().map(|(index, request)| match request {
                    Value::Object(parameters) => from_parameters(parameters)
                        .map_err(|error| HttpError::bad_request(format!("request {index}: {}", error.message))),
                    _ => Err(HttpError::bad_request(format!("request {index} must be an object"))),
                });
                Ok(Self::Batch(requests.collect::<Result<_, _>>()?))
            }
            _ => Err(HttpError::bad_request("the body must be an object with `query`")),
        }
    }
}

fn from_parameters(mut parameters: Map<String, Value>) -> Result<Request, HttpError> {
    let mut text = |name: &str| match parameters.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(HttpError::bad_request(format!("`{name}` must be a string"))),
    };
    let (query, operation, document) = (text("query")?, text("operationName")?, text(DOCUMENT_ID)?);
    let mut object = |name: &str| match parameters.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object),
        Some(_) => Err(HttpError::bad_request(format!("`{name}` must be an object"))),
    };
    let (variables, mut extensions) = (object("variables")?, object("extensions")?);
    if let Some(document) = document {
        extensions.insert(DOCUMENT_ID.to_owned(), document.into());
    }
    let names_document = extensions.contains_key(DOCUMENT_ID) || extensions.contains_key("persistedQuery");
    if query.is_none() && !names_document {
        return Err(HttpError::bad_request(
            "`query` is missing: it holds the GraphQL document",
        ));
    }
    let mut request = Request::new(query.unwrap_or_default()).variables(Variables::from_json(Value::Object(variables)));
    if let Some(operation) = operation {
        request = request.operation_name(operation);
    }
    for (name, value) in extensions {
        if let Ok(value) = async_graphql::Value::from_json(value) {
            request.extensions.insert(name, value);
        }
    }
    Ok(request)
}

/// Whether a request uploads files, by its content type.
pub fn has_files(request: &HttpRequest) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"multipart/"))
}

/// Whether a request has a header that pages of other sites cannot send.
pub fn has_preflight_header(request: &HttpRequest) -> bool {
    let has_header = |name: &&str| request.headers().get(*name).is_some_and(|value| !value.is_empty());
    PREFLIGHT_HEADERS.iter().any(has_header)
}

fn check_preflight_header(request: &HttpRequest) -> Result<(), HttpError> {
    if has_preflight_header(request) {
        Ok(())
    } else {
        Err(HttpError::bad_request(
            "an upload needs a header that pages of other sites cannot send without a preflight request: \
             add `GraphQL-Preflight: 1`",
        ))
    }
}
