//! An explanation written by fixed rules: each sentence is included only if the facts support it.

mod agreement;
mod next;
mod performance;
mod structure;

use super::quote::{code, name, span};
use super::{Facts, LayerFacts};

/// Debiased CKA from which two layers count as very similar.
const HIGH_SIMILARITY: f64 = 0.8;

/// Debiased CKA below which two layers count as dissimilar.
const LOW_SIMILARITY: f64 = 0.4;

/// Excess of CKA over debiased CKA from which the text attributes it to the width of the layers.
const WIDTH_GAP: f64 = 0.2;

/// Maximum difference between two relative depths that count as about the same.
const DEPTH_TOLERANCE: f64 = 0.1;

impl Facts {
    /// Explains the facts in English, as Markdown.
    pub fn to_markdown(&self) -> String {
        let sections = [
            ("Structure", structure::paragraphs(self)),
            ("Performance", performance::paragraphs(self)),
            ("Why the two layers may agree", agreement::paragraphs(self)),
            ("What to try next", next::paragraphs(self)),
        ];
        let written = sections.map(|(head, paragraphs)| format!("## {head}\n\n{}\n", paragraphs.join("\n\n")));
        written.join("\n")
    }
}

/// The name of a network, such as `plain:1`.
fn network(facts: &LayerFacts) -> String {
    span(&format!("{}:{}", name(&facts.model), facts.version.number))
}

/// The name of a layer and its network.
fn layer(facts: &LayerFacts) -> String {
    format!("{} of {}", code(&facts.layer.name), network(facts))
}

/// A share as a percentage.
fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

/// A shape such as 16x8x8.
fn shape(dims: &[i32]) -> String {
    dims.iter().map(i32::to_string).collect::<Vec<_>>().join("x")
}

/// A number of things, such as `1 layer` or `12 layers`.
fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// A bulleted list in Markdown.
fn list(lines: impl IntoIterator<Item = String>) -> String {
    let lines: Vec<_> = lines.into_iter().map(|line| format!("- {line}")).collect();
    lines.join("\n")
}
