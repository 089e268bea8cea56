//! Convolutions, and what their transposes share with them.

use serde_json::{Value, json};

use super::catalogue::{Form, Input, KindSpec, Layer, LayerForm, product, weight_and_bias};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, written};
use super::parameter::{ParameterSpec, ParameterType};
use super::window::{Window, both, reach};
use super::{MAX_DIMENSION, ParameterType::Integer};
use crate::graph::Operator;

const MAX: i64 = MAX_DIMENSION as i64;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![conv2d()]
}

fn conv2d() -> KindSpec {
    KindSpec {
        name: "Conv2d",
        summary: "Slides learned kernels over the image and sums the products.",
        parameters: vec![
            out_channels(),
            kernel_size(),
            stride(),
            ParameterSpec::optional(
                "padding",
                ParameterType::pair(0, MAX).or(ParameterType::Word(&["same", "valid"])),
                json!(0),
                "Zeros on both sides: rows, columns. `\"valid\"` is 0; `\"same\"` keeps the size and \
                 needs stride 1 and an even `dilation * (kernel_size - 1)`.",
            ),
            dilation(),
            groups(),
            bias(),
            in_channels(),
            padding_mode(),
        ],
        form: Form::Layer(LayerForm {
            input: Input::Image,
            rules: &[
                in_channels_arrive,
                groups_divide_input,
                groups_divide_output,
                same_needs_stride_one,
                same_needs_symmetry,
                kernel_fits,
            ],
            output_shape: conv2d_shape,
            layer: conv2d_layer,
        }),
    }
}

pub(super) fn out_channels() -> ParameterSpec {
    let value = Integer { min: 1, max: MAX };
    ParameterSpec::required("out_channels", value, "Channels made; a multiple of `groups`.")
}

pub(super) fn kernel_size() -> ParameterSpec {
    let value = ParameterType::pair(1, MAX);
    ParameterSpec::required("kernel_size", value, "Rows and columns of the kernel.")
}

pub(super) fn stride() -> ParameterSpec {
    let rule = "Rows and columns from one place to the next.";
    ParameterSpec::optional("stride", ParameterType::pair(1, MAX), json!(1), rule)
}

pub(super) fn dilation() -> ParameterSpec {
    let rule = "Rows and columns between the kernel's values.";
    ParameterSpec::optional("dilation", ParameterType::pair(1, MAX), json!(1), rule)
}

pub(super) fn groups() -> ParameterSpec {
    let rule = "Channel groups that do not see each other; divides the channels that arrive and those made.";
    ParameterSpec::optional("groups", Integer { min: 1, max: MAX }, json!(1), rule)
}

pub(super) fn bias() -> ParameterSpec {
    let rule = "Whether a learned number is added to each channel.";
    ParameterSpec::optional("bias", ParameterType::Boolean, json!(true), rule)
}

pub(super) fn in_channels() -> ParameterSpec {
    let arriving = |draft: &Draft<'_>| draft.image().map(|[channels, ..]| Value::from(channels));
    let rule = "The channels that arrive; checked when given.";
    ParameterSpec::derived("in_channels", Integer { min: 1, max: MAX }, arriving, rule)
}

pub(super) fn padding_mode() -> ParameterSpec {
    let rule = "For other modes put a padding block before it.";
    ParameterSpec::optional("padding_mode", ParameterType::Word(&["zeros"]), json!("zeros"), rule)
}

