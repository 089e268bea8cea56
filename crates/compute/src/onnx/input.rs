//! How the network of a file reads images: the shape of its input, and what the file leaves open.

use super::flat::FlatGraph;
use super::limit;
use super::proto::{DataType, TensorTypeProto, ValueInfoProto};
use super::reader::{FirstConvolution, OwnArithmetic, Role, first_convolution, is_converted_first, own_arithmetic};
use super::types::ImportOptions;
use crate::error::OnnxError;
use crate::images::Layout;
use scv_domain::image::ImageShape;
use scv_domain::input::{InputFormat, InputLayout, InputNote, InputNumber};

/// The maximum batch size that a file may fix.
const MAX_FIXED_BATCH: usize = 1024;

/// The shape of a file's input.
#[derive(Debug)]
pub(super) struct InputShape {
    pub(super) name: String,
    /// Shape of one image.
    pub(super) image: Vec<usize>,
    /// The batch size, if the file fixes it.
    pub(super) fixed_batch: Option<usize>,
    pub(super) format: InputFormat,
    /// The dimensions of the input in the file, `None` for that of the images.
    pub(super) dims: Vec<Option<usize>>,
    /// Whether the file leaves rows or columns open.
    pub(super) is_size_open: bool,
    /// Whether the network computes with the integers of its input as such.
    pub(super) keeps_integers: bool,
    /// The type of the numbers in the file.
    pub(super) element_type: DataType,
}

impl InputShape {
    /// Reads the shape of an input.
    ///
    /// # Errors
    /// The input is not a batch of images, or its size is open, too large or different from that of the options.
    pub(super) fn of(
        graph: &FlatGraph<'_>,
        input: &ValueInfoProto,
        options: &ImportOptions,
    ) -> Result<Self, OnnxError> {
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let stated = tensor.map_or(DataType::Undefined as i32, |tensor| tensor.elem_type);
        let number_type = number_type(input, stated)?;
        let mut reading = Reading {
            input,
            options,
            convolution: first_convolution(graph, &input.name),
            stated: stated_dims(tensor),
            notes: Vec::new(),
        };
        let roles = reading.roles()?;
        let [rows, columns, channels] = match roles.as_slice() {
            [Role::Batch, Role::Numbers] => reading.flat()?,
            _ => reading.sides_and_channels(&roles)?,
        };
        let layout = layout_of(&roles).ok_or_else(|| reading.no_images())?;
        let (image, dims) = shapes(layout, [channels, rows, columns]);
        limit::check_shape(&image, 1).map_err(OnnxError::Mismatch)?;
        let fixed_batch = reading.fixed_batch(&roles)?;
        let is_size_open = reading.is_size_open(&roles);
        let mut notes = reading.notes;
        if number_type.is_integer() {
            notes.push(InputNote::WholeNumbers {
                black: number_type.black(),
            });
        }
        let OwnArithmetic {
            operators,
            scales_pixels,
        } = own_arithmetic(graph, &input.name);
        if !operators.is_empty() && !number_type.is_integer() {
            notes.push(InputNote::OwnArithmetic {
                operators,
                scales_pixels,
            });
        }
        Ok(Self {
            name: input.name.clone(),
            image,
            fixed_batch,
            format: InputFormat {
                layout,
                number_type,
                notes,
            },
            dims,
            is_size_open,
            element_type: DataType::try_from(stated).unwrap_or(DataType::Undefined),
            keeps_integers: number_type.is_integer() && !is_converted_first(graph, &input.name),
        })
    }

    /// The order of the dimensions of an image.
    pub(super) fn layout(&self) -> Layout {
        match self.format.layout {
            InputLayout::ChannelsLast | InputLayout::OneImageChannelsLast => Layout::ChannelsLast,
            _ => Layout::ChannelsFirst,
        }
    }
}

