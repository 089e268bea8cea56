//! Activation maximisation: what is to be answered to most, and how an image is sought.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{JobId, SynthesisId, VersionId};

/// Steps of a search at most.
pub const MAX_STEPS: u32 = 4_096;

/// Rows and columns of an image that is small: of digits, letters, clothing.
const SMALL_SIDE: usize = 64;

/// Images of the data set that are shown beside a synthetic one.
pub const EXEMPLARS: usize = 9;

/// Whose synthetic images a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SynthesesOf {
    /// A version's: of its classes and of all of its layers.
    Version(VersionId),
    /// Those of one layer of a version, by its place among them: of the whole of it, its channels and their neurons.
    Layer(VersionId, i32),
}

/// An image that is sought, or was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesis {
    /// Key.
    pub id: SynthesisId,
    /// The version whose network answers.
    pub version_id: VersionId,
    /// The job that seeks it.
    pub job_id: JobId,
    /// What is to answer.
    pub target: SynthesisTarget,
    /// How it is sought.
    pub settings: SynthesisSettings,
    /// What was found, once the job has succeeded.
    pub outcome: Option<SynthesisOutcome>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthesisOutcome {
    /// Hash of the picture's bytes, 64 hexadecimal digits.
    pub image_hash: String,
    /// Pixels from left to right.
    pub image_width: u32,
    /// Pixels from top to bottom.
    pub image_height: u32,
    /// What the target answers to the image.
    pub activation: f64,
    /// What it answered at each step.
    pub course: Vec<f64>,
    /// The images of the test split that the target answers to most, the strongest first.
    pub exemplars: Vec<Activating>,
}

/// An image of a split and what a target answers to it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Activating {
    /// Its index in the split.
    pub index: usize,
    /// The answer.
    pub activation: f64,
}

/// What an image is to make as large as it can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SynthesisTarget {
    /// The score of a class before the softmax.
    Class {
        /// Its index.
        class: usize,
    },
    /// The mean square of all numbers of a layer.
    Layer {
        /// Its place among the layers of the network.
        layer: usize,
    },
    /// The mean of a channel over its rows and columns.
    Channel {
        /// The layer.
        layer: usize,
        /// Index of the channel.
        channel: usize,
    },
    /// One number of a channel.
    Neuron {
        /// The layer.
        layer: usize,
        /// Index of the channel.
        channel: usize,
        /// Row.
        row: usize,
        /// Column.
        column: usize,
    },
}

/// Targets whose answers one pass over images tells together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetGroup {
    /// All classes.
    Classes,
    /// A layer, the only one of its group.
    Layer {
        /// Its place among the layers of the network.
        layer: usize,
    },
    /// All channels of a layer.
    Channels {
        /// The layer.
        layer: usize,
    },
    /// One place of all channels of a layer.
    Neurons {
        /// The layer.
        layer: usize,
        /// Row.
        row: usize,
        /// Column.
        column: usize,
    },
}

impl SynthesisTarget {
    /// The layer that it is, or is a part of.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Class { .. } => None,
            Self::Layer { layer } | Self::Channel { layer, .. } | Self::Neuron { layer, .. } => Some(layer),
        }
    }

    /// The group that the target belongs to, and its place there.
    pub fn group(self) -> (TargetGroup, usize) {
        match self {
            Self::Class { class } => (TargetGroup::Classes, class),
            Self::Layer { layer } => (TargetGroup::Layer { layer }, 0),
            Self::Channel { layer, channel } => (TargetGroup::Channels { layer }, channel),
            Self::Neuron {
                layer,
                channel,
                row,
                column,
            } => (TargetGroup::Neurons { layer, row, column }, channel),
        }
    }
}

/// What the search varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Parametrisation {
    /// The pixels.
    Pixels,
    /// The image's Fourier coefficients, low frequencies more freely.
    Fourier,
}

