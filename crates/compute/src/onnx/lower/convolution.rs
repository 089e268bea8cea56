//! Convolutions, and the description of every sliding window.

use candle_core::Tensor;

use super::lowering::{Lowered, Lowering, product};
use crate::onnx::limit;
use crate::onnx::plan::{Value, first_line};
use scv_domain::graph::{Operator, ParameterRole};

/// A window over rows and columns as ONNX describes it. A one-dimensional window becomes one over a single row.
pub(super) struct WindowSpec {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) before: [usize; 2],
    pub(super) after: [usize; 2],
}

impl WindowSpec {
    /// Reads the attributes of a window that slides over an image of the given size.
    ///
    /// # Errors
    /// An attribute is invalid or not supported.
    pub(super) fn read(lowering: &Lowering<'_>, kernel: &[usize], size: [usize; 2]) -> Result<Self, String> {
        let rank = kernel.len();
        if kernel.contains(&0) {
            return Err(format!("a kernel of size {kernel:?} is empty"));
        }
        let pair = |name: &str, default: usize| -> Result<[usize; 2], String> {
            let given = lowering.attributes.integers(name).unwrap_or_default();
            let numbers = match given {
                [] => vec![default as i64; rank],
                given if given.len() == rank => given.to_vec(),
                given => return Err(format!("{name} has {} numbers, but needs {rank}", given.len())),
            };
            let numbers = numbers
                .iter()
                .map(|&number| limit::check_extent(name, number))
                .collect::<Result<Vec<_>, _>>()?;
            if numbers.contains(&0) {
                Err(format!("{name} must be positive"))
            } else {
                Ok(rows_and_columns(&numbers, 1))
            }
        };
        let mut spec = Self {
            kernel: rows_and_columns(kernel, 1),
            stride: pair("strides", 1)?,
            dilation: pair("dilations", 1)?,
            before: [0, 0],
            after: [0, 0],
        };
        let pads = lowering.attributes.integers("pads").unwrap_or_default();
        match lowering.attributes.text("auto_pad").unwrap_or("NOTSET") {
            "VALID" => {}
            "NOTSET" | "" if pads.is_empty() => {}
            "NOTSET" | "" => {
                if pads.len() != 2 * rank {
                    return Err("pads must be two numbers per dimension".to_owned());
                }
                let pads = pads
                    .iter()
                    .map(|&pad| limit::check_extent("a padding", pad))
                    .collect::<Result<Vec<_>, _>>()?;
                spec.before = rows_and_columns(&pads[..rank], 0);
                spec.after = rows_and_columns(&pads[rank..], 0);
            }
            same @ ("SAME_UPPER" | "SAME_LOWER") => spec.keep_size(size, same == "SAME_UPPER"),
            other => return Err(format!("auto_pad {other:?} is not supported")),
        }
        Ok(spec)
    }

    /// Pads so that the output has one position per stride, rounded up. An odd padding puts the extra position at the
    /// end if `more_at_end`, else at the beginning.
    fn keep_size(&mut self, size: [usize; 2], more_at_end: bool) {
        for (axis, &size) in size.iter().enumerate() {
            let positions = size.div_ceil(self.stride[axis]);
            let covered = positions.saturating_sub(1) * self.stride[axis] + self.reach(axis);
            let total = covered.saturating_sub(size);
            let (less, more) = (total / 2, total - total / 2);
            (self.before[axis], self.after[axis]) = if more_at_end { (less, more) } else { (more, less) };
        }
    }

    /// The number of positions from the first to the last that the kernel touches.
    pub(super) fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// The size of the output.
    ///
    /// # Errors
    /// The window is larger than the padded input.
    pub(super) fn output(&self, size: [usize; 2], ceil: bool) -> Result<[usize; 2], String> {
        let mut output = [0; 2];
        for axis in 0..2 {
            let padded = size[axis] + self.before[axis] + self.after[axis];
            let stride = self.stride[axis];
            let room = padded.checked_sub(self.reach(axis)).ok_or_else(|| {
                format!(
                    "the window spans {} positions, but the padded input has only {padded}",
                    self.reach(axis)
                )
            })?;
            output[axis] = room / stride + 1;
            // A last window that extends beyond the end must start inside the image or the padding before it.
            let overhangs = ceil && room % stride != 0;
            if overhangs && output[axis] * stride < size[axis] + self.before[axis] {
                output[axis] += 1;
            }
        }
        Ok(output)
    }
}

