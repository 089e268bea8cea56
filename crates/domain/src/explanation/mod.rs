//! Why two layers may compute the same thing: what is known of them, and what is said about it.

mod prompt;
mod quote;
mod rules;

use std::fmt;
use std::str::FromStr;

use super::diff::{Entry, differences};
use super::id::LayerId;
use super::vector::Likeness;
use super::version::{Layer, Version};

pub use prompt::{MAX_PROMPT_BYTES, Prompt};

/// Most characters of a language's name.
const MAX_LANGUAGE_LENGTH: usize = 32;

/// A p-value above which a likeness may as well be chance.
pub const SIGNIFICANCE_LEVEL: f64 = 0.01;

/// A human language by its name or code, such as `English`, `Deutsch` or `pt-BR`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Language(String);

/// What was given names no language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a language must be a name or a code of 1 to {MAX_LANGUAGE_LENGTH} letters, such as English, Deutsch or pt-BR; got {0:?}"
)]
pub struct LanguageError(String);

impl Language {
    /// What the rules speak.
    pub fn english() -> Self {
        Self("English".to_owned())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    /// Two words of letters and hyphens at most: nothing that could be an instruction.
    fn from_str(text: &str) -> Result<Self, LanguageError> {
        let name = text.trim();
        let length = name.chars().count();
        let is_name = name.chars().all(|c| c.is_alphabetic() || c == '-' || c == ' ') && name.split(' ').count() <= 2;
        match is_name && (1..=MAX_LANGUAGE_LENGTH).contains(&length) {
            true => Ok(Self(name.to_owned())),
            false => Err(LanguageError(text.chars().take(2 * MAX_LANGUAGE_LENGTH).collect())),
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who wrote an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A language model, from the facts.
    Llm,
    /// Fixed rules, from the same facts.
    Rules,
}

/// One of two layers, with what is known of its network.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    /// Name of the model.
    pub model: String,
    /// Tags of the model.
    pub tags: Vec<String>,
    /// The version.
    pub version: Version,
    /// Name of its data set.
    pub dataset: String,
    /// Share of its data set's test images that it classifies right, if it was evaluated.
    pub accuracy: Option<f64>,
    /// The layer.
    pub layer: Layer,
    /// How many layers the version has.
    pub layer_count: usize,
    /// The layer of this network that is most like the layer of the other side, if all were compared; none if both sides are
    /// of one network.
    pub best: Option<BestMatch>,
}

impl Side {
    /// How deep the layer lies in its network: 0 for the first, 1 for the last.
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

/// The layer of a network that is most like a layer of another.
#[derive(Debug, Clone, PartialEq)]
pub struct BestMatch {
    /// Its name.
    pub name: String,
    /// Its debiased CKA.
    pub debiased_cka: f64,
    /// Place of the layer that is spoken of among all layers of its network, from 1.
    pub rank: u32,
}

/// What is known of two layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The one layer.
    pub one: Side,
    /// The other layer.
    pub other: Side,
    /// What leads from the one's network to the other's, layer by layer. Empty if it is the same.
    pub diff: Vec<Entry>,
    /// How like they are, or in words why they cannot be compared.
    pub likeness: Result<Likeness, String>,
    /// The probability of so high a likeness if it said nothing.
    pub p_value: Option<f64>,
    /// How many images they were compared on.
    pub images: Option<usize>,
}

impl Facts {
    /// Whether both layers are of one version.
    pub fn is_one_network(&self) -> bool {
        self.one.version.id == self.other.version.id
    }

    /// What the two have in common.
    pub fn common(&self) -> Common {
        let (one, other) = (&self.one, &self.other);
        let stand_together = |entry: &Entry| {
            entry
                .pair()
                .is_some_and(|(layer, layer_of_other)| layer.id == one.layer.id && layer_of_other.id == other.layer.id)
        };
        Common {
            kind: one.layer.kind == other.layer.kind,
            settings: differences(&one.layer, &other.layer).is_empty(),
            output_shape: one.layer.output_shape == other.layer.output_shape,
            model: one.version.model_id == other.version.model_id,
            dataset: one.version.dataset_id == other.version.dataset_id,
            aligned: self.diff.iter().any(stand_together),
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
pub struct Common {
    /// Both are of one kind.
    pub kind: bool,
    /// Both have the same kind, parameters and shapes.
    pub settings: bool,
    /// Both make values of one shape.
    pub output_shape: bool,
    /// Both are of one model.
    pub model: bool,
    /// Their networks are made for one data set.
    pub dataset: bool,
    /// The alignment of their networks puts them in the same place.
    pub aligned: bool,
    /// See [`Side::depth`].
    pub depth: f64,
    /// The other's.
    pub other_depth: f64,
    /// Place of the other layer among all of its network, by likeness to the one; from 1.
    pub rank: Option<u32>,
    /// Place of the one layer among all of its network, by likeness to the other; from 1.
    pub other_rank: Option<u32>,
    /// See [`Facts::p_value`].
    pub p_value: Option<f64>,
}

/// What is said about the likeness of two layers.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The one layer.
    pub layer: LayerId,
    /// The other layer.
    pub other_layer: LayerId,
    /// Markdown.
    pub text: String,
    /// Who wrote it.
    pub source: Source,
    /// Why it comes from the rules, if it does.
    pub reason: Option<String>,
    /// The language model, if it wrote it.
    pub model: Option<String>,
    /// What it is written in.
    pub language: Language,
    /// Whether it is all that was to be said.
    pub complete: bool,
    /// How like the layers are, or why they cannot be compared.
    pub likeness: Result<Likeness, String>,
    /// What they have in common.
    pub common: Common,
}

#[cfg(test)]
mod tests;
