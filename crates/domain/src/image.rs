//! Images as 8-bit planes, and how they become the input of a network.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use serde::{Deserialize, Serialize};

use super::input::InputFormat;

/// Channels, height and width of the images of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for greyscale, 3 for colour.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Number of values in one image.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an image of this shape has no pixels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `[channels, height, width]`
    pub fn dims(&self) -> Vec<usize> {
        vec![self.channels, self.height, self.width]
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// A list of images with `count * channels * height * width` bytes; each channel of an image is a plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Shape of each image.
    pub shape: ImageShape,
    /// All pixels, 0 to 255, one image after the other.
    pub pixels: Bytes,
}

impl Images {
    /// Number of images.
    pub fn count(&self) -> usize {
        self.pixels.len().checked_div(self.shape.len()).unwrap_or(0)
    }

    /// The pixels of one image.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn image(&self, index: usize) -> &[u8] {
        let length = self.shape.len();
        &self.pixels[index * length..(index + 1) * length]
    }

    /// A new list with the images of `indices`, in that order.
    ///
    /// # Panics
    /// If an index is out of range.
    pub fn select(&self, indices: &[usize]) -> Images {
        let mut pixels = Vec::with_capacity(indices.len() * self.shape.len());
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        Images {
            shape: self.shape,
            pixels: pixels.into(),
        }
    }
}

/// Images with the class index of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImages {
    /// The images.
    pub images: Images,
    /// One class index per image, from 0.
    pub labels: Arc<[u16]>,
}

/// Mean and standard deviation of each channel after pixels are scaled to 0..1.
///
/// A network reads `(pixel / 255 - mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelStatistics {
    /// One mean per channel.
    pub mean: Vec<f32>,
    /// One deviation per channel, above zero.
    pub std: Vec<f32>,
}

/// The lightness (luma) of an RGB colour (ITU-R BT.601).
pub fn lightness([red, green, blue]: [f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// The order of the colour channels in the input of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChannelOrder {
    /// Red, green, blue: the order of data sets.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// How the images of a data set become the input of an imported network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Input shape of the network. Images of another size are resized, and greyscale images are repeated for each
    /// colour.
    pub shape: ImageShape,
    /// The order of the colour channels.
    pub order: ChannelOrder,
    /// Means and deviations of pixels scaled to 0..1, in the order of the network's channels.
    pub statistics: ChannelStatistics,
    /// The format of the input, and what was assumed about it; `None` for a version that an older release registered.
    #[serde(default)]
    pub input: Option<InputFormat>,
}

impl ChannelStatistics {
    /// Adapts the statistics to another number of channels, such as from greyscale to colour: every channel gets the
    /// mean of all.
    pub fn for_channels(&self, channels: usize) -> Self {
        let mean_of = |numbers: &[f32]| numbers.iter().sum::<f32>() / numbers.len().max(1) as f32;
        let fitted = |numbers: &[f32]| {
            if numbers.len() == channels {
                numbers.to_vec()
            } else {
                vec![mean_of(numbers); channels]
            }
        };
        Self {
            mean: fitted(&self.mean),
            std: fitted(&self.std),
        }
    }
}