/// The numbers of one or two dimensions as rows and columns. `for_rows` replaces missing rows.
fn rows_and_columns(numbers: &[usize], for_rows: usize) -> [usize; 2] {
    match *numbers {
        [columns] => [for_rows, columns],
        [rows, columns, ..] => [rows, columns],
        [] => [for_rows; 2],
    }
}

/// Brings a value into the form `[batch, channels, rows, columns]`. Also returns how many spatial dimensions it had.
pub(super) fn as_image(lowering: &mut Lowering<'_>, value: Value) -> Result<(Value, usize), String> {
    match *value.dims() {
        [_, _, _, _] => Ok((value, 2)),
        [batch, channels, length] => Ok((lowering.reshape(value, vec![batch, channels, 1, length])?, 1)),
        ref other => Err(format!(
            "its input has shape {other:?}; inputs with one or two spatial dimensions are supported"
        )),
    }
}

/// The inverse of [`as_image`].
pub(super) fn from_image(lowering: &mut Lowering<'_>, value: Value, spatial_dims: usize) -> Result<Value, String> {
    let dims = value.dims().to_vec();
    match spatial_dims {
        1 => lowering.reshape(value, vec![dims[0], dims[1], dims[3]]),
        _ => Ok(value),
    }
}

pub(super) fn conv(lowering: &mut Lowering<'_>) -> Lowered {
    let images = lowering.input(0)?;
    let (x, spatial_dims) = as_image(lowering, images)?;
    let weight = kernel_of(lowering, spatial_dims)?;
    let [out_channels, depth, ..] = weight.dims()[..] else {
        return Err("its kernel has no channels".to_owned());
    };
    let groups = groups(lowering)?;
    let [batch, channels, rows, columns] = x.dims()[..] else {
        return Err("its input is not an image".to_owned());
    };
    if depth.saturating_mul(groups) != channels || out_channels % groups != 0 {
        return Err(format!(
            "its input has {channels} channels, but the kernel {:?} in {groups} groups needs {}",
            weight.dims(),
            depth.saturating_mul(groups)
        ));
    }
    let spec = WindowSpec::read(lowering, &weight.dims()[4 - spatial_dims..], [rows, columns])?;
    let [out_rows, out_columns] = spec.output([rows, columns], false)?;
    let operator = Operator::Conv2d {
        stride: spec.stride,
        padding: spec.before,
        dilation: spec.dilation,
        groups,
    };
    let cost = product(weight.dims())
        .saturating_mul(out_rows)
        .saturating_mul(out_columns);
    let owned = with_bias(lowering, weight, out_channels)?;
    let dims = vec![batch, out_channels, out_rows, out_columns];
    let y = lowering.layer(operator, x, owned, dims, cost as u64)?;
    Ok(vec![from_image(lowering, y, spatial_dims)?])
}

