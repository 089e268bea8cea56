//! `Residual`, the only kind that contains other blocks.

use serde_json::json;

use super::catalogue::{Category, KindSpec, Lowering};
use super::parameter::{ParameterSpec, ParameterType};

/// Name of the kind, and of the node that sums its branches.
pub(super) const RESIDUAL: &str = "Residual";

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![KindSpec {
        category: Category::Group,
        name: RESIDUAL,
        summary: "Runs two lists of blocks on the same input and adds their outputs: `main(x) + shortcut(x)`.",
        parameters: vec![
            ParameterSpec::required(
                "main",
                ParameterType::Blocks,
                "At least one block. Written next to `kind`.",
            ),
            ParameterSpec::optional(
                "shortcut",
                ParameterType::Blocks,
                json!([]),
                "Must have the output shape of `main`; if empty, it is the input itself. Written next to `kind`.",
            ),
        ],
        lowering: Lowering::Residual,
    }]
}
