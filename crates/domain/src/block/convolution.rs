//! Convolutions, and the parameters they share with transposed convolutions.

use serde_json::{Value, json};

use super::catalogue::{Category, Input, KindSpec, Layer, LayerLowering, Lowering, product, weight_and_bias};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, format_shape};
use super::parameter::{ParameterSpec, ParameterType};
use super::window::{Window, per_axis, span};
use super::{MAX_DIMENSION, ParameterType::Integer};
use crate::graph::Operator;

const MAX: i64 = MAX_DIMENSION as i64;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![conv2d()]
}

fn conv2d() -> KindSpec {
    KindSpec {
        category: Category::Convolution,
        name: "Conv2d",
        summary: "Slides learned kernels over the image and sums the products.",
        parameters: vec![
            out_channels(),
            kernel_size(),
            stride(),
            ParameterSpec::optional(
                "padding",
                ParameterType::pair(0, MAX).or(ParameterType::Choice(&["same", "valid"])),
                json!(0),
                "Zeros added on both sides: rows, columns. `\"valid\"` means 0; `\"same\"` keeps the size and \
                 needs stride 1 and an even `dilation * (kernel_size - 1)`.",
            ),
            dilation(),
            groups(),
            bias(),
            in_channels(),
            padding_mode(),
        ],
        lowering: Lowering::Layer(LayerLowering {
            input: Input::Image,
            rules: &[
                check_in_channels,
                check_groups_divide_input,
                check_groups_divide_output,
                check_same_stride,
                check_same_symmetry,
                check_kernel_fits,
            ],
            output_shape: conv2d_shape,
            layer: conv2d_layer,
        }),
    }
}

pub(super) fn out_channels() -> ParameterSpec {
    let value = Integer { min: 1, max: MAX };
    ParameterSpec::required("out_channels", value, "Output channels; a multiple of `groups`.")
}

pub(super) fn kernel_size() -> ParameterSpec {
    let value = ParameterType::pair(1, MAX);
    ParameterSpec::required("kernel_size", value, "Rows and columns of the kernel.")
}

pub(super) fn stride() -> ParameterSpec {
    let rule = "Step between kernel positions: rows, columns.";
    ParameterSpec::optional("stride", ParameterType::pair(1, MAX), json!(1), rule)
}

pub(super) fn dilation() -> ParameterSpec {
    let rule = "Spacing between kernel elements: rows, columns.";
    ParameterSpec::optional("dilation", ParameterType::pair(1, MAX), json!(1), rule)
}

pub(super) fn groups() -> ParameterSpec {
    let rule = "Number of independent channel groups; divides both the input and the output channels.";
    ParameterSpec::optional("groups", Integer { min: 1, max: MAX }, json!(1), rule)
}

pub(super) fn bias() -> ParameterSpec {
    let rule = "Whether to add a learned bias to each channel.";
    ParameterSpec::optional("bias", ParameterType::Boolean, json!(true), rule)
}

pub(super) fn in_channels() -> ParameterSpec {
    let inferred = |draft: &Draft<'_>| draft.image().map(|[channels, ..]| Value::from(channels));
    let rule = "Input channels; inferred, and checked if given.";
    ParameterSpec::derived("in_channels", Integer { min: 1, max: MAX }, inferred, rule)
}

pub(super) fn padding_mode() -> ParameterSpec {
    let rule = "For other modes, put a padding block before this one.";
    ParameterSpec::optional("padding_mode", ParameterType::Choice(&["zeros"]), json!("zeros"), rule)
}

/// Zeros added on both sides; `None` if `same` would need more on one side than on the other.
fn conv2d_padding(draft: &Draft<'_>) -> Option<[usize; 2]> {
    match draft.choice("padding") {
        Some("valid") => Some([0, 0]),
        Some(_) => {
            let total = same_total(draft)?;
            total
                .iter()
                .all(|rows| rows % 2 == 0)
                .then(|| total.map(|rows| rows / 2))
        }
        None => draft.pair("padding"),
    }
}

/// Total number of rows and columns that `same` adds: `dilation (kernel − 1)`.
fn same_total(draft: &Draft<'_>) -> Option<[usize; 2]> {
    let [kernel, dilation] = [draft.pair("kernel_size")?, draft.pair("dilation")?];
    (draft.choice("padding")? == "same").then(|| per_axis(|axis| span(kernel[axis], dilation[axis]) - 1))
}

