//! Executing requests on the main runtime, so many at a time and so long.
//!
//! The web server's threads only speak HTTP. Everything else runs on the main runtime: a database connection
//! belongs to the runtime that opened it, and would die with a web thread when the server stops.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::caller::{Caller, Callers};
use super::documents::Documents;
use super::request_id::in_span;
use crate::config::Limits;
use crate::domain::access::NewAuditEntry;
use crate::graphql::error::{code, complete, first_code, with_code};
use crate::graphql::limits::operation;
use crate::graphql::order::Order;
use crate::graphql::{Schema, audit, nulls, on_behalf_of};
use crate::metrics::METRICS;

/// Events of a subscription that may wait for a slow client; then the subscription waits.
const BACKLOG: usize = 16;

/// How long a client may take none of the events that wait for it, nor read what is sent.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often it is looked at whether the token still holds that a subscription was begun with.
const RECHECK: Duration = Duration::from_secs(10);

/// The schema, executed on the main runtime.
#[derive(Clone)]
pub struct Executing {
    schema: Schema,
    callers: Callers,
    documents: Documents,
    limits: Limits,
    requests: Arc<Semaphore>,
    subscriptions: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    /// Ends subscriptions when the server stops.
    shutdown: CancellationToken,
}

/// A request, read as far as it takes to tell what it asks for.
pub struct Question {
    admitted: Result<Admitted, Box<Response>>,
    /// When it came.
    begun: Instant,
}

/// A request with its document, which is within the limits.
struct Admitted {
    request: Request,
    operation: Option<OperationType>,
    order: Order,
}

impl Question {
    /// What it asks for; none if no document could be read, or one beyond the limits.
    pub fn operation(&self) -> Option<OperationType> {
        self.admitted.as_ref().ok()?.operation
    }
}

