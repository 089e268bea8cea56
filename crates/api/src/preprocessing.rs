//! How images become the input of an imported network.

use async_graphql::{Enum, SimpleObject};

use super::dataset::as_written;
use scv_domain::{image, input, version};

/// How images are preprocessed for a network. Its input is `(pixel / 255 - mean) / std`.
#[derive(Debug, SimpleObject)]
pub struct Preprocessing {
    /// Number of input channels. Greyscale images are repeated for each channel.
    channels: usize,
    /// Height of the input in pixels.
    height: usize,
    /// Width of the input in pixels.
    width: usize,
    /// The order of the colour channels.
    channel_order: ChannelOrder,
    /// Mean of each channel, for pixel values scaled to 0–1, in the network's channel order.
    mean: Vec<f64>,
    /// Standard deviation of each channel, for pixel values scaled to 0–1.
    std: Vec<f64>,
    /// The dimensions of the input in the file; null for a version of an earlier release.
    layout: Option<InputLayout>,
    /// The type of the numbers of the input in the file; null for a version of an earlier release.
    number_type: Option<InputNumber>,
    /// What was assumed about the input, and what happens to images before it, in sentences.
    notes: Vec<String>,
}

/// How images are preprocessed for the network of a version; `None` for activations, and for blocks whose images are normalised as
/// those of their data set.
pub fn preprocessing_of(version: &version::Version) -> Option<Preprocessing> {
    match &version.source {
        Some(version::VersionSource::Onnx { preprocessing, .. } | version::VersionSource::Blocks { preprocessing }) => {
            Some(preprocessing.clone().into())
        }
        _ => None,
    }
}

impl From<image::Preprocessing> for Preprocessing {
    fn from(given: image::Preprocessing) -> Self {
        let numbers = |numbers: Vec<f32>| numbers.into_iter().map(as_written).collect();
        Self {
            channels: given.shape.channels,
            height: given.shape.height,
            width: given.shape.width,
            channel_order: given.order.into(),
            mean: numbers(given.statistics.mean),
            std: numbers(given.statistics.std),
            layout: given.input.as_ref().map(|input| input.layout.into()),
            number_type: given.input.as_ref().map(|input| input.number_type.into()),
            notes: given
                .input
                .iter()
                .flat_map(|input| &input.notes)
                .map(ToString::to_string)
                .collect(),
        }
    }
}

/// The dimensions of a network's input, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "input::InputLayout")]
pub enum InputLayout {
    /// Images, channels, rows, columns.
    ChannelsFirst,
    /// Images, rows, columns, channels.
    ChannelsLast,
    /// Images, rows, columns.
    NoChannels,
    /// Images, and all numbers of an image: channel by channel, row by row.
    Flat,
    /// One image: channels, rows, columns.
    OneImageChannelsFirst,
    /// One image: rows, columns, channels.
    OneImageChannelsLast,
}

/// The type of the numbers of a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "input::InputNumber")]
pub enum InputNumber {
    /// 16-bit floating point.
    #[graphql(name = "FLOAT16")]
    Float16,
    /// 16-bit floating point with the range of 32 bits.
    #[graphql(name = "BFLOAT16")]
    Bfloat16,
    /// 32-bit floating point.
    #[graphql(name = "FLOAT32")]
    Float32,
    /// 64-bit floating point.
    #[graphql(name = "FLOAT64")]
    Float64,
    /// Signed bytes.
    #[graphql(name = "INT8")]
    Int8,
    /// 16-bit integers.
    #[graphql(name = "INT16")]
    Int16,
    /// 32-bit integers.
    #[graphql(name = "INT32")]
    Int32,
    /// 64-bit integers.
    #[graphql(name = "INT64")]
    Int64,
    /// Unsigned bytes.
    #[graphql(name = "UINT8")]
    Uint8,
    /// Unsigned 16-bit integers.
    #[graphql(name = "UINT16")]
    Uint16,
    /// Unsigned 32-bit integers.
    #[graphql(name = "UINT32")]
    Uint32,
    /// Unsigned 64-bit integers.
    #[graphql(name = "UINT64")]
    Uint64,
}

/// The order of the colour channels in a network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "image::ChannelOrder")]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}
