//! Checks a single block against its input shape.

use serde_json::Value;

use super::catalogue::{Input, KindSpec, Layer, LayerLowering, Lowering, catalogue, find_kind, product};
use super::draft::Draft;
use super::error::{ErrorRule, Problem, format_shape, truncated};
use super::parameter::ParameterType;
use super::{Block, MAX_DIMENSION, MAX_VALUE_LENGTH};
use crate::nearest::nearest;

/// The result of checking one block.
pub(super) struct CheckedBlock {
    /// All problems of the block.
    pub problems: Vec<Problem>,
    pub outcome: BlockOutcome,
}

pub(super) enum BlockOutcome {
    /// The block is valid and becomes one layer.
    Layer {
        kind: &'static KindSpec,
        settings: Value,
        layer: Layer,
        output_shape: Vec<usize>,
    },
    /// The block cannot be computed, because of an error in it or in an earlier block. Its output shape may still be known.
    Invalid { output_shape: Option<Vec<usize>> },
    /// The block is a residual, whose outcome depends on the blocks inside.
    Residual,
}

/// Checks a block. The input shape is `None` if an error in an earlier block hides it.
pub(super) fn check_block(block: &Block, input: Option<&[usize]>) -> CheckedBlock {
    let Some(kind) = find_kind(&block.kind) else {
        let problems = vec![unknown_kind(&block.kind)];
        return CheckedBlock {
            problems,
            outcome: BlockOutcome::Invalid { output_shape: None },
        };
    };
    let mut problems = misplaced_branches(kind, block);
    let (draft, parameter_problems) = Draft::read(kind, &block.parameters, input);
    problems.extend(parameter_problems);
    let outcome = match &kind.lowering {
        Lowering::Residual => BlockOutcome::Residual,
        Lowering::Layer(lowering) => check_layer(kind, lowering, draft, &mut problems),
    };
    CheckedBlock { problems, outcome }
}

fn check_layer(
    kind: &'static KindSpec,
    lowering: &LayerLowering,
    draft: Draft<'_>,
    problems: &mut Vec<Problem>,
) -> BlockOutcome {
    problems.extend(check_input(kind, lowering.input, &draft));
    problems.extend(lowering.rules.iter().filter_map(|rule| rule(&draft)));
    let Some(output_shape) = (lowering.output_shape)(&draft) else {
        return BlockOutcome::Invalid { output_shape: None };
    };
    if let Some(problem) = check_size(&output_shape) {
        problems.push(problem);
        return BlockOutcome::Invalid { output_shape: None };
    }
    match (lowering.layer)(&draft, &output_shape) {
        Some(layer) if problems.is_empty() => BlockOutcome::Layer {
            kind,
            settings: draft.into_settings(),
            layer,
            output_shape,
        },
        _ => BlockOutcome::Invalid {
            output_shape: Some(output_shape),
        },
    }
}

fn unknown_kind(given: &str) -> Problem {
    let names: Vec<&str> = catalogue().iter().map(|kind| kind.name).collect();
    let shown = truncated(given);
    let suggestion = nearest(given, names.iter().copied());
    let message = match suggestion {
        Some(suggestion) => format!("There is no kind `{shown}`; did you mean `{suggestion}`?"),
        None => format!("There is no kind `{shown}`; choose one of {}.", names.join(", ")),
    };
    let expected = suggestion.map_or_else(|| names.join(", "), str::to_owned);
    Problem::new(ErrorRule::UnknownKind, message)
        .expected(expected)
        .actual(shown)
}

/// Problems of block lists in a kind that contains no blocks.
fn misplaced_branches(kind: &KindSpec, block: &Block) -> Vec<Problem> {
    let accepts = |name: &str| {
        kind.parameters
            .iter()
            .any(|spec| spec.name == name && spec.value == ParameterType::Blocks)
    };
    [("main", &block.main), ("shortcut", &block.shortcut)]
        .into_iter()
        .filter(|(name, blocks)| blocks.is_some() && !accepts(name))
        .map(|(name, _)| {
            let message = format!("Only Residual has `{name}`; remove it from this {}.", kind.name);
            Problem::new(ErrorRule::UnknownParameter, message).for_parameter(name)
        })
        .collect()
}

fn check_input(kind: &KindSpec, input: Input, draft: &Draft<'_>) -> Option<Problem> {
    let shape = draft.input()?;
    let (expected, advice) = match (input, shape) {
        (Input::Any, _) | (Input::Image, [_, _, _]) | (Input::Features, [_]) => return None,
        (Input::Image, _) => ("channels x rows x columns", "put it before Flatten and Linear"),
        (Input::Features, _) => ("a flat list of features", "put a Flatten before it"),
    };
    let actual = format_shape(shape);
    let message = format!("{} needs {expected}, but its input is {actual}: {advice}.", kind.name);
    Some(
        Problem::new(ErrorRule::ShapeMismatch, message)
            .expected(expected)
            .actual(actual),
    )
}

/// Checks that a value is not too large to be computed.
pub(super) fn check_size(shape: &[usize]) -> Option<Problem> {
    let is_image = shape.len() == 3;
    let limit = match shape.iter().max() {
        Some(&largest) if is_image && largest > MAX_DIMENSION => {
            format!("{MAX_DIMENSION} channels, rows or columns")
        }
        _ if product(shape) > MAX_VALUE_LENGTH => format!("{MAX_VALUE_LENGTH} elements"),
        _ => return None,
    };
    let actual = format_shape(shape);
    let message = format!("A value of {actual} is too large; the limit is {limit}.");
    Some(
        Problem::new(ErrorRule::TooLarge, message)
            .expected(format!("at most {limit}"))
            .actual(actual),
    )
}
