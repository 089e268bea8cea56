//! The one table of kinds, put together from the rooms that state them.

use std::fmt::Write;
use std::sync::LazyLock;

use super::draft::Draft;
use super::error::Problem;
use super::parameter::{ParameterDefault, ParameterSpec, ParameterType};
use super::{activation, convolution, dense, normalization, padding, pooling, residual, transpose};
use crate::graph::{Operator, Parameter, ParameterRole};

static KINDS: LazyLock<Vec<KindSpec>> = LazyLock::new(|| {
    [
        convolution::kinds(),
        transpose::kinds(),
        pooling::kinds(),
        padding::kinds(),
        normalization::kinds(),
        dense::kinds(),
        activation::kinds(),
        residual::kinds(),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// Everything there is to say about one kind of block.
#[derive(Debug)]
pub struct KindSpec {
    /// Its name: the PyTorch module's.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Its parameters, in PyTorch's order as far as that helps the reader.
    pub parameters: Vec<ParameterSpec>,
    pub(super) form: Form,
}

/// How a kind is lowered.
#[derive(Debug)]
pub(super) enum Form {
    /// To one node.
    Layer(LayerForm),
    /// To the nodes of two branches and their sum.
    Residual,
}

/// How a kind becomes one node.
#[derive(Debug)]
pub(super) struct LayerForm {
    /// What may arrive.
    pub input: Input,
    /// What must hold between its parameters and the shape that arrives.
    pub rules: &'static [Rule],
    /// The shape it makes, as far as its valid parameters and the known input tell.
    pub output_shape: fn(&Draft<'_>) -> Option<Vec<usize>>,
    /// What it computes; asked only when nothing is wrong with it.
    pub layer: fn(&Draft<'_>, &[usize]) -> Option<Layer>,
}

/// Tells a problem if there surely is one.
pub(super) type Rule = fn(&Draft<'_>) -> Option<Problem>;

/// What kind of value a layer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// `[channels, height, width]`
    Image,
    /// `[features]`
    Features,
    /// Any shape.
    Any,
}

/// What a layer computes, with what it owns.
#[derive(Debug)]
pub(super) struct Layer {
    pub operator: Operator,
    pub parameters: Vec<Parameter>,
    pub multiply_accumulates: u64,
}

impl Layer {
    /// A layer without weights that multiplies no two values.
    pub fn plain(operator: Operator) -> Self {
        Self {
            operator,
            parameters: Vec::new(),
            multiply_accumulates: 0,
        }
    }
}

impl LayerForm {
    /// A layer that changes numbers and keeps the shape.
    pub fn same_shape(rules: &'static [Rule], layer: fn(&Draft<'_>, &[usize]) -> Option<Layer>) -> Self {
        let output_shape = |draft: &Draft<'_>| draft.input().map(<[usize]>::to_vec);
        Self {
            input: Input::Any,
            rules,
            output_shape,
            layer,
        }
    }
}

impl KindSpec {
    /// One of the parameters, or one of the lists of blocks, by name.
    pub fn parameter(&self, name: &str) -> Option<&ParameterSpec> {
        self.plain_parameters().find(|spec| spec.name == name)
    }

    /// What stands in `parameters`: everything but the lists of blocks.
    pub(super) fn plain_parameters(&self) -> impl Iterator<Item = &ParameterSpec> {
        self.parameters
            .iter()
            .filter(|spec| spec.value != ParameterType::Blocks)
    }
}

/// All kinds, in the order of the documentation.
pub fn catalogue() -> &'static [KindSpec] {
    &KINDS
}

/// A kind by its exact name.
pub(super) fn find(name: &str) -> Option<&'static KindSpec> {
    catalogue().iter().find(|kind| kind.name == name)
}

/// A weight of a layer, and its bias if it has one.
pub(super) fn weight_and_bias(weight: Vec<usize>, bias: Option<usize>) -> Vec<Parameter> {
    let bias = bias.map(|length| Parameter {
        role: ParameterRole::Bias,
        shape: vec![length],
    });
    [Parameter {
        role: ParameterRole::Weight,
        shape: weight,
    }]
    .into_iter()
    .chain(bias)
    .collect()
}

/// A product that stays at the top instead of overflowing, for comparison with a limit.
pub(super) fn product(factors: &[usize]) -> u64 {
    factors
        .iter()
        .fold(1, |product: u64, &factor| product.saturating_mul(factor as u64))
}

/// The catalogue as the documentation shows it: a heading and a table of parameters for each kind.
pub fn catalogue_markdown() -> String {
    catalogue().iter().map(kind_markdown).collect::<Vec<_>>().join("\n")
}

fn kind_markdown(kind: &KindSpec) -> String {
    let mut text = format!("### {}\n\n{}\n", kind.name, kind.summary);
    if kind.parameters.is_empty() {
        return text;
    }
    text.push_str("\n| parameter | values | default | |\n|---|---|---|---|\n");
    for spec in &kind.parameters {
        let default = match &spec.default {
            ParameterDefault::Required => "required".to_owned(),
            ParameterDefault::Derived(_) => "derived".to_owned(),
            ParameterDefault::Value(_) | ParameterDefault::Ignored => spec
                .default_value()
                .map(|value| format!("`{value}`"))
                .unwrap_or_default(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| `{}` | {} | {default} | {} |", spec.name, spec.value, spec.rule);
    }
    text
}
