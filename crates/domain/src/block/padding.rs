//! Layers that pad an image.

use serde_json::json;

use super::MAX_DIMENSION;
use super::catalogue::{Category, Input, KindSpec, Layer, LayerLowering, Lowering, Rule};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, format_shape};
use super::parameter::{ParameterSpec, ParameterType};
use crate::graph::{Operator, PadMode};

const MAX: i64 = MAX_DIMENSION as i64;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![reflection_pad2d(), replication_pad2d(), zero_pad2d(), constant_pad2d()]
}

fn reflection_pad2d() -> KindSpec {
    KindSpec {
        category: Category::Padding,
        name: "ReflectionPad2d",
        summary: "Mirrors the image at its border; the border itself is not repeated.",
        parameters: vec![padding(0, "Left, right, top, bottom; smaller than the image.")],
        lowering: lowering(&[check_reflection], |draft, _| pad(draft, PadMode::Reflection)),
    }
}

fn replication_pad2d() -> KindSpec {
    KindSpec {
        category: Category::Padding,
        name: "ReplicationPad2d",
        summary: "Repeats the border of the image.",
        parameters: vec![padding(0, "Left, right, top, bottom.")],
        lowering: lowering(&[], |draft, _| pad(draft, PadMode::Replication)),
    }
}

fn zero_pad2d() -> KindSpec {
    KindSpec {
        category: Category::Padding,
        name: "ZeroPad2d",
        summary: "Adds zeros around the image, or crops it.",
        parameters: vec![constant_padding()],
        lowering: lowering(&[check_crop], |draft, _| pad(draft, PadMode::Constant(0.0))),
    }
}

fn constant_pad2d() -> KindSpec {
    KindSpec {
        category: Category::Padding,
        name: "ConstantPad2d",
        summary: "Adds a constant around the image, or crops it.",
        parameters: vec![
            constant_padding(),
            ParameterSpec::required("value", ParameterType::ANY_NUMBER, "The constant to fill with."),
        ],
        lowering: lowering(&[check_crop], |draft, _| {
            pad(draft, PadMode::Constant(draft.number("value")?))
        }),
    }
}

fn padding(min: i64, description: &'static str) -> ParameterSpec {
    let value = ParameterType::Integer { min, max: MAX }.each(4);
    ParameterSpec::required("padding", value, description)
}

fn constant_padding() -> ParameterSpec {
    padding(-MAX, "Left, right, top, bottom; negative numbers crop.")
}

fn lowering(rules: &'static [Rule], layer: fn(&Draft<'_>, &[usize]) -> Option<Layer>) -> Lowering {
    Lowering::Layer(LayerLowering {
        input: Input::Image,
        rules,
        output_shape: padded_shape,
        layer,
    })
}

fn pad(draft: &Draft<'_>, mode: PadMode) -> Option<Layer> {
    Some(Layer::plain(Operator::Pad2d {
        mode,
        padding: draft.integers("padding")?,
    }))
}

fn padded_shape(draft: &Draft<'_>) -> Option<Vec<usize>> {
    let [channels, rows, columns] = draft.image()?;
    let [left, right, top, bottom] = draft.integers("padding")?;
    Some(vec![
        channels,
        padded(rows, top, bottom)?,
        padded(columns, left, right)?,
    ])
}

/// The size after padding; `None` if nothing is left after cropping.
fn padded(size: usize, before: i64, after: i64) -> Option<usize> {
    let kept = i64::try_from(size).ok()? + before.min(0) + after.min(0);
    (kept > 0).then(|| usize::try_from(kept + before.max(0) + after.max(0)).ok())?
}

fn check_crop(draft: &Draft<'_>) -> Option<Problem> {
    let image = draft.image()?;
    let padding = draft.integers::<4>("padding")?;
    if padded_shape(draft).is_some() {
        return None;
    }
    let size = format_shape(&image[1..]);
    let message = format!("`padding` crops the whole image, which is {size}: use numbers closer to zero.");
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("padding");
    Some(
        problem
            .expected(format!("less than {size} cropped"))
            .actual(json!(padding)),
    )
}

fn check_reflection(draft: &Draft<'_>) -> Option<Problem> {
    let [_, rows, columns] = draft.image()?;
    let [left, right, top, bottom] = draft.integers("padding")?;
    let exceeds = |padding: i64, size: usize| usize::try_from(padding).is_ok_and(|padding| padding >= size);
    let is_too_large = [left, right].iter().any(|&padding| exceeds(padding, columns))
        || [top, bottom].iter().any(|&padding| exceeds(padding, rows));
    is_too_large.then(|| {
        let message = format!(
            "Reflection padding must be smaller than the image: for an image of {rows}x{columns}, `padding` \
             must be below {columns} on the left and right and below {rows} at the top and bottom."
        );
        let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("padding");
        let limits = [columns, columns, rows, rows];
        problem
            .expected(format!("below {}", json!(limits)))
            .actual(json!([left, right, top, bottom]))
    })
}