/// Zeros on both sides; none if `same` would need more on one side than on the other.
fn conv2d_padding(draft: &Draft<'_>) -> Option<[usize; 2]> {
    match draft.word("padding") {
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

/// Rows and columns that `same` adds in all: `dilation (kernel − 1)`.
fn same_total(draft: &Draft<'_>) -> Option<[usize; 2]> {
    let [kernel, dilation] = [draft.pair("kernel_size")?, draft.pair("dilation")?];
    (draft.word("padding")? == "same").then(|| both(|axis| reach(kernel[axis], dilation[axis]) - 1))
}

fn conv2d_window(draft: &Draft<'_>) -> Option<Window> {
    Window::of(draft, conv2d_padding(draft)?, true)
}

fn conv2d_shape(draft: &Draft<'_>) -> Option<Vec<usize>> {
    let [_, rows, columns] = draft.image()?;
    let [rows, columns] = match draft.word("padding") {
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
    let made = draft.size("out_channels")?;
    let weight = vec![made, channels / groups, kernel[0], kernel[1]];
    Some(Layer {
        operator: Operator::Conv2d {
            stride,
            padding,
            dilation,
            groups,
        },
        multiply_accumulates: product(&weight).saturating_mul(product(&output[1..])),
        parameters: weight_and_bias(weight, draft.boolean("bias")?.then_some(made)),
    })
}

pub(super) fn in_channels_arrive(draft: &Draft<'_>) -> Option<Problem> {
    let [arriving, ..] = draft.image()?;
    let declared = draft.size("in_channels").filter(|&declared| declared != arriving)?;
    let message =
        format!("`in_channels` is {declared}, but {arriving} channels arrive: write {arriving} or leave it out.");
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).of("in_channels");
    Some(problem.expected(arriving).actual(declared))
}

pub(super) fn groups_divide_input(draft: &Draft<'_>) -> Option<Problem> {
    let [arriving, ..] = draft.image()?;
    let groups = draft.size("groups").filter(|groups| arriving % groups != 0)?;
    let message = format!(
        "{arriving} channels arrive, which {groups} groups cannot share evenly: choose `groups` \
         among the divisors of {arriving}."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).of("groups");
    Some(problem.expected(format!("a divisor of {arriving}")).actual(groups))
}

pub(super) fn groups_divide_output(draft: &Draft<'_>) -> Option<Problem> {
    let made = draft.size("out_channels")?;
    let groups = draft.size("groups").filter(|groups| made % groups != 0)?;
    let message = format!("`out_channels` must be a multiple of `groups`; {made} is none of {groups}.");
    let problem = Problem::new(ErrorRule::Conflict, message).of("out_channels");
    Some(problem.expected(format!("a multiple of {groups}")).actual(made))
}

fn same_needs_stride_one(draft: &Draft<'_>) -> Option<Problem> {
    let stride = draft.pair("stride").filter(|&stride| stride != [1, 1])?;
    (draft.word("padding")? == "same").then(|| {
        let message = "Padding \"same\" goes with stride 1 only: give the padding as a number.";
        let problem = Problem::new(ErrorRule::Conflict, message).of("padding");
        problem
            .expected("stride 1")
            .actual(format!("stride {}", written(&stride)))
    })
}

fn same_needs_symmetry(draft: &Draft<'_>) -> Option<Problem> {
    let [rows, columns] = same_total(draft)?;
    let [top, left] = [rows / 2, columns / 2];
    let [bottom, right] = [rows - top, columns - left];
    (top != bottom || left != right).then(|| {
        let block = format!("ZeroPad2d with padding [{left}, {right}, {top}, {bottom}]");
        let message = format!(
            "Padding \"same\" would need one row or column more on one side, which SCV's \
             convolution has not: put a {block} before it and give padding 0."
        );
        let problem = Problem::new(ErrorRule::Conflict, message).of("padding");
        problem.expected(block).actual("\"same\"")
    })
}

fn kernel_fits(draft: &Draft<'_>) -> Option<Problem> {
    let [_, rows, columns] = draft.image()?;
    let window = conv2d_window(draft)?;
    if window.convolved([rows, columns]).is_some() {
        return None;
    }
    let reach = written(&window.reach());
    let padded = written(&[rows + 2 * window.padding[0], columns + 2 * window.padding[1]]);
    let message = format!(
        "The kernel spans {reach}, but the padded image is only {padded}: take a smaller \
         `kernel_size` or `dilation`, or more `padding`."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).of("kernel_size");
    Some(problem.expected(format!("a span of at most {padded}")).actual(reach))
}
