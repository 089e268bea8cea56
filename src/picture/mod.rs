//! Pictures of numbers, as SVG and PNG. The font comes with the program: a picture looks the same everywhere.

mod heat_map;
mod raster;

pub use heat_map::{Axis, HeatMap};
pub use raster::{PictureError, png};
