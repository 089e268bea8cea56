//! Pooling.

use candle_core::{DType, Device, Tensor};

use super::arithmetic::pair;
use super::convolution::{WindowSpec, as_image, from_image};
use super::layout::as_kind;
use super::lowering::{Lowered, Lowering};
use crate::onnx::limit;
use crate::onnx::plan::{Value, first_line};
use scv_domain::graph::{BinaryFunction, NumberType, Operator, PadMode, ParameterRole, Reduction, TensorOperator};

pub(super) fn max_pool(lowering: &mut Lowering<'_>) -> Lowered {
    window(lowering, |spec, _| Operator::MaxPool2d {
        kernel: spec.kernel,
        stride: spec.stride,
        padding: spec.before,
        dilation: spec.dilation,
    })
}

pub(super) fn average_pool(lowering: &mut Lowering<'_>) -> Lowered {
    if lowering
        .attributes
        .integers("dilations")
        .is_some_and(|given| given.iter().any(|&n| n != 1))
    {
        return dilated_average(lowering);
    }
    window(lowering, |spec, counts_padding| Operator::AvgPool2d {
        kernel: spec.kernel,
        stride: spec.stride,
        padding: spec.before,
        count_include_pad: counts_padding,
        divisor_override: None,
    })
}

/// The image, its number of spatial dimensions, and the window with the size of the output.
struct Pooling {
    x: Value,
    spatial_dims: usize,
    spec: WindowSpec,
    output: [usize; 2],
}

fn read(lowering: &mut Lowering<'_>) -> Result<Pooling, String> {
    if lowering.has_output(1) {
        return Err("the places of the maxima are not supported".to_owned());
    }
    let images = lowering.input(0)?;
    let images = as_kind(lowering, images, NumberType::Float)?;
    let (x, spatial_dims) = as_image(lowering, images)?;
    let kernel = lowering
        .attributes
        .integers("kernel_shape")
        .ok_or("kernel_shape is missing")?;
    let kernel = kernel
        .iter()
        .map(|&n| limit::check_extent("kernel_shape", n))
        .collect::<Result<Vec<_>, _>>()?;
    if kernel.len() != spatial_dims {
        return Err("kernel_shape must be one number per dimension".to_owned());
    }
    let size = [x.dims()[2], x.dims()[3]];
    let spec = WindowSpec::read(lowering, &kernel, size)?;
    let output = spec.output(size, lowering.attributes.flag("ceil_mode", false))?;
    Ok(Pooling {
        x,
        spatial_dims,
        spec,
        output,
    })
}

/// The mean of numbers that lie apart is their sum, a convolution, divided by how many there are.
fn dilated_average(lowering: &mut Lowering<'_>) -> Lowered {
    let Pooling {
        x,
        spatial_dims,
        spec,
        output,
    } = read(lowering)?;
    let [batch, channels, rows, columns] = x.dims()[..] else {
        return Err("its input is not an image".to_owned());
    };
    let counts_padding = lowering.attributes.flag("count_include_pad", false);
    let counts = [(0, rows), (1, columns)].map(|(axis, size)| {
        let end = size + spec.before[axis] + if counts_padding { spec.after[axis] } else { 0 };
        let start = if counts_padding { 0 } else { spec.before[axis] };
        let places =
            |index: usize| (0..spec.kernel[axis]).map(move |tap| index * spec.stride[axis] + tap * spec.dilation[axis]);
        let count = |index| places(index).filter(|place| (start..end).contains(place)).count() as f32;
        (0..output[axis]).map(count).collect::<Vec<f32>>()
    });
    let [by_row, by_column] = &counts;
    let divisors: Vec<f32> = by_row
        .iter()
        .flat_map(|rows| by_column.iter().map(move |columns| rows * columns))
        .collect();
    let divisors =
        Tensor::from_vec(divisors, (output[0], output[1]), &Device::Cpu).map_err(|error| first_line(&error))?;
    let [height, width] = spec.kernel;
    lowering.plan.constant_budget.charge(&[channels, height, width], 0)?;
    let ones =
        Tensor::ones((channels, 1, height, width), DType::F32, &Device::Cpu).map_err(|error| first_line(&error))?;
    let operator = Operator::Conv2d {
        stride: spec.stride,
        padding: spec.before,
        dilation: spec.dilation,
        groups: channels,
    };
    let dims = vec![batch, channels, output[0], output[1]];
    let sums = lowering.layer(operator, x, vec![(ParameterRole::Weight, ones)], dims, 0)?;
    let y = pair(lowering, BinaryFunction::Div, sums, Value::Constant(divisors))?;
    Ok(vec![from_image(lowering, y, spatial_dims)?])
}

fn window(lowering: &mut Lowering<'_>, operator: fn(&WindowSpec, bool) -> Operator) -> Lowered {
    let Pooling {
        mut x,
        spatial_dims,
        mut spec,
        output,
    } = read(lowering)?;
    let size = [x.dims()[2], x.dims()[3]];
    let counts_padding = lowering.attributes.flag("count_include_pad", false);
    if counts_padding && spec.before != spec.after {
        // The divisor counts the same padding at the end as at the beginning, so uneven padding becomes part of the
        // image.
        let [rows, columns] = [0, 1].map(|axis| size[axis] + spec.before[axis] + spec.after[axis]);
        let dims = vec![x.dims()[0], x.dims()[1], rows, columns];
        let pad = TensorOperator::Pad {
            mode: PadMode::Constant(0.0),
            before: vec![0, 0, spec.before[0] as i64, spec.before[1] as i64],
            after: vec![0, 0, spec.after[0] as i64, spec.after[1] as i64],
        };
        x = lowering.tensor(pad, vec![x], dims)?;
        (spec.before, spec.after) = ([0, 0], [0, 0]);
    }
    let dims = vec![x.dims()[0], x.dims()[1], output[0], output[1]];
    let y = lowering.layer(operator(&spec, counts_padding), x, Vec::new(), dims, 0)?;
    Ok(vec![from_image(lowering, y, spatial_dims)?])
}

pub(super) fn global_average(lowering: &mut Lowering<'_>) -> Lowered {
    global(lowering, Reduction::Mean)
}

pub(super) fn global_max(lowering: &mut Lowering<'_>) -> Lowered {
    global(lowering, Reduction::Max)
}

fn global(lowering: &mut Lowering<'_>, function: Reduction) -> Lowered {
    let x = lowering.input(0)?;
    let mut dims = x.dims().to_vec();
    if dims.len() < 3 {
        return Err("its input is not an image".to_owned());
    }
    let axes: Vec<usize> = (2..dims.len()).collect();
    dims[2..].fill(1);
    Ok(vec![lowering.tensor(
        TensorOperator::Reduce { function, axes },
        vec![x],
        dims,
    )?])
}
