//! The execution of GraphQL requests: limits, timeouts, and what the specification requires beyond async-graphql. The schema
//! itself is [`scv_api`].

mod audit;
mod complexity;
mod document;
pub mod event;
pub mod execute;
mod field_order;
mod instrumentation;
mod introspection;
mod limits;
mod missing_codes;
mod null_propagation;
mod placeholder;
mod rewrite;
mod specification;
mod syntax;
#[cfg(test)]
mod tests;
pub mod volatile;

use async_graphql::ValidationMode;

use crate::config::Limits;
use scv_api::{Schema, ServerLimits};
use scv_service::JobFeed;

/// How deep fields and fragments may nest for async-graphql to walk a document; the parser has the same limit.
const MAX_DOCUMENT_DEPTH: usize = 64;

/// The schema with its limits. It allows introspection only if `is_open`. Each request brings its own library; see
/// [`attach_library`](scv_api::attach_library).
pub fn schema(jobs: JobFeed, limits: Limits, is_open: bool) -> Schema {
    let mut builder = scv_api::builder()
        .limit_recursive_depth(MAX_DOCUMENT_DEPTH)
        .extension(event::EventLimits)
        .extension(instrumentation::Instrumentation)
        // The whole validation comes before, by the specification.
        .validation_mode(ValidationMode::Fast)
        .extension(complexity::ComplexityLimit(limits.complexity))
        .data(jobs)
        .data(ServerLimits::from(limits));
    if !is_open {
        builder = builder.disable_introspection();
    }
    Schema::new(builder)
}

impl From<Limits> for ServerLimits {
    fn from(limits: Limits) -> Self {
        Self {
            document_bytes: limits.document_bytes as f64,
            tokens: limits.tokens,
            depth: limits.depth,
            fields: limits.fields,
            root_fields: limits.root_fields,
            aliases: limits.aliases,
            complexity: limits.complexity,
            response_bytes: limits.response_bytes as f64,
            batch: limits.batch,
            body_bytes: limits.body_bytes as f64,
            file_bytes: limits.file_bytes as f64,
            upload_bytes: limits.upload_bytes as f64,
            files: limits.files,
            timeout_seconds: limits.timeout_seconds,
            concurrent_requests: limits.concurrent_requests,
            client_requests: limits.client_requests,
            subscriptions: limits.subscriptions,
            client_subscriptions: limits.client_subscriptions,
            client_sockets: limits.client_sockets,
            beginning_sockets: limits.beginning_sockets,
            uploads: limits.uploads,
            client_uploads: limits.client_uploads,
            requests_per_minute: limits.requests_per_minute,
        }
    }
}
