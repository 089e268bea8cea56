//! Looks objects up by their global ids.

use async_graphql::{Context, ID, Interface};

use super::dataset::{Dataset, ProbeSet};
use super::error::Result;
use super::id::decode_key;
use super::job::Job;
use super::layer::Layer;
use super::loader::{ListedLayer, load};
use super::model::Model;
use super::synthesis::Synthesis;
use super::token::Token;
use super::version::Version;
use scv_domain::id::{Key, LayerId, ModelId, SynthesisId, VersionId};
use scv_service::Library;

/// An object with a global id.
#[derive(Debug, Clone, Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Global id."))]
pub enum Node {
    /// A model.
    Model(Model),
    /// A version.
    Version(Version),
    /// A layer.
    Layer(Layer),
    /// A data set.
    Dataset(Dataset),
    /// A probe set.
    ProbeSet(ProbeSet),
    /// A job.
    Job(Job),
    /// A synthetic image.
    Synthesis(Synthesis),
    /// A token.
    Token(Token),
}

/// The object with a global id; `None` if it does not exist or its model is deleted.
///
/// # Errors
/// The id is invalid, or the database fails.
pub async fn node(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>> {
    Ok(match decode_key(id)? {
        Key::Model(id) => model(ctx, id).await?.map(Node::Model),
        Key::Version(id) => version(ctx, id).await?.map(Node::Version),
        Key::Layer(id) => layer(ctx, id).await?.map(Node::Layer),
        Key::Dataset(id) => load(ctx, id).await?.map(|found| Node::Dataset(Dataset(found))),
        Key::ProbeSet(id) => load(ctx, id).await?.map(|found| Node::ProbeSet(ProbeSet(found))),
        Key::Job(id) => load(ctx, id).await?.map(|found| Node::Job(Job(found))),
        Key::Synthesis(id) => synthesis(ctx, id).await?.map(Node::Synthesis),
        Key::Token(id) => load(ctx, id).await?.map(|found| Node::Token(Token(found))),
    })
}

/// A model by key, including deleted ones, so that a caller who has the id can view and restore the model.
pub(super) async fn model(ctx: &Context<'_>, id: ModelId) -> Result<Option<Model>> {
    Ok(load(ctx, id).await?.map(Model))
}

/// A version by key, unless its model is deleted.
pub(super) async fn version(ctx: &Context<'_>, id: VersionId) -> Result<Option<Version>> {
    let Some(version) = load(ctx, id).await? else {
        return Ok(None);
    };
    let model = load(ctx, version.model_id).await?;
    Ok(model
        .is_some_and(|model| model.deleted_at.is_none())
        .then_some(Version(version)))
}

/// A layer by key, unless its model is deleted.
pub(super) async fn layer(ctx: &Context<'_>, id: LayerId) -> Result<Option<Layer>> {
    Ok(load(ctx, ListedLayer(id)).await?.map(Layer::from))
}

/// A synthetic image by key, unless its model is deleted.
pub(super) async fn synthesis(ctx: &Context<'_>, id: SynthesisId) -> Result<Option<Synthesis>> {
    let Some(found) = ctx.data_unchecked::<Library>().store().synthesis(id).await? else {
        return Ok(None);
    };
    Ok(version(ctx, found.version_id).await?.map(|_| Synthesis(found)))
}
