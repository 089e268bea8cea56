//! The block language in the schema.

use async_graphql::{Enum, InputObject, Json, SimpleObject};

use scv_domain::block as domain;

/// One element of a network: a layer kind with parameters, or a residual group.
#[derive(Debug, Clone, InputObject)]
pub struct BlockInput {
    /// The layer kind, such as `Conv2d`; `blockKinds` lists all.
    kind: String,
    /// Its parameters under PyTorch's names, such as `{"out_channels": 16, "kernel_size": 3}`.
    parameters: Option<Json<serde_json::Map<String, serde_json::Value>>>,
    /// The main branch of a `Residual`.
    main: Option<Vec<BlockInput>>,
    /// The shortcut of a `Residual`; empty or left out, it is the identity.
    shortcut: Option<Vec<BlockInput>>,
}

/// Blocks in the words of the domain, still to be validated.
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

/// What a block list comes to on a data set.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockReport {
    /// Whether a version can be made of it: there is no error.
    valid: bool,
    /// Every fault, in the order of the blocks.
    errors: Vec<BlockError>,
    /// Every block as far as shapes could be told, in execution order.
    layers: Vec<BlockSummary>,
    /// Trainable numbers of the blocks that are listed.
    parameter_count: f64,
    /// Multiply-accumulate operations for one image of the blocks that are listed.
    multiply_accumulates: f64,
    /// Shape of what the network answers with; null if it cannot be told.
    output_shape: Option<Vec<usize>>,
}

impl From<domain::BlockReport> for BlockReport {
    fn from(report: domain::BlockReport) -> Self {
        Self {
            valid: report.errors.is_empty(),
            errors: report.errors.into_iter().map(BlockError::from).collect(),
            layers: report.layers.into_iter().map(BlockSummary::from).collect(),
            parameter_count: report.parameter_count as f64,
            multiply_accumulates: report.multiply_accumulates as f64,
            output_shape: report.output_shape,
        }
    }
}

/// One fault of a block list.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockError {
    /// Where the block stands, such as `3.main.0`; empty for a fault of the list as a whole.
    path: String,
    /// Position in the outermost list of the block, or of the group around it.
    index: usize,
    /// The kind as it was written.
    kind: String,
    /// The parameter at fault, if it is one.
    parameter: Option<String>,
    /// Which rule was broken.
    rule: BlockRule,
    /// What would have been right.
    expected: Option<String>,
    /// What was found.
    actual: Option<String>,
    /// What is wrong and what to do.
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
    /// A list that needs at least one block has none.
    Empty,
    /// There is no block of that kind.
    UnknownKind,
    /// The kind has no parameter of that name.
    UnknownParameter,
    /// A parameter without a default was not given.
    MissingParameter,
    /// A parameter's value has the wrong type or length.
    WrongType,
    /// A parameter's value is not allowed.
    OutOfRange,
    /// Two parameters of one block do not go together.
    Conflict,
    /// The block does not fit what arrives, or two branches do not fit each other.
    ShapeMismatch,
    /// The network does not end with one score a class.
    WrongOutput,
    /// A limit of the server is exceeded.
    TooLarge,
}

/// One block with its shapes and costs.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockSummary {
    /// Where the block stands, such as `3.main.0`.
    path: String,
    /// The layer kind.
    kind: String,
    /// Shape of what it reads, for one image.
    input_shape: Vec<usize>,
    /// Shape of what it makes, for one image.
    output_shape: Vec<usize>,
    /// Trainable numbers.
    parameter_count: f64,
    /// Multiply-accumulate operations for one image.
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

/// A layer kind of the block language.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockKind {
    /// Its name.
    name: String,
    /// What it does, in a sentence.
    summary: String,
    /// Its parameters.
    parameters: Vec<BlockParameter>,
}

/// A parameter of a layer kind.
#[derive(Debug, Clone, SimpleObject)]
pub struct BlockParameter {
    /// PyTorch's name.
    name: String,
    /// Which values it takes, in words.
    values: String,
    /// Whether it must be given.
    required: bool,
    /// What it is if it is not given; null too if that follows from other parameters or from what arrives.
    default: Option<Json<serde_json::Value>>,
    /// What it does and which rule it obeys.
    rule: String,
}

/// All kinds, in the order of the documentation.
pub fn kinds() -> Vec<BlockKind> {
    domain::catalogue()
        .iter()
        .map(|kind| BlockKind {
            name: kind.name.to_owned(),
            summary: kind.summary.to_owned(),
            parameters: kind
                .parameters
                .iter()
                .map(|parameter| BlockParameter {
                    name: parameter.name.to_owned(),
                    values: parameter.value.to_string(),
                    required: parameter.is_required(),
                    default: parameter.default_value().map(Json),
                    rule: parameter.rule.to_owned(),
                })
                .collect(),
        })
        .collect()
}