/// An input that is being looked at.
struct Reading<'a> {
    input: &'a ValueInfoProto,
    options: &'a ImportOptions,
    convolution: Option<FirstConvolution>,
    /// The dimensions that the file states; `None` if it states none.
    stated: Option<Vec<Option<usize>>>,
    notes: Vec<InputNote>,
}

impl Reading<'_> {
    /// What each dimension of the input counts.
    fn roles(&mut self) -> Result<Vec<Role>, OnnxError> {
        use Role::{Batch, Channels, Numbers, Side};
        let of_convolution = self.convolution.as_ref();
        let Some(stated) = &self.stated else {
            self.notes.push(InputNote::UnknownRank);
            let known = of_convolution.map(|convolution| convolution.roles.clone());
            let assumed = self.options.images.map(|_| vec![Batch, Channels, Side, Side]);
            return known.or(assumed).ok_or_else(|| self.no_images());
        };
        if let Some(convolution) = of_convolution
            && fits(convolution, stated)
        {
            return Ok(convolution.roles.clone());
        }
        let may_be_channels = |dim: Option<usize>| matches!(dim, Some(1 | 3));
        match stated[..] {
            [_, channels, _, _] if may_be_channels(channels) => Ok(vec![Batch, Channels, Side, Side]),
            [_, _, _, channels] if may_be_channels(channels) => Ok(vec![Batch, Side, Side, Channels]),
            [_, None, _, _] => Ok(vec![Batch, Channels, Side, Side]),
            [_, Some(channels), _, _] => Err(self.channels(channels)),
            [Some(3), Some(_), _] | [Some(3), None, None] => Ok(vec![Channels, Side, Side]),
            [Some(_), _, Some(3)] => Ok(vec![Side, Side, Channels]),
            [_, _, _] => Ok(vec![Batch, Side, Side]),
            [_, _] => Ok(vec![Batch, Numbers]),
            _ => Err(self.no_images()),
        }
    }

    /// Rows, columns and channels of an input with sides.
    fn sides_and_channels(&mut self, roles: &[Role]) -> Result<[usize; 3], OnnxError> {
        let stated = |role: Role| {
            let places = roles.iter().enumerate().filter(move |(_, known)| **known == role);
            places
                .map(|(axis, _)| self.stated.as_ref().and_then(|dims| dims[axis]))
                .collect::<Vec<_>>()
        };
        let (sides, channels) = (stated(Role::Side), stated(Role::Channels));
        let &[rows, columns] = sides.as_slice() else {
            return Err(self.no_images());
        };
        let channels = match channels.as_slice() {
            [] => {
                self.notes.push(InputNote::NoChannels);
                1
            }
            [known, ..] => self.channel_count(*known)?,
        };
        if !roles.contains(&Role::Batch) {
            self.notes.push(InputNote::NoBatch);
        }
        let [rows, columns] = self.size([rows, columns])?;
        Ok([rows, columns, channels])
    }

    fn channel_count(&mut self, stated: Option<usize>) -> Result<usize, OnnxError> {
        let channels = match (stated, &self.convolution, self.options.images) {
            (Some(stated), _, _) => stated,
            (None, Some(FirstConvolution { node, channels, .. }), _) => {
                let (node, channels) = (node.clone(), *channels);
                self.notes.push(InputNote::ChannelsOfConvolution { node, channels });
                channels
            }
            (None, None, Some(ImageShape { channels, .. })) => {
                self.notes.push(InputNote::ChannelsOfDataset { channels });
                channels
            }
            (None, None, None) => return Err(self.no_images()),
        };
        if matches!(channels, 1 | 3) {
            Ok(channels)
        } else {
            Err(self.channels(channels))
        }
    }

    /// Rows and columns: those of the file, else those of the options, else those of the data set.
    fn size(&mut self, stated: [Option<usize>; 2]) -> Result<[usize; 2], OnnxError> {
        let of_images = self.options.images.map(|images| [images.height, images.width]);
        let mut filled = [0; 2];
        for side in 0..2 {
            filled[side] = match (stated[side], self.options.size.map(|size| size[side])) {
                (Some(known), Some(given)) if known != given => {
                    let (shape, name) = (self.shape(), ["height", "width"][side]);
                    let message = format!("the network's input is {shape}: its {name} is {known}, not {given}");
                    return Err(OnnxError::Mismatch(message));
                }
                (Some(known), _) => known,
                (None, Some(given)) => given,
                (None, None) => match of_images {
                    Some(images) => images[side],
                    None => return Err(self.open_size()),
                },
            };
        }
        if self.options.size.is_none() && stated.contains(&None) {
            self.notes.push(InputNote::SizeOfDataset { size: filled });
        }
        Ok(filled)
    }

    /// Rows, columns and channels of an input that is a list of numbers.
    fn flat(&mut self) -> Result<[usize; 3], OnnxError> {
        let numbers = self.stated.as_ref().and_then(|dims| dims[1]);
        let given = self.options.size.map(|[height, width]| {
            let sizes = [1, 3].map(|channels| ImageShape {
                channels,
                height,
                width,
            });
            sizes
                .into_iter()
                .find(|shape| numbers.is_none_or(|numbers| shape.len() == numbers))
        });
        let of_images = self.options.images.and_then(|images| {
            let recoloured = [1, 3].map(|channels| ImageShape { channels, ..images });
            let mut shapes = std::iter::once(images).chain(recoloured);
            shapes.find(|shape| numbers.is_none_or(|numbers| shape.len() == numbers))
        });
        // A version that is loaded has both.
        let same_size = of_images.filter(|images| {
            self.options
                .size
                .is_none_or(|size| size == [images.height, images.width])
        });
        let found = same_size.or_else(|| given.unwrap_or(of_images));
        let Some(shape) = found else {
            return match numbers {
                Some(numbers) => Err(OnnxError::NotAnImage {
                    input: self.input.name.clone(),
                    numbers,
                    size: self
                        .options
                        .size
                        .or(self.options.images.map(|images| [images.height, images.width])),
                }),
                None => Err(self.open_size()),
            };
        };
        self.notes.push(InputNote::Flat { shape });
        Ok([shape.height, shape.width, shape.channels])
    }

    /// The batch size that the file fixes.
    fn fixed_batch(&self, roles: &[Role]) -> Result<Option<usize>, OnnxError> {
        let Some(axis) = roles.iter().position(|role| *role == Role::Batch) else {
            return Ok(Some(1));
        };
        let batch = self.stated.as_ref().and_then(|dims| dims[axis]);
        if let Some(fixed) = batch.filter(|&fixed| fixed > MAX_FIXED_BATCH) {
            let message =
                format!("the file is made for batches of {fixed} images: export it with a dynamic batch size");
            return Err(OnnxError::Mismatch(message));
        }
        Ok(batch)
    }

    fn is_size_open(&self, roles: &[Role]) -> bool {
        let dims = self.stated.as_ref();
        let is_side = |role: &Role| *role == Role::Side;
        roles
            .iter()
            .enumerate()
            .any(|(axis, role)| is_side(role) && dims.is_none_or(|dims| dims[axis].is_none()))
    }

    /// The stated shape, for errors.
    fn shape(&self) -> String {
        let Some(stated) = &self.stated else {
            return "unknown".to_owned();
        };
        let dims = stated
            .iter()
            .map(|dim| dim.map_or("?".to_owned(), |dim| dim.to_string()));
        dims.collect::<Vec<_>>().join("x")
    }

    fn no_images(&self) -> OnnxError {
        let (input, shape) = (self.input.name.clone(), self.shape());
        OnnxError::NoImages { input, shape }
    }

    fn open_size(&self) -> OnnxError {
        let (input, shape) = (self.input.name.clone(), self.shape());
        OnnxError::OpenSize { input, shape }
    }

    fn channels(&self, channels: usize) -> OnnxError {
        let (input, shape) = (self.input.name.clone(), self.shape());
        OnnxError::Channels { input, shape, channels }
    }
}

