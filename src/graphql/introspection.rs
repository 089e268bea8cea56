//! Refuses introspection where it is disabled.

use async_graphql::{Request, ServerError, ServerResult};

use super::document::fields;
use scv_api::error::{code, with_code};

/// The fields that show the schema.
const FIELDS: [&str; 2] = ["__schema", "__type"];

/// Checks that a valid document does not ask for the schema.
///
/// # Errors
/// It does.
pub(super) fn check_absent(request: &mut Request) -> ServerResult<()> {
    let Ok(document) = request.parsed_query() else {
        return Ok(());
    };
    let found = fields(document)
        .into_iter()
        .find(|field| FIELDS.contains(&field.node.name.node.as_str()));
    let Some(field) = found else { return Ok(()) };
    let message = format!(
        "`{}` is disabled on this server (--no-introspection): its schema is `schema.graphql` of its release",
        field.node.name.node
    );
    Err(with_code(ServerError::new(message, Some(field.pos)), code::FORBIDDEN))
}
