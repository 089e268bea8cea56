//! Transposed convolutions.

use serde_json::json;

use super::MAX_DIMENSION;
use super::catalogue::{Form, Input, KindSpec, Layer, LayerForm, product, weight_and_bias};
use super::convolution::{
    bias, dilation, groups, groups_divide_input, groups_divide_output, in_channels, in_channels_arrive, kernel_size,
    out_channels, padding_mode, stride,
};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, written};
use super::parameter::{ParameterSpec, ParameterType};
use super::window::{Window, both};
use crate::graph::Operator;

const MAX: i64 = MAX_DIMENSION as i64;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![conv_transpose2d()]
}

fn conv_transpose2d() -> KindSpec {
    KindSpec {
        name: "ConvTranspose2d",
        summary: "Spreads each pixel over a learned kernel: the gradient of a convolution, used to enlarge.",
        parameters: vec![
            out_channels(),
            kernel_size(),
            stride(),
            ParameterSpec::optional(
                "padding",
                ParameterType::pair(0, MAX),
                json!(0),
                "Rows and columns taken off both sides of the result.",
            ),
            ParameterSpec::optional(
                "output_padding",
                ParameterType::pair(0, MAX),
                json!(0),
                "Rows and columns added on one side of the result; below `stride` or below `dilation`.",
            ),
            groups(),
            bias(),
            dilation(),
            in_channels(),
            padding_mode(),
        ],
        form: Form::Layer(LayerForm {
            input: Input::Image,
            rules: &[
                in_channels_arrive,
                groups_divide_input,
                groups_divide_output,
                output_padding_is_small,
                transpose_leaves_something,
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
    let made = draft.size("out_channels")?;
    let weight = vec![channels, made / groups, kernel[0], kernel[1]];
    Some(Layer {
        operator: Operator::ConvTranspose2d {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
        },
        multiply_accumulates: product(&weight).saturating_mul(product(&[rows, columns])),
        parameters: weight_and_bias(weight, draft.boolean("bias")?.then_some(made)),
    })
}

fn output_padding_is_small(draft: &Draft<'_>) -> Option<Problem> {
    let output_padding = draft.pair("output_padding")?;
    let [stride, dilation] = [draft.pair("stride")?, draft.pair("dilation")?];
    let limit = both(|axis| stride[axis].max(dilation[axis]));
    (0..2).any(|axis| output_padding[axis] >= limit[axis]).then(|| {
        let message = "`output_padding` must be below `stride` or below `dilation`, in rows and in columns.";
        let problem = Problem::new(ErrorRule::Conflict, message).of("output_padding");
        problem
            .expected(format!("below {}", written(&limit)))
            .actual(written(&output_padding))
    })
}

fn transpose_leaves_something(draft: &Draft<'_>) -> Option<Problem> {
    let [_, rows, columns] = draft.image()?;
    let window = transpose_window(draft)?;
    if window
        .transposed([rows, columns], draft.pair("output_padding")?)
        .is_some()
    {
        return None;
    }
    let message = format!(
        "`padding` takes the whole result away: nothing is left of an input of {rows}x{columns}. \
         Take less `padding` or a larger `kernel_size`."
    );
    let padding = written(&window.padding);
    Some(
        Problem::new(ErrorRule::ShapeMismatch, message)
            .of("padding")
            .actual(padding),
    )
}
