//! The root fields for writing. Each has one `input` and one payload.

mod activations;
mod dataset;
mod draft;
mod explanation;
mod image;
mod model;
mod network;
mod synthesis;
mod token;
mod version;

use async_graphql::MergedObject;

/// The mutations that a token of scope `READ` allows: those that change nothing, and the revocation of tokens.
pub const READ_MUTATIONS: [&str; 6] = [
    "attributeImage",
    "computeFeatureMaps",
    "explainSimilarity",
    "predict",
    "revokeToken",
    "similarToActivations",
];

/// Write operations, and operations with file uploads.
#[derive(Debug, Default, MergedObject)]
pub struct Mutation(
    model::ModelMutation,
    version::VersionMutation,
    network::NetworkMutation,
    activations::ActivationMutation,
    dataset::DatasetMutation,
    draft::DraftMutation,
    explanation::ExplanationMutation,
    image::ImageMutation,
    synthesis::SynthesisMutation,
    token::TokenMutation,
);
