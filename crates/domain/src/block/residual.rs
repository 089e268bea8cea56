//! The one kind that holds other blocks.

use serde_json::json;

use super::catalogue::{Form, KindSpec};
use super::parameter::{ParameterSpec, ParameterType};

/// Name of the kind, and of the node that adds its branches.
pub(super) const RESIDUAL: &str = "Residual";

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![KindSpec {
        name: RESIDUAL,
        summary: "Runs two lists of blocks on the same input and adds their results: `main(x) + shortcut(x)`.",
        parameters: vec![
            ParameterSpec::required(
                "main",
                ParameterType::Blocks,
                "At least one block. Stands beside `kind`.",
            ),
            ParameterSpec::optional(
                "shortcut",
                ParameterType::Blocks,
                json!([]),
                "Makes the same shape as `main`; empty, it is the input itself. Stands beside `kind`.",
            ),
        ],
        form: Form::Residual,
    }]
}
