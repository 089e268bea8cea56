//! Charts, heat maps and images, as SVG and PNG. The font is part of the program, so a picture looks the same everywhere.

mod heat_map;
mod label;
mod map;
mod plot;
mod raster;
mod scale;

pub use heat_map::{Axis, Frames, HeatMap, Numbers};
pub use map::{Colours, NumberMap};
pub use plot::{class_metrics, reliability_diagram, training_curve};
pub use raster::{PictureError, Raster, png};
pub use scale::Scale;
