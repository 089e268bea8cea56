//! Pictures of numbers, as SVG and PNG. The font comes with the program: a picture looks the same everywhere.

mod heat_map;
mod label;
mod map;
mod plot;
mod raster;
mod scale;

pub use heat_map::{Axis, Frames, HeatMap, Numbers};
pub use map::{Colours, NumberMap};
pub use plot::{class_bars, reliability, training_curve};
pub use raster::{PictureError, Raster, png};
pub use scale::Scale;
