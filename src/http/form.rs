//! In which form an answer goes out: what the client accepts, and which status it has then.
//!
//! After the GraphQL over HTTP specification (draft of 2025).

use actix_web::http::StatusCode;
use actix_web::http::header::{Accept, Header as _, Quality};
use actix_web::{HttpRequest, HttpResponse};
use async_graphql::{Response, Value};
use mime::Mime;
use serde::Serialize;
use serde::ser::SerializeMap as _;

use crate::graphql::error::{code, first_code};

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`: 200 for whatever is a request at all, for clients that take other statuses for a broken line.
    Json,
    /// `application/graphql-response+json`: the status says whether the request could be executed.
    Response,
    /// `text/event-stream`: an event for each answer, after the graphql-sse protocol.
    Events,
}

impl Form {
    /// The form that a client likes best; none if it accepts no form that there is.
    pub fn accepted(request: &HttpRequest) -> Option<Self> {
        let accepted = Accept::parse(request).ok().filter(|accepted| !accepted.is_empty());
        match accepted {
            None => Some(Self::Json),
            Some(mut accepted) => {
                // What is given no weight is not accepted at all.
                accepted.retain(|range| range.quality > Quality::ZERO);
                accepted.ranked().iter().find_map(Self::of_range)
            }
        }
    }

    fn of_range(range: &Mime) -> Option<Self> {
        match (range.type_().as_str(), range.subtype().as_str(), range.suffix()) {
            ("*", "*", _) | ("application", "*" | "json", None) => Some(Self::Json),
            ("application", "graphql-response", Some(mime::JSON)) => Some(Self::Response),
            ("text", "event-stream" | "*", None) => Some(Self::Events),
            _ => None,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Response => "application/graphql-response+json; charset=utf-8",
            // What is no request gets no stream.
            Self::Json | Self::Events => "application/json; charset=utf-8",
        }
    }

    /// An answer of this form.
    pub fn answer(self, response: &Response) -> HttpResponse {
        HttpResponse::build(self.status(response))
            .content_type(self.content_type())
            .json(Body(response))
    }

    /// The answers to a list of requests, in its order.
    pub fn answers(self, responses: &[Response]) -> HttpResponse {
        let bodies: Vec<Body<'_>> = responses.iter().map(Body).collect();
        HttpResponse::Ok().content_type(self.content_type()).json(bodies)
    }

    /// An answer to what cannot be executed whatever its form, with a status of its own.
    pub fn refusal(self, status: StatusCode, response: &Response) -> HttpResponse {
        HttpResponse::build(status)
            .content_type(self.content_type())
            .json(Body(response))
    }

    fn status(self, response: &Response) -> StatusCode {
        match code_of(response) {
            Some(code::OVERLOADED) => StatusCode::SERVICE_UNAVAILABLE,
            Some(code::TIMEOUT) => StatusCode::GATEWAY_TIMEOUT,
            _ if self == Self::Response && !is_executed(response) => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        }
    }
}

/// Whether a request came to be executed: errors of its document, its variables or its price have no path.
fn is_executed(response: &Response) -> bool {
    response.data != Value::Null
        || response.errors.is_empty()
        || response.errors.iter().any(|error| !error.path.is_empty())
}

/// The code of what kept a request from being executed.
fn code_of(response: &Response) -> Option<&str> {
    match is_executed(response) {
        true => None,
        false => first_code(response),
    }
}

/// A response as JSON. `data` is there just if the request was executed.
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
    fn the_client_chooses_the_form() {
        for (accepted, form) in [
            ("*/*", Some(Form::Json)),
            ("application/json", Some(Form::Json)),
            ("application/json; charset=utf-8", Some(Form::Json)),
            (
                "application/graphql-response+json, application/json;q=0.9",
                Some(Form::Response),
            ),
            (
                "application/graphql-response+json;q=0.5, application/json",
                Some(Form::Json),
            ),
            ("text/event-stream", Some(Form::Events)),
            ("text/html, */*;q=0.1", Some(Form::Json)),
            ("text/*", Some(Form::Events)),
            ("application/json;q=0", None),
            ("application/json;q=0, text/event-stream;q=0.1", Some(Form::Events)),
            ("text/html", None),
        ] {
            let request = TestRequest::post()
                .insert_header((header::ACCEPT, accepted))
                .to_http_request();
            assert_eq!(Form::accepted(&request), form, "{accepted}");
        }
        assert_eq!(Form::accepted(&TestRequest::post().to_http_request()), Some(Form::Json));
    }
}
