//! The conversion of uploaded images to the format of a data set.

use std::fmt;

use super::image::ImageShape;

/// A step in the conversion of an uploaded image. Steps are applied in the order of the variants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreprocessingStep {
    /// Its printing colours were converted to red, green and blue.
    ConvertedFromCmyk,
    /// Its 16 bits per channel were reduced to 8.
    ReducedTo8Bits,
    /// It was rotated according to its EXIF orientation.
    Rotated,
    /// Transparent areas were filled with white, or with black if the drawing on them is light.
    Flattened {
        /// Whether the fill is black.
        on_black: bool,
    },
    /// Its colours were converted to greyscale by their lightness.
    ConvertedToGrey,
    /// Its greyscale values were copied to all three colour channels.
    ConvertedToColour,
    /// Light and dark were swapped.
    Inverted(InversionReason),
    /// It was resized.
    Resized {
        /// Original rows and columns.
        from: [usize; 2],
        /// New rows and columns.
        to: [usize; 2],
    },
}

/// Why an image was inverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InversionReason {
    /// The caller requested it.
    Requested,
    /// The image is dark on light, and the data set's images are light on dark.
    DarkOnLight,
    /// The image is light on dark, and the data set's images are dark on light.
    LightOnDark,
}

impl fmt::Display for PreprocessingStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConvertedFromCmyk => f.write_str("converted from CMYK to RGB without its colour profile"),
            Self::ReducedTo8Bits => f.write_str("reduced from 16 to 8 bits per channel"),
            Self::Rotated => f.write_str("rotated according to its EXIF orientation"),
            Self::Flattened { on_black: false } => f.write_str("filled with white where it was transparent"),
            Self::Flattened { on_black: true } => {
                f.write_str("filled with black where it was transparent because the drawing is light")
            }
            Self::ConvertedToGrey => f.write_str("converted to greyscale"),
            Self::ConvertedToColour => f.write_str("expanded from greyscale to three colour channels"),
            Self::Inverted(reason) => f.write_str(match reason {
                InversionReason::Requested => "inverted as requested",
                InversionReason::DarkOnLight => {
                    "inverted because its border is light and the border of the data set's images is dark"
                }
                InversionReason::LightOnDark => {
                    "inverted because its border is dark and the border of the data set's images is light"
                }
            }),
            Self::Resized { from, to } => {
                let [rows, columns] = from;
                write!(f, "resized from {columns}x{rows} to {}x{} pixels", to[1], to[0])?;
                if rows * to[1] == columns * to[0] {
                    Ok(())
                } else {
                    f.write_str(", which distorts it: crop it to the same aspect ratio to avoid that")
                }
            }
        }
    }
}

/// The lightness of an image's background: the mean of the pixels along its border over all channels, 0 to 255.
pub fn border_lightness(shape: ImageShape, planes: &[u8]) -> f64 {
    let ImageShape { height, width, .. } = shape;
    let (mut sum, mut count) = (0.0, 0usize);
    let mut add = |index: usize| {
        sum += f64::from(planes[index]);
        count += 1;
    };
    for row in 0..shape.channels * height {
        let (start, row_in_plane) = (row * width, row % height);
        if row_in_plane == 0 || row_in_plane == height - 1 {
            (start..start + width).for_each(&mut add);
        } else {
            [start, start + width - 1].into_iter().for_each(&mut add);
        }
    }
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_is_measured_along_the_border() {
        let shape = ImageShape {
            channels: 1,
            height: 3,
            width: 4,
        };
        let planes = [10, 10, 10, 10, 10, 255, 255, 10, 10, 10, 10, 10];
        assert_eq!(border_lightness(shape, &planes), 10.0);
    }
}
