//! Questions to the library outside GraphQL, whose answers are files.

use actix_web::HttpResponse;
use tokio::runtime::Handle;

use crate::graphql::error::{ApiError, code};
use crate::service::{Library, ServiceError};

/// Asks the library, on the runtime that its connections belong to.
#[derive(Clone)]
pub struct Asking {
    library: Library,
    runtime: Handle,
}

impl Asking {
    /// Asks a library, on the runtime this is called on.
    pub fn here(library: Library) -> Self {
        Self {
            library,
            runtime: Handle::current(),
        }
    }

    /// The answer to a question.
    pub(super) async fn ask<T, F>(&self, question: impl FnOnce(Library) -> F) -> Result<T, ApiError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        match self.runtime.spawn(question(self.library.clone())).await {
            Ok(outcome) => Ok(outcome?),
            Err(error) => Err(ApiError::from(ServiceError::internal(error))),
        }
    }
}

/// An error in words, with the status of its kind.
pub(super) fn refusal(error: &ApiError) -> HttpResponse {
    let mut response = match error.code() {
        code::NOT_FOUND => HttpResponse::NotFound(),
        code::BAD_USER_INPUT => HttpResponse::BadRequest(),
        code::OVERLOADED => HttpResponse::ServiceUnavailable(),
        _ => HttpResponse::InternalServerError(),
    };
    response.body(format!("{}\n", error.message()))
}
