//! GraphQL over HTTP and WebSocket.
//!
//! The web server's threads only speak HTTP. Everything else runs on the main runtime: a database connection
//! belongs to the runtime that opened it, and would die with a web thread when the server stops.

use actix_web::{HttpRequest, HttpResponse, web};
use async_graphql::{Data, Executor, Request, Response, ServerError};
use async_graphql_actix_web::{GraphQLRequest, GraphQLResponse, GraphQLSubscription};
use futures::stream::BoxStream;
use futures::{SinkExt as _, StreamExt as _, channel::mpsc};
use std::sync::Arc;
use tokio::runtime::Handle;

use crate::graphql::Schema;

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
        executed.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request panicked");
            Response::from_errors(vec![ServerError::new(
                "the server failed to answer; its log says why",
                None,
            )])
        })
    }

    fn execute_stream(&self, request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let (mut events, received) = mpsc::channel(BACKLOG);
        let mut stream = Executor::execute_stream(&self.schema, request, session_data);
        self.runtime.spawn(async move {
            while let Some(response) = stream.next().await {
                if events.send(response).await.is_err() {
                    break;
                }
            }
        });
        received.boxed()
    }
}

/// `/graphql` for queries and mutations, `/graphql/ws` for subscriptions.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/graphql", web::post().to(execute))
        .route("/graphql/ws", web::get().to(subscribe));
}

async fn execute(executing: web::Data<Executing>, request: GraphQLRequest) -> GraphQLResponse {
    executing.execute(request.into_inner()).await.into()
}

async fn subscribe(
    executing: web::Data<Executing>,
    request: HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<HttpResponse> {
    GraphQLSubscription::new(Executing::clone(&executing)).start(&request, payload)
}
