//! The block language in the schema.

use async_graphql::{ComplexObject, Context, Enum, InputObject, Json, SimpleObject};

use super::error::Result;
use super::version::CodeFormat;
use scv_domain::block as domain;
use scv_service::Library;

/// A block of a network: a layer with its parameters, or a residual group.
#[derive(Debug, Clone, InputObject)]
pub struct BlockInput {
    /// The block kind, such as `Conv2d`; `blockKinds` lists all kinds.
    kind: String,
    /// Its parameters by PyTorch's names, such as `{"out_channels": 16, "kernel_size": 3}`.
    parameters: Option<Json<serde_json::Map<String, serde_json::Value>>>,
    /// The main branch of a `Residual`.
    main: Option<Vec<BlockInput>>,
    /// The shortcut of a `Residual`; the identity if empty or omitted.
    shortcut: Option<Vec<BlockInput>>,
}

/// Converts blocks to the domain's type without validating them.
pub fn blocks(inputs: Vec<BlockInput>) -> Vec<domain::Block> {
    inputs.into_iter().map(domain::Block::from).collect()
}

impl From<BlockInput> for domain::Block {
    fn from(input: BlockInput) -> Self {
        Self {
            kind: input.kind,
            parameters: input.parameters.map(|Json(parameters)| parameters).unwrap_or_default(),
            main: input.main.map(blocks),
            shortcut: input.shortcut.map(blocks),
        }
    }
}

/// The result of validating a block list for a data set.
#[derive(Debug, Clone, SimpleObject)]
#[graphql(complex)]
pub struct BlockReport {
    /// Whether the block list is valid, that is, has no errors.
    valid: bool,
    /// All errors, in the order of the blocks.
    errors: Vec<BlockError>,
    /// All blocks whose shapes are known, in execution order.
    layers: Vec<BlockSummary>,
    /// Number of trainable parameters of the blocks in `layers`.
    parameter_count: f64,
    /// Number of multiply-accumulate operations for one image of the blocks in `layers`.
    multiply_accumulates: f64,
    /// Shape of the network's output; null if it is unknown because of errors.
    output_shape: Option<Vec<usize>>,
    #[graphql(skip)]
    blocks: Vec<domain::Block>,
    #[graphql(skip)]
    dataset: String,
}

#[ComplexObject]
impl BlockReport {
    /// Source code that builds the network; null if the block list has errors.
    async fn code(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The language and framework.", default_with = "CodeFormat::Pytorch")] format: CodeFormat,
    ) -> Result<Option<String>> {
        if !self.valid {
            return Ok(None);
        }
        let library = ctx.data_unchecked::<Library>();
        match format {
            CodeFormat::Pytorch => Ok(Some(
                library.pytorch_source_of_blocks(&self.blocks, &self.dataset).await?,
            )),
        }
    }
}

impl BlockReport {
    /// The report on blocks that were validated for the data set of a name.
    pub fn new(report: domain::BlockReport, blocks: Vec<domain::Block>, dataset: String) -> Self {
        Self {
            valid: report.errors.is_empty(),
            errors: report.errors.into_iter().map(BlockError::from).collect(),
            layers: report.layers.into_iter().map(BlockSummary::from).collect(),
            parameter_count: report.parameter_count as f64,
            multiply_accumulates: report.multiply_accumulates as f64,
            output_shape: report.output_shape,
            blocks,
            dataset,
        }
    }
}

/// An error in a block list.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockError {
    /// Path of the block, such as `3.main.0`; empty for an error of the list as a whole.
    path: String,
    /// Index in the outermost list of the block, or of the group that contains it.
    index: usize,
    /// The block's kind, as specified.
    kind: String,
    /// The invalid parameter; null if the error does not concern a parameter.
    parameter: Option<String>,
    /// The rule that was violated.
    rule: BlockRule,
    /// What was expected.
    expected: Option<String>,
    /// What was found.
    actual: Option<String>,
    /// What is wrong and how to fix it.
    message: String,
}

impl From<domain::BlockError> for BlockError {
    fn from(error: domain::BlockError) -> Self {
        Self {
            path: error.path,
            index: error.index,
            kind: error.kind,
            parameter: error.parameter,
            rule: error.rule.into(),
            expected: error.expected,
            actual: error.actual,
            message: error.message,
        }
    }
}

/// A rule of the block language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::ErrorRule")]
pub enum BlockRule {
    /// A list that requires at least one block is empty.
    Empty,
    /// The kind is unknown.
    UnknownKind,
    /// The kind has no parameter of that name.
    UnknownParameter,
    /// A required parameter is missing.
    MissingParameter,
    /// The value of a parameter has the wrong type or length.
    WrongType,
    /// The value of a parameter is out of range.
    OutOfRange,
    /// Two parameters of a block conflict.
    Conflict,
    /// The shape of the input does not suit the block, or the shapes of two branches do not match.
    ShapeMismatch,
    /// The network's output is not one score per class.
    WrongOutput,
    /// The network exceeds a limit of the server.
    TooLarge,
}

/// A block with its shapes and costs.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockSummary {
    /// Path of the block, such as `3.main.0`.
    path: String,
    /// The block kind.
    kind: String,
    /// Shape of its input for one image.
    input_shape: Vec<usize>,
    /// Shape of its output for one image.
    output_shape: Vec<usize>,
    /// Number of trainable parameters.
    parameter_count: f64,
    /// Number of multiply-accumulate operations for one image.
    multiply_accumulates: f64,
}

impl From<domain::BlockSummary> for BlockSummary {
    fn from(summary: domain::BlockSummary) -> Self {
        Self {
            path: summary.path,
            kind: summary.kind.to_owned(),
            input_shape: summary.input_shape,
            output_shape: summary.output_shape,
            parameter_count: summary.parameter_count as f64,
            multiply_accumulates: summary.multiply_accumulates as f64,
        }
    }
}

/// A kind of block.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockKind {
    /// Its name.
    name: String,
    /// The group that it belongs to.
    category: BlockCategory,
    /// What it does, in one sentence.
    summary: String,
    /// Its parameters.
    parameters: Vec<BlockParameter>,
}

/// A group of block kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Category")]
pub enum BlockCategory {
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

/// A parameter of a block kind.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockParameter {
    /// Its name, which is PyTorch's.
    name: String,
    /// Description of its allowed values.
    values: String,
    /// Its allowed values as a JSON Schema: types, bounds, options. A list of two numbers, for example, is
    /// `{"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 64}, "minItems": 2, "maxItems": 2}`.
    json_schema: Json<serde_json::Value>,
    /// Whether it is required.
    required: bool,
    /// Its default value. Null for required parameters, and if the default depends on other parameters or on the input.
    default: Option<Json<serde_json::Value>>,
    /// What it does and which rules apply to it.
    description: String,
}

/// All block kinds, in the order of the documentation.
pub fn kinds() -> Vec<BlockKind> {
    domain::catalogue()
        .iter()
        .map(|kind| BlockKind {
            name: kind.name.to_owned(),
            category: kind.category.into(),
            summary: kind.summary.to_owned(),
            parameters: kind
                .parameters
                .iter()
                .map(|parameter| BlockParameter {
                    name: parameter.name.to_owned(),
                    values: parameter.value.to_string(),
                    json_schema: Json(parameter.value.json_schema()),
                    required: parameter.is_required(),
                    default: parameter.default_value().map(Json),
                    description: parameter.description.to_owned(),
                })
                .collect(),
        })
        .collect()
}
