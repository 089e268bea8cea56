//! How the images of a data set become the input of an imported network, and what was assumed for that.

use super::ServiceError;
use scv_compute::onnx::types::Imported;
use scv_domain::dataset_record::Dataset;
use scv_domain::image::{ChannelOrder, ChannelStatistics, ImageShape, Preprocessing};
use scv_domain::input::{InputFormat, InputLayout, InputNote, InputNumber};

/// How far a number may be from a whole one, after the division by deviations in single precision.
const TOLERANCE: f32 = 1e-2;

/// Normalised pixels are below this number, and pixels from 0 to 255 are not.
const SMALL_NUMBER: f32 = 20.0;

/// The preprocessing for a network. Without `given` statistics, they are those of the data set, or leave pixels as they are for a
/// network of whole numbers.
///
/// # Errors
/// Statistics that do not fit the channels of the network, or its whole numbers.
pub(super) fn preprocessing(
    imported: &Imported,
    dataset: &Dataset,
    order: ChannelOrder,
    given: Option<ChannelStatistics>,
) -> Result<Preprocessing, ServiceError> {
    let shape = imported.image_shape();
    let mut input = imported.input.clone();
    let number_type = input.number_type;
    let given = given.map(|given| for_channels(given, shape.channels));
    if let Some(given) = &given {
        input.notes.retain(|note| match note {
            InputNote::OwnArithmetic { scales_pixels, .. } => *scales_pixels && gives_small_numbers(given),
            InputNote::WholeNumbers { .. } => false,
            _ => true,
        });
    }
    let statistics = match given {
        Some(given) => fitting(given, shape, number_type)?,
        None if number_type.is_integer() => pixels(shape, number_type),
        None => {
            input.notes.push(InputNote::StatisticsOfDataset);
            dataset.statistics.for_channels(shape.channels)
        }
    };
    input.notes.extend(conversions(dataset.shape, shape));
    Ok(Preprocessing {
        shape,
        order,
        statistics,
        input: Some(input),
    })
}

/// The preprocessing of blocks with statistics of their own.
///
/// # Errors
/// They do not fit the channels.
pub(super) fn preprocessing_of_blocks(
    dataset: &Dataset,
    given: ChannelStatistics,
) -> Result<Preprocessing, ServiceError> {
    let shape = dataset.shape;
    let input = InputFormat {
        layout: InputLayout::ChannelsFirst,
        number_type: InputNumber::Float32,
        notes: Vec::new(),
    };
    Ok(Preprocessing {
        shape,
        order: ChannelOrder::Rgb,
        statistics: fitting(for_channels(given, shape.channels), shape, input.number_type)?,
        input: Some(input),
    })
}

/// Statistics for each channel. One number counts for all channels.
fn for_channels(given: ChannelStatistics, channels: usize) -> ChannelStatistics {
    let for_each = |numbers: Vec<f32>| match numbers[..] {
        [number] => vec![number; channels],
        _ => numbers,
    };
    ChannelStatistics {
        mean: for_each(given.mean),
        std: for_each(given.std),
    }
}

/// Whether the brightest pixel becomes a number about one.
fn gives_small_numbers(statistics: &ChannelStatistics) -> bool {
    let mut channels = statistics.mean.iter().zip(&statistics.std);
    channels.all(|(mean, std)| ((1.0 - mean) / std).abs() < SMALL_NUMBER)
}

fn fitting(
    given: ChannelStatistics,
    shape: ImageShape,
    number_type: InputNumber,
) -> Result<ChannelStatistics, ServiceError> {
    if given.mean.len() != shape.channels || given.std.len() != shape.channels {
        return Err(ServiceError::bad_input(format!(
            "the network has {} input channels, so `mean` and `std` must have as many numbers, or one for all, got {} and {}",
            shape.channels,
            given.mean.len(),
            given.std.len()
        )));
    }
    if number_type.is_integer() && !gives_whole_numbers(&given, number_type) {
        let black = number_type.black();
        return Err(ServiceError::bad_input(format!(
            "the network takes whole numbers, and with this `mean`, `std` and `scale` pixels become others: omit them for pixels from \
             {black} to {}",
            black + 255
        )));
    }
    Ok(given)
}

/// Whether every pixel becomes a whole number that the type has.
fn gives_whole_numbers(statistics: &ChannelStatistics, number_type: InputNumber) -> bool {
    let (lowest, highest) = match number_type {
        InputNumber::Int8 => (-128.0, 127.0),
        InputNumber::Uint8 => (0.0, 255.0),
        InputNumber::Uint16 | InputNumber::Uint32 | InputNumber::Uint64 => (0.0, f32::INFINITY),
        _ => (f32::NEG_INFINITY, f32::INFINITY),
    };
    let mut channels = statistics.mean.iter().zip(&statistics.std);
    channels.all(|(mean, std)| {
        (0..=255_u8).all(|pixel| {
            let number = (f32::from(pixel) / 255.0 - mean) / std;
            let is_whole = (number - number.round()).abs() <= TOLERANCE;
            is_whole && (lowest..=highest).contains(&number.round())
        })
    })
}

/// The statistics that turn pixels into whole numbers.
fn pixels(shape: ImageShape, number_type: InputNumber) -> ChannelStatistics {
    ChannelStatistics {
        mean: vec![-number_type.black() as f32 / 255.0; shape.channels],
        std: vec![1.0 / 255.0; shape.channels],
    }
}

/// What happens to the images of a data set before a network reads them.
fn conversions(from: ImageShape, to: ImageShape) -> Vec<InputNote> {
    let mut notes = Vec::new();
    match (from.channels, to.channels) {
        (1, 2..) => notes.push(InputNote::RepeatedGrey),
        (2.., 1) => notes.push(InputNote::ConvertedToGrey),
        _ => {}
    }
    let (from, to) = ([from.height, from.width], [to.height, to.width]);
    if from != to {
        notes.push(InputNote::Resized { from, to });
    }
    notes
}
