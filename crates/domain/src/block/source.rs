//! Writes a block list as PyTorch source code.
//!
//! The network is an `nn.Sequential` and each residual contains two of them, so that PyTorch's state
//! dict has exactly the keys of SCV's weights.

mod expression;

use std::collections::BTreeMap;

use serde_json::Value;

use super::Block;
use super::catalogue::{KindSpec, find_kind};
use super::error::BlockError;
use super::lower::lower;
use super::parameter::{ParameterDefault, ParameterSpec};
use super::residual::RESIDUAL;
use crate::graph::{Graph, Operator};
use crate::image::ImageShape;
use expression::{Expression, INDENT};

/// Maximum length of a class name: its line also contains `class` and the base class.
const MAX_NAME_LENGTH: usize = 64;

const RESIDUAL_CLASS: &str = r#"class Residual(nn.Module):
    """Runs two branches on the same input and adds their results."""

    def __init__(self, main: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.main = main
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.main(x) + self.shortcut(x)


"#;

const LOADING_COMMENT: &str = "    \
    # The file has no `num_batches_tracked`; PyTorch then counts batches from zero.\n";

/// Writes a block list as one Python file: a class that builds the network, and a `main` that loads
/// `weights.safetensors` into it and runs it.
///
/// `class_name` is converted to a valid Python class name: `my resnet-18` becomes `MyResnet18`.
///
/// # Errors
/// All errors of the list, as from [`lower`].
pub fn pytorch_source(
    blocks: &[Block],
    input: ImageShape,
    classes: usize,
    class_name: &str,
) -> Result<String, Vec<BlockError>> {
    let graph = lower(blocks, input, classes)?;
    let class_name = python_name(class_name);
    let layers = Expression::multiline("super().__init__", modules(blocks, "", &settings_by_path(&graph)));
    let layers = layers.format(2 * INDENT);
    let has_operator = |matches: fn(&Operator) -> bool| graph.nodes.iter().any(|node| matches(&node.operator));
    let residual_class = if has_operator(|operator| matches!(operator, Operator::Add)) {
        RESIDUAL_CLASS
    } else {
        ""
    };
    let loading_comment = if has_operator(|operator| matches!(operator, Operator::BatchNorm2d { .. })) {
        LOADING_COMMENT
    } else {
        ""
    };
    let output = if graph.logits == graph.output() {
        "scores"
    } else {
        "probabilities"
    };
    let ImageShape {
        channels,
        height,
        width,
    } = input;
    Ok(format!(
        r#"import torch
from safetensors.torch import load_file
from torch import nn


{residual_class}class {class_name}(nn.Sequential):
    """Outputs {classes} {output} for each {input} image."""

    def __init__(self) -> None:
        {layers}


def main() -> None:
    model = {class_name}()
{loading_comment}    model.load_state_dict(load_file("weights.safetensors"))
    model.eval()

    # A batch of images; each channel is (pixel / 255 - mean) / std, as in the data set.
    images = torch.zeros(1, {channels}, {height}, {width})
    with torch.no_grad():
        {output} = model(images)
    print({output})


if __name__ == "__main__":
    main()
"#
    ))
}

/// The settings of each node's layer, by path.
type Settings<'a> = BTreeMap<&'a str, &'a Value>;

fn settings_by_path(graph: &Graph) -> Settings<'_> {
    let nodes = graph.nodes.iter();
    nodes.map(|node| (node.path.as_str(), &node.settings)).collect()
}

/// The modules of a list of blocks whose paths begin with `prefix`.
fn modules(blocks: &[Block], prefix: &str, settings: &Settings<'_>) -> Vec<Expression> {
    let block = |(position, block): (usize, &Block)| module(block, &format!("{prefix}{position}"), settings);
    blocks.iter().enumerate().map(block).collect()
}

fn module(block: &Block, path: &str, settings: &Settings<'_>) -> Expression {
    let branch = |name: &str, blocks: &Option<Vec<Block>>| match blocks.as_deref() {
        None | Some([]) => Expression::flat(&format!("{name}=nn.Identity"), Vec::new()),
        Some(blocks) => Expression::multiline(
            &format!("{name}=nn.Sequential"),
            modules(blocks, &format!("{path}.{name}."), settings),
        ),
    };
    match (find_kind(&block.kind), settings.get(path)) {
        (Some(kind), Some(settings)) if kind.name != RESIDUAL => {
            Expression::flat(&format!("nn.{}", kind.name), arguments(kind, settings))
        }
        _ => Expression::multiline(
            RESIDUAL,
            vec![branch("main", &block.main), branch("shortcut", &block.shortcut)],
        ),
    }
}

/// A layer's arguments: the positional ones, then those that differ from PyTorch's defaults.
fn arguments(kind: &KindSpec, settings: &Value) -> Vec<Expression> {
    let positional = positional_arguments(kind.name);
    let first = positional
        .iter()
        .filter_map(|&name| Some(Expression::literal("", settings.get(name)?)));
    let named = kind
        .plain_parameters()
        .filter(|spec| !positional.contains(&spec.name))
        .filter_map(|spec| {
            let value = settings.get(spec.name)?;
            let is_needed = !is_pytorch_default(kind, spec, value, settings);
            is_needed.then(|| Expression::literal(&format!("{}=", spec.name), value))
        });
    first.chain(named).collect()
}

/// The arguments that PyTorch code usually passes by position.
fn positional_arguments(kind: &str) -> &'static [&'static str] {
    match kind {
        "Conv2d" | "ConvTranspose2d" => &["in_channels", "out_channels"],
        "MaxPool2d" | "AvgPool2d" => &["kernel_size"],
        "AdaptiveAvgPool2d" => &["output_size"],
        "ReflectionPad2d" | "ReplicationPad2d" | "ZeroPad2d" => &["padding"],
        "ConstantPad2d" => &["padding", "value"],
        "BatchNorm2d" => &["num_features"],
        "Linear" => &["in_features", "out_features"],
        _ => &[],
    }
}

fn is_pytorch_default(kind: &KindSpec, spec: &ParameterSpec, value: &Value, settings: &Value) -> bool {
    match &spec.default {
        // PyTorch guesses the dimension from the number of dimensions, and warns when it does.
        ParameterDefault::Value(_) if kind.name == "Softmax" => false,
        ParameterDefault::Value(default) => value == default,
        // The default stride of a pooling layer is its window.
        ParameterDefault::Derived(_) => spec.name == "stride" && settings.get("kernel_size") == Some(value),
        ParameterDefault::Required | ParameterDefault::Ignored => false,
    }
}

/// A class name made of the words of a text. It is neither a Python keyword nor another name in the file.
fn python_name(text: &str) -> String {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let mut name: String = words
        .map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_ascii_uppercase() + rest
        })
        .collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert_str(0, "Network");
    }
    name.truncate(MAX_NAME_LENGTH);
    match name.as_str() {
        "" => "Network".to_owned(),
        "True" | "False" | "None" | RESIDUAL => name + "Network",
        _ => name,
    }
}
