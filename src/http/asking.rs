//! Questions to the library outside GraphQL, whose answers are files.

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::asked::Refusal;
use super::caller::{Callers, address};
use super::request_id::in_span;
use crate::config::Limits;
use scv_domain::access::Access;
use scv_service::{Library, ServiceError};

/// Asks the library, on the runtime that its connections belong to; so many at a time, and so long.
#[derive(Clone)]
pub struct Asking {
    callers: Callers,
    longest: Duration,
    turns: Arc<Semaphore>,
    of_anybody: Arc<Semaphore>,
}

impl Asking {
    /// Asks on behalf of callers.
    pub fn new(callers: Callers, limits: &Limits) -> Self {
        Self {
            callers,
            longest: Duration::from_secs(limits.seconds),
            turns: Arc::new(Semaphore::new(limits.requests as usize)),
            of_anybody: Arc::new(Semaphore::new(limits.requests as usize)),
        }
    }

    /// The answer to a question, on behalf of whoever sends a request.
    pub(super) async fn ask<T, F>(
        &self,
        request: &HttpRequest,
        question: impl FnOnce(Library) -> F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let caller = self.callers.of(request).await?;
        self.ask_as(&self.turns, caller.access, question).await
    }

    /// The answer to a question that anybody may ask who does not ask too often. Those with a token have turns of their own.
    pub(super) async fn ask_for_anybody<T, F>(
        &self,
        request: &HttpRequest,
        question: impl FnOnce(Library) -> F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        self.callers.check_host(request)?;
        self.callers.count_from(address(request))?;
        self.ask_as(&self.of_anybody, Access::FULL, question).await
    }

    async fn ask_as<T, F>(
        &self,
        turns: &Semaphore,
        access: Access,
        question: impl FnOnce(Library) -> F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let Ok(_turn) = turns.try_acquire() else {
            return Err(Refusal::of(ServiceError::Overloaded));
        };
        let answer = timeout(self.longest, question(self.callers.library().on_behalf_of(access)));
        let outcome = match self.callers.runtime().spawn(in_span(answer)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ServiceError::TimedOut),
            Err(error) => Err(ServiceError::internal(error)),
        };
        outcome.map_err(Refusal::of)
    }
}

/// A refusal in words.
pub(super) fn refusal(refusal: &Refusal) -> HttpResponse {
    let mut answer = HttpResponse::build(refusal.status);
    for header in refusal.headers() {
        answer.insert_header(header);
    }
    answer.body(format!("{}\n", refusal.message))
}
