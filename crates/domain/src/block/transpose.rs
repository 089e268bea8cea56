//! Transposed convolutions.

use serde_json::json;

use super::MAX_DIMENSION;
use super::catalogue::{Category, Input, KindSpec, Layer, LayerLowering, Lowering, product, weight_and_bias};
use super::convolution::{
    bias, check_groups_divide_input, check_groups_divide_output, check_in_channels, dilation, groups, in_channels,
    kernel_size, out_channels, padding_mode, stride,
};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, format_shape};
use super::parameter::{ParameterSpec, ParameterType};
use super::window::{Window, per_axis};
use crate::graph::Operator;

const MAX: i64 = MAX_DIMENSION as i64;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![conv_transpose2d()]
}

fn conv_transpose2d() -> KindSpec {
    KindSpec {
        category: Category::Convolution,
        name: "ConvTranspose2d",
        summary: "Spreads each pixel over a learned kernel: the gradient of a convolution, used to upsample.",
        parameters: vec![
            out_channels(),
            kernel_size(),
            stride(),
            ParameterSpec::optional(
                "padding",
                ParameterType::pair(0, MAX),
                json!(0),
                "Rows and columns removed from both sides of the output.",
            ),
            ParameterSpec::optional(
                "output_padding",
                ParameterType::pair(0, MAX),
                json!(0),
                "Rows and columns added to one side of the output; below `stride` or below `dilation`.",
            ),
            groups(),
            bias(),
            dilation(),
            in_channels(),
            padding_mode(),
        ],
        lowering: Lowering::Layer(LayerLowering {
            input: Input::Image,
            rules: &[
                check_in_channels,
                check_groups_divide_input,
                check_groups_divide_output,
                check_output_padding,
                check_output_not_empty,
            ],
            output_shape: transpose_shape,
            layer: transpose_layer,
        }),
    }
}

fn transpose_window(draft: &Draft<'_>) -> Option<Window> {
    Window::of(draft, draft.pair("padding")?, true)
}

fn transpose_shape(draft: &Draft<'_>) -> Option<Vec<usize>> {
    let [_, rows, columns] = draft.image()?;
    let output_padding = draft.pair("output_padding")?;
    let [rows, columns] = transpose_window(draft)?.transposed([rows, columns], output_padding)?;
    Some(vec![draft.size("out_channels")?, rows, columns])
}

fn transpose_layer(draft: &Draft<'_>, _: &[usize]) -> Option<Layer> {
    let [channels, rows, columns] = draft.image()?;
    let Window {
        kernel,
        stride,
        padding,
        dilation,
    } = transpose_window(draft)?;
    let output_padding = draft.pair("output_padding")?;
    let groups = draft.size("groups")?;
    let out_channels = draft.size("out_channels")?;
    let weight = vec![channels, out_channels / groups, kernel[0], kernel[1]];
    Some(Layer {
        operator: Operator::ConvTranspose2d {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
        },
        multiply_accumulates: product(&weight).saturating_mul(product(&[rows, columns])),
        parameters: weight_and_bias(weight, draft.boolean("bias")?.then_some(out_channels)),
    })
}

fn check_output_padding(draft: &Draft<'_>) -> Option<Problem> {
    let output_padding = draft.pair("output_padding")?;
    let [stride, dilation] = [draft.pair("stride")?, draft.pair("dilation")?];
    let limit = per_axis(|axis| stride[axis].max(dilation[axis]));
    (0..2).any(|axis| output_padding[axis] >= limit[axis]).then(|| {
        let message = "`output_padding` must be below `stride` or below `dilation`, in rows and in columns.";
        let problem = Problem::new(ErrorRule::Conflict, message).for_parameter("output_padding");
        problem
            .expected(format!("below {}", format_shape(&limit)))
            .actual(format_shape(&output_padding))
    })
}

fn check_output_not_empty(draft: &Draft<'_>) -> Option<Problem> {
    let [_, rows, columns] = draft.image()?;
    let window = transpose_window(draft)?;
    if window
        .transposed([rows, columns], draft.pair("output_padding")?)
        .is_some()
    {
        return None;
    }
    let message = format!(
        "`padding` removes the whole output: nothing is left for an input of {rows}x{columns}. \
         Use less `padding` or a larger `kernel_size`."
    );
    let padding = format_shape(&window.padding);
    Some(
        Problem::new(ErrorRule::ShapeMismatch, message)
            .for_parameter("padding")
            .actual(padding),
    )
}
