//! Calls to the library outside GraphQL, whose responses are files.

use std::time::Duration;

use actix_web::HttpRequest;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::caller::{Callers, Client};
use super::error::HttpError;
use super::origin::{Origins, is_opened_by_user};
use super::request_id::in_span;
use super::request_permits::RequestPermits;
use crate::graphql::execute::Caller;
use scv_domain::access::Access;
use scv_service::{Library, ServiceError};

/// Calls the library on the runtime that its connections belong to, within a timeout and a limit on concurrent calls.
#[derive(Clone)]
pub struct LibraryGateway {
    /// Identifies those on whose behalf the library is called.
    pub callers: Callers,
    /// The pages that may send requests.
    pub origins: Origins,
    /// How long a call may take.
    pub timeout: Duration,
    /// Permits of callers with a token, which GraphQL requests share.
    pub permits: RequestPermits,
    /// Permits of calls that need no token.
    pub anonymous_permits: RequestPermits,
}

impl LibraryGateway {
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
        // A client that leaves ends what only reads.
        let is_cancellable = request.method().is_safe();
        let call = self.start(&self.permits, caller, call)?;
        match is_cancellable {
            true => finished(AbortOnDropHandle::new(call)).await,
            false => finished(call).await,
        }
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
        let address = self.callers.address_of(request);
        self.callers.count_from(address)?;
        let anybody = Caller {
            access: Access::FULL,
            address,
        };
        let call = self.start(&self.anonymous_permits, anybody, call)?;
        finished(AbortOnDropHandle::new(call)).await
    }

    /// Starts a task that calls the library, and holds the caller's permit until it ends.
    fn start<T, F>(
        &self,
        permits: &RequestPermits,
        caller: Caller,
        call: impl FnOnce(Library) -> F,
    ) -> Result<Call<T>, HttpError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let client = Client::of(&caller);
        let permit = permits.try_acquire(client).map_err(HttpError::no_permit)?;
        let library = self.callers.library().on_behalf_of(caller.access);
        let call = timeout(self.timeout, call(library.sharing(permits.connections(client))));
        Ok(self.callers.runtime().spawn(in_span(async move {
            let _permit = permit;
            call.await.unwrap_or(Err(ServiceError::TimedOut))
        })))
    }
}

/// A call that has started.
type Call<T> = JoinHandle<Result<T, ServiceError>>;

async fn finished<T>(call: impl Future<Output = Result<Result<T, ServiceError>, JoinError>>) -> Result<T, HttpError> {
    let outcome = call.await.map_err(ServiceError::internal).flatten();
    Ok(outcome?)
}
