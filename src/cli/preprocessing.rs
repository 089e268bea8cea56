//! How images become the input of an ONNX network, as commands show it.

use serde::{Deserialize, Serialize};

use super::exit::in_terms_of_options;

/// The preprocessing of a version.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preprocessing {
    channels: u32,
    height: u32,
    width: u32,
    channel_order: String,
    mean: Vec<f64>,
    std: Vec<f64>,
    layout: Option<String>,
    number_type: Option<String>,
    notes: Vec<String>,
}

impl Preprocessing {
    /// The fields to select.
    pub(super) const FIELDS: &'static str = "channels height width channelOrder mean std layout numberType notes";

    /// The input in one line.
    pub(super) fn summary(&self) -> String {
        let Self {
            channels,
            height,
            width,
            channel_order,
            mean,
            std,
            ..
        } = self;
        let mut parts = vec![format!("{channels}x{height}x{width}")];
        if *channels > 1 {
            parts.push(channel_order.clone());
        }
        let words = |name: &String| name.to_lowercase().replace('_', " ");
        parts.extend([&self.layout, &self.number_type].into_iter().flatten().map(words));
        parts.push(format!("mean {mean:?}, deviation {std:?}"));
        parts.join(", ")
    }

    /// The input, and what was assumed about it, a line each, with the options of `scv push` that change it.
    pub(super) fn to_text(&self) -> String {
        let options = ["height", "width", "scale", "mean", "std"].map(str::to_owned);
        let notes = self
            .notes
            .iter()
            .map(|note| format!("\n  {}", in_terms_of_options(note, &options)));
        format!("input: {}{}", self.summary(), notes.collect::<String>())
    }

    /// What was assumed, in sentences.
    pub(super) fn notes(&self) -> String {
        self.notes.join("; ")
    }
}
