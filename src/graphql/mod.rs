//! The GraphQL schema: translation between the API's words and the domain's, and nothing else.

pub mod answer_size;
pub mod audit;
pub mod error;
pub mod id;

mod block;
mod compare;
mod connection;
mod dataset;
mod diff;
mod document;
mod evaluation;
mod explanation;
mod insight;
mod job;
mod layer;
mod layer_match;
pub mod limits;
mod loader;
mod model;
mod mutation;
mod node;
pub mod nulls;
mod number;
pub mod order;
mod picture;
mod plain;
mod query;
mod subscription;
mod synthesis;
mod token;
pub mod upload;
mod version;
mod watching;

use async_graphql::{Request, SchemaBuilder};
use tokio_util::sync::CancellationToken;

use crate::config::Limits;
use scv_service::{JobFeed, Library};
use connection::ListConnection;
use mutation::Mutation;
use query::Query;
use subscription::Subscription;

/// The schema with everything its resolvers need.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    let builder = async_graphql::Schema::build(Query, Mutation::default(), Subscription);
    connections_described(builder).register_output_type::<node::Node>()
}

/// Connections are made by async-graphql, which says nothing of them.
fn connections_described(
    builder: SchemaBuilder<Query, Mutation, Subscription>,
) -> SchemaBuilder<Query, Mutation, Subscription> {
    builder
        .override_output_type_description::<ListConnection<model::Model>>("A page of models.")
        .override_output_type_description::<ListConnection<version::Version>>("A page of versions.")
        .override_output_type_description::<ListConnection<layer::Layer>>("A page of layers.")
        .override_output_type_description::<ListConnection<evaluation::ConfusionCell>>(
            "A page of the cells of a confusion matrix.",
        )
        .override_output_type_description::<ListConnection<token::Token>>("A page of tokens.")
        .override_output_type_description::<ListConnection<token::AuditEntry>>("A page of the record of changes.")
        .override_output_type_description::<ListConnection<evaluation::Mistake>>("A page of mistakes.")
        .override_output_type_description::<ListConnection<synthesis::Synthesis>>("A page of synthetic images.")
        .override_output_type_description::<ListConnection<synthesis::ChannelExemplars>>(
            "A page of channels with the images that they answer to most.",
        )
        .override_output_type_description::<layer_match::LayerMatchConnection>("A page of layers that are alike.")
        .override_output_type_description::<compare::VersionMatchConnection>("A page of versions that are alike.")
}

/// Nesting that is walked into at all, of fields and fragments: as far as documents are parsed.
const MAX_DOCUMENT_DEPTH: usize = 64;

/// The schema, which answers within limits; about itself only if `is_open`. Each request brings the library that it asks.
pub fn schema(jobs: JobFeed, limits: Limits, is_open: bool) -> Schema {
    let mut builder = builder()
        .limit_depth(limits.depth as usize)
        .limit_recursive_depth(MAX_DOCUMENT_DEPTH)
        .limit_complexity(limits.complexity)
        .extension(watching::Watching)
        .data(jobs)
        .data(limits);
    if !is_open {
        builder = builder.disable_introspection().disable_suggestions();
    }
    builder.finish()
}

/// A request to a library as somebody sees it. What is read is shared among its own resolvers alone.
pub fn on_behalf_of(request: Request, library: Library) -> Request {
    let over = CancellationToken::new();
    let loader = loader::loader(library.clone(), over.clone());
    request.data(loader).data(over.drop_guard()).data(library)
}

/// The schema in GraphQL's definition language; needs no database.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items();
    builder().finish().sdl_with_options(options)
}
