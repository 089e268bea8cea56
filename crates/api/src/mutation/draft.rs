//! Files for a network that is being designed. Nothing is written; these are mutations because only mutations support uploads.

use async_graphql::{Context, Enum, InputObject, Object, SimpleObject, Upload};

use super::network::WeightMapping;
use crate::block::{BlockInput, blocks};
use crate::error::Result;
use crate::upload::read_named_upload;
use scv_service::{Library, NamedShape, WeightError, WeightRule};

/// Mutations that read files for blocks.
#[derive(Debug, Default, async_graphql::Description)]
pub struct DraftMutation;

#[Object(use_type_description)]
impl DraftMutation {
    /// Maps the tensors of a file of weights to those of a network, exactly as `createVersion` does. Nothing is stored. Weights
    /// that do not fit are no error: the payload lists every misfit.
    async fn map_weights(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The network and its weights.")] input: MapWeightsInput,
    ) -> Result<MapWeightsPayload> {
        let weights = read_named_upload(ctx, input.weights, "weights")?;
        let mapped = ctx
            .data_unchecked::<Library>()
            .map_weights(&blocks(input.blocks), &input.dataset, weights)
            .await?;
        let (mapping, misfits) = match mapped {
            Ok(mapping) => (Some(mapping.into()), Vec::new()),
            Err(errors) => (None, errors.into_iter().filter_map(WeightMisfit::of).collect()),
        };
        Ok(MapWeightsPayload { mapping, misfits })
    }
}

/// A network and a file of weights for it.
#[derive(InputObject)]
pub struct MapWeightsInput {
    /// The network as a list of blocks.
    blocks: Vec<BlockInput>,
    /// Name of the data set that the network is for.
    dataset: String,
    /// A safetensors file, or a PyTorch state dict (`.pth`, `.pt`), as for `createVersion`.
    weights: Upload,
}

/// How the tensors of a file become those of a network, or why they cannot.
#[derive(Debug, SimpleObject)]
pub struct MapWeightsPayload {
    /// Which tensor of the file becomes which of the network; null if there are misfits.
    mapping: Option<WeightMapping>,
    /// Everything that does not fit; empty if the weights fit.
    misfits: Vec<WeightMisfit>,
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
    /// No tensor of the file can be the network's tensor, or several can.
    Missing,
    /// The tensor of the file belongs to no layer of the network.
    Unused,
    /// The two tensors have different shapes.
    Shape,
    /// The tensor of the file does not hold floating point numbers.
    Type,
    /// The tensor of the file holds NaN or infinity.
    NotFinite,
}
