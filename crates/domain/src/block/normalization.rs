//! Layers that stabilise training: normalisation and dropout.

use serde_json::{Value, json};

use super::MAX_DIMENSION;
use super::catalogue::{Category, Input, KindSpec, Layer, LayerLowering, Lowering};
use super::draft::Draft;
use super::error::{ErrorRule, Problem};
use super::parameter::{ParameterSpec, ParameterType};
use crate::graph::{Operator, Parameter, ParameterRole};

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![batch_norm2d(), dropout()]
}

fn batch_norm2d() -> KindSpec {
    KindSpec {
        category: Category::Normalization,
        name: "BatchNorm2d",
        summary: "Normalises each channel to mean 0 and deviation 1, then applies a learned scale and offset.",
        parameters: vec![
            ParameterSpec::derived(
                "num_features",
                ParameterType::Integer {
                    min: 1,
                    max: MAX_DIMENSION as i64,
                },
                |draft| draft.image().map(|[channels, ..]| Value::from(channels)),
                "Input channels; inferred, and checked if given.",
            ),
            ParameterSpec::optional(
                "eps",
                ParameterType::Number { min: 0.0, max: 1.0 },
                json!(1e-5),
                "Added to the variance.",
            ),
            ParameterSpec::optional(
                "momentum",
                ParameterType::Number { min: 0.0, max: 1.0 }.or(ParameterType::Null),
                json!(0.1),
                "Weight of a new batch in the running mean and variance; `null` gives the plain mean of all batches.",
            ),
            ParameterSpec::optional(
                "affine",
                ParameterType::Boolean,
                json!(true),
                "Whether to apply a learned scale and offset.",
            ),
            ParameterSpec::optional(
                "track_running_stats",
                ParameterType::Boolean,
                json!(true),
                "Must be true: the output for an image must not depend on the other images of its batch.",
            ),
        ],
        lowering: Lowering::Layer(LayerLowering {
            input: Input::Image,
            ..LayerLowering::same_shape(&[check_num_features, check_statistics_tracked], batch_norm2d_layer)
        }),
    }
}

fn dropout() -> KindSpec {
    KindSpec {
        category: Category::Normalization,
        name: "Dropout",
        summary: "Zeroes random values in training and scales up the rest; does nothing otherwise.",
        parameters: vec![
            ParameterSpec::optional(
                "p",
                ParameterType::Number { min: 0.0, max: 1.0 },
                json!(0.5),
                "Probability of zeroing a value.",
            ),
            ParameterSpec::inplace(),
        ],
        lowering: Lowering::Layer(LayerLowering::same_shape(&[], |draft, _| {
            Some(Layer::plain(Operator::Dropout { p: draft.number("p")? }))
        })),
    }
}

fn batch_norm2d_layer(draft: &Draft<'_>, _: &[usize]) -> Option<Layer> {
    let [channels, ..] = draft.image()?;
    let roles: &[ParameterRole] = if draft.boolean("affine")? {
        &[
            ParameterRole::Weight,
            ParameterRole::Bias,
            ParameterRole::RunningMean,
            ParameterRole::RunningVar,
        ]
    } else {
        &[ParameterRole::RunningMean, ParameterRole::RunningVar]
    };
    let operator = Operator::BatchNorm2d {
        eps: draft.number("eps")?,
        momentum: draft.number("momentum"),
    };
    let parameters = roles
        .iter()
        .map(|&role| Parameter {
            role,
            shape: vec![channels],
        })
        .collect();
    Some(Layer {
        operator,
        parameters,
        multiply_accumulates: 0,
    })
}

fn check_num_features(draft: &Draft<'_>) -> Option<Problem> {
    let [actual, ..] = draft.image()?;
    let declared = draft.size("num_features").filter(|&declared| declared != actual)?;
    let message =
        format!("`num_features` is {declared}, but the input has {actual} channels: set it to {actual} or omit it.");
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("num_features");
    Some(problem.expected(actual).actual(declared))
}

fn check_statistics_tracked(draft: &Draft<'_>) -> Option<Problem> {
    let is_tracked = draft.boolean("track_running_stats")?;
    (!is_tracked).then(|| {
        let message = "Without running statistics, the output for an image would depend on the other images of its \
                       batch: leave `track_running_stats` true.";
        let problem = Problem::new(ErrorRule::OutOfRange, message).for_parameter("track_running_stats");
        problem.expected(true).actual(false)
    })
}
