//! The limit on the complexity of a document, with both numbers in its error.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::{ServerError, ValidationResult, async_trait};

use scv_api::error::{code, with_code};

/// Checks the complexity of valid documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct ComplexityLimit(
    /// See [`Limits::complexity`](crate::config::Limits::complexity).
    pub(super) usize,
);

impl ExtensionFactory for ComplexityLimit {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(*self)
    }
}

#[async_trait::async_trait]
impl Extension for ComplexityLimit {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = next.run(ctx).await?;
        let Self(limit) = *self;
        if result.complexity <= limit {
            return Ok(result);
        }
        let message = format!(
            "the document has a complexity of {}; the limit is {limit} (serverInfo.limits.complexity). Each field counts 1, \
             multiplied by the page size inside lists: request fewer entries or fields at a time",
            result.complexity
        );
        Err(vec![with_code(
            ServerError::new(message, None),
            code::QUERY_TOO_COMPLEX,
        )])
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object, Schema};

    use super::*;

    struct Query;

    #[Object]
    impl Query {
        async fn number(&self) -> i32 {
            1
        }
    }

    #[tokio::test]
    async fn a_document_that_is_too_complex_gets_its_complexity_and_the_limit() {
        let schema = Schema::build(Query, EmptyMutation, EmptySubscription)
            .extension(ComplexityLimit(2))
            .finish();
        let within = schema.execute("{ a: number b: number }").await;
        assert_eq!(within.errors, []);
        let beyond = schema.execute("{ a: number b: number c: number }").await;
        let message = &beyond.errors[0].message;
        assert!(
            message.starts_with("the document has a complexity of 3; the limit is 2"),
            "{message}"
        );
    }
}
