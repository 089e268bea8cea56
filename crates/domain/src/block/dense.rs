//! From images to scores: `Flatten`, `Linear` and `Softmax`.

use serde_json::{Value, json};

use super::MAX_DIMENSION;
use super::catalogue::{Category, Input, KindSpec, Layer, LayerLowering, Lowering, product, weight_and_bias};
use super::draft::Draft;
use super::error::{ErrorRule, Problem};
use super::parameter::{ParameterSpec, ParameterType};
use crate::graph::Operator;

/// PyTorch counts the batch as dimension 0, so the dimensions of one image start here.
const FIRST_DIM: i64 = 1;

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![flatten(), linear(), softmax()]
}

fn flatten() -> KindSpec {
    KindSpec {
        category: Category::Dense,
        name: "Flatten",
        summary: "Flattens dimensions into one, as `Linear` needs.",
        parameters: vec![
            ParameterSpec::optional(
                "start_dim",
                dimension(),
                json!(1),
                "First dimension to flatten; 0 is the batch and not allowed, negative numbers count from the end.",
            ),
            ParameterSpec::optional(
                "end_dim",
                dimension(),
                json!(-1),
                "Last dimension to flatten; not before `start_dim`.",
            ),
        ],
        lowering: Lowering::Layer(LayerLowering {
            input: Input::Any,
            rules: &[check_start_dim, check_end_dim, check_dim_order],
            output_shape: flattened_shape,
            layer: |_, _| Some(Layer::plain(Operator::Reshape)),
        }),
    }
}

fn linear() -> KindSpec {
    KindSpec {
        category: Category::Dense,
        name: "Linear",
        summary: "Computes weighted sums of all input features; put `Flatten` before it.",
        parameters: vec![
            ParameterSpec::required("out_features", features(), "Output features."),
            ParameterSpec::optional(
                "bias",
                ParameterType::Boolean,
                json!(true),
                "Whether to add a learned bias to each sum.",
            ),
            ParameterSpec::derived(
                "in_features",
                ParameterType::Integer {
                    min: 1,
                    max: i64::from(u32::MAX),
                },
                |draft| draft.features().map(Value::from),
                "Input features; inferred, and checked if given.",
            ),
        ],
        lowering: Lowering::Layer(LayerLowering {
            input: Input::Features,
            rules: &[check_in_features],
            output_shape: |draft| Some(vec![draft.size("out_features")?]),
            layer: linear_layer,
        }),
    }
}

fn softmax() -> KindSpec {
    KindSpec {
        category: Category::Dense,
        name: "Softmax",
        summary: "Turns scores into probabilities that sum to 1. As the last block, it is left out of the loss.",
        parameters: vec![ParameterSpec::optional(
            "dim",
            dimension(),
            json!(1),
            "Dimension that sums to 1; 0 is the batch and not allowed, negative numbers count from the end.",
        )],
        lowering: Lowering::Layer(LayerLowering::same_shape(&[check_softmax_dim], |draft, _| {
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

/// Converts a dimension that counts the batch, or counts from the end, into a dimension of one image.
fn resolved(draft: &Draft<'_>, name: &str) -> Option<usize> {
    let given = draft.integer(name)?;
    let rank = i64::try_from(draft.input()?.len()).ok()?;
    let dimension = if given < 0 { given + rank } else { given - FIRST_DIM };
    usize::try_from(dimension).ok().filter(|_| dimension < rank)
}

fn flattened_shape(draft: &Draft<'_>) -> Option<Vec<usize>> {
    let shape = draft.input()?;
    let [start, end] = [resolved(draft, "start_dim")?, resolved(draft, "end_dim")?];
    let flattened: usize = shape.get(start..=end)?.iter().product();
    Some([&shape[..start], &[flattened], &shape[end + 1..]].concat())
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

fn check_in_features(draft: &Draft<'_>) -> Option<Problem> {
    let actual = draft.features()?;
    let declared = draft.size("in_features").filter(|&declared| declared != actual)?;
    let message =
        format!("`in_features` is {declared}, but the input has {actual} features: set it to {actual} or omit it.");
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("in_features");
    Some(problem.expected(actual).actual(declared))
}

fn check_start_dim(draft: &Draft<'_>) -> Option<Problem> {
    check_dimension(draft, "start_dim")
}

fn check_end_dim(draft: &Draft<'_>) -> Option<Problem> {
    check_dimension(draft, "end_dim")
}

fn check_softmax_dim(draft: &Draft<'_>) -> Option<Problem> {
    check_dimension(draft, "dim")
}

fn check_dimension(draft: &Draft<'_>, name: &str) -> Option<Problem> {
    let rank = draft.input()?.len();
    let given = draft.integer(name)?;
    if resolved(draft, name).is_some() {
        return None;
    }
    let message = format!(
        "`{name}` is {given}, but the dimensions of an image here are 1 to {rank} (or -{rank} to -1); \
         0 is the batch, whose images must not be mixed."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter(name);
    Some(problem.expected(format!("1 to {rank} or -{rank} to -1")).actual(given))
}

fn check_dim_order(draft: &Draft<'_>) -> Option<Problem> {
    let [start, end] = [resolved(draft, "start_dim")?, resolved(draft, "end_dim")?];
    (start > end).then(|| {
        let message = "`start_dim` must not be after `end_dim`.";
        let [start, end] = ["start_dim", "end_dim"].map(|name| draft.integer(name).unwrap_or_default());
        let problem = Problem::new(ErrorRule::Conflict, message).for_parameter("start_dim");
        problem.expected(format!("at most {end}")).actual(start)
    })
}
