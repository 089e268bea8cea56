//! What a network makes of one image: the answers of channels, and which pixels a class hangs on.

/// Which channels of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelChoice {
    /// These, in this order.
    Given(Vec<usize>),
    /// So many, those whose mean activation is highest, the highest first; of equals the first.
    MostActive(usize),
}

/// The activations of one channel. A layer without rows and columns has channels of one number.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMap {
    /// Its index.
    pub channel: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The numbers, row after row.
    pub values: Vec<f32>,
    /// The lowest and the highest finite number of all channels of the layer, so that maps can be compared.
    pub layer_range: [f32; 2],
}

impl FeatureMap {
    /// The mean of the numbers.
    pub fn mean(&self) -> f64 {
        self.values.iter().map(|value| f64::from(*value)).sum::<f64>() / self.values.len().max(1) as f64
    }
}

/// How pixels are weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// The gradient of the score.
    InputGradient,
    /// The mean of gradients at noisy copies of the image.
    SmoothGrad {
        /// How many copies.
        samples: usize,
        /// Deviation of the noise, as a share of the image's range.
        noise: f64,
        /// What the noise is drawn with.
        seed: u64,
    },
    /// The gradient's integral along the way from a baseline to the image, times the difference of the two. The baseline is
    /// the mean image: zero for what the network reads.
    IntegratedGradients {
        /// Points of the Gauss-Legendre rule.
        steps: usize,
    },
    /// The mean gradient of each channel of a layer weighs its activations; what remains above zero is shown.
    GradCam {
        /// The layer: its place among the graph's layers.
        layer: usize,
    },
}

/// How much each place adds to a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// Channels: those of the network's input, or one for Grad-CAM.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The numbers, channel after channel and row after row.
    pub values: Vec<f32>,
    /// The score of the class for the image, a logit.
    pub score: f64,
    /// For integrated gradients: how far their sum is from the difference of the scores of image and baseline. It would be 0
    /// if the integral were exact.
    pub completeness_error: Option<f64>,
}
