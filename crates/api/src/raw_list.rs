//! Lists of numbers that are serialised as a whole.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerError, ServerResult, Value};
use serde::Serialize;

/// A list of scalars that is serialised as a whole. async-graphql resolves each entry of an ordinary list by itself,
/// which would take a future for each of a million numbers.
#[derive(Debug)]
pub(super) struct RawList<T>(pub T);

impl<T: OutputType + Serialize> OutputType for RawList<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        T::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        async_graphql::to_value(&self.0).map_err(|error| ServerError::new(error.to_string(), Some(field.pos)))
    }
}
