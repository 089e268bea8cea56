//! Functions of each number on its own.

use serde_json::json;

use super::catalogue::{Form, KindSpec, Layer, LayerForm, Rule};
use super::draft::Draft;
use super::error::{ErrorRule, Problem};
use super::parameter::{ParameterSpec, ParameterType};
use crate::graph::{Activation, Operator};

/// Softplus divides by its sharpness, so it must stay well away from zero.
const BETA: ParameterType = ParameterType::Number { min: 1e-6, max: 1e6 };

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![
        KindSpec {
            name: "ReLU",
            summary: "`max(x, 0)`.",
            parameters: vec![ParameterSpec::inplace()],
            form: element_wise(&[], |_, _| computes(Activation::Relu)),
        },
        KindSpec {
            name: "LeakyReLU",
            summary: "`x` above zero, `negative_slope * x` below.",
            parameters: vec![
                number("negative_slope", 0.01, "Slope below zero."),
                ParameterSpec::inplace(),
            ],
            form: element_wise(&[], |draft, _| {
                computes(Activation::LeakyRelu {
                    negative_slope: draft.number("negative_slope")?,
                })
            }),
        },
        KindSpec {
            name: "ELU",
            summary: "`x` above zero, `alpha * (exp(x) - 1)` below.",
            parameters: vec![number("alpha", 1.0, "Scale below zero."), ParameterSpec::inplace()],
            form: element_wise(&[], |draft, _| {
                computes(Activation::Elu {
                    alpha: draft.number("alpha")?,
                })
            }),
        },
        KindSpec {
            name: "GELU",
            summary: "`x` times the normal distribution function of `x`.",
            parameters: vec![ParameterSpec::optional(
                "approximate",
                ParameterType::Word(&["none", "tanh"]),
                json!("none"),
                "`\"tanh\"` takes the approximation through tanh.",
            )],
            form: element_wise(&[], |draft, _| {
                computes(Activation::Gelu {
                    tanh: draft.word("approximate")? == "tanh",
                })
            }),
        },
        KindSpec {
            name: "SiLU",
            summary: "`x * sigmoid(x)`, also called swish.",
            parameters: vec![ParameterSpec::inplace()],
            form: element_wise(&[], |_, _| computes(Activation::Silu)),
        },
        KindSpec {
            name: "Sigmoid",
            summary: "`1 / (1 + exp(-x))`.",
            parameters: Vec::new(),
            form: element_wise(&[], |_, _| computes(Activation::Sigmoid)),
        },
        KindSpec {
            name: "Tanh",
            summary: "The hyperbolic tangent.",
            parameters: Vec::new(),
            form: element_wise(&[], |_, _| computes(Activation::Tanh)),
        },
        KindSpec {
            name: "Hardtanh",
            summary: "`x` clipped to an interval.",
            parameters: vec![
                number("min_val", -1.0, "Lower end."),
                number("max_val", 1.0, "Upper end, above `min_val`."),
                ParameterSpec::inplace(),
            ],
            form: element_wise(&[interval_is_not_empty], |draft, _| {
                let [min, max] = [draft.number("min_val")?, draft.number("max_val")?];
                computes(Activation::Hardtanh { min, max })
            }),
        },
        KindSpec {
            name: "ReLU6",
            summary: "`x` clipped to 0 and 6.",
            parameters: vec![ParameterSpec::inplace()],
            form: element_wise(&[], |_, _| computes(Activation::Hardtanh { min: 0.0, max: 6.0 })),
        },
        KindSpec {
            name: "Softplus",
            summary: "`log(1 + exp(beta * x)) / beta`, a smooth ReLU.",
            parameters: vec![
                ParameterSpec::optional("beta", BETA, json!(1.0), "Sharpness of the bend."),
                number("threshold", 20.0, "It is `x` itself where `beta * x` is above this."),
            ],
            form: element_wise(&[], |draft, _| {
                let [beta, threshold] = [draft.number("beta")?, draft.number("threshold")?];
                computes(Activation::Softplus { beta, threshold })
            }),
        },
    ]
}

fn number(name: &'static str, default: f64, rule: &'static str) -> ParameterSpec {
    ParameterSpec::optional(name, ParameterType::ANY_NUMBER, json!(default), rule)
}

fn element_wise(rules: &'static [Rule], layer: fn(&Draft<'_>, &[usize]) -> Option<Layer>) -> Form {
    Form::Layer(LayerForm::same_shape(rules, layer))
}

fn computes(function: Activation) -> Option<Layer> {
    Some(Layer::plain(Operator::Activation(function)))
}

fn interval_is_not_empty(draft: &Draft<'_>) -> Option<Problem> {
    let [min, max] = [draft.number("min_val")?, draft.number("max_val")?];
    (min >= max).then(|| {
        let message = format!("`max_val` must be above `min_val`; {max} is not above {min}.");
        let problem = Problem::new(ErrorRule::Conflict, message).of("max_val");
        problem.expected(format!("above {min}")).actual(max)
    })
}
