//! The GraphQL schema: translation between the API's words and the domain's, and nothing else.

pub mod error;
pub mod id;

mod block;
mod compare;
mod connection;
mod dataset;
mod diff;
mod evaluation;
mod explanation;
mod insight;
mod job;
mod layer;
mod layer_match;
mod loader;
mod model;
mod mutation;
mod node;
mod picture;
mod query;
mod subscription;
mod synthesis;
mod upload;
mod version;

use async_graphql::SchemaBuilder;

use crate::service::{JobFeed, Library};
use mutation::Mutation;
use query::Query;
use subscription::Subscription;

/// The schema with everything its resolvers need.
pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// Deepest nesting of a query. A page of similar layers with their models, the deepest thing asked in
/// earnest, is 12 deep; introspection as tools send it, 13.
const MAX_DEPTH: usize = 24;

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    async_graphql::Schema::build(Query, Mutation::default(), Subscription)
        .register_output_type::<node::Node>()
        .limit_depth(MAX_DEPTH)
}

/// The schema over a library.
pub fn schema(library: Library, jobs: JobFeed) -> Schema {
    builder()
        .data(loader::loader(library.clone()))
        .data(library)
        .data(jobs)
        .finish()
}

/// The schema in GraphQL's definition language; needs no database.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items();
    builder().finish().sdl_with_options(options)
}
