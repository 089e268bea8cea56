//! What is asked: requests as they come in bodies, addresses and uploads.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::BytesMut;
use async_graphql::{Request, Variables};
use futures::StreamExt as _;
use mime::Mime;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::body::Counted;
use super::documents::DOCUMENT_ID;
use crate::config::Limits;
use crate::graphql::error::{ApiError, code};
use scv_service::ServiceError;

mod upload;

/// How long a body may take, and how many bytes of it have to come in each second beyond that.
const PATIENCE: Duration = Duration::from_secs(30);
const SLOWEST: u64 = 4 << 10;

/// Until when the next piece of a body has to come that began to come at a moment.
fn deadline(begun: Instant, received: u64) -> Instant {
    begun + PATIENCE + Duration::from_secs(received / SLOWEST)
}

/// Headers that a page of another site cannot set without asking first. A request that a browser sends for such a page unasked
/// has none of them, and could otherwise upload files on behalf of whoever looks at the page.
const PREFLIGHT_HEADERS: [&str; 3] = ["graphql-preflight", "apollo-require-preflight", "x-requested-with"];

/// Why there is no request.
#[derive(Debug)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// One of the codes of errors.
    pub code: &'static str,
    /// What is wrong and what to do.
    pub message: String,
    /// When to come again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// What the library says.
    pub fn of(error: ServiceError) -> Self {
        ApiError::from(error).into()
    }

    /// What its answer has beside the usual headers.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let wait = self
            .retry_after
            .map(|wait| HeaderValue::from(wait.as_secs_f64().ceil() as u64));
        let wait = wait.map(|wait| (header::RETRY_AFTER, wait));
        let challenge = (self.status == StatusCode::UNAUTHORIZED)
            .then(|| (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        wait.into_iter().chain(challenge).collect()
    }

    /// Too many requests of one who asks.
    pub fn too_many(wait: Duration) -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: code::OVERLOADED,
            message: format!("you ask too often: try again in {} seconds", wait.as_secs_f64().ceil()),
            retry_after: Some(wait),
        }
    }

    /// A page of another origin has a browser ask.
    pub fn of_foreign_page() -> Self {
        Self::of(ServiceError::Forbidden(
            "pages of another origin may not ask this server: `scv serve --allow-origin` names those that may"
                .to_owned(),
        ))
    }

    fn bad(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: code::BAD_USER_INPUT,
            message: message.into(),
            retry_after: None,
        }
    }

    fn too_large(message: String) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: code::PAYLOAD_TOO_LARGE,
            message,
            retry_after: None,
        }
    }

    fn too_slow() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            code: code::TIMEOUT,
            message: format!(
                "the body comes too slowly: {} seconds and one for every {SLOWEST} bytes are what it may take",
                PATIENCE.as_secs()
            ),
            retry_after: None,
        }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            status: status_of(error.code()),
            code: error.code(),
            message: error.message().to_owned(),
            retry_after: None,
        }
    }
}

