//! Convolutions, and how every sliding window is described.

use candle_core::Tensor;

use super::{Lowered, Lowering, product};
use crate::onnx::limit;
use crate::onnx::plan::{Value, first_line};
use scv_domain::graph::{Operator, ParameterRole};

/// A window over rows and columns as ONNX describes it. A window over one dimension is one over rows of height 1.
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
    /// In words: what cannot be.
    pub(super) fn read(lowering: &Lowering<'_>, kernel: &[usize], size: [usize; 2]) -> Result<Self, String> {
        let rank = kernel.len();
        if kernel.contains(&0) {
            return Err(format!("a kernel of {kernel:?} places reads nothing"));
        }
        let pair = |name: &str, default: usize| -> Result<[usize; 2], String> {
            let given = lowering.attributes.integers(name).unwrap_or_default();
            let numbers = match given {
                [] => vec![default as i64; rank],
                given if given.len() == rank => given.to_vec(),
                given => return Err(format!("{name} has {} numbers where {rank} are needed", given.len())),
            };
            let numbers = numbers
                .iter()
                .map(|&number| limit::places(name, number))
                .collect::<Result<Vec<_>, _>>()?;
            match numbers.contains(&0) {
                true => Err(format!("{name} must be above zero")),
                false => Ok(over_rows(&numbers, 1)),
            }
        };
        let mut spec = Self {
            kernel: over_rows(kernel, 1),
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
                    return Err("pads must be two numbers a dimension".to_owned());
                }
                let pads = pads
                    .iter()
                    .map(|&pad| limit::places("a padding", pad))
                    .collect::<Result<Vec<_>, _>>()?;
                spec.before = over_rows(&pads[..rank], 0);
                spec.after = over_rows(&pads[rank..], 0);
            }
            same @ ("SAME_UPPER" | "SAME_LOWER") => spec.keep_size(size, same == "SAME_UPPER"),
            other => return Err(format!("auto_pad {other:?} is not known")),
        }
        Ok(spec)
    }

    /// Pads so that the result has one place for every stride begun.
    fn keep_size(&mut self, size: [usize; 2], more_behind: bool) {
        for (axis, &size) in size.iter().enumerate() {
            let wanted = size.div_ceil(self.stride[axis]);
            let covered = wanted.saturating_sub(1) * self.stride[axis] + self.reach(axis);
            let total = covered.saturating_sub(size);
            let (less, more) = (total / 2, total - total / 2);
            (self.before[axis], self.after[axis]) = if more_behind { (less, more) } else { (more, less) };
        }
    }

    /// Places from the first to the last that the kernel touches.
    pub(super) fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// Places of the result, if the window fits in.
    pub(super) fn output(&self, size: [usize; 2], ceil: bool) -> Result<[usize; 2], String> {
        let mut output = [0; 2];
        for axis in 0..2 {
            let padded = size[axis] + self.before[axis] + self.after[axis];
            let stride = self.stride[axis];
            let room = padded.checked_sub(self.reach(axis)).ok_or_else(|| {
                format!(
                    "the window spans {} places of {padded}, padding included",
                    self.reach(axis)
                )
            })?;
            output[axis] = room / stride + 1;
            // A last window that hangs over the end has to start inside the image or the padding before it.
            let hangs = ceil && room % stride != 0;
            if hangs && output[axis] * stride < size[axis] + self.before[axis] {
                output[axis] += 1;
            }
        }
        Ok(output)
    }
}

/// Numbers of one or two dimensions as rows and columns.
fn over_rows(numbers: &[usize], for_rows: usize) -> [usize; 2] {
    match *numbers {
        [columns] => [for_rows, columns],
        [rows, columns, ..] => [rows, columns],
        [] => [for_rows; 2],
    }
}

/// An image as `[batch, channels, rows, columns]`, and how many dimensions its planes had.
pub(super) fn as_image(lowering: &mut Lowering<'_>, value: Value) -> Result<(Value, usize), String> {
    match *value.dims() {
        [_, _, _, _] => Ok((value, 2)),
        [batch, channels, length] => Ok((lowering.reshape(value, vec![batch, channels, 1, length])?, 1)),
        ref other => Err(format!(
            "its input has shape {other:?}; images of one or two dimensions are supported"
        )),
    }
}

/// The other way.
pub(super) fn from_image(lowering: &mut Lowering<'_>, value: Value, planes: usize) -> Result<Value, String> {
    let dims = value.dims().to_vec();
    match planes {
        1 => lowering.reshape(value, vec![dims[0], dims[1], dims[3]]),
        _ => Ok(value),
    }
}

