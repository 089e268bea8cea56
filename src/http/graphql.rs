//! GraphQL over HTTP and WebSocket.
//!
//! The web server's threads only speak HTTP. Everything else runs on the main runtime: a database connection
//! belongs to the runtime that opened it, and would die with a web thread when the server stops.

use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, Responder as _, web};
use async_graphql::{Data, Executor, Request, Response, ServerError};
use async_graphql_actix_web::{GraphQLRequest, GraphQLResponse, GraphQLSubscription};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::body::{BodyLimits, Counted};
use crate::graphql::Schema;
use crate::graphql::error::{code, with_code};

/// Events of a subscription that may wait for a slow client.
const BACKLOG: usize = 16;

/// The schema, executed on the main runtime.
#[derive(Clone)]
pub struct Executing {
    schema: Schema,
    runtime: Handle,
}

impl Executing {
    /// The schema, executed on the runtime this is called on.
    pub fn here(schema: Schema) -> Self {
        Self {
            schema,
            runtime: Handle::current(),
        }
    }
}

impl Executor for Executing {
    async fn execute(&self, request: Request) -> Response {
        let schema = self.schema.clone();
        let executed = self.runtime.spawn(async move { schema.execute(request).await });
        let response = executed.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request panicked");
            let error = ServerError::new("the server failed to answer; its log says why", None);
            Response::from_errors(vec![with_code(error, code::INTERNAL)])
        });
        crate::graphql::error::complete(response)
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let (events, mut received) = mpsc::channel(BACKLOG);
        let mut stream = Executor::execute_stream(&self.schema, request, session_data);
        self.runtime.spawn(async move {
            loop {
                let response = tokio::select! {
                    response = stream.next() => response,
                    // The client is gone: nobody waits for what may not come for hours.
                    () = events.closed() => None,
                };
                let Some(response) = response else { return };
                if events.send(crate::graphql::error::complete(response)).await.is_err() {
                    return;
                }
            }
        });
        stream::poll_fn(move |context| received.poll_recv(context)).boxed()
    }
}

/// `/graphql` for queries and mutations, `/graphql/ws` for subscriptions.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/graphql", web::post().to(execute))
        .route("/graphql/ws", web::get().to(subscribe));
}

async fn execute(
    executing: web::Data<Executing>,
    limits: web::Data<BodyLimits>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let counted = Counted::new(payload.into_inner(), limits.of(&request));
    let overflow = counted.overflow();
    let mut payload = Payload::Stream {
        payload: counted.boxed_local(),
    };
    match GraphQLRequest::from_request(&request, &mut payload).await {
        Ok(parsed) => {
            let response = executing.execute(parsed.into_inner()).await;
            GraphQLResponse::from(response)
                .respond_to(&request)
                .map_into_boxed_body()
        }
        Err(error) if overflow.happened() || is_too_large(&error) => refusal(
            HttpResponse::PayloadTooLarge(),
            code::PAYLOAD_TOO_LARGE,
            &limits.excess(&request),
        ),
        Err(error) => refusal(HttpResponse::BadRequest(), code::BAD_USER_INPUT, &error.to_string()),
    }
}

/// Whether one file among several is.
fn is_too_large(error: &actix_web::Error) -> bool {
    error.as_response_error().status_code() == StatusCode::PAYLOAD_TOO_LARGE
}

/// An answer to what is no request at all.
fn refusal(mut response: actix_web::HttpResponseBuilder, code: &str, message: &str) -> HttpResponse {
    response.json(json!({ "data": null, "errors": [{ "message": message, "extensions": { "code": code } }] }))
}

async fn subscribe(
    executing: web::Data<Executing>,
    request: HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    GraphQLSubscription::new(Executing::clone(&executing)).start(&request, payload)
}