/// The status that says what a code says.
fn status_of(code: &str) -> StatusCode {
    match code {
        code::BAD_USER_INPUT | code::QUERY_TOO_COMPLEX => StatusCode::BAD_REQUEST,
        code::UNAUTHENTICATED => StatusCode::UNAUTHORIZED,
        code::FORBIDDEN => StatusCode::FORBIDDEN,
        code::NOT_FOUND => StatusCode::NOT_FOUND,
        code::CONFLICT => StatusCode::CONFLICT,
        code::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        code::OVERLOADED => StatusCode::SERVICE_UNAVAILABLE,
        code::TIMEOUT => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// One request, or several at once.
#[derive(Debug)]
pub enum Asked {
    /// One.
    One(Box<Request>),
    /// A list, which is answered with a list.
    Many(Vec<Request>),
}

/// From the query of an address: `query`, `operationName`, `documentId`, and as JSON `variables` and `extensions`.
///
/// # Errors
/// A parameter is not what it has to be.
pub fn of_address(request: &HttpRequest) -> Result<Request, Refusal> {
    let mut parameters = Map::new();
    for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
        let value = match &*name {
            "variables" | "extensions" => {
                serde_json::from_str(&value).map_err(|error| Refusal::bad(format!("`{name}` must be JSON: {error}")))?
            }
            _ => Value::String(value.into_owned()),
        };
        parameters.insert(name.into_owned(), value);
    }
    one(parameters)
}

impl Asked {
    /// From the body of a request.
    ///
    /// # Errors
    /// A body of another kind, one that is too long or too slow, or a parameter that is not what it has to be.
    pub async fn of_body(request: &HttpRequest, payload: Payload, limits: &Limits) -> Result<Self, Refusal> {
        let unknown = |message: String| Refusal {
            status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code: code::BAD_USER_INPUT,
            message,
            retry_after: None,
        };
        let given = request.headers().get(header::CONTENT_TYPE);
        let given = given.and_then(|given| given.to_str().ok()).unwrap_or_default();
        let kind: Option<Mime> = given.parse().ok();
        match kind.as_ref().map(|kind| (kind.essence_str(), kind)) {
            Some(("application/json", kind)) => match kind.get_param(mime::CHARSET) {
                None | Some(mime::UTF_8) => of_json(payload, limits).await,
                Some(other) => Err(unknown(format!("the body is written in {other}: write it in UTF-8"))),
            },
            Some(("multipart/form-data", kind)) => match kind.get_param(mime::BOUNDARY) {
                Some(boundary) => {
                    check_preflight(request)?;
                    upload::of_upload(payload, boundary.as_str(), limits).await
                }
                None => Err(unknown(
                    "the content type names no boundary between the parts".to_owned(),
                )),
            },
            _ => Err(unknown(format!(
                "the content type is {given:?}: send application/json, or multipart/form-data with files"
            ))),
        }
    }
}

async fn of_json(payload: Payload, limits: &Limits) -> Result<Asked, Refusal> {
    let mut body = Counted::new(payload, limits.body_bytes);
    let overflow = body.overflow();
    let mut bytes = BytesMut::new();
    let begun = Instant::now();
    loop {
        let piece = timeout_at(deadline(begun, bytes.len() as u64), body.next()).await;
        let Some(piece) = piece.map_err(|_| Refusal::too_slow())? else {
            break;
        };
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(_) if overflow.happened() => {
                return Err(Refusal::too_large(format!(
                    "the request is larger than {} bytes, which is the limit for one without files",
                    limits.body_bytes
                )));
            }
            Err(error) => return Err(Refusal::bad(format!("the body did not arrive whole: {error}"))),
        }
    }
    of_text(&bytes, limits)
}

fn of_text(text: &[u8], limits: &Limits) -> Result<Asked, Refusal> {
    let parsed = serde_json::from_slice(text);
    match parsed.map_err(|error| Refusal::bad(format!("the body must be JSON: {error}")))? {
        Value::Object(parameters) => one(parameters).map(|request| Asked::One(Box::new(request))),
        Value::Array(requests) if requests.is_empty() => Err(Refusal::bad("the list of requests is empty")),
        Value::Array(requests) if requests.len() > limits.batch => Err(Refusal::bad(format!(
            "{} requests come at once, and {} are allowed: send fewer",
            requests.len(),
            limits.batch
        ))),
        Value::Array(requests) => {
            let each = requests.into_iter().enumerate().map(|(index, request)| match request {
                Value::Object(parameters) => {
                    one(parameters).map_err(|refusal| Refusal::bad(format!("request {index}: {}", refusal.message)))
                }
                _ => Err(Refusal::bad(format!("request {index} must be an object"))),
            });
            Ok(Asked::Many(each.collect::<Result<_, _>>()?))
        }
        _ => Err(Refusal::bad("the body must be an object with `query`")),
    }
}

/// A request from its parameters.
fn one(mut parameters: Map<String, Value>) -> Result<Request, Refusal> {
    let mut text = |name: &str| match parameters.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::bad(format!("`{name}` must be a string"))),
    };
    let (query, operation, document) = (text("query")?, text("operationName")?, text(DOCUMENT_ID)?);
    let mut map = |name: &str| match parameters.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(_) => Err(Refusal::bad(format!("`{name}` must be an object"))),
    };
    let (variables, mut extensions) = (map("variables")?, map("extensions")?);
    if let Some(document) = document {
        extensions.insert(DOCUMENT_ID.to_owned(), document.into());
    }
    let is_named = extensions.contains_key(DOCUMENT_ID) || extensions.contains_key("persistedQuery");
    if query.is_none() && !is_named {
        return Err(Refusal::bad("`query` is missing: it holds the GraphQL document"));
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

/// Whether the body of a request says that it holds files.
pub fn brings_files(request: &HttpRequest) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"multipart/"))
}

fn check_preflight(request: &HttpRequest) -> Result<(), Refusal> {
    let has = |name: &&str| request.headers().get(*name).is_some_and(|value| !value.is_empty());
    match PREFLIGHT_HEADERS.iter().any(has) {
        true => Ok(()),
        false => Err(Refusal::bad(
            "files come with a header that pages of other sites cannot send unasked: add `GraphQL-Preflight: 1`",
        )),
    }
}
