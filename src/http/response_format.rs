//! The format of a response: the media type that the client accepts, and the status that goes with it.
//!
//! This follows the GraphQL over HTTP specification (draft of 2025).

use std::sync::Arc;

use actix_web::error::JsonPayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::{Accept, Header as _, Quality};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use async_graphql::Response;
use mime::Mime;

use crate::graphql::execute::Executed;
use scv_api::error::{code, first_code};
use scv_api::response::{is_executed, to_json};
use scv_memory::Reservation;

/// The format of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFormat {
    /// `application/json`: every well-formed request gets 200, for clients that take other statuses for network errors.
    Json,
    /// `application/graphql-response+json`: the status says whether the request could be executed.
    GraphqlResponse,
    /// `text/event-stream`: an event per response, by the graphql-sse protocol.
    Events,
}

impl ResponseFormat {
    /// The format that the client prefers; none if it accepts no supported format.
    pub fn accepted_by(request: &HttpRequest) -> Option<Self> {
        let accepted = Accept::parse(request).ok().filter(|accepted| !accepted.is_empty());
        match accepted {
            None => Some(Self::Json),
            Some(mut accepted) => {
                // A quality of zero means that a format is not accepted.
                accepted.retain(|range| range.quality > Quality::ZERO);
                accepted.ranked().iter().find_map(Self::matching)
            }
        }
    }

    fn matching(range: &Mime) -> Option<Self> {
        match (range.type_().as_str(), range.subtype().as_str(), range.suffix()) {
            ("*", "*", _) | ("application", "*" | "json", None) => Some(Self::Json),
            ("application", "graphql-response", Some(mime::JSON)) => Some(Self::GraphqlResponse),
            ("text", "event-stream" | "*", None) => Some(Self::Events),
            _ => None,
        }
    }

    /// The media type of a response.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            // A request that is refused gets no stream.
            Self::Json | Self::Events => "application/json; charset=utf-8",
        }
    }

    /// The response to a request.
    pub fn response(self, executed: &Executed) -> HttpResponse {
        let body = to_json(&executed.response).map(|body| held(body, executed.memory.clone()));
        self.with_body(self.status(&executed.response), body)
    }

    /// The responses to a batch, in the order of its requests.
    pub fn batch_response(self, responses: &[Response]) -> HttpResponse {
        let bodies: serde_json::Result<Vec<_>> = responses.iter().map(to_json).collect();
        let list = bodies.map(|bodies| [b"[".as_slice(), &bodies.join(b",".as_slice()), b"]"].concat().into());
        self.with_body(StatusCode::OK, list)
    }

    /// The response to a request that is refused, with a status that does not depend on the format.
    pub fn refusal(self, status: StatusCode, response: &Response) -> HttpResponse {
        self.with_body(status, to_json(response))
    }

    fn with_body(self, status: StatusCode, body: serde_json::Result<Bytes>) -> HttpResponse {
        match body {
            Ok(body) => HttpResponse::build(status).content_type(self.content_type()).body(body),
            Err(error) => HttpResponse::from_error(JsonPayloadError::Serialize(error)),
        }
    }

    fn status(self, response: &Response) -> StatusCode {
        match refusal_code(response) {
            Some(code::OVERLOADED) => StatusCode::SERVICE_UNAVAILABLE,
            Some(code::TIMEOUT) => StatusCode::GATEWAY_TIMEOUT,
            _ if self == Self::GraphqlResponse && !is_executed(response) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        }
    }
}

/// A body that keeps its memory until it has been sent.
pub fn held(body: Bytes, memory: Option<Arc<Reservation>>) -> Bytes {
    let Some(memory) = memory else { return body };
    memory.shrink_to(body.len() as u64);
    Bytes::from_owner(HeldBody { body, _memory: memory })
}

struct HeldBody {
    body: Bytes,
    _memory: Arc<Reservation>,
}

impl AsRef<[u8]> for HeldBody {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// The code of the error that kept a request from being executed.
fn refusal_code(response: &Response) -> Option<&str> {
    if is_executed(response) {
        None
    } else {
        first_code(response)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_client_chooses_the_format() {
        for (accepted, format) in [
            ("*/*", Some(ResponseFormat::Json)),
            ("application/json", Some(ResponseFormat::Json)),
            ("application/json; charset=utf-8", Some(ResponseFormat::Json)),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(ResponseFormat::GraphqlResponse),
            ),
            (
                "application/graphql-response+json;q=0.5, application/json",
                Some(ResponseFormat::Json),
            ),
            ("text/event-stream", Some(ResponseFormat::Events)),
            ("text/html, */*;q=0.1", Some(ResponseFormat::Json)),
            ("text/*", Some(ResponseFormat::Events)),
            ("application/json;q=0", None),
            (
                "application/json;q=0, text/event-stream;q=0.1",
                Some(ResponseFormat::Events),
            ),
            ("text/html", None),
        ] {
            let request = TestRequest::post()
                .insert_header((header::ACCEPT, accepted))
                .to_http_request();
            assert_eq!(ResponseFormat::accepted_by(&request), format, "{accepted}");
        }
        assert_eq!(
            ResponseFormat::accepted_by(&TestRequest::post().to_http_request()),
            Some(ResponseFormat::Json)
        );
    }
}
