//! Explains the similarity of two layers.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::error::Result;
use crate::explanation::{Explanation, explain};

/// Mutations that explain.
#[derive(Debug, Default, async_graphql::Description)]
pub struct ExplanationMutation;

#[Object(use_type_description)]
impl ExplanationMutation {
    /// Explains why two layers may compute the same. A language model writes the explanation if one is configured and
    /// available; otherwise fixed rules do. The subscription `explanation` returns the same piece by piece.
    async fn explain_similarity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The two layers.")] input: ExplainSimilarityInput,
    ) -> Result<ExplainSimilarityPayload> {
        let explaining = explain(ctx, &input.layer_id, &input.other_layer_id, input.language).await?;
        Ok(ExplainSimilarityPayload {
            explanation: Explanation(explaining.whole().await?),
        })
    }
}

/// Two layers whose similarity is explained.
#[derive(Debug, InputObject)]
pub struct ExplainSimilarityInput {
    /// Global id of the first layer.
    layer_id: ID,
    /// Global id of the second layer.
    other_layer_id: ID,
    /// Language of the explanation, one of some sixty by their names or codes, such as `Deutsch` or `pt-BR`. Default: the server's setting.
    /// Rules write English only.
    language: Option<String>,
}

/// The explanation of two layers.
#[derive(Debug, SimpleObject)]
pub struct ExplainSimilarityPayload {
    /// The explanation.
    explanation: Explanation,
}
