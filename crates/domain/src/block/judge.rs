//! Whether one block, by itself, is right on the shape that arrives.

use serde_json::Value;

use super::catalogue::{Form, Input, KindSpec, Layer, LayerForm, catalogue, find, product};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, abbreviated, written};
use super::nearest::nearest;
use super::parameter::ParameterType;
use super::{Block, MAX_DIMENSION, MAX_VALUE_LENGTH};

/// What one block comes to.
pub(super) struct Judged {
    /// All that is wrong with it.
    pub problems: Vec<Problem>,
    pub verdict: Verdict,
}

pub(super) enum Verdict {
    /// Nothing is wrong with it.
    Layer {
        kind: &'static KindSpec,
        settings: Value,
        layer: Layer,
        output_shape: Vec<usize>,
    },
    /// It cannot be computed, for its own or an earlier block's fault, but perhaps its shape is certain.
    Faulty { output_shape: Option<Vec<usize>> },
    /// What it comes to depends on the blocks inside.
    Residual,
}

/// Reads a block for an input whose shape is known unless an earlier block is at fault.
pub(super) fn judge(block: &Block, input: Option<&[usize]>) -> Judged {
    let Some(kind) = find(&block.kind) else {
        let problems = vec![unknown_kind(&block.kind)];
        return Judged {
            problems,
            verdict: Verdict::Faulty { output_shape: None },
        };
    };
    let mut problems = misplaced_branches(kind, block);
    let (draft, wrong_parameters) = Draft::read(kind, &block.parameters, input);
    problems.extend(wrong_parameters);
    let verdict = match &kind.form {
        Form::Residual => Verdict::Residual,
        Form::Layer(form) => judge_layer(kind, form, draft, &mut problems),
    };
    Judged { problems, verdict }
}

fn judge_layer(kind: &'static KindSpec, form: &LayerForm, draft: Draft<'_>, problems: &mut Vec<Problem>) -> Verdict {
    problems.extend(wrong_input(kind, form.input, &draft));
    problems.extend(form.rules.iter().filter_map(|rule| rule(&draft)));
    let Some(output_shape) = (form.output_shape)(&draft) else {
        return Verdict::Faulty { output_shape: None };
    };
    if let Some(problem) = too_large(&output_shape) {
        problems.push(problem);
        return Verdict::Faulty { output_shape: None };
    }
    match (form.layer)(&draft, &output_shape) {
        Some(layer) if problems.is_empty() => Verdict::Layer {
            kind,
            settings: draft.into_settings(),
            layer,
            output_shape,
        },
        _ => Verdict::Faulty {
            output_shape: Some(output_shape),
        },
    }
}

fn unknown_kind(given: &str) -> Problem {
    let names: Vec<&str> = catalogue().iter().map(|kind| kind.name).collect();
    let shown = abbreviated(given);
    let meant = nearest(given, names.iter().copied());
    let message = match meant {
        Some(meant) => format!("There is no kind `{shown}`; did you mean `{meant}`?"),
        None => format!("There is no kind `{shown}`; choose one of {}.", names.join(", ")),
    };
    let expected = meant.map_or_else(|| names.join(", "), str::to_owned);
    Problem::new(ErrorRule::UnknownKind, message)
        .expected(expected)
        .actual(shown)
}

/// Lists of blocks given to a kind that holds none.
fn misplaced_branches(kind: &KindSpec, block: &Block) -> Vec<Problem> {
    let takes = |name: &str| {
        kind.parameters
            .iter()
            .any(|spec| spec.name == name && spec.value == ParameterType::Blocks)
    };
    [("main", &block.main), ("shortcut", &block.shortcut)]
        .into_iter()
        .filter(|(name, blocks)| blocks.is_some() && !takes(name))
        .map(|(name, _)| {
            let message = format!("Only Residual has `{name}`; remove it from this {}.", kind.name);
            Problem::new(ErrorRule::UnknownParameter, message).of(name)
        })
        .collect()
}

fn wrong_input(kind: &KindSpec, input: Input, draft: &Draft<'_>) -> Option<Problem> {
    let shape = draft.input()?;
    let (expected, advice) = match (input, shape) {
        (Input::Any, _) | (Input::Image, [_, _, _]) | (Input::Features, [_]) => return None,
        (Input::Image, _) => ("channels x rows x columns", "put it before Flatten and Linear"),
        (Input::Features, _) => ("one row of numbers", "put a Flatten before it"),
    };
    let actual = written(shape);
    let message = format!("{} needs {expected}, but {actual} arrives: {advice}.", kind.name);
    Some(
        Problem::new(ErrorRule::ShapeMismatch, message)
            .expected(expected)
            .actual(actual),
    )
}

/// A value that is beyond what the server computes.
pub(super) fn too_large(shape: &[usize]) -> Option<Problem> {
    let is_image = shape.len() == 3;
    let limit = match shape.iter().max() {
        Some(&largest) if is_image && largest > MAX_DIMENSION => {
            format!("at most {MAX_DIMENSION} channels, rows and columns")
        }
        _ if product(shape) > MAX_VALUE_LENGTH => format!("at most {MAX_VALUE_LENGTH} numbers"),
        _ => return None,
    };
    let actual = written(shape);
    let message = format!("A value of {actual} is too large; {limit} are allowed.");
    Some(
        Problem::new(ErrorRule::TooLarge, message)
            .expected(limit)
            .actual(actual),
    )
}
