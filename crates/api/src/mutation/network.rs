//! Registers networks that were trained elsewhere.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Upload};

use super::model::{CreateModelInput, model_choice};
use crate::block::{BlockInput, blocks};
use crate::error::{ApiError, Result};
use crate::id::GlobalId;
use crate::job::Job;
use crate::preprocessing::{ChannelOrder, Preprocessing, preprocessing_of};
use crate::upload::read_named_upload;
use crate::version::Version;
use crate::weight_mapping::{WeightMapInput, WeightMapping, weight_options};
use scv_domain::access::Scope;
use scv_domain::id::ProbeSetId;
use scv_domain::image::ChannelStatistics;
use scv_service::{Library, OnnxOptions, UploadedNetwork, VersionRequest};

/// Mutations that register networks.
#[derive(Debug, Default, async_graphql::Description)]
pub struct NetworkMutation;

#[Object(use_type_description)]
impl NetworkMutation {
    /// Registers a version from blocks with weights, an ONNX file, or activations computed elsewhere. The version is
    /// evaluated and ingested in the background; `job` reports the progress.
    async fn create_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version to register.")] mut input: CreateVersionInput,
    ) -> Result<CreateVersionPayload> {
        let library = ctx.data_unchecked::<Library>();
        library.require(Scope::Write)?;
        let dry_run = input.dry_run;
        let request = VersionRequest {
            model: model_choice(library, input.model_id.clone(), input.new_model.take())?,
            dataset: input.dataset.clone(),
            network: uploaded_network(ctx, input)?,
        };
        if dry_run {
            let (mapping, preprocessing) = library.validate_version(request).await?;
            return Ok(CreateVersionPayload {
                version: None,
                job: None,
                mapping: mapping.map(WeightMapping::from),
                preprocessing: preprocessing.map(Preprocessing::from),
            });
        }
        let (version, job, mapping) = library.create_version(request).await?;
        Ok(CreateVersionPayload {
            preprocessing: preprocessing_of(&version),
            version: Some(Version(version)),
            job: Some(Job(job)),
            mapping: mapping.map(WeightMapping::from),
        })
    }
}

/// A version to register: specify `blocks` and `weights`, or `onnx`, or `activations`.
#[derive(InputObject)]
pub struct CreateVersionInput {
    /// Global id of the model that the version belongs to; or else `newModel`.
    model_id: Option<ID>,
    /// A model to create for the version, together with it: if the version is refused, nothing is created.
    new_model: Option<CreateModelInput>,
    /// Name of the data set that the network is for. Its layers are measured on probe images of this data set.
    dataset: String,
    /// The network as a list of blocks; requires `weights`.
    blocks: Option<Vec<BlockInput>>,
    /// The weights of the blocks: a safetensors file, or a file of PyTorch (`.pth`, `.pt`) with a state dict, a training state or a whole
    /// model. Tensors are matched by key, by shape, or by the numbers in their keys. Weights that could be swapped are refused.
    weights: Option<Upload>,
    /// Which tensors of `weights` to take, if several dicts of the file fit: the keys that lead to them, separated by dots, such as
    /// `state_dict_ema`.
    weights_key: Option<String>,
    /// Which tensors of `weights` belong to which of the network, where their keys and shapes do not tell. The others are matched as
    /// without it.
    #[graphql(default)]
    map: Vec<WeightMapInput>,
    /// The network as an ONNX file, or as a zip archive of an ONNX file and its external data files.
    onnx: Option<Upload>,
    /// The external data files of the ONNX file, if it does not contain its weights.
    #[graphql(default)]
    onnx_data: Vec<Upload>,
    /// Name of the output of the ONNX file to use; required if it has several.
    output: Option<String>,
    /// How images are preprocessed for the ONNX file, or normalised for the blocks. Defaults come from the file and the data set.
    preprocessing: Option<PreprocessingInput>,
    /// The activations of the layers on the probe images, in the order of the probe set: an `.npz` or safetensors file
    /// with one array per layer.
    activations: Option<Upload>,
    /// The probe set that the activations were computed on. Default: the default probe set of the data set.
    probe_set: Option<ID>,
    /// Check everything without registering the version.
    #[graphql(default)]
    dry_run: bool,
}

/// How images are preprocessed for a network. Its input is `(pixel * scale - mean) / std`, where pixels are 0 to 255.
#[derive(Debug, Default, InputObject)]
pub struct PreprocessingInput {
    /// Height of the input in pixels, if the file does not specify it. Images of another size are resized.
    height: Option<u32>,
    /// Width of the input in pixels, if the file does not specify it.
    width: Option<u32>,
    /// The order of the colour channels. Default: RGB.
    channel_order: Option<ChannelOrder>,
    /// Factor that pixels are multiplied by. Default: 1/255. Requires `mean` and `std`.
    scale: Option<f32>,
    /// Value that is subtracted from each channel, in the network's channel order; one number counts for all. Default: the means of the
    /// data set.
    mean: Option<Vec<f32>>,
    /// Value that each channel is divided by; one number counts for all. Required if `mean` is specified.
    std: Option<Vec<f32>>,
}

