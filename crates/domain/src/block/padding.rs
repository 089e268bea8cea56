//! Layers that add places around an image.

use serde_json::json;

use super::MAX_DIMENSION;
use super::catalogue::{Form, Input, KindSpec, Layer, LayerForm, Rule};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, written};
use super::parameter::{ParameterSpec, ParameterType};
use crate::graph::{Operator, PadMode};

const MAX: i64 = MAX_DIMENSION as i64;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![reflection_pad2d(), replication_pad2d(), zero_pad2d(), constant_pad2d()]
}

fn reflection_pad2d() -> KindSpec {
    KindSpec {
        name: "ReflectionPad2d",
        summary: "Mirrors the image at its border, which itself is not repeated.",
        parameters: vec![padding(0, "Left, right, top, bottom; smaller than the image.")],
        form: form(&[reflection_is_inside], |draft, _| pad(draft, PadMode::Reflection)),
    }
}

fn replication_pad2d() -> KindSpec {
    KindSpec {
        name: "ReplicationPad2d",
        summary: "Repeats the border of the image.",
        parameters: vec![padding(0, "Left, right, top, bottom.")],
        form: form(&[], |draft, _| pad(draft, PadMode::Replication)),
    }
}

fn zero_pad2d() -> KindSpec {
    KindSpec {
        name: "ZeroPad2d",
        summary: "Puts zeros around the image, or cuts it.",
        parameters: vec![constant_padding()],
        form: form(&[cut_leaves_something], |draft, _| pad(draft, PadMode::Constant(0.0))),
    }
}

fn constant_pad2d() -> KindSpec {
    KindSpec {
        name: "ConstantPad2d",
        summary: "Puts a number around the image, or cuts it.",
        parameters: vec![
            constant_padding(),
            ParameterSpec::required("value", ParameterType::ANY_NUMBER, "What the new places hold."),
        ],
        form: form(&[cut_leaves_something], |draft, _| {
            pad(draft, PadMode::Constant(draft.number("value")?))
        }),
    }
}

fn padding(min: i64, rule: &'static str) -> ParameterSpec {
    let value = ParameterType::Integer { min, max: MAX }.each(4);
    ParameterSpec::required("padding", value, rule)
}

fn constant_padding() -> ParameterSpec {
    padding(-MAX, "Left, right, top, bottom; a negative number cuts so much off.")
}

fn form(rules: &'static [Rule], layer: fn(&Draft<'_>, &[usize]) -> Option<Layer>) -> Form {
    Form::Layer(LayerForm {
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

/// A size after padding, if some of the image survives the cuts.
fn padded(size: usize, before: i64, after: i64) -> Option<usize> {
    let kept = i64::try_from(size).ok()? + before.min(0) + after.min(0);
    (kept > 0).then(|| usize::try_from(kept + before.max(0) + after.max(0)).ok())?
}

fn cut_leaves_something(draft: &Draft<'_>) -> Option<Problem> {
    let image = draft.image()?;
    let padding = draft.integers::<4>("padding")?;
    if padded_shape(draft).is_some() {
        return None;
    }
    let size = written(&image[1..]);
    let message = format!("`padding` cuts off the whole image, which is {size}: use less negative numbers.");
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).of("padding");
    Some(
        problem
            .expected(format!("less than {size} cut off"))
            .actual(json!(padding)),
    )
}

fn reflection_is_inside(draft: &Draft<'_>) -> Option<Problem> {
    let [_, rows, columns] = draft.image()?;
    let [left, right, top, bottom] = draft.integers("padding")?;
    let reaches = |places: i64, size: usize| usize::try_from(places).is_ok_and(|places| places >= size);
    let is_outside = [left, right].iter().any(|&places| reaches(places, columns))
        || [top, bottom].iter().any(|&places| reaches(places, rows));
    is_outside.then(|| {
        let message = format!(
            "A mirror can show at most all but the border: for an image of {rows}x{columns}, \
             `padding` must be below {columns} left and right and below {rows} at top and bottom."
        );
        let problem = Problem::new(ErrorRule::ShapeMismatch, message).of("padding");
        let limits = [columns, columns, rows, rows];
        problem
            .expected(format!("below {}", json!(limits)))
            .actual(json!([left, right, top, bottom]))
    })
}
