//! An explanation from the facts alone: sentences that are said where they hold, and left out where they do not.

mod agreement;
mod next;
mod performance;
mod structure;

use super::quote::{code, name, span};
use super::{Facts, Side};

/// A debiased CKA from which two layers are much alike.
const MUCH: f64 = 0.8;

/// A debiased CKA below which they are hardly alike.
const LITTLE: f64 = 0.4;

/// How much higher CKA has to be than debiased CKA for the width to be spoken of.
const WIDE: f64 = 0.2;

/// How far apart depths may be that are called the same.
const NEAR: f64 = 0.1;

impl Facts {
    /// The facts in Markdown, in English.
    pub fn in_words(&self) -> String {
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

/// A network by its name, such as `plain:1`.
fn network(side: &Side) -> String {
    span(&format!("{}:{}", name(&side.model), side.version.number))
}

/// A layer with its network.
fn layer(side: &Side) -> String {
    format!("{} of {}", code(&side.layer.name), network(side))
}

/// A share in percent.
fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
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

/// A list in Markdown.
fn list(lines: impl IntoIterator<Item = String>) -> String {
    let lines: Vec<_> = lines.into_iter().map(|line| format!("- {line}")).collect();
    lines.join("\n")
}
