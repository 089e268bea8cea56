//! Element-wise activation functions.

use serde_json::json;

use super::catalogue::{Category, KindSpec, Layer, LayerLowering, Lowering, Rule};
use super::draft::Draft;
use super::error::{ErrorRule, Problem};
use super::parameter::{ParameterSpec, ParameterType};
use crate::graph::{Activation, Operator};

/// Softplus divides by beta, so it must not be close to zero.
const BETA: ParameterType = ParameterType::Number { min: 1e-6, max: 1e6 };

pub(super) fn kinds() -> Vec<KindSpec> {
    vec![
        KindSpec {
            category: Category::Activation,
            name: "ReLU",
            summary: "`max(x, 0)`.",
            parameters: vec![ParameterSpec::inplace()],
            lowering: element_wise(&[], |_, _| computes(Activation::Relu)),
        },
        KindSpec {
            category: Category::Activation,
            name: "LeakyReLU",
            summary: "`x` above zero, `negative_slope * x` below.",
            parameters: vec![
                number("negative_slope", 0.01, "Slope below zero."),
                ParameterSpec::inplace(),
            ],
            lowering: element_wise(&[], |draft, _| {
                computes(Activation::LeakyRelu {
                    negative_slope: draft.number("negative_slope")?,
                })
            }),
        },
        KindSpec {
            category: Category::Activation,
            name: "ELU",
            summary: "`x` above zero, `alpha * (exp(x) - 1)` below.",
            parameters: vec![number("alpha", 1.0, "Scale below zero."), ParameterSpec::inplace()],
            lowering: element_wise(&[], |draft, _| {
                computes(Activation::Elu {
                    alpha: draft.number("alpha")?,
                })
            }),
        },
        KindSpec {
            category: Category::Activation,
            name: "GELU",
            summary: "`x` times the standard normal cumulative distribution function of `x`.",
            parameters: vec![ParameterSpec::optional(
                "approximate",
                ParameterType::Choice(&["none", "tanh"]),
                json!("none"),
                "`\"tanh\"` uses the tanh approximation.",
            )],
            lowering: element_wise(&[], |draft, _| {
                computes(Activation::Gelu {
                    tanh: draft.choice("approximate")? == "tanh",
                })
            }),
        },
        KindSpec {
            category: Category::Activation,
            name: "SiLU",
            summary: "`x * sigmoid(x)`, also called swish.",
            parameters: vec![ParameterSpec::inplace()],
            lowering: element_wise(&[], |_, _| computes(Activation::Silu)),
        },
        KindSpec {
            category: Category::Activation,
            name: "Sigmoid",
            summary: "`1 / (1 + exp(-x))`.",
            parameters: Vec::new(),
            lowering: element_wise(&[], |_, _| computes(Activation::Sigmoid)),
        },
        KindSpec {
            category: Category::Activation,
            name: "Tanh",
            summary: "The hyperbolic tangent.",
            parameters: Vec::new(),
            lowering: element_wise(&[], |_, _| computes(Activation::Tanh)),
        },
        KindSpec {
            category: Category::Activation,
            name: "Hardtanh",
            summary: "`x` clipped to an interval.",
            parameters: vec![
                number("min_val", -1.0, "Lower end."),
                number("max_val", 1.0, "Upper end, above `min_val`."),
                ParameterSpec::inplace(),
            ],
            lowering: element_wise(&[check_interval], |draft, _| {
                let [min, max] = [draft.number("min_val")?, draft.number("max_val")?];
                computes(Activation::Hardtanh { min, max })
            }),
        },
        KindSpec {
            category: Category::Activation,
            name: "ReLU6",
            summary: "`x` clipped to the interval from 0 to 6.",
            parameters: vec![ParameterSpec::inplace()],
            lowering: element_wise(&[], |_, _| computes(Activation::Hardtanh { min: 0.0, max: 6.0 })),
        },
        KindSpec {
            category: Category::Activation,
            name: "Softplus",
            summary: "`log(1 + exp(beta * x)) / beta`, a smooth ReLU.",
            parameters: vec![
                ParameterSpec::optional("beta", BETA, json!(1.0), "Sharpness of the bend."),
                number(
                    "threshold",
                    20.0,
                    "Where `beta * x` is above this, the result is `x` itself.",
                ),
            ],
            lowering: element_wise(&[], |draft, _| {
                let [beta, threshold] = [draft.number("beta")?, draft.number("threshold")?];
                computes(Activation::Softplus { beta, threshold })
            }),
        },
    ]
}

fn number(name: &'static str, default: f64, description: &'static str) -> ParameterSpec {
    ParameterSpec::optional(name, ParameterType::ANY_NUMBER, json!(default), description)
}

fn element_wise(rules: &'static [Rule], layer: fn(&Draft<'_>, &[usize]) -> Option<Layer>) -> Lowering {
    Lowering::Layer(LayerLowering::same_shape(rules, layer))
}

fn computes(function: Activation) -> Option<Layer> {
    Some(Layer::plain(Operator::Activation(function)))
}

fn check_interval(draft: &Draft<'_>) -> Option<Problem> {
    let [min, max] = [draft.number("min_val")?, draft.number("max_val")?];
    (min >= max).then(|| {
        let message = format!("`max_val` must be above `min_val`; {max} is not above {min}.");
        let problem = Problem::new(ErrorRule::Conflict, message).for_parameter("max_val");
        problem.expected(format!("above {min}")).actual(max)
    })
}
