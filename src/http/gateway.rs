//! Calls to the library outside GraphQL, whose responses are files.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::caller::{Callers, peer_address};
use super::error::HttpError;
use super::origin::{Origins, is_opened_by_user};
use super::request_id::in_span;
use crate::config::Limits;
use scv_domain::access::Access;
use scv_service::{Library, ServiceError};

/// Calls the library on the runtime that its connections belong to, within a timeout and a limit on concurrent calls.
#[derive(Clone)]
pub struct LibraryGateway {
    callers: Callers,
    origins: Origins,
    timeout: Duration,
    permits: Arc<Semaphore>,
    anonymous_permits: Arc<Semaphore>,
}

impl LibraryGateway {
    /// A gateway that calls the library on behalf of callers, for pages of allowed origins.
    pub fn new(callers: Callers, origins: Origins, limits: &Limits) -> Self {
        Self {
            callers,
            origins,
            timeout: Duration::from_secs(limits.timeout_seconds),
            permits: Arc::new(Semaphore::new(limits.concurrent_requests as usize)),
            anonymous_permits: Arc::new(Semaphore::new(limits.concurrent_requests as usize)),
        }
    }

    /// Calls the library on behalf of the caller of a request.
    pub(super) async fn run<T, F>(&self, request: &HttpRequest, call: impl FnOnce(Library) -> F) -> Result<T, HttpError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        // A page of another site could make a browser request a costly plot many times.
        if !self.origins.allows(request) && !is_opened_by_user(request) {
            return Err(HttpError::foreign_origin());
        }
        let caller = self.callers.identify(request).await?;
        self.run_as(&self.permits, caller.access, call).await
    }

    /// Calls the library without a token, only within the rate limit of the client's address. Such calls have permits
    /// of their own, so that they cannot take those of callers with a token.
    pub(super) async fn run_anonymous<T, F>(
        &self,
        request: &HttpRequest,
        call: impl FnOnce(Library) -> F,
    ) -> Result<T, HttpError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        self.callers.check_host(request)?;
        self.callers.count_from(peer_address(request))?;
        self.run_as(&self.anonymous_permits, Access::FULL, call).await
    }

    async fn run_as<T, F>(
        &self,
        permits: &Semaphore,
        access: Access,
        call: impl FnOnce(Library) -> F,
    ) -> Result<T, HttpError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let Ok(_permit) = permits.try_acquire() else {
            return Err(HttpError::overloaded());
        };
        let call = timeout(self.timeout, call(self.callers.library().on_behalf_of(access)));
        let outcome = match self.callers.runtime().spawn(in_span(call)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ServiceError::TimedOut),
            Err(error) => Err(ServiceError::internal(error)),
        };
        Ok(outcome?)
    }
}
