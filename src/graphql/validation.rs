//! Completes async-graphql's validation: suggestions for misspelt input fields and enum values, and the limit on complexity
//! with both numbers.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextValidation};
use async_graphql::registry::{MetaType, Registry};
use async_graphql::{ServerError, ValidationResult, async_trait};

use scv_api::error::{code, with_code};
use scv_domain::nearest::nearest;

/// Adds suggestions to errors, and checks the complexity of valid documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validation {
    /// See [`Limits::complexity`](crate::config::Limits::complexity).
    pub(super) max_complexity: usize,
}

impl ExtensionFactory for Validation {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(*self)
    }
}

#[async_trait::async_trait]
impl Extension for Validation {
    async fn validation(
        &self,
        ctx: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let outcome = next.run(ctx).await;
        let suggest = |error| with_suggestion(&ctx.schema_env.registry, error);
        let result = outcome.map_err(|errors| errors.into_iter().map(suggest).collect::<Vec<_>>())?;
        let limit = self.max_complexity;
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

/// Adds the nearest name, or all names, to the error of an unknown input field or enum value. A server that hides its schema
/// adds nothing.
fn with_suggestion(registry: &Registry, error: ServerError) -> ServerError {
    if !registry.enable_suggestions {
        return error;
    }
    match suggestion(registry, &error.message) {
        Some(suggestion) => ServerError {
            message: format!("{}. {suggestion}", error.message),
            ..error
        },
        None => error,
    }
}

fn suggestion(registry: &Registry, message: &str) -> Option<String> {
    let unknown_field = between(message, "unknown field \"", "\" of type \"");
    let unknown_value = between(message, "enumeration type \"", "\" does not contain the value \"");
    let (given, type_name) = match (unknown_field, unknown_value) {
        (Some((field, type_name)), _) => (field, type_name),
        (None, Some((type_name, value))) => (value, type_name),
        (None, None) => return None,
    };
    let (what, names): (_, Vec<&str>) = match registry.types.get(type_name)? {
        MetaType::InputObject { input_fields, .. } => ("fields", input_fields.keys().map(String::as_str).collect()),
        MetaType::Enum { enum_values, .. } => ("values", enum_values.keys().map(String::as_str).collect()),
        _ => return None,
    };
    Some(match nearest(given, names.iter().copied()) {
        Some(name) => format!("Did you mean \"{name}\"?"),
        None => format!("Its {what} are {}", names.join(", ")),
    })
}

/// The texts before and after `separator`, after the last `start` and before a closing quote.
fn between<'t>(text: &'t str, start: &str, separator: &str) -> Option<(&'t str, &'t str)> {
    let (_, rest) = text.rsplit_once(start)?;
    rest.strip_suffix('"')?.split_once(separator)
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Enum, InputObject, Object, Schema};

    use super::*;

    struct Query;

    #[Object]
    impl Query {
        async fn list(&self, filter: Filter) -> i32 {
            match filter.order {
                Some(Order::Newest) => 1,
                _ => filter.max_size.unwrap_or(0),
            }
        }
    }

    #[derive(InputObject)]
    struct Filter {
        max_size: Option<i32>,
        order: Option<Order>,
    }

    #[derive(Clone, Copy, PartialEq, Eq, Enum)]
    enum Order {
        Newest,
        Oldest,
    }

    /// The messages of a document's errors; the schema gives suggestions if it `is_open`.
    async fn messages(document: &str, is_open: bool) -> Vec<String> {
        let validation = Validation { max_complexity: 2 };
        let mut schema = Schema::build(Query, EmptyMutation, EmptySubscription).extension(validation);
        if !is_open {
            schema = schema.disable_suggestions();
        }
        let response = schema.finish().execute(document).await;
        response.errors.into_iter().map(|error| error.message).collect()
    }

    #[tokio::test]
    async fn a_misspelt_input_field_or_enum_value_gets_a_suggestion() {
        for (document, end) in [
            (
                "{ list(filter: { maxSiz: 1 }) }",
                "\"Filter\". Did you mean \"maxSize\"?",
            ),
            (
                "{ list(filter: { colour: 1 }) }",
                "\"Filter\". Its fields are maxSize, order",
            ),
            (
                "{ list(filter: { order: NEWST }) }",
                "\"NEWST\". Did you mean \"NEWEST\"?",
            ),
            (
                "{ list(filter: { order: RANDOM }) }",
                "\"RANDOM\". Its values are NEWEST, OLDEST",
            ),
        ] {
            let found = messages(document, true).await;
            assert!(
                found.iter().any(|message| message.ends_with(end)),
                "{document}: {found:?}"
            );
            let hidden = messages(document, false).await;
            assert!(!hidden.is_empty(), "{document}");
            let is_silent = |message: &String| !message.contains("Did you mean") && !message.contains(". Its ");
            assert!(hidden.iter().all(is_silent), "{document}: {hidden:?}");
        }
    }

    #[tokio::test]
    async fn a_document_that_is_too_complex_gets_its_complexity_and_the_limit() {
        let within = "{ a: list(filter: {}) b: list(filter: {}) }";
        assert_eq!(messages(within, true).await, Vec::<String>::new());
        let beyond = messages("{ a: list(filter: {}) b: list(filter: {}) c: list(filter: {}) }", true).await;
        assert!(
            beyond[0].starts_with("the document has a complexity of 3; the limit is 2"),
            "{beyond:?}"
        );
    }
}
