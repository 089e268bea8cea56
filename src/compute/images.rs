//! Images become tensors.

use candle_core::{Device, Result, Tensor};

use crate::domain::image::{ChannelStatistics, Images};

/// How the numbers of an image are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Channels, rows, columns.
    ChannelsFirst,
    /// Rows, columns, channels.
    ChannelsLast,
}

/// `[images, channels, height, width]` in f32: `(pixel / 255 - mean) / std` by channel.
///
/// # Errors
/// If the statistics are not one number a channel, or if the device has no memory left.
pub fn to_tensor(images: &Images, statistics: &ChannelStatistics, device: &Device) -> Result<Tensor> {
    let shape = images.shape;
    if statistics.mean.len() != shape.channels || statistics.std.len() != shape.channels {
        candle_core::bail!(
            "{} channel means and {} deviations for images of {shape}",
            statistics.mean.len(),
            statistics.std.len()
        );
    }
    let tables: Vec<[f32; 256]> = statistics
        .mean
        .iter()
        .zip(&statistics.std)
        .map(|(&mean, &std)| levels(mean, std))
        .collect();
    let mut values = Vec::with_capacity(images.pixels.len());
    for (index, plane) in images
        .pixels
        .chunks_exact((shape.height * shape.width).max(1))
        .enumerate()
    {
        let table = &tables[index % shape.channels];
        values.extend(plane.iter().map(|&pixel| table[usize::from(pixel)]));
    }
    Tensor::from_vec(
        values,
        (images.count(), shape.channels, shape.height, shape.width),
        device,
    )
}

/// What each of the 256 pixel levels becomes.
fn levels(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|level| (level as f32 / 255.0 - mean) / std)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::domain::image::ImageShape;

    #[test]
    fn pixels_are_scaled_and_normalised_by_channel() {
        let images = Images {
            shape: ImageShape {
                channels: 2,
                height: 1,
                width: 2,
            },
            pixels: [0, 255, 51, 102, 255, 0, 0, 0].into(),
        };
        let statistics = ChannelStatistics {
            mean: vec![0.5, 0.2],
            std: vec![0.5, 0.1],
        };

        let tensor = to_tensor(&images, &statistics, &Device::Cpu).unwrap();

        assert_eq!(tensor.dims(), [2, 2, 1, 2]);
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let expected = [-1.0, 1.0, 0.0, 2.0, 1.0, -1.0, -2.0, -2.0];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
        }
    }

    #[test]
    fn statistics_of_another_channel_count_are_refused() {
        let images = Images {
            shape: ImageShape {
                channels: 3,
                height: 1,
                width: 1,
            },
            pixels: [0, 0, 0].into(),
        };
        let statistics = ChannelStatistics {
            mean: vec![0.5],
            std: vec![0.5],
        };
        assert!(to_tensor(&images, &statistics, &Device::Cpu).is_err());
    }
}
