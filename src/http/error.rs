//! Errors of requests that are refused before anything is executed.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use async_graphql::Response;

use super::request_permits::NoPermit;
use scv_api::error::{ApiError, code, first_code};
use scv_service::ServiceError;

/// Why a request is refused.
#[derive(Debug)]
pub struct HttpError {
    /// The status of the response.
    pub status: StatusCode,
    /// One of the error codes of the API.
    pub code: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
    /// When to retry.
    pub retry_after: Option<Duration>,
}

impl HttpError {
    /// The server is too busy.
    pub fn overloaded() -> Self {
        ServiceError::Overloaded.into()
    }

    /// No permit is free.
    pub fn no_permit(reason: NoPermit) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code::OVERLOADED, reason.message())
    }

    /// The client has sent too many requests.
    pub fn rate_limited(wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                code::OVERLOADED,
                format!(
                    "rate limit exceeded: try again in {} seconds",
                    wait.as_secs_f64().ceil()
                ),
            )
        }
    }

    /// A browser sent the request for a page of an origin that is not allowed.
    pub fn foreign_origin() -> Self {
        ServiceError::Forbidden(
            "requests from pages of other origins are not allowed: `scv serve --allow-origin` allows an origin"
                .to_owned(),
        )
        .into()
    }

    /// A page of another site may have sent the request, on behalf of a browser that has signed in.
    pub fn foreign_session() -> Self {
        ServiceError::Forbidden(
            "a session is only for the pages of this server: they send `GraphQL-Preflight: 1` with every request that is not a \
             GET, and a proxy has to pass the `Host` header on. Other programs send `Authorization: Bearer scv_…`"
                .to_owned(),
        )
        .into()
    }

    /// The request is malformed.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::BAD_USER_INPUT, message)
    }

    /// The request would get a response with an error.
    pub fn of_response(response: &Response) -> Self {
        let known = [code::FORBIDDEN, code::NOT_FOUND, code::QUERY_TOO_COMPLEX];
        let code = known.into_iter().find(|code| first_code(response) == Some(*code));
        let code = code.unwrap_or(code::BAD_USER_INPUT);
        let messages: Vec<&str> = response.errors.iter().map(|error| error.message.as_str()).collect();
        Self::new(status_of(code), code, messages.join("; "))
    }

    /// The body has a content type that cannot be read.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::BAD_USER_INPUT, message)
    }

    /// The body, or a file in it, is too large.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::PAYLOAD_TOO_LARGE, message)
    }

    /// The body did not arrive in time.
    pub fn request_timeout(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, code::TIMEOUT, message)
    }

    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// The headers that its response has in addition to the usual ones.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let wait = self
            .retry_after
            .map(|wait| HeaderValue::from(wait.as_secs_f64().ceil() as u64));
        let wait = wait.map(|wait| (header::RETRY_AFTER, wait));
        let challenge = (self.status == StatusCode::UNAUTHORIZED)
            .then(|| (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        wait.into_iter().chain(challenge).collect()
    }

    /// The response as plain text, for routes outside GraphQL.
    pub fn to_text_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for header in self.headers() {
            response.insert_header(header);
        }
        response.body(format!("{}\n", self.message))
    }
}

impl From<ServiceError> for HttpError {
    fn from(error: ServiceError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<ApiError> for HttpError {
    fn from(error: ApiError) -> Self {
        Self::new(status_of(error.code()), error.code(), error.message())
    }
}

/// The status for an error code.
fn status_of(code: &str) -> StatusCode {
    match code {
        code::BAD_USER_INPUT | code::QUERY_TOO_COMPLEX | code::UNSUPPORTED_MODEL => StatusCode::BAD_REQUEST,
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
