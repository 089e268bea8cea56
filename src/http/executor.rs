//! Executes requests on the main runtime, within quotas and a limit on concurrent requests.
//!
//! The web server's threads only speak HTTP. Everything else runs on the main runtime: a database connection belongs to
//! the runtime that opened it, and would die with a web thread when the server stops.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response};
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::caller::{Callers, Client};
use super::client_quota::ClientQuota;
use super::documents::Documents;
use super::error::HttpError;
use super::request_id::in_span;
use super::request_permits::RequestPermits;
use crate::config::Limits;
use crate::graphql::event::EventRules;
use crate::graphql::execute::{self, Caller, CheckedRequest, Executed, Refused, Rules, error_response};
use scv_api::Schema;
use scv_api::error::{code, first_code};
use scv_api::response::is_executed;
use scv_domain::access::Scope;
use scv_memory::MemoryBudget;
use scv_service::metrics::METRICS;
use scv_service::{AnswerBody, Library, Question};

/// Events that may wait for a slow client before the subscription itself waits.
const EVENT_BACKLOG: usize = 16;

/// How long a client may leave sent data or waiting events unread.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a subscription checks that its token is still valid.
const TOKEN_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Executes requests on the main runtime.
#[derive(Clone)]
pub struct Executor {
    schema: Schema,
    callers: Callers,
    documents: Documents,
    rules: Rules,
    request_permits: RequestPermits,
    subscription_permits: Arc<Semaphore>,
    subscription_quota: ClientQuota<Client>,
    upload_permits: Arc<Semaphore>,
    upload_quota: ClientQuota<Client>,
    socket_quota: ClientQuota<Client>,
    beginning_socket_quota: ClientQuota<Client>,
    /// Ends subscriptions when the server stops.
    shutdown: CancellationToken,
}

/// A client's permit within its quota and within the limit for all clients. Dropping it returns both.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not read")]
pub struct Permit(OwnedSemaphorePermit, OwnedSemaphorePermit);

/// A request with its document, and the type of its operation.
pub struct PreparedRequest {
    checked: Result<CheckedRequest, Box<Response>>,
    /// Whether its document is cached for later requests that only name it.
    registers_document: bool,
    received_at: Instant,
    /// Held until its files are no longer needed.
    upload_permit: Option<Permit>,
}

impl PreparedRequest {
    /// The type of the operation; none if there is no valid document.
    pub fn operation(&self) -> Option<OperationType> {
        self.checked.as_ref().ok()?.operation()
    }

    /// The same request, which holds a permit to upload for as long as it is executed.
    pub fn holding(self, upload_permit: Option<Permit>) -> Self {
        Self { upload_permit, ..self }
    }
}

impl Executor {
    /// An executor of the schema on behalf of callers, until `shutdown`.
    pub fn new(
        schema: Schema,
        callers: Callers,
        (documents, rules): (Documents, Rules),
        request_permits: RequestPermits,
        shutdown: CancellationToken,
    ) -> Self {
        let Rules { limits, .. } = rules;
        Self {
            schema,
            callers,
            documents,
            rules,
            request_permits,
            subscription_permits: Arc::new(Semaphore::new(limits.subscriptions as usize)),
            subscription_quota: ClientQuota::new(limits.client_subscriptions),
            upload_permits: Arc::new(Semaphore::new(limits.uploads as usize)),
            upload_quota: ClientQuota::new(limits.client_uploads),
            socket_quota: ClientQuota::new(limits.client_sockets),
            beginning_socket_quota: ClientQuota::new(limits.beginning_sockets),
            shutdown,
        }
    }

    /// Finds the document of a request that only names one, and checks the document.
    pub fn prepare(&self, request: Request) -> PreparedRequest {
        let received_at = Instant::now();
        let registers_document = self.documents.registers(&request);
        let checked = self
            .documents
            .complete(request)
            .and_then(|request| CheckedRequest::new(request, &self.rules));
        PreparedRequest {
            checked,
            registers_document,
            received_at,
            upload_permit: None,
        }
    }

    /// Identifies callers.
    pub fn callers(&self) -> &Callers {
        &self.callers
    }

    /// The limits of the server.
    pub fn limits(&self) -> &Limits {
        &self.rules.limits
    }

    /// What requests take their memory from.
    pub fn memory(&self) -> &MemoryBudget {
        self.callers.library().memory()
    }

