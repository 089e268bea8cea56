//! From images to scores: `Flatten`, `Linear` and `Softmax`.

use serde_json::{Value, json};

use super::MAX_DIMENSION;
use super::catalogue::{Form, Input, KindSpec, Layer, LayerForm, product, weight_and_bias};
use super::draft::Draft;
use super::error::{ErrorRule, Problem};
use super::parameter::{ParameterSpec, ParameterType};
use crate::graph::Operator;

/// PyTorch counts the batch as dimension 0, so an image's own dimensions begin here.
const FIRST_DIM: i64 = 1;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![flatten(), linear(), softmax()]
}

fn flatten() -> KindSpec {
    KindSpec {
        name: "Flatten",
        summary: "Lays dimensions out in one row, as `Linear` needs it.",
        parameters: vec![
            ParameterSpec::optional(
                "start_dim",
                dimension(),
                json!(1),
                "First dimension taken; 0 is the batch and stays, negative numbers count from the end.",
            ),
            ParameterSpec::optional(
                "end_dim",
                dimension(),
                json!(-1),
                "Last dimension taken; not before `start_dim`.",
            ),
        ],
        form: Form::Layer(LayerForm {
            input: Input::Any,
            rules: &[start_dim_exists, end_dim_exists, start_is_not_after_end],
            output_shape: flattened_shape,
            layer: |_, _| Some(Layer::plain(Operator::Reshape)),
        }),
    }
}

fn linear() -> KindSpec {
    KindSpec {
        name: "Linear",
        summary: "Takes weighted sums of all numbers; put `Flatten` before it.",
        parameters: vec![
            ParameterSpec::required("out_features", features(), "Numbers made."),
            ParameterSpec::optional(
                "bias",
                ParameterType::Boolean,
                json!(true),
                "Whether a learned number is added to each sum.",
            ),
            ParameterSpec::derived(
                "in_features",
                ParameterType::Integer {
                    min: 1,
                    max: i64::from(u32::MAX),
                },
                |draft| draft.features().map(Value::from),
                "The numbers that arrive; checked when given.",
            ),
        ],
        form: Form::Layer(LayerForm {
            input: Input::Features,
            rules: &[in_features_arrive],
            output_shape: |draft| Some(vec![draft.size("out_features")?]),
            layer: linear_layer,
        }),
    }
}

fn softmax() -> KindSpec {
    KindSpec {
        name: "Softmax",
        summary: "Turns scores into shares that sum to 1. As the last block it is left out of the loss.",
        parameters: vec![ParameterSpec::optional(
            "dim",
            dimension(),
            json!(1),
            "The dimension that sums to 1; 0 is the batch and not allowed, negative numbers count from the end.",
        )],
        form: Form::Layer(LayerForm::same_shape(&[softmax_dim_exists], |draft, _| {
            let dim = resolved(draft, "dim")?;
            Some(Layer::plain(Operator::Softmax { dim }))
        })),
    }
}

fn dimension() -> ParameterType {
    ParameterType::Integer { min: -4, max: 3 }
}

fn features() -> ParameterType {
    ParameterType::Integer {
        min: 1,
        max: MAX_DIMENSION as i64,
    }
}

/// A dimension of one image's value, from a number that counts the batch or counts from the end.
fn resolved(draft: &Draft<'_>, name: &str) -> Option<usize> {
    let given = draft.integer(name)?;
    let rank = i64::try_from(draft.input()?.len()).ok()?;
    let dimension = if given < 0 { given + rank } else { given - FIRST_DIM };
    usize::try_from(dimension).ok().filter(|_| dimension < rank)
}

fn flattened_shape(draft: &Draft<'_>) -> Option<Vec<usize>> {
    let shape = draft.input()?;
    let [start, end] = [resolved(draft, "start_dim")?, resolved(draft, "end_dim")?];
    let taken: usize = shape.get(start..=end)?.iter().product();
    Some([&shape[..start], &[taken], &shape[end + 1..]].concat())
}

fn linear_layer(draft: &Draft<'_>, _: &[usize]) -> Option<Layer> {
    let weight = vec![draft.size("out_features")?, draft.features()?];
    let bias = draft.boolean("bias")?.then_some(weight[0]);
    Some(Layer {
        operator: Operator::Linear,
        multiply_accumulates: product(&weight),
        parameters: weight_and_bias(weight, bias),
    })
}

fn in_features_arrive(draft: &Draft<'_>) -> Option<Problem> {
    let arriving = draft.features()?;
    let declared = draft.size("in_features").filter(|&declared| declared != arriving)?;
    let message =
        format!("`in_features` is {declared}, but {arriving} numbers arrive: write {arriving} or leave it out.");
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).of("in_features");
    Some(problem.expected(arriving).actual(declared))
}

fn start_dim_exists(draft: &Draft<'_>) -> Option<Problem> {
    dimension_exists(draft, "start_dim")
}

fn end_dim_exists(draft: &Draft<'_>) -> Option<Problem> {
    dimension_exists(draft, "end_dim")
}

fn softmax_dim_exists(draft: &Draft<'_>) -> Option<Problem> {
    dimension_exists(draft, "dim")
}

fn dimension_exists(draft: &Draft<'_>, name: &str) -> Option<Problem> {
    let rank = draft.input()?.len();
    let given = draft.integer(name)?;
    if resolved(draft, name).is_some() {
        return None;
    }
    let message = format!(
        "`{name}` is {given}, but the image's own dimensions here are 1 to {rank} (or -{rank} to -1); \
         0 is the batch, whose images may not mix."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).of(name);
    Some(problem.expected(format!("1 to {rank} or -{rank} to -1")).actual(given))
}

fn start_is_not_after_end(draft: &Draft<'_>) -> Option<Problem> {
    let [start, end] = [resolved(draft, "start_dim")?, resolved(draft, "end_dim")?];
    (start > end).then(|| {
        let message = "`start_dim` must not come after `end_dim`.";
        let [start, end] = ["start_dim", "end_dim"].map(|name| draft.integer(name).unwrap_or_default());
        let problem = Problem::new(ErrorRule::Conflict, message).of("start_dim");
        problem.expected(format!("at most {end}")).actual(start)
    })
}
