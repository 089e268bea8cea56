//! Explanations of why two layers are similar.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use std::sync::Arc;

use super::error::{ApiError, Result};
use super::id::GlobalId;
use super::layer::Layer;
use super::loader::load_referenced;
use super::node;
use scv_domain::explanation as domain;
use scv_domain::id::LayerId;
use scv_service::{ExplanationInProgress, ExplanationPart, Library, ServiceError};

/// Starts the explanation of two layers' similarity.
///
/// # Errors
/// A layer does not exist, the language is invalid, or the server is busy.
pub async fn explain(
    ctx: &Context<'_>,
    layer: &ID,
    other: &ID,
    language: Option<String>,
) -> Result<ExplanationInProgress> {
    let language = language.map(|language| language.parse()).transpose();
    let language = language.map_err(|error: domain::LanguageError| ApiError::bad_input(error))?;
    let (layer, other) = futures::try_join!(find_layer(ctx, layer), find_layer(ctx, other))?;
    let library = ctx.data_unchecked::<Library>();
    let [layer, other] = [layer, other].map(|layer| Arc::unwrap_or_clone(layer.0));
    Ok(library.explain(layer, other, language).await?)
}

/// A layer that the caller can see.
///
/// # Errors
/// There is none.
pub(super) async fn find_layer(ctx: &Context<'_>, id: &ID) -> Result<Layer> {
    let key = LayerId::decode(id)?;
    let layer = node::layer(ctx, key).await?;
    Ok(layer.ok_or_else(|| ServiceError::not_found("layer", key))?)
}

/// An explanation of why two layers may compute the same: structure, performance, evidence, and what to try next.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Explanation(pub Arc<domain::Explanation>);

#[Object(use_type_description)]
impl Explanation {
    /// The explanation in Markdown. A language model can make mistakes, and its output is untrusted: render it with raw
    /// HTML disabled.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// What wrote the explanation.
    async fn source(&self) -> ExplanationSource {
        self.0.source.into()
    }

    /// Why rules wrote the explanation instead of a language model, in a sentence; null if a language model wrote it.
    async fn fallback_reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Name of the language model that wrote it; null if rules wrote it.
    async fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// The language that it is written in. This may differ from the requested one, because rules write English only.
    async fn language(&self) -> &str {
        self.0.language.as_str()
    }

    /// Whether the explanation is complete; false if the language model's output was cut off at the length limit.
    async fn complete(&self) -> bool {
        self.0.complete
    }

    /// The first layer.
    async fn layer(&self, ctx: &Context<'_>) -> Result<Layer> {
        load_referenced(ctx, self.0.layer).await.map(Layer::from)
    }

    /// The second layer.
    async fn other_layer(&self, ctx: &Context<'_>) -> Result<Layer> {
        load_referenced(ctx, self.0.other_layer).await.map(Layer::from)
    }

    /// Linear CKA between the two layers, 0 to 1. Null if they cannot be compared.
    async fn cka(&self) -> Option<f64> {
        self.0.scores.as_ref().ok().map(|scores| scores.cka)
    }

    /// Debiased CKA between the two layers, -1 to 1. Null if they cannot be compared.
    async fn debiased_cka(&self) -> Option<f64> {
        self.0.scores.as_ref().ok().map(|scores| scores.debiased_cka)
    }

    /// Why the two layers cannot be compared, in a sentence; null if they can.
    async fn not_comparable_reason(&self) -> Option<&str> {
        self.0.scores.as_ref().err().map(String::as_str)
    }

    /// The facts about the two layers that the explanation is based on.
    async fn facts(&self) -> ExplanationFacts {
        self.0.common.into()
    }
}

/// What writes explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::ExplanationSource")]
pub enum ExplanationSource {
    /// A language model, from the measured facts.
    Llm,
    /// Fixed rules, from the same facts.
    Rules,
}

/// Facts about two layers.
#[derive(Debug, SimpleObject)]
pub struct ExplanationFacts {
    /// Whether both layers have the same kind.
    same_kind: bool,
    /// Whether both layers have the same kind, parameters and shapes.
    same_settings: bool,
    /// Whether the outputs of both layers have the same shape.
    same_output_shape: bool,
    /// Whether both layers belong to the same model.
    same_model: bool,
    /// Whether the versions of both layers are for the same data set.
    same_dataset: bool,
    /// Whether the alignment of their versions (`Version.diff`) pairs them.
    aligned: bool,
    /// Relative depth of the first layer in its network: 0 for the first layer of the network, 1 for the last.
    depth: f64,
    /// Relative depth of the second layer in its network.
    other_depth: f64,
    /// Rank of the second layer among all layers of its network by debiased CKA with the first, from 1. Null if both
    /// layers belong to one network, or if the networks are too large to compare all layers.
    rank: Option<u32>,
    /// Rank of the first layer among all layers of its network by debiased CKA with the second. Null if `rank` is null.
    other_rank: Option<u32>,
    /// Probability of at least this debiased CKA if the probe images of one of the two layers are permuted at random,
    /// not corrected for multiple comparisons. Null if the layers cannot be compared.
    p_value: Option<f64>,
}

impl From<domain::CommonFacts> for ExplanationFacts {
    fn from(common: domain::CommonFacts) -> Self {
        Self {
            same_kind: common.same_kind,
            same_settings: common.same_settings,
            same_output_shape: common.same_output_shape,
            same_model: common.same_model,
            same_dataset: common.same_dataset,
            aligned: common.aligned,
            depth: common.depth,
            other_depth: common.other_depth,
            rank: common.rank,
            other_rank: common.other_rank,
            p_value: common.p_value,
        }
    }
}

/// A part of an explanation that is being written.
#[derive(Debug, SimpleObject)]
pub struct ExplanationChunk {
    /// The next piece of the language model's text; null in the last chunk.
    text: Option<String>,
    /// The whole explanation, in the last chunk. If rules wrote it, discard the pieces received before.
    explanation: Option<Explanation>,
}

impl From<ExplanationPart> for ExplanationChunk {
    fn from(part: ExplanationPart) -> Self {
        let (text, explanation) = match part {
            ExplanationPart::Piece(text) => (Some(text), None),
            ExplanationPart::Whole(explanation) => (None, Some(Explanation(explanation))),
        };
        Self { text, explanation }
    }
}
