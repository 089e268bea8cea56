//! Explanations of why two layers may compute the same thing: the facts, and the text written from them.

mod language;
mod prompt;
mod quote;
mod rules;

use super::diff::{Entry, differences};
use super::id::{LayerId, ProbeSetId};
use super::vector::CkaScores;
use super::version::{Layer, Version};

pub use language::{Language, LanguageError};
pub use prompt::{MAX_PROMPT_BYTES, Prompt};

/// A similarity with a p-value above this may be due to chance.
pub const SIGNIFICANCE_LEVEL: f64 = 0.01;

/// Explanations do not distinguish p-values below this, because small p-values come from an approximation.
const MIN_P_VALUE: f64 = 1e-15;

/// Who wrote an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplanationSource {
    /// A language model, from the facts.
    Llm,
    /// Fixed rules, from the same facts.
    Rules,
}

/// Facts about one of the two layers and its network.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerFacts {
    /// Name of the model.
    pub model: String,
    /// Tags of the model.
    pub tags: Vec<String>,
    /// The version.
    pub version: Version,
    /// Name of its data set.
    pub dataset: String,
    /// Accuracy on the test images of its data set, 0 to 1, if it was evaluated.
    pub accuracy: Option<f64>,
    /// The layer.
    pub layer: Layer,
    /// How many layers the version has.
    pub layer_count: usize,
    /// The layer of this network that is most similar to the other layer. `None` if not all layers were compared, or if
    /// both layers belong to the same network.
    pub best: Option<BestMatch>,
}

impl LayerFacts {
    /// Relative depth of the layer in its network: 0 for the first layer, 1 for the last.
    pub fn depth(&self) -> f64 {
        match self.layer_count {
            0 | 1 => 0.0,
            count => f64::from(self.layer.index) / (count - 1) as f64,
        }
    }

    /// Whether it is the last layer.
    pub fn is_last(&self) -> bool {
        usize::try_from(self.layer.index).is_ok_and(|index| index + 1 == self.layer_count)
    }
}

/// The layer of a network that is most similar to a layer of another network.
#[derive(Debug, Clone, PartialEq)]
pub struct BestMatch {
    /// Its name.
    pub name: String,
    /// Its debiased CKA with the layer of the other network.
    pub debiased_cka: f64,
    /// Rank of the explained layer among all layers of its network, from 1.
    pub rank: u32,
}

/// Facts about two layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The first layer.
    pub one: LayerFacts,
    /// The other layer.
    pub other: LayerFacts,
    /// The layer-by-layer changes from the first network to the other. Empty if both layers belong to the same network.
    pub diff: Vec<Entry>,
    /// Their similarity, or the reason why they cannot be compared.
    pub scores: Result<CkaScores, String>,
    /// The probability of so high a score if the probe images of one layer are relabelled at random.
    pub p_value: Option<f64>,
    /// The probe set they were compared on, if any.
    pub probe_set: Option<ProbeSetId>,
    /// Number of probe images they were compared on.
    pub images: Option<usize>,
}

impl Facts {
    /// Whether both layers belong to the same version.
    pub fn is_one_network(&self) -> bool {
        self.one.version.id == self.other.version.id
    }

    /// What the two layers have in common.
    pub fn common(&self) -> CommonFacts {
        let (one, other) = (&self.one, &self.other);
        let are_aligned = |entry: &Entry| {
            entry
                .pair()
                .is_some_and(|(layer, layer_of_other)| layer.id == one.layer.id && layer_of_other.id == other.layer.id)
        };
        CommonFacts {
            same_kind: one.layer.kind == other.layer.kind,
            same_settings: differences(&one.layer, &other.layer).is_empty(),
            same_output_shape: one.layer.output_shape == other.layer.output_shape,
            same_model: one.version.model_id == other.version.model_id,
            same_dataset: one.version.dataset_id == other.version.dataset_id,
            aligned: self.diff.iter().any(are_aligned),
            depth: one.depth(),
            other_depth: other.depth(),
            rank: other.best.as_ref().map(|best| best.rank),
            other_rank: one.best.as_ref().map(|best| best.rank),
            p_value: self.p_value,
        }
    }
}

/// What two layers have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CommonFacts {
    /// Both have the same kind.
    pub same_kind: bool,
    /// Both have the same kind, parameters and shapes.
    pub same_settings: bool,
    /// Both have the same output shape.
    pub same_output_shape: bool,
    /// Both belong to the same model.
    pub same_model: bool,
    /// Both networks are for the same data set.
    pub same_dataset: bool,
    /// The alignment of their networks pairs the two layers.
    pub aligned: bool,
    /// Relative depth of the first layer: see [`LayerFacts::depth`].
    pub depth: f64,
    /// Relative depth of the other layer.
    pub other_depth: f64,
    /// Rank of the other layer among all layers of its network by similarity to the first, from 1.
    pub rank: Option<u32>,
    /// Rank of the first layer among all layers of its network by similarity to the other, from 1.
    pub other_rank: Option<u32>,
    /// See [`Facts::p_value`].
    pub p_value: Option<f64>,
}

/// An explanation of the similarity of two layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The first layer.
    pub layer: LayerId,
    /// The other layer.
    pub other_layer: LayerId,
    /// The text, in Markdown.
    pub text: String,
    /// Who wrote it.
    pub source: ExplanationSource,
    /// Why the rules wrote it, if they did.
    pub reason: Option<String>,
    /// Name of the language model, if one wrote it.
    pub model: Option<String>,
    /// The language of the text.
    pub language: Language,
    /// Whether the text is complete; false if the language model was cut off.
    pub complete: bool,
    /// The similarity of the layers, or the reason why they cannot be compared.
    pub scores: Result<CkaScores, String>,
    /// What the layers have in common.
    pub common: CommonFacts,
}

#[cfg(test)]
mod tests;