/// What comes in from outside where an image is moved, scaled or turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Padding {
    /// The mean colour: what the network reads as 0.
    #[default]
    Mean,
    /// The border of the image, repeated.
    Edge,
    /// The image, mirrored at its border, which itself is not repeated.
    Reflection,
}

/// How an image is sought.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SynthesisSettings {
    /// Steps of gradient ascent, 1 to [`MAX_STEPS`].
    pub steps: u32,
    /// Step width of Adam.
    pub learning_rate: f64,
    /// What the first image and all transformations are drawn with.
    pub seed: u64,
    /// What is varied.
    pub parametrisation: Parametrisation,
    /// What comes in from outside in the next three. Those that were made before it could be chosen have the mean.
    #[serde(default)]
    pub padding: Padding,
    /// Before each step the image is moved by up to this many pixels.
    pub jitter: f64,
    /// It is made larger or smaller by up to this share.
    pub scale: f64,
    /// It is turned by up to this many degrees.
    pub rotation: f64,
    /// Weight of the penalty on differences between neighbouring pixels, in shares of the answer.
    pub total_variation: f64,
    /// Weight of the penalty on the distance from the mean image, in shares of the answer.
    pub l2: f64,
}

impl SynthesisSettings {
    /// What is usual for images of a height and width: transformations that move a small image less.
    pub fn usual(height: usize, width: usize) -> Self {
        let side = height.min(width) as f64;
        // A few strokes make a small image: without penalties they are lost among others that are answered to as well.
        let is_small = height.max(width) <= SMALL_SIDE;
        Self {
            steps: 256,
            learning_rate: 0.05,
            seed: 0,
            parametrisation: Parametrisation::Fourier,
            padding: Padding::Mean,
            jitter: (side / 14.0).clamp(1.0, 16.0).min(side / 2.0),
            scale: 0.1,
            rotation: 5.0,
            total_variation: if is_small { 1.0 } else { 0.0 },
            l2: if is_small { 0.05 } else { 0.0 },
        }
    }

    /// What is wrong with them for images of a height and width, in words.
    pub fn fault(&self, height: usize, width: usize) -> Option<String> {
        let between = |name: &str, value: f64, least: f64, most: f64| {
            (!(least..=most).contains(&value)).then(|| format!("`{name}` must be {least} to {most}, got {value}"))
        };
        let steps = (!(1..=MAX_STEPS).contains(&self.steps))
            .then(|| format!("`steps` must be 1 to {MAX_STEPS}, got {}", self.steps));
        steps
            .or_else(|| between("learningRate", self.learning_rate, 1e-6, 10.0))
            // Beyond half of it too little of the image would be seen.
            .or_else(|| between("jitter", self.jitter, 0.0, height.min(width) as f64 / 2.0))
            .or_else(|| between("scale", self.scale, 0.0, 0.5))
            .or_else(|| between("rotation", self.rotation, 0.0, 180.0))
            .or_else(|| between("totalVariation", self.total_variation, 0.0, 1e6))
            .or_else(|| between("l2", self.l2, 0.0, 1e6))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_settings_have_no_fault_and_others_are_told_with_their_limits() {
        let usual = SynthesisSettings::usual(28, 28);
        assert_eq!(usual.fault(28, 28), None);
        let many = SynthesisSettings { steps: 10_000, ..usual };
        let fault = many.fault(28, 28);
        assert_eq!(fault.as_deref(), Some("`steps` must be 1 to 4096, got 10000"));
        let far = SynthesisSettings { jitter: 15.0, ..usual };
        assert_eq!(far.fault(28, 30).as_deref(), Some("`jitter` must be 0 to 14, got 15"));
        assert_eq!(SynthesisSettings::usual(1, 1).fault(1, 1), None);
        let none = SynthesisSettings {
            learning_rate: f64::NAN,
            ..usual
        };
        let fault = none.fault(28, 28);
        assert!(fault.is_some_and(|fault| fault.starts_with("`learningRate`")));
    }
}
