//! Questions to the library outside GraphQL, whose answers are files.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::Limits;
use crate::graphql::error::{ApiError, code};
use crate::service::{Library, ServiceError};

/// Asks the library, on the runtime that its connections belong to; so many at a time, and so long.
#[derive(Clone)]
pub struct Asking {
    library: Library,
    runtime: Handle,
    longest: Duration,
    turns: Arc<Semaphore>,
}

impl Asking {
    /// Asks a library, on the runtime this is called on.
    pub fn here(library: Library, limits: &Limits) -> Self {
        Self {
            library,
            runtime: Handle::current(),
            longest: Duration::from_secs(limits.seconds),
            turns: Arc::new(Semaphore::new(limits.requests as usize)),
        }
    }

    /// The answer to a question.
    pub(super) async fn ask<T, F>(&self, question: impl FnOnce(Library) -> F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let Ok(_turn) = self.turns.try_acquire() else {
            return Err(ServiceError::Overloaded.into());
        };
        let answer = timeout(self.longest, question(self.library.clone()));
        match self.runtime.spawn(answer).await {
            Ok(Ok(outcome)) => Ok(outcome?),
            Ok(Err(_)) => Err(ServiceError::TimedOut.into()),
            Err(error) => Err(ServiceError::internal(error).into()),
        }
    }
}

/// An error in words, with the status of its kind.
pub(super) fn refusal(error: &ApiError) -> HttpResponse {
    let mut response = match error.code() {
        code::NOT_FOUND => HttpResponse::NotFound(),
        code::BAD_USER_INPUT => HttpResponse::BadRequest(),
        code::OVERLOADED => HttpResponse::ServiceUnavailable(),
        code::TIMEOUT => HttpResponse::GatewayTimeout(),
        _ => HttpResponse::InternalServerError(),
    };
    response.body(format!("{}\n", error.message()))
}
