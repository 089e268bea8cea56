//! Executing requests on the main runtime, so many at a time and so long.
//!
//! The web server's threads only speak HTTP. Everything else runs on the main runtime: a database connection
//! belongs to the runtime that opened it, and would die with a web thread when the server stops.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Data, Executor, Request, Response, ServerError};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use crate::graphql::Schema;
use crate::graphql::error::{code, complete, with_code};
use crate::graphql::limits::{Seen, operation};
use crate::metrics::METRICS;

/// Events of a subscription that may wait for a slow client; then the subscription waits.
const BACKLOG: usize = 16;

/// How long a client may take none of the events that wait for it, nor read what is sent.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The schema, executed on the main runtime.
#[derive(Clone)]
pub struct Executing {
    schema: Schema,
    runtime: Handle,
    limits: Limits,
    requests: Arc<Semaphore>,
    subscriptions: Arc<Semaphore>,
    /// Ends subscriptions when the server stops.
    shutdown: CancellationToken,
}

impl Executing {
    /// The schema, executed on the runtime this is called on until `shutdown`.
    pub fn here(schema: Schema, limits: Limits, shutdown: CancellationToken) -> Self {
        Self {
            schema,
            runtime: Handle::current(),
            limits,
            requests: Arc::new(Semaphore::new(limits.requests as usize)),
            subscriptions: Arc::new(Semaphore::new(limits.subscriptions as usize)),
            shutdown,
        }
    }

    /// What a request asks for, if it is within the limits and can be told.
    pub fn operation(&self, request: &mut Request) -> Option<OperationType> {
        operation(&self.limits, request).ok().flatten()
    }

    /// How much may be asked for.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Ends once the server stops.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }
}

impl Executing {
    async fn answer(&self, request: Request) -> Response {
        // Waiting in line would only make it worse: who is told at once can try another server, or later.
        let Ok(turn) = Arc::clone(&self.requests).try_acquire_owned() else {
            return refused(code::OVERLOADED, "the server is busy: try again in a moment");
        };
        let (schema, longest) = (self.schema.clone(), Duration::from_secs(self.limits.seconds));
        let executed = self.runtime.spawn(async move {
            let _turn = turn;
            timeout(longest, schema.execute(request)).await
        });
        let response = match executed.await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => refused(
                code::TIMEOUT,
                &format!(
                    "the request took more than {} seconds, which is the limit: ask for less at a time",
                    longest.as_secs()
                ),
            ),
            Err(error) => {
                tracing::error!(%error, "a request panicked");
                refused(code::INTERNAL, "the server failed to answer; its log says why")
            }
        };
        complete(response)
    }
}

impl Executor for Executing {
    async fn execute(&self, request: Request) -> Response {
        let (begun, seen) = (Instant::now(), Seen::default());
        let response = self.answer(request.data(seen.clone())).await;
        METRICS.count_request(seen.operation(), first_code(&response), begun.elapsed());
        response
    }

    fn execute_stream(&self, mut request: Request, session_data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        if self.operation(&mut request) != Some(OperationType::Subscription) {
            let executing = self.clone();
            return stream::once(async move { executing.execute(request).await }).boxed();
        }
        let Ok(turn) = Arc::clone(&self.subscriptions).try_acquire_owned() else {
            let busy = refused(
                code::OVERLOADED,
                "the server has no room for another subscription: end one, or try later",
            );
            return stream::iter([busy]).boxed();
        };
        let (events, mut received) = mpsc::channel(BACKLOG);
        let mut stream = Executor::execute_stream(&self.schema, request, session_data);
        let shutdown = self.shutdown.clone();
        self.runtime.spawn(async move {
            let _turn = turn;
            loop {
                let response = tokio::select! {
                    response = stream.next() => response,
                    // The client is gone: nobody waits for what may not come for hours.
                    () = events.closed() => None,
                    () = shutdown.cancelled() => None,
                };
                let Some(response) = response else { return };
                match timeout(PATIENCE, events.send(complete(response))).await {
                    Ok(Ok(())) => {}
                    // Who takes none of what waits for it for so long is as good as gone.
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        });
        stream::poll_fn(move |context| received.poll_recv(context)).boxed()
    }
}

/// The code of the first error of a response.
fn first_code(response: &Response) -> Option<&str> {
    match response.errors.first()?.extensions.as_ref()?.get("code")? {
        async_graphql::Value::String(code) => Some(code),
        _ => None,
    }
}

/// A response to what is not executed.
pub fn refused(code: &str, message: &str) -> Response {
    Response::from_errors(vec![with_code(ServerError::new(message, None), code)])
}
