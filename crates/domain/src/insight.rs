//! How a network processes one image: feature maps of channels, and attributions of a class to pixels.

/// A choice of channels of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelChoice {
    /// These channels, in this order.
    Given(Vec<usize>),
    /// The given number of channels with the highest mean activation, the highest first; ties are ordered by index.
    MostActive(usize),
}

/// The activations of one channel. In a layer without rows and columns, each channel is a single value.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMap {
    /// Index of the channel.
    pub channel: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The activations, in row-major order.
    pub values: Vec<f32>,
    /// Minimum and maximum of the finite activations over all channels of the layer, so that maps can be compared.
    pub layer_range: [f32; 2],
}

impl FeatureMap {
    /// Mean activation.
    pub fn mean(&self) -> f64 {
        self.values.iter().map(|value| f64::from(*value)).sum::<f64>() / self.values.len().max(1) as f64
    }
}

/// The attribution method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AttributionMethod {
    /// The gradient of the class score with respect to the input.
    InputGradient,
    /// The mean gradient over noisy copies of the image.
    SmoothGrad {
        /// Number of noisy copies.
        samples: usize,
        /// Standard deviation of the noise, as a share of the image's value range.
        noise: f64,
        /// Random seed of the noise.
        seed: u64,
    },
    /// The integral of the gradient along the line from a baseline to the image, times the difference of the two. The
    /// baseline is the mean image, which is zero in the normalised input.
    IntegratedGradients {
        /// Number of points of the Gauss-Legendre quadrature.
        steps: usize,
    },
    /// The activations of a layer, weighted by the mean gradient of each channel and summed; negative values become
    /// zero.
    GradCam {
        /// Index of the layer among the layers of the graph.
        layer: usize,
    },
}

/// How much each position of the input, or of a layer, contributes to a class score.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// Number of channels: those of the network's input, or one for Grad-CAM.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// The attributions, channel after channel, each in row-major order.
    pub values: Vec<f32>,
    /// The logit of the class for the image.
    pub score: f64,
    /// Completeness error of integrated gradients: how far the attributions' sum is from the difference between the
    /// scores of the image and the baseline. 0 if the integral is exact.
    pub completeness_error: Option<f64>,
}
