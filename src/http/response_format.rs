//! The format of a response: the media type that the client accepts, and the status that goes with it.
//!
//! This follows the GraphQL over HTTP specification (draft of 2025).

use actix_web::http::StatusCode;
use actix_web::http::header::{Accept, Header as _, Quality};
use actix_web::{HttpRequest, HttpResponse};
use async_graphql::{Response, Value};
use mime::Mime;
use serde::Serialize;
use serde::ser::SerializeMap as _;

use scv_api::error::{code, first_code};

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
    pub fn response(self, response: &Response) -> HttpResponse {
        HttpResponse::build(self.status(response))
            .content_type(self.content_type())
            .json(Body(response))
    }

    /// The responses to a batch, in the order of its requests.
    pub fn batch_response(self, responses: &[Response]) -> HttpResponse {
        let bodies: Vec<Body<'_>> = responses.iter().map(Body).collect();
        HttpResponse::Ok().content_type(self.content_type()).json(bodies)
    }

    /// The response to a request that is refused, with a status that does not depend on the format.
    pub fn refusal(self, status: StatusCode, response: &Response) -> HttpResponse {
        HttpResponse::build(status)
            .content_type(self.content_type())
            .json(Body(response))
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

/// Whether the request was executed. Errors of its document, its variables or its complexity have no path.
fn is_executed(response: &Response) -> bool {
    response.data != Value::Null
        || response.errors.is_empty()
        || response.errors.iter().any(|error| !error.path.is_empty())
}

/// The code of the error that kept a request from being executed.
fn refusal_code(response: &Response) -> Option<&str> {
    if is_executed(response) {
        None
    } else {
        first_code(response)
    }
}

/// A response as JSON. It has `data` only if the request was executed.
pub struct Body<'a>(pub &'a Response);

impl Serialize for Body<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Response {
            data,
            extensions,
            errors,
            ..
        } = self.0;
        let mut map = serializer.serialize_map(None)?;
        if !errors.is_empty() {
            map.serialize_entry("errors", errors)?;
        }
        if is_executed(self.0) {
            map.serialize_entry("data", data)?;
        }
        if !extensions.is_empty() {
            map.serialize_entry("extensions", extensions)?;
        }
        map.end()
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
