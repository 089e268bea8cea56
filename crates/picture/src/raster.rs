//! From drawing to pixels.

use std::sync::{Arc, LazyLock};

use epaint_default_fonts::UBUNTU_LIGHT;
use resvg::tiny_skia::{Pixmap, PremultipliedColorU8, Transform};
use resvg::usvg::{Options, Tree, fontdb::Database};

use scv_domain::image::ImageShape;

/// Pixels to a unit of a drawing: legible on screens of twice the usual density, and in print.
const SCALE: f32 = 2.0;

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(UBUNTU_LIGHT.to_vec());
    fonts.set_sans_serif_family("Ubuntu");
    Arc::new(fonts)
});

/// A picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The drawing cannot be read.
    #[error(transparent)]
    Drawing(#[from] resvg::usvg::Error),
    /// Width or height is zero or beyond what can be held.
    #[error("a picture of {0} by {1} pixels cannot be made")]
    Size(u32, u32),
    /// A curve or bars cannot be drawn.
    #[error("a plot could not be drawn: {0}")]
    Plot(String),
    /// The pixels cannot be written.
    #[error("pixels could not be written: {0}")]
    Encoding(String),
}

impl From<plotters::drawing::DrawingAreaErrorKind<std::io::Error>> for PictureError {
    fn from(error: plotters::drawing::DrawingAreaErrorKind<std::io::Error>) -> Self {
        Self::Plot(error.to_string())
    }
}

/// A drawing as PNG.
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
    encoded(&pixels)
}

/// The longer side of a picture of few pixels, about: so long that a person sees them.
const SEEN: usize = 112;

/// Colours, row after row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    width: usize,
    colours: Vec<[u8; 3]>,
}

impl Raster {
    /// Colours, row after row of so many columns.
    pub fn new(width: usize, colours: Vec<[u8; 3]>) -> Self {
        Self { width, colours }
    }

    /// Of an image whose planes stand one after the other, one for grey or three for red, green and blue.
    pub fn of_planes(shape: ImageShape, planes: &[u8]) -> Self {
        let area = shape.height * shape.width;
        let at = |channel: usize, place: usize| planes[channel.min(shape.channels - 1) * area + place];
        Self {
            width: shape.width,
            colours: (0..area)
                .map(|place| [at(0, place), at(1, place), at(2, place)])
                .collect(),
        }
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.colours.len() / self.width.max(1)
    }

    /// The colours, row after row.
    pub fn colours(&self) -> &[[u8; 3]] {
        &self.colours
    }

    /// Each pixel as a square of several, if there are few.
    pub fn enlarged(&self) -> Self {
        let factor = (SEEN / self.width().max(self.height()).max(1)).max(1);
        let row = |y: usize| {
            let row = &self.colours[y / factor * self.width..][..self.width];
            row.iter().flat_map(move |colour| std::iter::repeat_n(*colour, factor))
        };
        Self {
            width: self.width * factor,
            colours: (0..self.height() * factor).flat_map(row).collect(),
        }
    }

    /// As PNG.
    ///
    /// # Errors
    /// It has no pixels.
    pub fn png(&self) -> Result<Vec<u8>, PictureError> {
        pixels(self.width, &self.colours)
    }
}

/// Colours row after row as PNG, a pixel each.
pub(super) fn pixels(width: usize, colours: &[[u8; 3]]) -> Result<Vec<u8>, PictureError> {
    let mut pixels = pixmap(width as u32, (colours.len() / width.max(1)) as u32)?;
    for (pixel, [red, green, blue]) in pixels.pixels_mut().iter_mut().zip(colours) {
        // Every colour is allowed where nothing is transparent.
        if let Some(opaque) = PremultipliedColorU8::from_rgba(*red, *green, *blue, u8::MAX) {
            *pixel = opaque;
        }
    }
    encoded(&pixels)
}

fn pixmap(width: u32, height: u32) -> Result<Pixmap, PictureError> {
    Pixmap::new(width, height).ok_or(PictureError::Size(width, height))
}

fn encoded(pixels: &Pixmap) -> Result<Vec<u8>, PictureError> {
    pixels
        .encode_png()
        .map_err(|error| PictureError::Encoding(error.to_string()))
}