fn conv2d_window(draft: &Draft<'_>) -> Option<Window> {
    Window::of(draft, conv2d_padding(draft)?, true)
}

fn conv2d_shape(draft: &Draft<'_>) -> Option<Vec<usize>> {
    let [_, rows, columns] = draft.image()?;
    let [rows, columns] = match draft.choice("padding") {
        Some("same") => [rows, columns],
        _ => conv2d_window(draft)?.convolved([rows, columns])?,
    };
    Some(vec![draft.size("out_channels")?, rows, columns])
}

fn conv2d_layer(draft: &Draft<'_>, output: &[usize]) -> Option<Layer> {
    let [channels, ..] = draft.image()?;
    let Window {
        kernel,
        stride,
        padding,
        dilation,
    } = conv2d_window(draft)?;
    let groups = draft.size("groups")?;
    let out_channels = draft.size("out_channels")?;
    let weight = vec![out_channels, channels / groups, kernel[0], kernel[1]];
    Some(Layer {
        operator: Operator::Conv2d {
            stride,
            padding,
            dilation,
            groups,
        },
        multiply_accumulates: product(&weight).saturating_mul(product(&output[1..])),
        parameters: weight_and_bias(weight, draft.boolean("bias")?.then_some(out_channels)),
    })
}

pub(super) fn check_in_channels(draft: &Draft<'_>) -> Option<Problem> {
    let [actual, ..] = draft.image()?;
    let declared = draft.size("in_channels").filter(|&declared| declared != actual)?;
    let message =
        format!("`in_channels` is {declared}, but the input has {actual} channels: set it to {actual} or omit it.");
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("in_channels");
    Some(problem.expected(actual).actual(declared))
}

pub(super) fn check_groups_divide_input(draft: &Draft<'_>) -> Option<Problem> {
    let [channels, ..] = draft.image()?;
    let groups = draft.size("groups").filter(|groups| channels % groups != 0)?;
    let message = format!(
        "The {channels} input channels cannot be split evenly into {groups} groups: set `groups` to a \
         divisor of {channels}."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("groups");
    Some(problem.expected(format!("a divisor of {channels}")).actual(groups))
}

pub(super) fn check_groups_divide_output(draft: &Draft<'_>) -> Option<Problem> {
    let out_channels = draft.size("out_channels")?;
    let groups = draft.size("groups").filter(|groups| out_channels % groups != 0)?;
    let message =
        format!("`out_channels` must be a multiple of `groups`; {out_channels} is not a multiple of {groups}.");
    let problem = Problem::new(ErrorRule::Conflict, message).for_parameter("out_channels");
    Some(problem.expected(format!("a multiple of {groups}")).actual(out_channels))
}

fn check_same_stride(draft: &Draft<'_>) -> Option<Problem> {
    let stride = draft.pair("stride").filter(|&stride| stride != [1, 1])?;
    (draft.choice("padding")? == "same").then(|| {
        let message = "Padding \"same\" requires stride 1: give the padding as a number instead.";
        let problem = Problem::new(ErrorRule::Conflict, message).for_parameter("padding");
        problem
            .expected("stride 1")
            .actual(format!("stride {}", format_shape(&stride)))
    })
}

fn check_same_symmetry(draft: &Draft<'_>) -> Option<Problem> {
    let [rows, columns] = same_total(draft)?;
    let [top, left] = [rows / 2, columns / 2];
    let [bottom, right] = [rows - top, columns - left];
    (top != bottom || left != right).then(|| {
        let block = format!("ZeroPad2d with padding [{left}, {right}, {top}, {bottom}]");
        let message = format!(
            "Padding \"same\" would need one more row or column on one side, which SCV does not \
             support: put a {block} before it and set `padding` to 0."
        );
        let problem = Problem::new(ErrorRule::Conflict, message).for_parameter("padding");
        problem.expected(block).actual("\"same\"")
    })
}

fn check_kernel_fits(draft: &Draft<'_>) -> Option<Problem> {
    let [_, rows, columns] = draft.image()?;
    let window = conv2d_window(draft)?;
    if window.convolved([rows, columns]).is_some() {
        return None;
    }
    let span = format_shape(&window.span());
    let padded = format_shape(&[rows + 2 * window.padding[0], columns + 2 * window.padding[1]]);
    let message = format!(
        "The kernel spans {span}, but the padded image is only {padded}: use a smaller \
         `kernel_size` or `dilation`, or more `padding`."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("kernel_size");
    Some(problem.expected(format!("a span of at most {padded}")).actual(span))
}
