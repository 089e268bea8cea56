//! The GraphQL schema: translates between the API's terms and the domain's.
//!
//! Its resolvers are most of what the compiler generates for the server, so they are a crate of their own, which cargo
//! compiles in parallel with others. It has no unit tests, because they would compile all of it a second time: its tests are those of the
//! server (`src/graphql/tests.rs`, `tests/it`).

// Optimised builds compute the layouts of futures within futures, of which a request has more than a hundred.
#![recursion_limit = "256"]

mod block;
mod compare;
mod connection;
pub mod cost;
mod dataset;
mod diff;
pub mod error;
mod evaluation;
mod explanation;
mod failure;
pub mod id;
mod insight;
mod job;
mod layer;
mod layer_comparison;
mod layer_match;
mod loader;
mod model;
mod mutation;
mod node;
mod number;
mod picture;
mod plain;
mod preprocessing;
mod query;
mod raw_list;
pub mod response;
pub mod response_budget;
mod subscription;
mod synthesis;
mod token;
mod training;
mod upload;
mod version;
mod version_list;
mod weight_mapping;

use async_graphql::{Request, Response, SchemaBuilder};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tokio_util::sync::CancellationToken;

use connection::ListConnection;
use mutation::Mutation;
use query::Query;
use scv_service::Library;
use subscription::Subscription;

pub use mutation::READ_MUTATIONS;
pub use query::ServerLimits;

/// The executable schema.
///
/// The methods of async-graphql are generic over the root types, so a crate that calls them compiles every resolver once more.
/// These are not, and they return boxed futures, so that only this crate does.
#[derive(Clone)]
pub struct Schema(async_graphql::Schema<Query, Mutation, Subscription>);

impl Schema {
    /// The schema that a builder describes.
    pub fn new(builder: SchemaBuilder<Query, Mutation, Subscription>) -> Self {
        Self(builder.finish())
    }

    /// Executes a query or a mutation.
    pub fn execute(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(self.0.execute(request))
    }

    /// Executes a subscription: a response per event.
    pub fn execute_stream(&self, request: Request) -> BoxStream<'static, Response> {
        self.0.execute_stream(request).boxed()
    }
}

/// The schema, to be completed with its limits. It needs a [`JobFeed`](scv_service::JobFeed) and [`ServerLimits`] as data.
pub fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    let builder = async_graphql::Schema::build(Query, Mutation::default(), Subscription);
    describe_connections(builder).register_output_type::<node::Node>()
}

/// Describes the connection types, which async-graphql generates without descriptions.
fn describe_connections(
    builder: SchemaBuilder<Query, Mutation, Subscription>,
) -> SchemaBuilder<Query, Mutation, Subscription> {
    builder
        .override_output_type_description::<ListConnection<model::Model>>("A page of models.")
        .override_output_type_description::<ListConnection<version::Version>>("A page of versions.")
        .override_output_type_description::<ListConnection<layer::Layer>>("A page of layers.")
        .override_output_type_description::<ListConnection<job::Job>>("A page of jobs.")
        .override_output_type_description::<ListConnection<evaluation::ConfusionCell>>(
            "A page of cells of a confusion matrix.",
        )
        .override_output_type_description::<ListConnection<token::Token>>("A page of tokens.")
        .override_output_type_description::<ListConnection<token::AuditEntry>>("A page of the audit log.")
        .override_output_type_description::<ListConnection<evaluation::Mistake>>("A page of misclassified images.")
        .override_output_type_description::<ListConnection<evaluation::Exemplar>>(
            "A page of images that were classified.",
        )
        .override_output_type_description::<ListConnection<dataset::DatasetImage>>("A page of images of a data set.")
        .override_output_type_description::<ListConnection<synthesis::Synthesis>>("A page of synthetic images.")
        .override_output_type_description::<ListConnection<synthesis::ChannelExemplars>>(
            "A page of channels with their top-activating images.",
        )
        .override_output_type_description::<layer_match::LayerMatchConnection>(
            "A page of similar layers, most similar first.",
        )
        .override_output_type_description::<compare::VersionMatchConnection>(
            "A page of similar versions, most similar first.",
        )
}

/// Gives a request the library as its caller may see it, and a loader of its own: no data is shared between requests.
pub fn attach_library(request: Request, library: Library) -> Request {
    let request_ended = CancellationToken::new();
    let loader = loader::loader(library.clone(), request_ended.clone());
    request.data(loader).data(request_ended.drop_guard()).data(library)
}

/// The schema in GraphQL's schema definition language; needs no database.
pub fn sdl() -> String {
    let options = async_graphql::SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items();
    builder().finish().sdl_with_options(options)
}
