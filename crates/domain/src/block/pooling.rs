//! Pooling layers.

use serde_json::{Value, json};

use super::MAX_DIMENSION;
use super::catalogue::{Category, Input, KindSpec, Layer, LayerLowering, Lowering};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, format_shape};
use super::parameter::{ParameterSpec, ParameterType};
use super::window::Window;
use crate::graph::Operator;

const MAX: i64 = MAX_DIMENSION as i64;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![max_pool2d(), avg_pool2d(), adaptive_avg_pool2d()]
}

fn max_pool2d() -> KindSpec {
    KindSpec {
        category: Category::Pooling,
        name: "MaxPool2d",
        summary: "Takes the maximum of each window.",
        parameters: vec![
            kernel_size(),
            stride(),
            padding("Padding on both sides, which is never the maximum; at most half of `kernel_size`."),
            ParameterSpec::optional(
                "dilation",
                ParameterType::pair(1, MAX),
                json!(1),
                "Spacing between window elements: rows, columns.",
            ),
            ceil_mode(),
        ],
        lowering: Lowering::Layer(LayerLowering {
            input: Input::Image,
            rules: &[check_padding, check_max_window],
            output_shape: |draft| pooled_shape(draft, max_window(draft)?),
            layer: max_layer,
        }),
    }
}

fn avg_pool2d() -> KindSpec {
    KindSpec {
        category: Category::Pooling,
        name: "AvgPool2d",
        summary: "Takes the mean of each window.",
        parameters: vec![
            kernel_size(),
            stride(),
            padding("Zeros added on both sides; at most half of `kernel_size`."),
            ceil_mode(),
            ParameterSpec::optional(
                "count_include_pad",
                ParameterType::Boolean,
                json!(true),
                "Whether the added zeros count in the divisor.",
            ),
            ParameterSpec::optional(
                "divisor_override",
                ParameterType::Integer {
                    min: 1,
                    max: i64::from(u32::MAX),
                }
                .or(ParameterType::Null),
                Value::Null,
                "Divisor to use instead of the window size.",
            ),
        ],
        lowering: Lowering::Layer(LayerLowering {
            input: Input::Image,
            rules: &[check_padding, check_avg_window],
            output_shape: |draft| pooled_shape(draft, avg_window(draft)?),
            layer: avg_layer,
        }),
    }
}

fn adaptive_avg_pool2d() -> KindSpec {
    KindSpec {
        category: Category::Pooling,
        name: "AdaptiveAvgPool2d",
        summary: "Takes means over windows chosen to give a specified output size.",
        parameters: vec![ParameterSpec::required(
            "output_size",
            ParameterType::Integer { min: 1, max: MAX }
                .or(ParameterType::Null)
                .each(2),
            "Rows and columns of the output; `null` keeps those of the input.",
        )],
        lowering: Lowering::Layer(LayerLowering {
            input: Input::Image,
            rules: &[],
            output_shape: adaptive_shape,
            layer: |_, _| Some(Layer::plain(Operator::AdaptiveAvgPool2d)),
        }),
    }
}

fn kernel_size() -> ParameterSpec {
    let value = ParameterType::pair(1, MAX);
    ParameterSpec::required("kernel_size", value, "Rows and columns of the window.")
}

fn stride() -> ParameterSpec {
    let kernel_size = |draft: &Draft<'_>| draft.value("kernel_size").cloned();
    let rule = "Step between windows: rows, columns; `kernel_size` if absent.";
    ParameterSpec::derived("stride", ParameterType::pair(1, MAX), kernel_size, rule)
}

fn padding(description: &'static str) -> ParameterSpec {
    ParameterSpec::optional("padding", ParameterType::pair(0, MAX), json!(0), description)
}

fn ceil_mode() -> ParameterSpec {
    let rule =
        "Whether the last window may extend past the end; it must start inside the image or the padding before it.";
    ParameterSpec::optional("ceil_mode", ParameterType::Boolean, json!(false), rule)
}

fn max_window(draft: &Draft<'_>) -> Option<Window> {
    Window::of(draft, draft.pair("padding")?, true)
}

fn avg_window(draft: &Draft<'_>) -> Option<Window> {
    Window::of(draft, draft.pair("padding")?, false)
}

fn pooled_shape(draft: &Draft<'_>, window: Window) -> Option<Vec<usize>> {
    let [channels, rows, columns] = draft.image()?;
    let [rows, columns] = window.pooled([rows, columns], draft.boolean("ceil_mode")?)?;
    Some(vec![channels, rows, columns])
}

fn adaptive_shape(draft: &Draft<'_>) -> Option<Vec<usize>> {
    let [channels, rows, columns] = draft.image()?;
    let [output_rows, output_columns] = draft.each("output_size")?;
    let size = |output: &Value, input: usize| match output.as_u64() {
        Some(output) => usize::try_from(output).ok(),
        None => Some(input),
    };
    Some(vec![channels, size(output_rows, rows)?, size(output_columns, columns)?])
}

fn max_layer(draft: &Draft<'_>, _: &[usize]) -> Option<Layer> {
    let Window {
        kernel,
        stride,
        padding,
        dilation,
    } = max_window(draft)?;
    Some(Layer::plain(Operator::MaxPool2d {
        kernel,
        stride,
        padding,
        dilation,
    }))
}

fn avg_layer(draft: &Draft<'_>, _: &[usize]) -> Option<Layer> {
    let Window {
        kernel,
        stride,
        padding,
        ..
    } = avg_window(draft)?;
    Some(Layer::plain(Operator::AvgPool2d {
        kernel,
        stride,
        padding,
        count_include_pad: draft.boolean("count_include_pad")?,
        divisor_override: draft.size("divisor_override"),
    }))
}

fn check_padding(draft: &Draft<'_>) -> Option<Problem> {
    let [kernel, padding] = [draft.pair("kernel_size")?, draft.pair("padding")?];
    let half = kernel.map(|size| size / 2);
    (padding[0] > half[0] || padding[1] > half[1]).then(|| {
        let message = format!(
            "`padding` must be at most half of `kernel_size`, here {}.",
            format_shape(&half)
        );
        let problem = Problem::new(ErrorRule::Conflict, message).for_parameter("padding");
        problem
            .expected(format!("at most {}", format_shape(&half)))
            .actual(format_shape(&padding))
    })
}

fn check_max_window(draft: &Draft<'_>) -> Option<Problem> {
    check_window_fits(draft, max_window(draft)?)
}

fn check_avg_window(draft: &Draft<'_>) -> Option<Problem> {
    check_window_fits(draft, avg_window(draft)?)
}

fn check_window_fits(draft: &Draft<'_>, window: Window) -> Option<Problem> {
    let [_, rows, columns] = draft.image()?;
    if window.pooled([rows, columns], draft.boolean("ceil_mode")?).is_some() {
        return None;
    }
    let span = format_shape(&window.span());
    let padded = format_shape(&[rows + 2 * window.padding[0], columns + 2 * window.padding[1]]);
    let message = format!(
        "The window spans {span}, but the padded image is only {padded}: use a smaller \
         `kernel_size`, or pool less before it."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("kernel_size");
    Some(problem.expected(format!("a span of at most {padded}")).actual(span))
}
