//! Having the likeness of two layers explained.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::graphql::error::Result;
use crate::graphql::explanation::{Explanation, explain};

/// Explanations.
#[derive(Debug, Default, async_graphql::Description)]
pub struct ExplanationMutation;

#[Object(use_type_description)]
impl ExplanationMutation {
    /// Explains why two layers may compute the same thing. A language model writes the explanation where one is set up and
    /// answers; else rules do. The subscription `explanation` gives the same piece by piece.
    async fn explain_similarity(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which layers.")] input: ExplainSimilarityInput,
    ) -> Result<ExplainSimilarityPayload> {
        let explaining = explain(ctx, &input.layer_id, &input.other_layer_id, input.language).await?;
        Ok(ExplainSimilarityPayload {
            explanation: Explanation(explaining.whole().await?),
        })
    }
}

/// Two layers to be explained.
#[derive(Debug, InputObject)]
pub struct ExplainSimilarityInput {
    /// The one layer.
    layer_id: ID,
    /// The other layer.
    other_layer_id: ID,
    /// Language of the explanation by its name or code, such as `Deutsch` or `pt-BR`; the server's usual one if left out. Rules
    /// know English only.
    language: Option<String>,
}

/// Two layers explained.
#[derive(Debug, SimpleObject)]
pub struct ExplainSimilarityPayload {
    /// The explanation.
    explanation: Explanation,
}
