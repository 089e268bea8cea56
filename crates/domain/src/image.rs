//! Images as the library keeps them: eight-bit planes, and how they become numbers.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Channels, height and width of the images of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageShape {
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Numbers in one image.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an image of this shape has no pixel at all.
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

/// A list of images, `count * channels * height * width` bytes, planes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Shape of each image.
    pub shape: ImageShape,
    /// All pixels, 0 to 255, one image after the other.
    pub pixels: Arc<[u8]>,
}

impl Images {
    /// How many images there are.
    pub fn count(&self) -> usize {
        self.pixels.len().checked_div(self.shape.len()).unwrap_or(0)
    }

    /// The pixels of one image.
    ///
    /// # Panics
    /// If there is no image of that index.
    pub fn image(&self, index: usize) -> &[u8] {
        let length = self.shape.len();
        &self.pixels[index * length..(index + 1) * length]
    }

    /// A new list with the images of `indices`, in that order.
    ///
    /// # Panics
    /// If there is no image of one of the indices.
    pub fn select(&self, indices: &[usize]) -> Images {
        let pixels = indices
            .iter()
            .flat_map(|&index| self.image(index).iter().copied())
            .collect();
        Images {
            shape: self.shape,
            pixels,
        }
    }
}

/// Images of a split with the class index of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledImages {
    /// The images.
    pub images: Images,
    /// One class index an image, from 0.
    pub labels: Arc<[u16]>,
}

/// Mean and standard deviation of each channel after pixels are scaled to 0..1.
///
/// A network sees `(pixel / 255 - mean) / std`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelStatistics {
    /// One mean a channel.
    pub mean: Vec<f32>,
    /// One deviation a channel, above zero.
    pub std: Vec<f32>,
}

/// The lightness of a colour of red, green and blue (ITU-R BT.601).
pub fn lightness([red, green, blue]: [f32; 3]) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// In which order a network wants the colours of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChannelOrder {
    /// Red, green, blue, as data sets have them.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// How the images of a data set become the input of a network that was made elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// What the network reads: images of another size are resized, and grey ones repeated for each colour.
    pub shape: ImageShape,
    /// The order of the colours.
    pub order: ChannelOrder,
    /// Means and deviations of pixels from 0 to 1, in the order of the network's channels.
    pub statistics: ChannelStatistics,
}

impl ChannelStatistics {
    /// The statistics of grey images for a network of three colours, or the other way round.
    pub fn for_channels(&self, channels: usize) -> Self {
        let mean_of = |numbers: &[f32]| numbers.iter().sum::<f32>() / numbers.len().max(1) as f32;
        let fitted = |numbers: &[f32]| match numbers.len() == channels {
            true => numbers.to_vec(),
            false => vec![mean_of(numbers); channels],
        };
        Self {
            mean: fitted(&self.mean),
            std: fitted(&self.std),
        }
    }
}