/// Whether a convolution reads an input of the stated shape.
fn fits(convolution: &FirstConvolution, stated: &[Option<usize>]) -> bool {
    let channels = convolution
        .roles
        .iter()
        .zip(stated)
        .filter(|(role, _)| **role == Role::Channels);
    let is_of_channels = |(_, dim): (&Role, &Option<usize>)| dim.is_none_or(|dim| dim == convolution.channels);
    convolution.roles.len() == stated.len() && channels.into_iter().all(is_of_channels)
}

fn layout_of(roles: &[Role]) -> Option<InputLayout> {
    use Role::{Batch, Channels, Numbers, Side};
    Some(match roles {
        [Batch, Channels, Side, Side] => InputLayout::ChannelsFirst,
        [Batch, Side, Side, Channels] => InputLayout::ChannelsLast,
        [Batch, Side, Side] => InputLayout::NoChannels,
        [Batch, Numbers] => InputLayout::Flat,
        [Channels, Side, Side] => InputLayout::OneImageChannelsFirst,
        [Side, Side, Channels] => InputLayout::OneImageChannelsLast,
        _ => return None,
    })
}

/// The shape of one image, and the dimensions of the input.
fn shapes(layout: InputLayout, [channels, rows, columns]: [usize; 3]) -> (Vec<usize>, Vec<Option<usize>>) {
    let (first, last) = (vec![channels, rows, columns], vec![rows, columns, channels]);
    let known = |dims: &[usize]| dims.iter().copied().map(Some).collect::<Vec<_>>();
    let batch = |dims: &[usize]| [vec![None], known(dims)].concat();
    match layout {
        InputLayout::ChannelsFirst => (first.clone(), batch(&first)),
        InputLayout::ChannelsLast => (last.clone(), batch(&last)),
        InputLayout::NoChannels => (first, batch(&[rows, columns])),
        InputLayout::Flat => (first, batch(&[channels * rows * columns])),
        InputLayout::OneImageChannelsFirst => (first.clone(), known(&first)),
        InputLayout::OneImageChannelsLast => (last.clone(), known(&last)),
    }
}