impl Executing {
    /// The schema, executed on behalf of callers until `shutdown`.
    pub fn new(
        schema: Schema,
        callers: Callers,
        documents: Documents,
        limits: Limits,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            schema,
            callers,
            documents,
            limits,
            requests: Arc::new(Semaphore::new(limits.requests as usize)),
            subscriptions: Arc::new(Semaphore::new(limits.subscriptions as usize)),
            uploads: Arc::new(Semaphore::new(limits.uploads as usize)),
            shutdown,
        }
    }

    /// Finds the document of a request that only names one, and holds it against the limits.
    pub fn read(&self, request: Request) -> Question {
        let begun = Instant::now();
        let admitted = self.documents.complete(request).and_then(|mut request| {
            let operation = operation(&self.limits, &mut request);
            let operation = operation.map_err(|error| Box::new(complete(Response::from_errors(vec![error]))))?;
            let name = request.operation_name.clone();
            let order = match request.parsed_query() {
                Ok(document) => Order::of(document, name.as_deref()),
                Err(_) => Order::default(),
            };
            Ok(Admitted {
                request,
                operation,
                order,
            })
        });
        Question { admitted, begun }
    }

    /// Who asks.
    pub fn callers(&self) -> &Callers {
        &self.callers
    }

    /// How much may be asked for.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A turn to bring files, if there is one.
    pub fn upload_turn(&self) -> Option<SemaphorePermit<'_>> {
        self.uploads.try_acquire().ok()
    }

    /// Ends once the server stops.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// The response to a question of somebody.
    pub async fn execute(&self, caller: Caller, question: Question) -> Response {
        let asks_for = match question.operation() {
            Some(OperationType::Query) => "query",
            Some(OperationType::Mutation) => "mutation",
            Some(OperationType::Subscription) => "subscription",
            None => "unknown",
        };
        let begun = question.begun;
        let response = match question.admitted {
            Ok(admitted) => self.answer(caller, admitted).await,
            Err(refusal) => *refusal,
        };
        METRICS.count_request(asks_for, first_code(&response), begun.elapsed());
        response
    }

    async fn answer(&self, caller: Caller, admitted: Admitted) -> Response {
        // Waiting in line would only make it worse: who is told at once can try another server, or later.
        let Ok(turn) = Arc::clone(&self.requests).try_acquire_owned() else {
            return refused(code::OVERLOADED, "the server is busy: try again in a moment");
        };
        let (schema, longest) = (self.schema.clone(), Duration::from_secs(self.limits.seconds));
        let library = self.callers.library().on_behalf_of(caller.access);
        let is_mutation = admitted.operation == Some(OperationType::Mutation);
        let (mut request, order) = (admitted.request, admitted.order);
        let (document, name) = (request.query.clone(), request.operation_name.clone());
        let executed = self.callers.runtime().spawn(in_span(async move {
            let _turn = turn;
            let changes = match is_mutation {
                true => audit::changes(&mut request),
                false => Vec::new(),
            };
            let answer = timeout(longest, schema.execute(on_behalf_of(request, library.clone())));
            let mut response = complete(answer.await.unwrap_or_else(|_| {
                let seconds = longest.as_secs();
                let message =
                    format!("the request took more than {seconds} seconds, which is the limit: ask for less at a time");
                refused(code::TIMEOUT, &message)
            }));
            nulls::propagate(&mut response, &document, name.as_deref());
            order.arrange(&mut response);
            for change in changes {
                let code = change.code(&response).map(str::to_owned);
                let entry = NewAuditEntry {
                    access: caller.access,
                    address: caller.address.map(|address| address.to_string()),
                    mutation: change.mutation,
                    input: change.input,
                    code,
                };
                library.record(entry).await;
            }
            response
        }));
        // A WebSocket that closes takes its questions along; a change that was begun comes to its end.
        let outcome = match is_mutation {
            true => executed.await,
            false => AbortOnDropHandle::new(executed).await,
        };
        outcome.unwrap_or_else(|error| {
            tracing::error!(%error, "a request panicked");
            refused(code::INTERNAL, "the server failed to answer; its log says why")
        })
    }

    /// The responses to a question of somebody, one but for subscriptions.
    pub fn execute_stream(&self, caller: Caller, question: Question) -> BoxStream<'static, Response> {
        let (request, order) = match question {
            Question {
                admitted:
                    Ok(Admitted {
                        request,
                        operation: Some(OperationType::Subscription),
                        order,
                    }),
                ..
            } => (request, order),
            other => {
                let executing = self.clone();
                return stream::once(async move { executing.execute(caller, other).await }).boxed();
            }
        };
        let Ok(turn) = Arc::clone(&self.subscriptions).try_acquire_owned() else {
            let busy = refused(
                code::OVERLOADED,
                "the server has no room for another subscription: end one, or try later",
            );
            return stream::iter([busy]).boxed();
        };
        let (events, mut received) = mpsc::channel(BACKLOG);
        let (document, name) = (request.query.clone(), request.operation_name.clone());
        let library = self.callers.library().on_behalf_of(caller.access);
        let request = on_behalf_of(request, library.clone());
        let mut stream = self.schema.execute_stream(request).boxed();
        let shutdown = self.shutdown.clone();
        self.callers.runtime().spawn(in_span(async move {
            let _turn = turn;
            let mut again = interval_at(Instant::now() + RECHECK, RECHECK);
            loop {
                let response = tokio::select! {
                    response = stream.next() => response,
                    _ = again.tick() => match library.holds(caller.access).await {
                        Ok(false) => None,
                        // What cannot be told now is asked again.
                        Ok(true) | Err(_) => continue,
                    },
                    // The client is gone: nobody waits for what may not come for hours.
                    () = events.closed() => None,
                    () = shutdown.cancelled() => None,
                };
                let Some(response) = response else { return };
                let mut response = complete(response);
                nulls::propagate(&mut response, &document, name.as_deref());
                order.arrange(&mut response);
                match timeout(PATIENCE, events.send(response)).await {
                    Ok(Ok(())) => {}
                    // Who takes none of what waits for it for so long is as good as gone.
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        }));
        stream::poll_fn(move |context| received.poll_recv(context)).boxed()
    }
}

/// A response to what is not executed.
pub fn refused(code: &str, message: &str) -> Response {
    Response::from_errors(vec![with_code(ServerError::new(message, None), code)])
}