pub(super) fn conv(lowering: &mut Lowering<'_>) -> Lowered {
    let images = lowering.input(0)?;
    let (x, planes) = as_image(lowering, images)?;
    let weight = kernel_of(lowering, planes)?;
    let [made, depth, ..] = weight.dims()[..] else {
        return Err("its kernel has no channels".to_owned());
    };
    let groups = groups(lowering)?;
    let [batch, channels, rows, columns] = x.dims()[..] else {
        return Err("its input is no image".to_owned());
    };
    if depth.saturating_mul(groups) != channels || made % groups != 0 {
        return Err(format!(
            "{channels} channels arrive, but the kernel {:?} in {groups} groups reads {}",
            weight.dims(),
            depth.saturating_mul(groups)
        ));
    }
    let spec = WindowSpec::read(lowering, &weight.dims()[4 - planes..], [rows, columns])?;
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
    let owned = with_bias(lowering, weight, made)?;
    let dims = vec![batch, made, out_rows, out_columns];
    let y = lowering.layer(operator, x, owned, dims, cost as u64)?;
    Ok(vec![from_image(lowering, y, planes)?])
}

pub(super) fn conv_transpose(lowering: &mut Lowering<'_>) -> Lowered {
    let images = lowering.input(0)?;
    let (x, planes) = as_image(lowering, images)?;
    let weight = kernel_of(lowering, planes)?;
    let groups = groups(lowering)?;
    let [batch, channels, rows, columns] = x.dims()[..] else {
        return Err("its input is no image".to_owned());
    };
    if weight.dims()[0] != channels {
        return Err(format!(
            "{channels} channels arrive, but the kernel reads {}",
            weight.dims()[0]
        ));
    }
    let made = weight.dims()[1].saturating_mul(groups);
    if channels % groups != 0 {
        return Err(format!("{channels} channels do not divide into {groups} groups"));
    }
    let mut spec = WindowSpec::read(lowering, &weight.dims()[4 - planes..], [rows, columns])?;
    let extra = lowering.attributes.integers("output_padding").unwrap_or_default();
    let extra = extra
        .iter()
        .map(|&n| limit::places("output_padding", n))
        .collect::<Result<Vec<_>, _>>()?;
    let extra = over_rows(&extra, 0);
    let full = |axis: usize, size: usize| size.saturating_sub(1) * spec.stride[axis] + spec.reach(axis) + extra[axis];
    let mut output = [full(0, rows), full(1, columns)];
    if let Some(wanted) = wanted_size(lowering, planes, [rows, columns], &spec)? {
        let upper = lowering.attributes.text("auto_pad") == Some("SAME_UPPER");
        for axis in 0..2 {
            // What is left over is cut off behind, or in front for SAME_UPPER, as the definition has it.
            let total = output[axis].saturating_sub(wanted[axis]);
            spec.before[axis] = if upper { total / 2 } else { total - total / 2 };
            output[axis] = wanted[axis];
        }
    } else {
        for (axis, output) in output.iter_mut().enumerate() {
            let cut = spec.before[axis] + spec.after[axis];
            *output = output
                .checked_sub(cut)
                .filter(|&left| left > 0)
                .ok_or("pads take everything away")?;
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
    let owned = with_bias(lowering, weight, made)?;
    let dims = vec![batch, made, output[0], output[1]];
    let y = lowering.layer(operator, x, owned, dims, cost as u64)?;
    Ok(vec![from_image(lowering, y, planes)?])
}

/// The size that the result of a transposed convolution is to have, where that is stated.
fn wanted_size(
    lowering: &Lowering<'_>,
    planes: usize,
    size: [usize; 2],
    spec: &WindowSpec,
) -> Result<Option<[usize; 2]>, String> {
    if let Some(wanted) = lowering.attributes.integers("output_shape") {
        let wanted = wanted
            .iter()
            .map(|&n| limit::places("output_shape", n))
            .collect::<Result<Vec<_>, _>>()?;
        return Ok(Some(over_rows(&wanted[wanted.len().saturating_sub(planes)..], 1)));
    }
    let same = lowering
        .attributes
        .text("auto_pad")
        .is_some_and(|pad| pad.starts_with("SAME"));
    Ok(same.then(|| [0, 1].map(|axis| size[axis] * spec.stride[axis])))
}

/// The kernel as `[.., .., rows, columns]`.
fn kernel_of(lowering: &Lowering<'_>, planes: usize) -> Result<Tensor, String> {
    let weight = lowering.constant(1)?;
    if weight.rank() != planes + 2 {
        return Err(format!(
            "its kernel {:?} does not fit images of {planes} dimensions",
            weight.dims()
        ));
    }
    match planes {
        1 => weight.unsqueeze(2).map_err(|error| first_line(&error)),
        _ => Ok(weight),
    }
}

fn groups(lowering: &Lowering<'_>) -> Result<usize, String> {
    let groups = lowering.attributes.integer("group").unwrap_or(1);
    match limit::places("group", groups)? {
        0 => Err("group must be above zero".to_owned()),
        groups => Ok(groups),
    }
}

fn with_bias(lowering: &Lowering<'_>, weight: Tensor, made: usize) -> Result<Vec<(ParameterRole, Tensor)>, String> {
    let mut owned = vec![(ParameterRole::Weight, weight)];
    if lowering.optional(2).is_some() {
        let bias = lowering.constant(2)?;
        if bias.elem_count() != made {
            return Err(format!(
                "its bias has {} numbers for {made} channels",
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