fn stated_dims(tensor: Option<&TensorTypeProto>) -> Option<Vec<Option<usize>>> {
    // No image is a single number: a shape without dimensions is one that the exporter did not know.
    let shape = tensor?.shape.as_ref().filter(|shape| !shape.dim.is_empty())?;
    let dims = shape.dim.iter().map(|dim| {
        let known = dim.dim_value.and_then(|value| usize::try_from(value).ok());
        known.filter(|&value| value > 0)
    });
    Some(dims.collect())
}

fn number_type(input: &ValueInfoProto, stated: i32) -> Result<InputNumber, OnnxError> {
    Ok(match DataType::try_from(stated) {
        Ok(DataType::Undefined | DataType::Float) => InputNumber::Float32,
        Ok(DataType::Float16) => InputNumber::Float16,
        Ok(DataType::Bfloat16) => InputNumber::Bfloat16,
        Ok(DataType::Double) => InputNumber::Float64,
        Ok(DataType::Int8) => InputNumber::Int8,
        Ok(DataType::Int16) => InputNumber::Int16,
        Ok(DataType::Int32) => InputNumber::Int32,
        Ok(DataType::Int64) => InputNumber::Int64,
        Ok(DataType::Uint8) => InputNumber::Uint8,
        Ok(DataType::Uint16) => InputNumber::Uint16,
        Ok(DataType::Uint32) => InputNumber::Uint32,
        Ok(DataType::Uint64) => InputNumber::Uint64,
        other => {
            let kind = other.map_or_else(|_| format!("type {stated}"), |kind| format!("{kind:?}").to_lowercase());
            let input = input.name.clone();
            return Err(OnnxError::InputType { input, kind });
        }
    })
}
