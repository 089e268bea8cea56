//! Turns images into tensors.

use candle_core::{Device, Result, Tensor};

use scv_domain::image::{ChannelOrder, ChannelStatistics, ImageShape, Images, lightness};

/// The order of the numbers of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Channels, rows, columns.
    ChannelsFirst,
    /// Rows, columns, channels.
    ChannelsLast,
}

/// `[images, channels, height, width]` in f32: `(pixel / 255 - mean) / std`, per channel.
///
/// # Errors
/// If the statistics do not have one number per channel, or if the device is out of memory.
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

/// Converts images to the shape that a network reads.
///
/// Colours become grey by their lightness, grey is repeated for each colour, and other sizes are reached by bilinear
/// interpolation between the centres of pixels, with averaging where an image shrinks.
pub fn fitted(images: &Images, shape: ImageShape, order: ChannelOrder) -> Images {
    let from = images.shape;
    if from == shape && (order == ChannelOrder::Rgb || shape.channels == 1) {
        return images.clone();
    }
    let rows = filter_weights(from.height, shape.height);
    let columns = filter_weights(from.width, shape.width);
    let mut pixels = Vec::with_capacity(images.count() * shape.len());
    for index in 0..images.count() {
        let planes: Vec<Vec<f32>> = images
            .image(index)
            .chunks_exact(from.height * from.width)
            .map(|plane| resized(plane, from.width, &rows, &columns))
            .collect();
        for channel in 0..shape.channels {
            let source = match order {
                ChannelOrder::Rgb => channel,
                ChannelOrder::Bgr => shape.channels - 1 - channel,
            };
            pixels.extend((0..shape.height * shape.width).map(|at| {
                let value = match (planes.as_slice(), shape.channels) {
                    ([red, green, blue], 1) => lightness([red[at], green[at], blue[at]]),
                    ([grey], _) => grey[at],
                    (planes, _) => planes[source][at],
                };
                value.round().clamp(0.0, 255.0) as u8
            }));
        }
    }
    let pixels = pixels.into();
    Images { shape, pixels }
}

/// For each position of the result: the positions of the source that it is made of, with their weights. The filter is a
/// triangle. Where the image shrinks, it is as wide as the step from one position to the next.
fn filter_weights(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let step = from as f32 / to as f32;
    let reach = step.max(1.0);
    let weights_at = |position: usize| {
        let centre = (position as f32 + 0.5) * step - 0.5;
        let near = (centre - reach).ceil().max(0.0) as usize..=((centre + reach).floor() as usize).min(from - 1);
        let raw: Vec<(usize, f32)> = near
            .map(|source| (source, 1.0 - (source as f32 - centre).abs() / reach))
            .filter(|&(_, weight)| weight > 0.0)
            .collect();
        let sum: f32 = raw.iter().map(|(_, weight)| weight).sum();
        raw.into_iter().map(|(source, weight)| (source, weight / sum)).collect()
    };
    (0..to).map(weights_at).collect()
}

fn resized(plane: &[u8], width: usize, rows: &[Vec<(usize, f32)>], columns: &[Vec<(usize, f32)>]) -> Vec<f32> {
    let lines = plane.chunks_exact(width).map(|line| {
        let at = |weights: &Vec<(usize, f32)>| weights.iter().map(|&(x, weight)| weight * f32::from(line[x])).sum();
        columns.iter().map(at).collect::<Vec<f32>>()
    });
    let lines: Vec<Vec<f32>> = lines.collect();
    let row = |weights: &Vec<(usize, f32)>| {
        let at = |x: usize| weights.iter().map(|&(y, weight)| weight * lines[y][x]).sum::<f32>();
        (0..columns.len()).map(at).collect::<Vec<f32>>()
    };
    rows.iter().flat_map(row).collect()
}

/// The normalised value of each of the 256 pixel levels.
fn levels(mean: f32, std: f32) -> [f32; 256] {
    std::array::from_fn(|level| (level as f32 / 255.0 - mean) / std)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn pixels_are_scaled_and_normalised_per_channel() {
        let images = Images {
            shape: ImageShape {
                channels: 2,
                height: 1,
                width: 2,
            },
            pixels: vec![0, 255, 51, 102, 255, 0, 0, 0].into(),
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
            pixels: vec![0, 0, 0].into(),
        };
        let statistics = ChannelStatistics {
            mean: vec![0.5],
            std: vec![0.5],
        };
        assert!(to_tensor(&images, &statistics, &Device::Cpu).is_err());
    }

    fn grey(height: usize, width: usize, pixels: &[u8]) -> Images {
        let shape = ImageShape {
            channels: 1,
            height,
            width,
        };
        Images {
            shape,
            pixels: pixels.to_vec().into(),
        }
    }

    #[test]
    fn images_of_the_right_shape_stay_as_they_are() {
        let images = grey(2, 2, &[1, 2, 3, 4]);
        assert_eq!(fitted(&images, images.shape, ChannelOrder::Bgr), images);
    }

    #[test]
    fn enlarging_interpolates_between_the_centres_of_pixels() {
        let images = grey(1, 2, &[0, 100]);
        let wide = ImageShape {
            width: 4,
            ..images.shape
        };
        assert_eq!(fitted(&images, wide, ChannelOrder::Rgb).pixels[..], [0, 25, 75, 100]);
    }

    #[test]
    fn shrinking_averages() {
        let images = grey(4, 4, &[100; 16]);
        let small = ImageShape {
            height: 2,
            width: 2,
            ..images.shape
        };
        assert_eq!(fitted(&images, small, ChannelOrder::Rgb).pixels[..], [100; 4]);
        let edges = grey(1, 4, &[0, 0, 200, 200]);
        let small = ImageShape {
            width: 2,
            ..edges.shape
        };
        let shrunk = fitted(&edges, small, ChannelOrder::Rgb);
        assert!(shrunk.pixels[0] < 40 && shrunk.pixels[1] > 160, "{shrunk:?}");
    }

    #[test]
    fn grey_images_are_repeated_and_colours_reordered() {
        let colour = ImageShape {
            channels: 3,
            height: 1,
            width: 1,
        };
        let from_grey = fitted(&grey(1, 1, &[7]), colour, ChannelOrder::Bgr);
        assert_eq!(from_grey.pixels[..], [7, 7, 7]);
        let colours = Images {
            shape: colour,
            pixels: vec![10, 20, 30].into(),
        };
        assert_eq!(fitted(&colours, colour, ChannelOrder::Bgr).pixels[..], [30, 20, 10]);
        let one = ImageShape { channels: 1, ..colour };
        assert_eq!(fitted(&colours, one, ChannelOrder::Rgb).pixels[..], [18]);
    }
}
