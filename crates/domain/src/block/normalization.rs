//! Layers that steady the training: normalisation and dropout.

use serde_json::{Value, json};

use super::MAX_DIMENSION;
use super::catalogue::{Form, Input, KindSpec, Layer, LayerForm};
use super::draft::Draft;
use super::error::{ErrorRule, Problem};
use super::parameter::{ParameterSpec, ParameterType};
use crate::graph::{Operator, Parameter, ParameterRole};

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![batch_norm2d(), dropout()]
}

fn batch_norm2d() -> KindSpec {
    KindSpec {
        name: "BatchNorm2d",
        summary: "Gives each channel the mean 0 and the deviation 1, then a learned scale and offset.",
        parameters: vec![
            ParameterSpec::derived(
                "num_features",
                ParameterType::Integer {
                    min: 1,
                    max: MAX_DIMENSION as i64,
                },
                |draft| draft.image().map(|[channels, ..]| Value::from(channels)),
                "The channels that arrive; checked when given.",
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
                "Share of a new batch in the running mean and variance; `null` is the plain mean of all batches.",
            ),
            ParameterSpec::optional(
                "affine",
                ParameterType::Boolean,
                json!(true),
                "Whether there is a learned scale and offset.",
            ),
            ParameterSpec::optional(
                "track_running_stats",
                ParameterType::Boolean,
                json!(true),
                "Must be true: an answer may not depend on the other images of its batch.",
            ),
        ],
        form: Form::Layer(LayerForm {
            input: Input::Image,
            ..LayerForm::same_shape(&[num_features_arrive, statistics_are_tracked], batch_norm2d_layer)
        }),
    }
}

fn dropout() -> KindSpec {
    KindSpec {
        name: "Dropout",
        summary: "Sets numbers to zero at random while training and scales up the rest; does nothing otherwise.",
        parameters: vec![
            ParameterSpec::optional(
                "p",
                ParameterType::Number { min: 0.0, max: 1.0 },
                json!(0.5),
                "Probability of a zero.",
            ),
            ParameterSpec::inplace(),
        ],
        form: Form::Layer(LayerForm::same_shape(&[], |draft, _| {
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

fn num_features_arrive(draft: &Draft<'_>) -> Option<Problem> {
    let [arriving, ..] = draft.image()?;
    let declared = draft.size("num_features").filter(|&declared| declared != arriving)?;
    let message =
        format!("`num_features` is {declared}, but {arriving} channels arrive: write {arriving} or leave it out.");
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).of("num_features");
    Some(problem.expected(arriving).actual(declared))
}

fn statistics_are_tracked(draft: &Draft<'_>) -> Option<Problem> {
    let is_tracked = draft.boolean("track_running_stats")?;
    (!is_tracked).then(|| {
        let message = "Without running statistics an image's answer would depend on the others of its \
                       batch: leave `track_running_stats` true.";
        let problem = Problem::new(ErrorRule::OutOfRange, message).of("track_running_stats");
        problem.expected(true).actual(false)
    })
}