/// The registered version.
#[derive(Debug, SimpleObject)]
pub struct CreateVersionPayload {
    /// The version; null after a dry run.
    version: Option<Version>,
    /// The job that evaluates and ingests it; null after a dry run.
    job: Option<Job>,
    /// Which tensor of the file became which of the network; null for other networks than blocks with weights.
    mapping: Option<WeightMapping>,
    /// How images are preprocessed for an ONNX file, with what was assumed, or for blocks if they have statistics of their own; otherwise
    /// null.
    preprocessing: Option<Preprocessing>,
}

fn uploaded_network(ctx: &Context<'_>, input: CreateVersionInput) -> Result<UploadedNetwork> {
    let only_onnx = input.output.is_some() || !input.onnx_data.is_empty();
    if only_onnx && input.onnx.is_none() {
        return Err(ApiError::bad_input(
            "`output` and `onnxData` require `onnx`, which is missing",
        ));
    }
    if input.preprocessing.is_some() && input.onnx.is_none() && input.weights.is_none() {
        return Err(ApiError::bad_input(
            "`preprocessing` requires `onnx` or `weights`, which are missing",
        ));
    }
    let only_weights = input.weights_key.is_some() || !input.map.is_empty();
    if only_weights && input.weights.is_none() {
        return Err(ApiError::bad_input(
            "`weightsKey` and `map` require `weights`, which is missing",
        ));
    }
    if input.probe_set.is_some() && input.activations.is_none() {
        return Err(ApiError::bad_input(
            "`probeSet` requires `activations`, which is missing",
        ));
    }
    match (input.blocks, input.weights, input.onnx, input.activations) {
        (Some(list), Some(weights), None, None) => Ok(UploadedNetwork::Blocks {
            blocks: blocks(list),
            weights: read_named_upload(ctx, weights, "weights")?,
            options: weight_options(input.weights_key, input.map),
            statistics: statistics_of_blocks(input.preprocessing.unwrap_or_default())?,
        }),
        (None, None, Some(onnx), None) => {
            let mut files = vec![read_named_upload(ctx, onnx, "onnx")?];
            for data in input.onnx_data {
                files.push(read_named_upload(ctx, data, "onnxData")?);
            }
            Ok(UploadedNetwork::Onnx {
                files,
                options: onnx_options(input.output, input.preprocessing.unwrap_or_default())?,
            })
        }
        (None, None, None, Some(activations)) => Ok(UploadedNetwork::Activations {
            file: read_named_upload(ctx, activations, "activations")?,
            probe_set: input.probe_set.as_ref().map(ProbeSetId::decode).transpose()?,
        }),
        _ => Err(ApiError::bad_input(
            "specify one network: `blocks` with `weights`, or `onnx`, or `activations`",
        )),
    }
}

fn onnx_options(output: Option<String>, preprocessing: PreprocessingInput) -> Result<OnnxOptions> {
    let size = match (preprocessing.height, preprocessing.width) {
        (None, None) => None,
        (Some(height), Some(width)) if height > 0 && width > 0 => Some([height as usize, width as usize]),
        _ => {
            return Err(ApiError::bad_input(
                "specify both `height` and `width`, above zero, or neither",
            ));
        }
    };
    Ok(OnnxOptions {
        output,
        size,
        order: preprocessing.channel_order.map(Into::into).unwrap_or_default(),
        statistics: statistics(preprocessing)?,
    })
}

/// The statistics of blocks. Their images have the size and the channels of the data set's.
fn statistics_of_blocks(preprocessing: PreprocessingInput) -> Result<Option<ChannelStatistics>> {
    let is_of_file =
        preprocessing.height.is_some() || preprocessing.width.is_some() || preprocessing.channel_order.is_some();
    if is_of_file {
        return Err(ApiError::bad_input(
            "`height`, `width` and `channelOrder` require `onnx`: images for blocks are those of the data set",
        ));
    }
    statistics(preprocessing)
}

fn statistics(preprocessing: PreprocessingInput) -> Result<Option<ChannelStatistics>> {
    let scale = preprocessing.scale.unwrap_or(1.0 / 255.0);
    match (preprocessing.mean, preprocessing.std) {
        (Some(mean), Some(std)) => scaled(&mean, &std, scale).map(Some),
        (None, None) if preprocessing.scale.is_none() => Ok(None),
        (None, None) => Err(ApiError::bad_input(
            "`scale` requires `mean` and `std`: specify all three",
        )),
        _ => Err(ApiError::bad_input("specify both `mean` and `std`, or neither")),
    }
}

/// Converts `(pixel * scale - mean) / std` to statistics for pixel values scaled to 0–1, as data sets use them.
///
/// # Errors
/// `scale` or `std` is not positive, or a number is not finite.
fn scaled(mean: &[f32], std: &[f32], scale: f32) -> Result<ChannelStatistics> {
    let full_scale = scale * 255.0;
    let are_finite = mean.iter().chain(std).all(|number| number.is_finite());
    if !are_finite || std.iter().any(|&number| number <= 0.0) || !full_scale.is_finite() || full_scale <= 0.0 {
        return Err(ApiError::bad_input(
            "`scale` and `std` must be above zero, and all numbers finite",
        ));
    }
    Ok(ChannelStatistics {
        mean: mean.iter().map(|number| number / full_scale).collect(),
        std: std.iter().map(|number| number / full_scale).collect(),
    })
}
