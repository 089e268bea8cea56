//! The shape of the images that a file's network reads.

use super::limit;
use super::proto::{DataType, ValueInfoProto};
use crate::error::OnnxError;
use crate::images::Layout;

/// The maximum batch size that a file may fix.
const MAX_FIXED_BATCH: usize = 1024;

/// The shape of a file's input.
pub(super) struct InputShape {
    /// Shape of one image.
    pub(super) image: Vec<usize>,
    /// The batch size, if the file fixes it.
    pub(super) fixed_batch: Option<usize>,
    pub(super) layout: Layout,
}

impl InputShape {
    /// Reads the shape of an input. `size` is its height and width, for a file that leaves them open.
    ///
    /// # Errors
    /// The input is not a batch of images, or its size is open, too large or different from `size`.
    pub(super) fn of(input: &ValueInfoProto, size: Option<[usize; 2]>) -> Result<Self, OnnxError> {
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let dims = tensor
            .and_then(|tensor| tensor.shape.as_ref())
            .map(|shape| shape.dim.as_slice())
            .unwrap_or_default();
        let known: Vec<Option<usize>> = dims
            .iter()
            .map(|dim| {
                dim.dim_value
                    .and_then(|value| usize::try_from(value).ok())
                    .filter(|&value| value > 0)
            })
            .collect();
        let shape = known
            .iter()
            .map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string()))
            .collect::<Vec<_>>()
            .join("x");
        let no_images = || OnnxError::NoImages {
            input: input.name.clone(),
            shape: shape.clone(),
        };
        let is_float = tensor.is_none_or(|tensor| {
            let floats = [
                DataType::Float,
                DataType::Float16,
                DataType::Double,
                DataType::Bfloat16,
                DataType::Undefined,
            ];
            floats.iter().any(|&float| float as i32 == tensor.elem_type)
        });
        let [batch, a, b, c] = known[..] else {
            return Err(no_images());
        };
        let is_channels = |dim: Option<usize>| matches!(dim, Some(1 | 3));
        let layout = match (is_channels(a), is_channels(c)) {
            (true, _) => Layout::ChannelsFirst,
            (false, true) => Layout::ChannelsLast,
            (false, false) => return Err(no_images()),
        };
        if !is_float {
            return Err(no_images());
        }
        let (channels, sides) = match layout {
            Layout::ChannelsFirst => (a, [b, c]),
            Layout::ChannelsLast => (c, [a, b]),
        };
        let mut filled = [0; 2];
        for side in 0..2 {
            filled[side] = match (sides[side], size.map(|size| size[side])) {
                (Some(known), Some(given)) if known != given => {
                    let name = ["height", "width"][side];
                    let message = format!("the network's input is {shape}: its {name} is {known}, not {given}");
                    return Err(OnnxError::Mismatch(message));
                }
                (Some(known), _) => known,
                (None, Some(given)) => given,
                (None, None) => {
                    let (input, shape) = (input.name.clone(), shape);
                    return Err(OnnxError::OpenSize { input, shape });
                }
            };
        }
        let channels = channels.unwrap_or(1);
        let image = match layout {
            Layout::ChannelsFirst => vec![channels, filled[0], filled[1]],
            Layout::ChannelsLast => vec![filled[0], filled[1], channels],
        };
        limit::check_shape(&image, 1).map_err(OnnxError::Mismatch)?;
        if let Some(fixed) = batch.filter(|&fixed| fixed > MAX_FIXED_BATCH) {
            let message =
                format!("the file is made for batches of {fixed} images: export it with a dynamic batch size");
            return Err(OnnxError::Mismatch(message));
        }
        Ok(Self {
            image,
            fixed_batch: batch,
            layout,
        })
    }
}
