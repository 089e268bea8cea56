//! Files for a network that is being designed. Nothing is written; these are mutations because only mutations support uploads.

use async_graphql::{Context, Enum, InputObject, Json, Object, SimpleObject, Upload};

use crate::block::{BlockInput, BlockReport, blocks};
use crate::error::Result;
use crate::upload::read_named_upload;
use crate::weight_mapping::{WeightMapInput, WeightMapping, weight_options};
use scv_domain::block as domain;
use scv_service::{Library, NamedShape, Unfit, WeightError, WeightRule};

/// Mutations that read files for blocks.
#[derive(Debug, Default, async_graphql::Description)]
pub struct DraftMutation;

#[Object(use_type_description)]
impl DraftMutation {
    /// Reads the network of an ONNX file as blocks, to be changed and trained here. Nothing is stored. A node that cannot be expressed
    /// as blocks is not an error: the payload lists every such node. Requires the scope WRITE.
    async fn read_blocks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The file and the data set.")] input: ReadBlocksInput,
    ) -> Result<ReadBlocksPayload> {
        let file = read_named_upload(ctx, input.file, "file")?;
        let library = ctx.data_unchecked::<Library>();
        let found = library.read_blocks(file, &input.dataset, input.output).await?;
        let image = found.image_shape;
        let (blocks, problems) = match found.blocks {
            Ok(blocks) => (Some(blocks), Vec::new()),
            Err(problems) => (None, problems),
        };
        Ok(ReadBlocksPayload {
            problems: problems.into_iter().map(BlockProblem::from).collect(),
            image_shape: vec![image.channels, image.height, image.width],
            blocks: blocks.as_ref().map(|blocks| Json(serde_json::json!(blocks))),
            report: found
                .report
                .zip(blocks)
                .map(|(report, blocks)| BlockReport::new(report, blocks, input.dataset)),
        })
    }

    /// Maps the tensors of a file of weights to those of a network, exactly as `createVersion` does. Nothing is stored. Weights
    /// that do not fit are no error: the payload lists every misfit. Requires the scope WRITE.
    async fn map_weights(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The network and its weights.")] input: MapWeightsInput,
    ) -> Result<MapWeightsPayload> {
        let weights = read_named_upload(ctx, input.weights, "weights")?;
        let options = weight_options(input.weights_key, input.map);
        let library = ctx.data_unchecked::<Library>();
        let mapped = library
            .map_weights(&blocks(input.blocks), &input.dataset, weights, options)
            .await?;
        let unfit = match mapped {
            Ok(mapping) => return Ok(MapWeightsPayload::of(mapping)),
            Err(unfit) => unfit,
        };
        match unfit {
            Unfit::Tensors { errors, .. } => Ok(MapWeightsPayload {
                mapping: None,
                misfits: errors.into_iter().filter_map(WeightMisfit::of).collect(),
                dicts: Vec::new(),
            }),
            Unfit::SeveralDicts(dicts) | Unfit::Parts(dicts) => Ok(MapWeightsPayload {
                mapping: None,
                misfits: Vec::new(),
                dicts,
            }),
            unknown @ Unfit::UnknownDict { .. } => Err(scv_service::refused_weights("weights", unknown).into()),
        }
    }
}

/// An ONNX file to read as blocks.
#[derive(InputObject)]
pub struct ReadBlocksInput {
    /// The ONNX file, or a zip archive of it and its external data files.
    file: Upload,
    /// Name of the data set that the blocks are for.
    dataset: String,
    /// Name of the output of the file to use; required if it has several.
    output: Option<String>,
}

/// The network of a file in the block language.
#[derive(Debug, SimpleObject)]
pub struct ReadBlocksPayload {
    /// The block list, whose entries have the fields of `BlockInput`. Null if there are problems. What has no effect after
    /// training, such as dropout, is missing.
    blocks: Option<Json<serde_json::Value>>,
    /// The nodes that cannot be expressed as blocks, in execution order.
    problems: Vec<BlockProblem>,
    /// Shape of the images that the file's network reads: channels, rows, columns. The blocks take the images of the data set.
    image_shape: Vec<usize>,
    /// The validation of the blocks for the data set; null if there are problems.
    report: Option<BlockReport>,
}

