//! An uploaded image becomes what a data set's images are.

use std::fmt;

use super::image::ImageShape;

/// What was done to an uploaded image, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preparation {
    /// It was turned as its camera says.
    Turned,
    /// What was transparent is white now, or black where what was drawn on it is light.
    Flattened {
        /// Whether it is black.
        on_black: bool,
    },
    /// Its colours became grey by their lightness.
    Greyed,
    /// Its grey stands for all three colours.
    Coloured,
    /// Light became dark and dark light.
    Inverted(Inverting),
    /// It was stretched or shrunk.
    Resized {
        /// From so many rows and columns.
        from: [usize; 2],
        /// To so many.
        to: [usize; 2],
    },
}

/// Why an image was inverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inverting {
    /// Whoever brought it wished so.
    Asked,
    /// It is dark on light, and the data set's images are light on dark.
    DarkOnLight,
    /// It is light on dark, and the data set's images are dark on light.
    LightOnDark,
}

impl fmt::Display for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turned => f.write_str("turned as the camera says"),
            Self::Flattened { on_black: false } => f.write_str("put on white where it was transparent"),
            Self::Flattened { on_black: true } => {
                f.write_str("put on black where it was transparent, since what is drawn there is light")
            }
            Self::Greyed => f.write_str("made grey"),
            Self::Coloured => f.write_str("grey taken for all three colours"),
            Self::Inverted(why) => f.write_str(match why {
                Inverting::Asked => "inverted, as was asked for",
                Inverting::DarkOnLight => {
                    "inverted, since its border is light and that of the data set's images is dark"
                }
                Inverting::LightOnDark => {
                    "inverted, since its border is dark and that of the data set's images is light"
                }
            }),
            Self::Resized { from, to } => {
                let [rows, columns] = from;
                write!(f, "resized from {columns}x{rows} to {}x{} pixels", to[1], to[0])?;
                match rows * to[1] == columns * to[0] {
                    true => Ok(()),
                    false => f.write_str(", which stretches it: cut it to the same proportions to avoid that"),
                }
            }
        }
    }
}

/// Mean of the pixels along the border of an image, 0 to 255, over all channels: how light its background is.
pub fn border_lightness(shape: ImageShape, planes: &[u8]) -> f64 {
    let ImageShape { height, width, .. } = shape;
    let (mut sum, mut count) = (0.0, 0usize);
    let mut add = |place: usize| {
        sum += f64::from(planes[place]);
        count += 1;
    };
    for row in 0..shape.channels * height {
        let (start, in_plane) = (row * width, row % height);
        match in_plane == 0 || in_plane == height - 1 {
            true => (start..start + width).for_each(&mut add),
            false => [start, start + width - 1].into_iter().for_each(&mut add),
        }
    }
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_is_what_lies_along_the_border() {
        let shape = ImageShape {
            channels: 1,
            height: 3,
            width: 4,
        };
        let planes = [10, 10, 10, 10, 10, 255, 255, 10, 10, 10, 10, 10];
        assert_eq!(border_lightness(shape, &planes), 10.0);
    }
}