    /// Checks what can be checked of a request before its files arrive.
    ///
    /// # Errors
    /// Its document is not valid, or the token does not allow what it changes.
    pub fn check_before_files(&self, caller: &Caller, request: Request) -> Result<(), HttpError> {
        let checked = self.documents.complete(request).map_err(Refused::Document);
        match checked.and_then(|request| execute::check_before_files(request, &self.rules, *caller)) {
            Ok(()) => Ok(()),
            Err(Refused::Document(response)) => Err(HttpError::of_response(&response)),
            Err(Refused::Scope(entry)) => {
                let library = self.callers.library().on_behalf_of(caller.access);
                let required = library.require(Scope::Write);
                if let Some(entry) = entry {
                    let recording = async move { library.record_failure(*entry).await };
                    self.callers.runtime().spawn(in_span(recording));
                }
                required.map_err(HttpError::from)
            }
        }
    }

    /// A permit to upload files, if one is free.
    pub fn try_upload(&self, caller: &Caller) -> Option<Permit> {
        let quota_permit = self.upload_quota.try_acquire(Client::of(caller))?;
        let permit = Arc::clone(&self.upload_permits).try_acquire_owned().ok()?;
        Some(Permit(quota_permit, permit))
    }

    /// A permit for another WebSocket from an address until its client has identified itself, if one is free.
    pub fn try_begin_socket(&self, address: Option<IpAddr>) -> Option<OwnedSemaphorePermit> {
        self.beginning_socket_quota.try_acquire(Client::at(address))
    }

    /// A permit for another WebSocket of a caller, if one is free.
    pub fn try_open_socket(&self, caller: &Caller) -> Option<OwnedSemaphorePermit> {
        self.socket_quota.try_acquire(Client::of(caller))
    }

    /// Cancelled once the server stops.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// The answer to a question, if it is kept.
    pub async fn kept_answer(&self, question: &Question) -> Option<AnswerBody> {
        let received_at = Instant::now();
        let answer = self.callers.library().kept_answer(question).await?;
        METRICS.count_request("query", None, received_at.elapsed());
        Some(answer)
    }

    /// The generation of the catalogue, if the answer to a request may be kept, and it can be read.
    pub async fn generation_for(&self, prepared: &PreparedRequest) -> Option<i64> {
        let may_be_kept = prepared.operation() == Some(OperationType::Query) && !prepared.registers_document;
        match may_be_kept {
            true => self.callers.library().generation_to_keep().await,
            false => None,
        }
    }

    /// Keeps the answer to a question, which depends on it and on the catalogue of a generation alone.
    pub async fn keep_answer(&self, question: Question, generation: i64, body: AnswerBody) {
        self.callers.library().keep_answer(question, generation, body).await;
    }

    /// Executes a query or a mutation. A generation of the catalogue is one that was read for this request.
    pub async fn execute(&self, caller: Caller, prepared: PreparedRequest, generation: Option<i64>) -> Executed {
        let operation = match prepared.operation() {
            Some(OperationType::Query) => "query",
            Some(OperationType::Mutation) => "mutation",
            Some(OperationType::Subscription) => "subscription",
            None => "unknown",
        };
        let received_at = prepared.received_at;
        let executed = match prepared.checked {
            Ok(checked) => {
                let request = (checked, prepared.upload_permit);
                self.execute_checked(caller, request, generation).await
            }
            Err(response) => Executed::passing(*response),
        };
        METRICS.count_request(operation, first_code(&executed.response), received_at.elapsed());
        executed
    }

    async fn execute_checked(
        &self,
        caller: Caller,
        (checked, upload_permit): (CheckedRequest, Option<Permit>),
        generation: Option<i64>,
    ) -> Executed {
        let permit = match self.request_permits.try_acquire(Client::of(&caller)) {
            Ok(permit) => permit,
            Err(reason) => return Executed::passing(error_response(code::OVERLOADED, &reason.message())),
        };
        let (schema, limits) = (self.schema.clone(), self.rules.limits);
        let library = self.library_for(&caller).since(generation);
        let is_mutation = checked.operation() == Some(OperationType::Mutation);
        let execution = self.callers.runtime().spawn(in_span(async move {
            let _permits = (permit, upload_permit);
            execute::execute(&schema, &limits, library, caller, checked).await
        }));
        // When a connection closes, its queries are cancelled. A mutation that has started always finishes.
        let outcome = if is_mutation {
            execution.await
        } else {
            AbortOnDropHandle::new(execution).await
        };
        outcome.unwrap_or_else(|error| {
            tracing::error!(%error, "a request panicked");
            let message = "internal server error; the server's log has the details";
            Executed::passing(error_response(code::INTERNAL, message))
        })
    }