/// A node of a file that cannot be expressed as blocks.
#[derive(Debug, SimpleObject)]
pub struct BlockProblem {
    /// Name of the node.
    node: String,
    /// Its operator: the block kind that is closest, or else ONNX's name.
    operator: String,
    /// What cannot be expressed as blocks, and why.
    message: String,
}

impl From<domain::NodeProblem> for BlockProblem {
    fn from(problem: domain::NodeProblem) -> Self {
        Self {
            node: problem.node,
            operator: problem.kind,
            message: problem.message,
        }
    }
}

/// A network and a file of weights for it.
#[derive(InputObject)]
pub struct MapWeightsInput {
    /// The network as a list of blocks.
    blocks: Vec<BlockInput>,
    /// Name of the data set that the network is for.
    dataset: String,
    /// A safetensors file, or a file of PyTorch (`.pth`, `.pt`), as for `createVersion`.
    weights: Upload,
    /// Which tensors of the file to take, as for `createVersion`.
    weights_key: Option<String>,
    /// Which tensors belong together, as for `createVersion`.
    #[graphql(default)]
    map: Vec<WeightMapInput>,
}

/// How the tensors of a file become those of a network, or why they cannot.
#[derive(Debug, SimpleObject)]
pub struct MapWeightsPayload {
    /// Which tensor of the file becomes which of the network; null if there are misfits, or if one of several dicts has to be chosen.
    mapping: Option<WeightMapping>,
    /// Everything that does not fit; empty if the weights fit.
    misfits: Vec<WeightMisfit>,
    /// The dicts of the file, or parts of these, that fit: the one that is taken first. Without a mapping, one of them has to be chosen as
    /// `weightsKey`.
    dicts: Vec<String>,
}

impl MapWeightsPayload {
    fn of(mapping: scv_domain::weight_mapping::WeightMapping) -> Self {
        let taken = mapping.dict.clone().unwrap_or_default();
        let dicts = std::iter::once(taken).chain(mapping.other_dicts.iter().cloned());
        Self {
            dicts: dicts.collect(),
            mapping: Some(mapping.into()),
            misfits: Vec::new(),
        }
    }
}

/// A tensor of a file that does not fit the network, or a tensor of the network that the file does not fill.
#[derive(Debug, SimpleObject)]
pub struct WeightMisfit {
    /// What does not fit.
    reason: WeightMisfitReason,
    /// Key of the network's tensor, such as `3.weight`; null if the file's tensor belongs to no layer.
    key: Option<String>,
    /// Shape of the network's tensor, which is needed.
    needed_shape: Option<Vec<usize>>,
    /// Key of the tensor in the file that was tried; null if there is none.
    from: Option<String>,
    /// Shape of the tensor in the file.
    shape: Option<Vec<usize>>,
    /// What is wrong and how to fix it.
    message: String,
}

impl WeightMisfit {
    /// `None` for an unreadable file, which is an error of the whole request.
    fn of(error: WeightError) -> Option<Self> {
        let reason = match error.rule {
            WeightRule::Readable => return None,
            WeightRule::Present => WeightMisfitReason::Missing,
            WeightRule::Known => WeightMisfitReason::Unused,
            WeightRule::Distinct => WeightMisfitReason::Ambiguous,
            WeightRule::Mapped => WeightMisfitReason::Map,
            WeightRule::Shape => WeightMisfitReason::Shape,
            WeightRule::Dtype => WeightMisfitReason::Type,
            WeightRule::Finite => WeightMisfitReason::NotFinite,
        };
        let split = |tensor: Option<NamedShape>| tensor.map(|tensor| (tensor.key, tensor.shape)).unzip();
        let (key, needed_shape) = split(error.tensors.needed);
        let (from, shape) = split(error.tensors.given);
        Some(Self {
            reason,
            key,
            needed_shape,
            from,
            shape,
            message: error.message,
        })
    }
}

/// Why a tensor does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum WeightMisfitReason {
    /// No tensor of the file can be the network's tensor.
    Missing,
    /// Several tensors of the file can be the network's tensor.
    Ambiguous,
    /// The mapping of the request names the tensor, or another, wrongly.
    Map,
    /// The tensor of the file belongs to no layer of the network.
    Unused,
    /// The two tensors have different shapes.
    Shape,
    /// The tensor of the file does not hold floating point numbers.
    Type,
    /// The tensor of the file holds NaN or infinity.
    NotFinite,
}
