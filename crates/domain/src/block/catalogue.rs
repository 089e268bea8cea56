//! The catalogue of all kinds, collected from the modules that define them.

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

/// A group of block kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Convolutions and transposed convolutions.
    Convolution,
    /// Pooling, which makes images smaller.
    Pooling,
    /// Padding, which makes images larger at their edges.
    Padding,
    /// Normalisation and dropout, which help training.
    Normalization,
    /// Layers that lead from images to scores.
    Dense,
    /// Functions of single values.
    Activation,
    /// Groups of blocks.
    Group,
}

/// The specification of one kind of block.
#[derive(Debug)]
pub struct KindSpec {
    /// The group that it belongs to.
    pub category: Category,
    /// Its name, which is that of the PyTorch module.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Its parameters, mostly in PyTorch's order.
    pub parameters: Vec<ParameterSpec>,
    pub(super) lowering: Lowering,
}

/// How a kind is lowered.
#[derive(Debug)]
pub(super) enum Lowering {
    /// It becomes one node.
    Layer(LayerLowering),
    /// It becomes the nodes of two branches and their sum.
    Residual,
}

/// How a kind becomes one node.
#[derive(Debug)]
pub(super) struct LayerLowering {
    /// The kind of input it accepts.
    pub input: Input,
    /// Rules on its parameters and the input shape.
    pub rules: &'static [Rule],
    /// Infers the output shape, if the valid parameters and the known input suffice.
    pub output_shape: fn(&Draft<'_>) -> Option<Vec<usize>>,
    /// Builds the layer. Its result is used only if there are no problems.
    pub layer: fn(&Draft<'_>, &[usize]) -> Option<Layer>,
}

/// A check that returns a problem if there certainly is one.
pub(super) type Rule = fn(&Draft<'_>) -> Option<Problem>;

/// The kind of value a layer accepts as its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// `[channels, height, width]`
    Image,
    /// `[features]`
    Features,
    /// Any shape.
    Any,
}

/// An operator with its parameters.
#[derive(Debug)]
pub(super) struct Layer {
    pub operator: Operator,
    pub parameters: Vec<Parameter>,
    pub multiply_accumulates: u64,
}

impl Layer {
    /// A layer without weights and without multiply-accumulates.
    pub fn plain(operator: Operator) -> Self {
        Self {
            operator,
            parameters: Vec::new(),
            multiply_accumulates: 0,
        }
    }
}

impl LayerLowering {
    /// The lowering of a layer whose output has the shape of its input.
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
    /// A parameter by name, not counting lists of blocks.
    pub fn parameter(&self, name: &str) -> Option<&ParameterSpec> {
        self.plain_parameters().find(|spec| spec.name == name)
    }

    /// The parameters written in `parameters`: all except lists of blocks.
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

/// The kind with exactly this name.
pub(super) fn find_kind(name: &str) -> Option<&'static KindSpec> {
    catalogue().iter().find(|kind| kind.name == name)
}

/// The weight of a layer, and its bias if it has one.
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

/// A product that saturates instead of overflowing, for comparison with a limit.
pub(super) fn product(factors: &[usize]) -> u64 {
    factors
        .iter()
        .fold(1, |product: u64, &factor| product.saturating_mul(factor as u64))
}

/// The catalogue as Markdown for the documentation: a heading and a table of parameters for each kind.
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
        let _ = writeln!(
            text,
            "| `{}` | {} | {default} | {} |",
            spec.name, spec.value, spec.description
        );
    }
    text
}