    fn library_for(&self, caller: &Caller) -> Library {
        let library = self.callers.library().on_behalf_of(caller.access);
        library.sharing(self.request_permits.connections(Client::of(caller)))
    }

    /// A permit for another subscription of a caller, or the response that refuses it.
    fn try_subscribe(&self, caller: &Caller) -> Result<Permit, Box<Response>> {
        let Some(quota_permit) = self.subscription_quota.try_acquire(Client::of(caller)) else {
            let limit = self.rules.limits.client_subscriptions;
            let message = format!("you have {limit} subscriptions, which is the limit for one client: end one of them");
            return Err(Box::new(error_response(code::OVERLOADED, &message)));
        };
        match Arc::clone(&self.subscription_permits).try_acquire_owned() {
            Ok(permit) => Ok(Permit(quota_permit, permit)),
            Err(_) => {
                let message = "the server has reached its limit of subscriptions: end one, or try again later";
                Err(Box::new(error_response(code::OVERLOADED, message)))
            }
        }
    }

    /// Executes any request as a stream of responses: one, or for a subscription one per event.
    pub fn execute_stream(&self, caller: Caller, prepared: PreparedRequest) -> BoxStream<'static, Response> {
        if prepared.operation() != Some(OperationType::Subscription) {
            let executor = self.clone();
            return stream::once(async move { executor.execute(caller, prepared, None).await.response }).boxed();
        }
        match prepared.checked {
            Ok(checked) => {
                let request = (checked, prepared.upload_permit);
                self.subscribe(caller, request, prepared.received_at)
            }
            Err(response) => stream::iter([*response]).boxed(),
        }
    }

    fn subscribe(
        &self,
        caller: Caller,
        (checked, upload_permit): (CheckedRequest, Option<Permit>),
        received_at: Instant,
    ) -> BoxStream<'static, Response> {
        let permit = match self.try_subscribe(&caller) {
            Ok(permit) => permit,
            Err(response) => {
                METRICS.count_request("subscription", first_code(&response), Duration::ZERO);
                return stream::iter([*response]).boxed();
            }
        };
        let (events, mut received) = mpsc::channel(EVENT_BACKLOG);
        let (send_last, last_response) = oneshot::channel();
        let library = self.library_for(&caller);
        let (permits, client) = (self.request_permits.clone(), Client::of(&caller));
        let rules = EventRules::new(self.rules.limits, library.memory(), move || {
            let permit = permits.clone().acquire(client);
            async move { Box::new(permit.await) as Box<dyn Send> }.boxed()
        });
        let mut responses = execute::subscribe(&self.schema, library.clone(), checked, rules);
        let shutdown = self.shutdown.clone();
        self.callers.runtime().spawn(in_span(async move {
            let _permits = (permit, upload_permit);
            let mut received_at = Some(received_at);
            let mut token_check = interval_at(Instant::now() + TOKEN_CHECK_INTERVAL, TOKEN_CHECK_INTERVAL);
            loop {
                let response = tokio::select! {
                    response = responses.next() => response,
                    _ = token_check.tick() => match library.is_still_valid(caller.access).await {
                        Ok(false) => {
                            let invalid = error_response(code::UNAUTHENTICATED, "the token has expired or was revoked");
                            _ = send_last.send(invalid);
                            return;
                        }
                        // A check that fails is repeated at the next tick.
                        Ok(true) | Err(_) => continue,
                    },
                    // The client is gone, and the next event may be hours away.
                    () = events.closed() => None,
                    () = shutdown.cancelled() => None,
                };
                let Some(response) = response else { return };
                // An event that exceeds a limit ends the subscription: the next one would exceed it as well.
                let is_last = !is_executed(&response);
                if let Some(received_at) = received_at.take() {
                    METRICS.count_request("subscription", first_code(&response), received_at.elapsed());
                }
                match timeout(SEND_TIMEOUT, events.send(response)).await {
                    Ok(Ok(())) if is_last => return,
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return,
                    // A client that is this slow is probably gone. If it is not, it must not take the end of the stream
                    // for the end of the subscription.
                    Err(_) => {
                        let seconds = SEND_TIMEOUT.as_secs();
                        let message = format!("the client read no event for {seconds} seconds: subscribe again");
                        _ = send_last.send(error_response(code::TIMEOUT, &message));
                        return;
                    }
                }
            }
        }));
        stream::poll_fn(move |context| received.poll_recv(context))
            .chain(stream::once(last_response).filter_map(async |response| response.ok()))
            .boxed()
    }
}
