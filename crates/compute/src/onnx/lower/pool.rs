//! Pooling.

use super::convolution::{WindowSpec, as_image, from_image};
use super::lowering::{Lowered, Lowering};
use crate::onnx::limit;
use scv_domain::graph::{Operator, PadMode, Reduction, TensorOperator};

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
        return Err("dilations other than 1 are not supported".to_owned());
    }
    window(lowering, |spec, counts_padding| Operator::AvgPool2d {
        kernel: spec.kernel,
        stride: spec.stride,
        padding: spec.before,
        count_include_pad: counts_padding,
        divisor_override: None,
    })
}

fn window(lowering: &mut Lowering<'_>, operator: fn(&WindowSpec, bool) -> Operator) -> Lowered {
    let images = lowering.input(0)?;
    let (mut x, spatial_dims) = as_image(lowering, images)?;
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
    let mut spec = WindowSpec::read(lowering, &kernel, size)?;
    let output = spec.output(size, lowering.attributes.flag("ceil_mode", false))?;
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
