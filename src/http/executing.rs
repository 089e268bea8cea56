//! Executing requests on the main runtime, so many at a time and so long.
//!
//! The web server's threads only speak HTTP. Everything else runs on the main runtime: a database connection
//! belongs to the runtime that opened it, and would die with a web thread when the server stops.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::caller::{Caller, Callers, Client};
use super::documents::Documents;
use super::request_id::in_span;
use super::share::{Share, Shares};
use crate::config::Limits;
use scv_domain::access::NewAuditEntry;
use crate::graphql::answer_size::AnswerSize;
use crate::graphql::error::{code, complete, first_code, with_code};
use crate::graphql::limits::operation;
use crate::graphql::order::Order;
use crate::graphql::upload::check_files;
use crate::graphql::{Schema, audit, nulls, on_behalf_of};
use scv_service::metrics::METRICS;

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
    subscribers: Shares<Client>,
    uploads: Arc<Semaphore>,
    uploaders: Shares<Client>,
    sockets: Shares<Client>,
    /// Ends subscriptions when the server stops.
    shutdown: CancellationToken,
}

/// A turn of somebody, which ends when it is dropped: their share, and one of all turns.
#[derive(Debug)]
#[expect(dead_code, reason = "they are kept, not looked at")]
pub struct Turn(Share<Client>, OwnedSemaphorePermit);

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
            subscribers: Shares::of(limits.client_subscriptions),
            uploads: Arc::new(Semaphore::new(limits.uploads as usize)),
            uploaders: Shares::of(limits.client_uploads),
            sockets: Shares::of(limits.sockets),
            shutdown,
        }
    }

    /// Finds the document of a request that only names one, and holds it against the limits.
    pub fn read(&self, request: Request) -> Question {
        let begun = Instant::now();
        let admitted = self.documents.complete(request).and_then(|mut request| {
            let operation = check_files(&request).and_then(|()| operation(&self.limits, &mut request));
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

    /// A turn of somebody to bring files, if there is one.
    pub fn upload_turn(&self, caller: &Caller) -> Option<Turn> {
        let share = self.uploaders.take(caller.client())?;
        let turn = Arc::clone(&self.uploads).try_acquire_owned().ok()?;
        Some(Turn(share, turn))
    }

    /// Room for another WebSocket from an address, if there is any.
    pub fn socket_turn(&self, address: Option<IpAddr>) -> Option<Share<Client>> {
        self.sockets.take(Client::at(address))
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
        let most = self.limits.answer_bytes;
        let library = self.callers.library().on_behalf_of(caller.access);
        let is_mutation = admitted.operation == Some(OperationType::Mutation);
        let (request, order) = (admitted.request, admitted.order);
        let (document, name) = (request.query.clone(), request.operation_name.clone());
        let executed = self.callers.runtime().spawn(in_span(async move {
            let _turn = turn;
            let variables = is_mutation.then(|| request.variables.clone());
            let size = AnswerSize::of(most);
            let request = on_behalf_of(request, library.clone()).data(size.clone());
            let (response, is_executed) = tokio::select! {
                // First of all: what goes on being resolved would only be thrown away.
                biased;
                () = size.exceeded() => (too_large(most), true),
                answer = timeout(longest, schema.execute(request)) => match answer {
                    // What is resolved without waiting for anything comes to its end first.
                    Ok(_) if size.is_exceeded() => (too_large(most), true),
                    Ok(response) => {
                        let is_executed = audit::is_executed(&response);
                        (response, is_executed)
                    }
                    Err(_) => (too_slow(longest), true),
                },
            };
            let mut response = complete(response);
            nulls::propagate(&mut response, &document, name.as_deref());
            order.arrange(&mut response);
            let changes = match variables.filter(|_| is_executed) {
                Some(variables) => audit::changes(&document, name.as_deref(), &variables),
                None => Vec::new(),
            };
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

    /// Room for another subscription of somebody, or the answer that there is none.
    fn subscription_turn(&self, caller: &Caller) -> Result<Turn, Box<Response>> {
        let Some(share) = self.subscribers.take(caller.client()) else {
            let most = self.limits.client_subscriptions;
            let message = format!("you have {most} subscriptions, and no more are allowed at a time: end one");
            return Err(Box::new(refused(code::OVERLOADED, &message)));
        };
        match Arc::clone(&self.subscriptions).try_acquire_owned() {
            Ok(turn) => Ok(Turn(share, turn)),
            Err(_) => {
                let message = "the server has no room for another subscription: end one, or try later";
                Err(Box::new(refused(code::OVERLOADED, message)))
            }
        }
    }

    /// The responses to a question of somebody, one but for subscriptions.
    pub fn execute_stream(&self, caller: Caller, question: Question) -> BoxStream<'static, Response> {
        let (request, order, mut begun) = match question {
            Question {
                admitted:
                    Ok(Admitted {
                        request,
                        operation: Some(OperationType::Subscription),
                        order,
                    }),
                begun,
            } => (request, order, Some(begun)),
            other => {
                let executing = self.clone();
                return stream::once(async move { executing.execute(caller, other).await }).boxed();
            }
        };
        let turn = match self.subscription_turn(&caller) {
            Ok(turn) => turn,
            Err(busy) => {
                METRICS.count_request("subscription", first_code(&busy), Duration::ZERO);
                return stream::iter([*busy]).boxed();
            }
        };
        let (events, mut received) = mpsc::channel(BACKLOG);
        let (say_last, last_words) = oneshot::channel();
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
                        Ok(false) => {
                            let ended = refused(code::UNAUTHENTICATED, "the token has expired or was revoked");
                            _ = say_last.send(ended);
                            return;
                        }
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
                if let Some(begun) = begun.take() {
                    METRICS.count_request("subscription", first_code(&response), begun.elapsed());
                }
                match timeout(PATIENCE, events.send(response)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    // Who takes none of what waits for it for so long is as good as gone, and would take the end for that of the
                    // events.
                    Err(_) => {
                        let seconds = PATIENCE.as_secs();
                        let message = format!("no event was taken for {seconds} seconds: ask again");
                        _ = say_last.send(refused(code::TIMEOUT, &message));
                        return;
                    }
                }
            }
        }));
        stream::poll_fn(move |context| received.poll_recv(context))
            .chain(stream::once(last_words).filter_map(async |words| words.ok()))
            .boxed()
    }
}

fn too_large(most: usize) -> Response {
    let message = format!("the answer has more than {most} bytes, which is the limit: ask for less at a time");
    refused(code::QUERY_TOO_COMPLEX, &message)
}

fn too_slow(longest: Duration) -> Response {
    let seconds = longest.as_secs();
    let message = format!("the request took more than {seconds} seconds, which is the limit: ask for less at a time");
    refused(code::TIMEOUT, &message)
}

/// A response to what is not executed.
pub fn refused(code: &str, message: &str) -> Response {
    Response::from_errors(vec![with_code(ServerError::new(message, None), code)])
}
