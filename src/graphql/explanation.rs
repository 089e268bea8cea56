//! Why two layers are alike, in words.

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

/// The explanation of two layers' likeness, on its way.
///
/// # Errors
/// There is no such layer, the language is none, or the server is busy.
pub async fn explain(
    ctx: &Context<'_>,
    layer: &ID,
    other: &ID,
    language: Option<String>,
) -> Result<ExplanationInProgress> {
    let language = language.map(|language| language.parse()).transpose();
    let language = language.map_err(|error: domain::LanguageError| ApiError::bad_input(error))?;
    let (layer, other) = futures::try_join!(found(ctx, layer), found(ctx, other))?;
    let library = ctx.data_unchecked::<Library>();
    Ok(library.explain(layer.0, other.0, language).await?)
}

async fn found(ctx: &Context<'_>, id: &ID) -> Result<Layer> {
    let layer = node::layer(ctx, LayerId::decode(id)?).await?;
    Ok(layer.ok_or_else(|| ServiceError::not_found("layer", &**id))?)
}

/// Why two layers may compute the same thing: structure, performance, what speaks for it, and what to try next.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Explanation(pub Arc<domain::Explanation>);

#[Object(use_type_description)]
impl Explanation {
    /// The explanation in Markdown. A language model may write what is not so, and what it writes is not to be trusted as HTML:
    /// show it with raw HTML turned off.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// Who wrote it.
    async fn source(&self) -> ExplanationSource {
        self.0.source.into()
    }

    /// Why it comes from the rules, in a sentence; null if a language model wrote it.
    async fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Name of the language model that wrote it; null if it comes from the rules.
    async fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// What it is written in, whatever was asked for: rules know English only.
    async fn language(&self) -> &str {
        self.0.language.as_str()
    }

    /// Whether the language model came to its end; false if it was cut off at the longest answer that is taken.
    async fn complete(&self) -> bool {
        self.0.complete
    }

    /// The one layer.
    async fn layer(&self, ctx: &Context<'_>) -> Result<Layer> {
        load_referenced(ctx, self.0.layer).await.map(Layer)
    }

    /// The other layer.
    async fn other_layer(&self, ctx: &Context<'_>) -> Result<Layer> {
        load_referenced(ctx, self.0.other_layer).await.map(Layer)
    }

    /// Linear CKA between the two, 0 to 1. Null if they cannot be compared.
    async fn cka(&self) -> Option<f64> {
        self.0.likeness.as_ref().ok().map(|likeness| likeness.cka)
    }

    /// Debiased CKA between the two, -1 to 1. Null if they cannot be compared.
    async fn debiased_cka(&self) -> Option<f64> {
        self.0.likeness.as_ref().ok().map(|likeness| likeness.debiased_cka)
    }

    /// Why the two cannot be compared; null if they can.
    async fn incomparable(&self) -> Option<&str> {
        self.0.likeness.as_ref().err().map(String::as_str)
    }

    /// What the two have in common.
    async fn common(&self) -> CommonFacts {
        self.0.common.into()
    }
}

/// Who writes explanations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Source")]
pub enum ExplanationSource {
    /// A language model, from the measured facts.
    Llm,
    /// Fixed rules, from the same facts.
    Rules,
}

/// What two layers have in common.
#[derive(Debug, SimpleObject)]
pub struct CommonFacts {
    /// Both are of one kind.
    same_kind: bool,
    /// Both have the same kind, parameters and shapes.
    same_settings: bool,
    /// Both make values of one shape.
    same_output_shape: bool,
    /// Both are of one model.
    same_model: bool,
    /// Their networks are made for one data set.
    same_dataset: bool,
    /// The alignment of their networks (`Version.diff`) puts them in the same place.
    aligned: bool,
    /// How deep the one lies in its network: 0 for the first layer, 1 for the last.
    depth: f64,
    /// How deep the other lies in its network.
    other_depth: f64,
    /// Place of the other among all layers of its network by debiased CKA with the one, from 1. Null for layers of one network,
    /// and where networks are too large for all their layers to be compared.
    rank: Option<u32>,
    /// Place of the one among all layers of its network by debiased CKA with the other.
    other_rank: Option<u32>,
    /// The probability of so high a debiased CKA if the probe images of one of the two were relabelled at random, for this pair
    /// alone. Null if they cannot be compared.
    p_value: Option<f64>,
}

impl From<domain::Common> for CommonFacts {
    fn from(common: domain::Common) -> Self {
        Self {
            same_kind: common.kind,
            same_settings: common.settings,
            same_output_shape: common.output_shape,
            same_model: common.model,
            same_dataset: common.dataset,
            aligned: common.aligned,
            depth: common.depth,
            other_depth: common.other_depth,
            rank: common.rank,
            other_rank: common.other_rank,
            p_value: common.p_value,
        }
    }
}

/// A part of an explanation as it is written.
#[derive(Debug, SimpleObject)]
pub struct ExplanationChunk {
    /// The next piece of what the language model writes; null in the last chunk.
    text: Option<String>,
    /// The whole explanation, in the last chunk. If it comes from the rules, the pieces given before it are void.
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