pub(super) fn conv_transpose(lowering: &mut Lowering<'_>) -> Lowered {
    let images = lowering.input(0)?;
    let (x, spatial_dims) = as_image(lowering, images)?;
    let weight = kernel_of(lowering, spatial_dims)?;
    let groups = groups(lowering)?;
    let [batch, channels, rows, columns] = x.dims()[..] else {
        return Err("its input is not an image".to_owned());
    };
    if weight.dims()[0] != channels {
        return Err(format!(
            "its input has {channels} channels, but the kernel needs {}",
            weight.dims()[0]
        ));
    }
    let out_channels = weight.dims()[1].saturating_mul(groups);
    if channels % groups != 0 {
        return Err(format!("{channels} channels cannot be divided into {groups} groups"));
    }
    let mut spec = WindowSpec::read(lowering, &weight.dims()[4 - spatial_dims..], [rows, columns])?;
    let extra = lowering.attributes.integers("output_padding").unwrap_or_default();
    let extra = extra
        .iter()
        .map(|&n| limit::check_extent("output_padding", n))
        .collect::<Result<Vec<_>, _>>()?;
    let extra = rows_and_columns(&extra, 0);
    let full = |axis: usize, size: usize| size.saturating_sub(1) * spec.stride[axis] + spec.reach(axis) + extra[axis];
    let mut output = [full(0, rows), full(1, columns)];
    if let Some(stated) = stated_size(lowering, spatial_dims, [rows, columns], &spec)? {
        let upper = lowering.attributes.text("auto_pad") == Some("SAME_UPPER");
        for axis in 0..2 {
            // The surplus is cut off at both ends, by the rounding that ONNX defines.
            let total = output[axis].saturating_sub(stated[axis]);
            spec.before[axis] = if upper { total / 2 } else { total - total / 2 };
            output[axis] = stated[axis];
        }
    } else {
        for (axis, output) in output.iter_mut().enumerate() {
            let cut = spec.before[axis] + spec.after[axis];
            *output = output
                .checked_sub(cut)
                .filter(|&left| left > 0)
                .ok_or("pads remove the whole value")?;
        }
    }
    let operator = Operator::ConvTranspose2d {
        stride: spec.stride,
        padding: spec.before,
        output_padding: extra,
        dilation: spec.dilation,
        groups,
    };
    let cost = product(weight.dims()).saturating_mul(rows).saturating_mul(columns);
    let owned = with_bias(lowering, weight, out_channels)?;
    let dims = vec![batch, out_channels, output[0], output[1]];
    let y = lowering.layer(operator, x, owned, dims, cost as u64)?;
    Ok(vec![from_image(lowering, y, spatial_dims)?])
}

/// The output size of a transposed convolution, if the file states it.
fn stated_size(
    lowering: &Lowering<'_>,
    spatial_dims: usize,
    size: [usize; 2],
    spec: &WindowSpec,
) -> Result<Option<[usize; 2]>, String> {
    if let Some(stated) = lowering.attributes.integers("output_shape") {
        let stated = stated
            .iter()
            .map(|&n| limit::check_extent("output_shape", n))
            .collect::<Result<Vec<_>, _>>()?;
        return Ok(Some(rows_and_columns(
            &stated[stated.len().saturating_sub(spatial_dims)..],
            1,
        )));
    }
    let same = lowering
        .attributes
        .text("auto_pad")
        .is_some_and(|pad| pad.starts_with("SAME"));
    Ok(same.then(|| [0, 1].map(|axis| size[axis] * spec.stride[axis])))
}

/// The kernel as `[.., .., rows, columns]`.
fn kernel_of(lowering: &Lowering<'_>, spatial_dims: usize) -> Result<Tensor, String> {
    let weight = lowering.constant(1)?;
    if weight.rank() != spatial_dims + 2 {
        return Err(format!(
            "its kernel {:?} does not fit inputs with {spatial_dims} spatial dimensions",
            weight.dims()
        ));
    }
    match spatial_dims {
        1 => weight.unsqueeze(2).map_err(|error| first_line(&error)),
        _ => Ok(weight),
    }
}

fn groups(lowering: &Lowering<'_>) -> Result<usize, String> {
    let groups = lowering.attributes.integer("group").unwrap_or(1);
    match limit::check_extent("group", groups)? {
        0 => Err("group must be positive".to_owned()),
        groups => Ok(groups),
    }
}

fn with_bias(lowering: &Lowering<'_>, weight: Tensor, channels: usize) -> Result<Vec<(ParameterRole, Tensor)>, String> {
    let mut owned = vec![(ParameterRole::Weight, weight)];
    if lowering.optional(2).is_some() {
        let bias = lowering.constant(2)?;
        if bias.elem_count() != channels {
            return Err(format!(
                "its bias has {} numbers for {channels} channels",
                bias.elem_count()
            ));
        }
        owned.push((
            ParameterRole::Bias,
            bias.flatten_all().map_err(|error| first_line(&error))?,
        ));
    }
    Ok(owned)
}
