//! Pixels: from SVG to PNG, and images.

use std::sync::{Arc, LazyLock};

use epaint_default_fonts::UBUNTU_LIGHT;
use resvg::tiny_skia::{Pixmap, PremultipliedColorU8, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use scv_domain::image::ImageShape;

/// Pixels per SVG unit: sharp on high-density screens and in print.
const SCALE: f32 = 2.0;

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(UBUNTU_LIGHT.to_vec());
    fonts.set_sans_serif_family("Ubuntu");
    Arc::new(fonts)
});

/// Why a picture could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The SVG is invalid.
    #[error(transparent)]
    Svg(#[from] resvg::usvg::Error),
    /// Width or height is zero or too large.
    #[error("a picture of {0} by {1} pixels cannot be drawn")]
    Size(u32, u32),
    /// A chart cannot be drawn.
    #[error("a chart could not be drawn: {0}")]
    Plot(String),
    /// The pixels cannot be encoded.
    #[error("a picture could not be encoded: {0}")]
    Encoding(String),
}

impl From<plotters::drawing::DrawingAreaErrorKind<std::io::Error>> for PictureError {
    fn from(error: plotters::drawing::DrawingAreaErrorKind<std::io::Error>) -> Self {
        Self::Plot(error.to_string())
    }
}

/// Renders an SVG as PNG.
///
/// # Errors
/// See [`PictureError`].
pub fn png(svg: &str) -> Result<Vec<u8>, PictureError> {
    let options = Options {
        fontdb: Arc::clone(&FONTS),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options)?;
    let size = tree.size();
    let mut pixels = pixmap((size.width() * SCALE) as u32, (size.height() * SCALE) as u32)?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    encode(&pixels)
}

/// Approximate length of the longer side of a small picture after enlarging, so that its pixels are visible.
const ENLARGED_SIDE: usize = 112;

/// An image: colours in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    width: usize,
    colours: Vec<[u8; 3]>,
}

impl Raster {
    /// An image of a width, from colours in row-major order.
    pub fn new(width: usize, colours: Vec<[u8; 3]>) -> Self {
        Self { width, colours }
    }

    /// An image from planes one after the other: one for grey, or three for red, green and blue.
    pub fn from_planes(shape: ImageShape, planes: &[u8]) -> Self {
        let area = shape.height * shape.width;
        let at = |channel: usize, place: usize| planes[channel.min(shape.channels - 1) * area + place];
        Self {
            width: shape.width,
            colours: (0..area)
                .map(|place| [at(0, place), at(1, place), at(2, place)])
                .collect(),
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.colours.len() / self.width.max(1)
    }

    /// The colours in row-major order.
    pub fn colours(&self) -> &[[u8; 3]] {
        &self.colours
    }

    /// Enlarges a small image by drawing each pixel as a square.
    pub fn enlarged(&self) -> Self {
        let factor = (ENLARGED_SIDE / self.width().max(self.height()).max(1)).max(1);
        let row = |y: usize| {
            let row = &self.colours[y / factor * self.width..][..self.width];
            row.iter().flat_map(move |colour| std::iter::repeat_n(*colour, factor))
        };
        Self {
            width: self.width * factor,
            colours: (0..self.height() * factor).flat_map(row).collect(),
        }
    }

    /// Encodes the image as PNG.
    ///
    /// # Errors
    /// The image has no pixels.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        pixels(self.width, &self.colours)
    }
}

/// Encodes colours in row-major order as PNG.
pub(super) fn pixels(width: usize, colours: &[[u8; 3]]) -> Result<Vec<u8>, PictureError> {
    let mut pixels = pixmap(width as u32, (colours.len() / width.max(1)) as u32)?;
    for (pixel, [red, green, blue]) in pixels.pixels_mut().iter_mut().zip(colours) {
        // Always succeeds, because an opaque pixel may have any colour.
        if let Some(opaque) = PremultipliedColorU8::from_rgba(*red, *green, *blue, u8::MAX) {
            *pixel = opaque;
        }
    }
    encode(&pixels)
}

fn pixmap(width: u32, height: u32) -> Result<Pixmap, PictureError> {
    Pixmap::new(width, height).ok_or(PictureError::Size(width, height))
}

fn encode(pixels: &Pixmap) -> Result<Vec<u8>, PictureError> {
    pixels
        .encode_png()
        .map_err(|error| PictureError::Encoding(error.to_string()))
}
