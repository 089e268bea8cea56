//! How the network of a file reads images, and what was assumed where the file does not say it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::image::ImageShape;

/// How a network reads images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputFormat {
    /// The order of the dimensions of its input.
    pub layout: InputLayout,
    /// The type of the numbers of its input.
    pub number_type: InputNumber,
    /// What was assumed, ignored or converted, in the order in which it was decided.
    pub notes: Vec<InputNote>,
}

/// The dimensions of a network's input, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InputLayout {
    /// Images, channels, rows, columns.
    ChannelsFirst,
    /// Images, rows, columns, channels.
    ChannelsLast,
    /// Images, rows, columns.
    NoChannels,
    /// Images, and all numbers of an image.
    Flat,
    /// One image: channels, rows, columns.
    OneImageChannelsFirst,
    /// One image: rows, columns, channels.
    OneImageChannelsLast,
}

/// The type of the numbers of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InputNumber {
    /// 16-bit floating point.
    Float16,
    /// 16-bit floating point with the range of 32 bits.
    Bfloat16,
    /// 32-bit floating point.
    Float32,
    /// 64-bit floating point.
    Float64,
    /// Signed bytes.
    Int8,
    /// 16-bit integers.
    Int16,
    /// 32-bit integers.
    Int32,
    /// 64-bit integers.
    Int64,
    /// Unsigned bytes.
    Uint8,
    /// Unsigned 16-bit integers.
    Uint16,
    /// Unsigned 32-bit integers.
    Uint32,
    /// Unsigned 64-bit integers.
    Uint64,
}

impl InputNumber {
    /// Whether its numbers are whole.
    pub fn is_integer(self) -> bool {
        !matches!(self, Self::Float16 | Self::Bfloat16 | Self::Float32 | Self::Float64)
    }

    /// What a network of whole numbers expects for a black pixel: signed bytes begin at -128.
    pub fn black(self) -> i32 {
        if self == Self::Int8 { -128 } else { 0 }
    }
}

/// Something that was assumed about the input of a network, or that happens to images before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InputNote {
    /// Inputs that no node reads.
    IgnoredInputs {
        /// Their names.
        names: Vec<String>,
    },
    /// Nodes that the file has in training mode.
    TrainingMode {
        /// Their names.
        nodes: Vec<String>,
    },
    /// The file does not state the number of dimensions of its input.
    UnknownRank,
    /// The number of channels is what the first convolution reads.
    ChannelsOfConvolution {
        /// Name of the convolution.
        node: String,
        /// The channels.
        channels: usize,
    },
    /// The number of channels is that of the data set.
    ChannelsOfDataset {
        /// The channels.
        channels: usize,
    },
    /// Rows and columns are those of the data set.
    SizeOfDataset {
        /// Rows and columns.
        size: [usize; 2],
    },
    /// The input has no dimension for channels.
    NoChannels,
    /// The input has no dimension for images.
    NoBatch,
    /// The input is a list of numbers for each image.
    Flat {
        /// The images that these numbers are.
        shape: ImageShape,
    },
    /// The network takes whole numbers, which pixels are without normalisation.
    WholeNumbers {
        /// The number for a black pixel.
        black: i32,
    },
    /// The normalisation is that of the data set.
    StatisticsOfDataset,
    /// The network begins with arithmetic of its own.
    OwnArithmetic {
        /// The operators.
        operators: Vec<String>,
        /// Whether it brings pixels from 0 to 255 to numbers about one.
        #[serde(default)]
        scales_pixels: bool,
    },
    /// Grey images are copied to every channel.
    RepeatedGrey,
    /// Colours become grey.
    ConvertedToGrey,
    /// Images are resized.
    Resized {
        /// Rows and columns of the images of the data set.
        from: [usize; 2],
        /// Rows and columns of the input.
        to: [usize; 2],
    },
}

/// How many names a note lists.
const MAX_LISTED: usize = 5;

impl fmt::Display for InputNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IgnoredInputs { names } => {
                write!(f, "no node reads {}, so it is ignored", listed("input", names))
            }
            Self::TrainingMode { nodes } => write!(
                f,
                "run as at inference, with stored statistics and without dropout, though in training mode in the file: {}",
                listed("node", nodes)
            ),
            Self::UnknownRank => f.write_str("the file does not state the shape of its input"),
            Self::ChannelsOfConvolution { node, channels } => write!(
                f,
                "the file leaves the number of channels open: the first convolution, {node:?}, reads {channels}"
            ),
            Self::ChannelsOfDataset { channels } => write!(
                f,
                "the file leaves the number of channels open: it is that of the data set, {channels}"
            ),
            Self::SizeOfDataset { size: [rows, columns] } => write!(
                f,
                "the file leaves the size of its images open: it is that of the data set, {rows}x{columns}; another one can be \
                 set with `height` and `width`"
            ),
            Self::NoChannels => f.write_str("the input has no dimension for channels: images are grey"),
            Self::NoBatch => {
                f.write_str("the input is one image without a batch dimension: images run one after the other")
            }
            Self::Flat { shape } => write!(
                f,
                "the input is a list of {} numbers: images of {shape}, channel by channel and row by row",
                shape.len()
            ),
            Self::WholeNumbers { black } => write!(
                f,
                "the input takes whole numbers: pixels from {black} to {}, without normalisation",
                black + 255
            ),
            Self::StatisticsOfDataset => f.write_str(
                "mean and standard deviation are those of the data set; others can be set with `mean` and `std`",
            ),
            Self::OwnArithmetic {
                operators,
                scales_pixels: true,
            } => write!(
                f,
                "the network begins with arithmetic of its own ({}), which makes its input much smaller: it probably takes pixels from \
                 0 to 255, so set `scale` to 1, `mean` to 0 and `std` to 1",
                operators.join(", ")
            ),
            Self::OwnArithmetic { operators, .. } => write!(
                f,
                "the network begins with arithmetic of its own ({}): if this normalises its input, set `mean` and `std` to what it \
                 expects, such as 0 and 1 for pixels from 0 to 1",
                operators.join(", ")
            ),
            Self::RepeatedGrey => f.write_str("the data set's images are grey: they are copied to all channels"),
            Self::ConvertedToGrey => f.write_str("the data set's images are converted to grey by their lightness"),
            Self::Resized { from, to } => write!(
                f,
                "the data set's images are resized from {}x{} to {}x{} by bilinear interpolation, with averaging where they shrink",
                from[0], from[1], to[0], to[1]
            ),
        }
    }
}

/// Some names, such as `inputs "a", "b" and 3 more`.
fn listed(what: &str, names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(MAX_LISTED).map(|name| format!("{name:?}")).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    let more = match names.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{what}{plural} {}{more}", shown.join(", "))
}
