//! Activation maximisation: synthetic images that maximise the activation of a target.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{JobId, SynthesisId, VersionId};

/// Maximum number of optimisation steps.
pub const MAX_STEPS: u32 = 4_096;

/// Maximum side of a small image, such as a digit, a letter or a piece of clothing.
const MAX_SMALL_SIDE: usize = 64;

/// Number of top-activating images shown next to a synthetic image.
pub const EXEMPLARS: usize = 9;

/// The scope of a list of synthetic images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SynthesisScope {
    /// All synthetic images of a version: of its classes and all of its layers.
    Version(VersionId),
    /// The synthetic images of one layer of a version, by its index: of the whole layer, its channels and their
    /// neurons.
    Layer(VersionId, i32),
}

/// A synthetic image, finished or still being computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Synthesis {
    /// Key.
    pub id: SynthesisId,
    /// The version whose network is used.
    pub version_id: VersionId,
    /// The job that computes it.
    pub job_id: JobId,
    /// What the image activates.
    pub target: SynthesisTarget,
    /// Settings of the optimisation.
    pub settings: SynthesisSettings,
    /// The result, once the job has succeeded.
    pub outcome: Option<SynthesisOutcome>,
    /// When it was requested.
    pub created_at: DateTime<Utc>,
}

/// The result of a synthesis.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthesisOutcome {
    /// SHA-256 of the PNG file, 64 hexadecimal digits.
    pub image_hash: String,
    /// Width in pixels.
    pub image_width: u32,
    /// Height in pixels.
    pub image_height: u32,
    /// Activation of the target for the image.
    pub activation: f64,
    /// Activation of the target at each step.
    pub activation_history: Vec<f64>,
    /// The top-activating images of the test split, the highest activation first.
    pub exemplars: Vec<ImageActivation>,
}

/// An image of a split and the activation of a target for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ImageActivation {
    /// Index of the image in the split.
    pub index: usize,
    /// The activation.
    pub activation: f64,
}

/// The quantity that a synthetic image maximises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SynthesisTarget {
    /// The logit of a class.
    Class {
        /// Index of the class.
        class: usize,
    },
    /// The mean square of all activations of a layer.
    Layer {
        /// Index of the layer among the layers of the network.
        layer: usize,
    },
    /// The mean activation of a channel over its rows and columns.
    Channel {
        /// Index of the layer.
        layer: usize,
        /// Index of the channel.
        channel: usize,
    },
    /// A single activation of a channel.
    Neuron {
        /// Index of the layer.
        layer: usize,
        /// Index of the channel.
        channel: usize,
        /// Row.
        row: usize,
        /// Column.
        column: usize,
    },
}

/// Targets whose activations are computed in one pass over the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetGroup {
    /// All classes.
    Classes,
    /// A single layer.
    Layer {
        /// Index of the layer among the layers of the network.
        layer: usize,
    },
    /// All channels of a layer.
    Channels {
        /// Index of the layer.
        layer: usize,
    },
    /// One position in all channels of a layer.
    Neurons {
        /// Index of the layer.
        layer: usize,
        /// Row.
        row: usize,
        /// Column.
        column: usize,
    },
}

impl SynthesisTarget {
    /// The layer of the target; `None` for a class.
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Class { .. } => None,
            Self::Layer { layer } | Self::Channel { layer, .. } | Self::Neuron { layer, .. } => Some(layer),
        }
    }

    /// The group of the target, and its index within the group.
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

/// The parameters that the optimisation varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Parametrisation {
    /// The pixels.
    Pixels,
    /// The Fourier coefficients of the image, with larger steps for low frequencies.
    Fourier,
}

/// What fills the area outside the image when it is moved, scaled or rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Padding {
    /// The mean colour, which is 0 in the normalised input.
    #[default]
    Mean,
    /// The border of the image, repeated.
    Edge,
    /// The image mirrored at its border; the border itself is not repeated.
    Reflection,
}

/// Settings of the optimisation of a synthetic image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SynthesisSettings {
    /// Steps of gradient ascent, 1 to [`MAX_STEPS`].
    pub steps: u32,
    /// Learning rate of Adam.
    pub learning_rate: f64,
    /// Random seed of the initial image and all transformations.
    pub seed: u64,
    /// The parameters that the optimisation varies.
    pub parametrisation: Parametrisation,
    /// What fills the area outside the image in the transformations below. The mean for settings stored by releases
    /// without this field.
    #[serde(default)]
    pub padding: Padding,
    /// Maximum translation before each step, in pixels.
    pub jitter: f64,
    /// Maximum relative scaling before each step, up or down.
    pub scale: f64,
    /// Maximum rotation before each step, in degrees.
    pub rotation: f64,
    /// Weight of the penalty on differences between neighbouring pixels, relative to what the image adds to the activation of the mean image.
    pub total_variation: f64,
    /// Weight of the penalty on the distance from the mean image, relative to what the image adds to the activation of the mean image.
    pub l2: f64,
}

impl SynthesisSettings {
    /// The default settings for images of a given size. Small images are moved less.
    pub fn defaults_for(height: usize, width: usize) -> Self {
        let side = height.min(width) as f64;
        // A small image consists of a few strokes. Without penalties they are lost in noise that activates the target
        // as well.
        let is_small = height.max(width) <= MAX_SMALL_SIDE;
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

    /// Checks the settings for images of a given size. Returns a message about the first invalid setting.
    pub fn validation_error(&self, height: usize, width: usize) -> Option<String> {
        let between = |name: &str, value: f64, min: f64, max: f64| {
            (!(min..=max).contains(&value)).then(|| format!("`{name}` must be {min} to {max}, got {value}"))
        };
        let steps = (!(1..=MAX_STEPS).contains(&self.steps))
            .then(|| format!("`steps` must be 1 to {MAX_STEPS}, got {}", self.steps));
        steps
            .or_else(|| between("learningRate", self.learning_rate, 1e-6, 10.0))
            // With a larger jitter, too little of the image would remain visible.
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
    fn default_settings_are_valid_and_invalid_ones_are_reported_with_their_limits() {
        let defaults = SynthesisSettings::defaults_for(28, 28);
        assert_eq!(defaults.validation_error(28, 28), None);
        let many = SynthesisSettings {
            steps: 10_000,
            ..defaults
        };
        let error = many.validation_error(28, 28);
        assert_eq!(error.as_deref(), Some("`steps` must be 1 to 4096, got 10000"));
        let far = SynthesisSettings {
            jitter: 15.0,
            ..defaults
        };
        assert_eq!(
            far.validation_error(28, 30).as_deref(),
            Some("`jitter` must be 0 to 14, got 15")
        );
        assert_eq!(SynthesisSettings::defaults_for(1, 1).validation_error(1, 1), None);
        let not_a_number = SynthesisSettings {
            learning_rate: f64::NAN,
            ..defaults
        };
        let error = not_a_number.validation_error(28, 28);
        assert!(error.is_some_and(|error| error.starts_with("`learningRate`")));
    }
}
