//! Registering networks that were made elsewhere.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject, Upload};

use scv_compute::onnx::file::NamedFile;
use scv_compute::pytorch;
use scv_domain::access::Scope;
use scv_domain::id::{ModelId, ProbeSetId};
use scv_domain::image::ChannelStatistics;
use crate::graphql::block::{BlockInput, blocks};
use crate::graphql::error::{ApiError, Result};
use crate::graphql::id::GlobalId;
use crate::graphql::job::Job;
use crate::graphql::upload::read_upload;
use crate::graphql::version::{ChannelOrder, Version};
use scv_service::{Library, NetworkFile, OnnxOptions, VersionRequest};

/// Writes that bring networks in.
#[derive(Debug, Default, async_graphql::Description)]
pub struct NetworkMutation;

#[Object(use_type_description)]
impl NetworkMutation {
    /// Registers a version: blocks with weights, an ONNX file, or activations computed elsewhere. It is evaluated and
    /// ingested in the background: `job` says how far that is.
    async fn create_version(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to register.")] input: CreateVersionInput,
    ) -> Result<CreateVersionPayload> {
        let library = ctx.data_unchecked::<Library>();
        library.require(Scope::Write)?;
        let dry_run = input.dry_run;
        let request = VersionRequest {
            model: ModelId::decode(&input.model_id)?,
            dataset: input.dataset.clone(),
            network: network_file(ctx, input).await?,
        };
        if dry_run {
            let mapping = library.try_version(request).await?;
            return Ok(CreateVersionPayload {
                version: None,
                job: None,
                mapping: mapping.map(WeightMapping::from),
            });
        }
        let (version, job, mapping) = library.create_version(request).await?;
        Ok(CreateVersionPayload {
            version: Some(Version(version)),
            job: Some(Job(job)),
            mapping: mapping.map(WeightMapping::from),
        })
    }
}

/// A version to register: with `blocks` and `weights`, with `onnx`, or with `activations`.
#[derive(InputObject)]
pub struct CreateVersionInput {
    /// The model it belongs to.
    model_id: ID,
    /// Name of the data set it is made for, whose probe images its layers are measured on.
    dataset: String,
    /// The network as blocks; `weights` goes with them.
    blocks: Option<Vec<BlockInput>>,
    /// The weights of the blocks. A safetensors file, whose keys are the block's place and PyTorch's parameter name, such as
    /// `0.weight`; or a state dict of PyTorch (`.pth`, `.pt`), which is matched by key, or by order and shape.
    weights: Option<Upload>,
    /// The network as an ONNX file, or as a zip of one with the files that hold its weights.
    onnx: Option<Upload>,
    /// The files that hold the weights of an ONNX file which does not hold them itself.
    #[graphql(default)]
    onnx_data: Vec<Upload>,
    /// The output of an ONNX file to take, where it has several.
    output: Option<String>,
    /// How images become the input of an ONNX file; what is left out follows from the file and the data set.
    preprocessing: Option<PreprocessingInput>,
    /// Activations of the layers on the probe images, in their order: an `.npz` or safetensors file, one array a layer.
    activations: Option<Upload>,
    /// The probe set that activations are of; the default one of the data set if left out.
    probe_set: Option<ID>,
    /// Check everything and write nothing.
    #[graphql(default)]
    dry_run: bool,
}

/// How images become the input of a network. It sees `(pixel * scale - mean) / std`, pixels being 0 to 255.
#[derive(Debug, Default, InputObject)]
pub struct PreprocessingInput {
    /// Rows of its images, where the file leaves them open. Images of another size are resized.
    height: Option<u32>,
    /// Columns of its images, where the file leaves them open.
    width: Option<u32>,
    /// The order of the colours; RGB if left out.
    channel_order: Option<ChannelOrder>,
    /// What pixels are multiplied with; 1/255 if left out.
    scale: Option<f32>,
    /// What is subtracted from each channel, in the order of the network's channels; the data set's means if left out.
    mean: Option<Vec<f32>>,
    /// What each channel is divided by; to be given just if `mean` is.
    std: Option<Vec<f32>>,
}

/// The version registered.
#[derive(Debug, SimpleObject)]
pub struct CreateVersionPayload {
    /// The version; null after a dry run.
    version: Option<Version>,
    /// The job that evaluates and ingests it; null after a dry run.
    job: Option<Job>,
    /// Which tensor of a PyTorch state dict became which of the network; null for other weights.
    mapping: Option<WeightMapping>,
}

/// How the tensors of a state dict become those of a network.
#[derive(Debug, SimpleObject)]
pub struct WeightMapping {
    /// What they were matched by.
    by: MappedBy,
    /// Every tensor of the network with the one that it is taken from.
    pairs: Vec<WeightPair>,
    /// Tensors of the state dict that no inference needs.
    ignored: Vec<String>,
}

/// A tensor of a network and where it comes from.
#[derive(Debug, SimpleObject)]
pub struct WeightPair {
    /// Its key in the network.
    key: String,
    /// Its key in the state dict.
    from: String,
    /// Its shape.
    shape: Vec<usize>,
}

/// What tensors were matched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "pytorch::MappedBy")]
pub enum MappedBy {
    /// Their keys, which are the network's.
    Key,
    /// Their order: both have the same layers of the same shapes, one after the other.
    Order,
    /// Their shapes, no two of which are alike.
    Shape,
}

impl From<pytorch::Mapping> for WeightMapping {
    fn from(mapping: pytorch::Mapping) -> Self {
        let pairs = mapping.pairs.into_iter().map(|pair| WeightPair {
            key: pair.graph_key,
            from: pair.state_key,
            shape: pair.shape,
        });
        Self {
            by: mapping.by.into(),
            pairs: pairs.collect(),
            ignored: mapping.ignored,
        }
    }
}

async fn network_file(ctx: &Context<'_>, input: CreateVersionInput) -> Result<NetworkFile> {
    let only_onnx = input.output.is_some() || input.preprocessing.is_some() || !input.onnx_data.is_empty();
    if only_onnx && input.onnx.is_none() {
        return Err(ApiError::bad_input(
            "`output`, `preprocessing` and `onnxData` go with `onnx`, which is missing",
        ));
    }
    if input.probe_set.is_some() && input.activations.is_none() {
        return Err(ApiError::bad_input(
            "`probeSet` goes with `activations`, which is missing",
        ));
    }
    match (input.blocks, input.weights, input.onnx, input.activations) {
        (Some(list), Some(weights), None, None) => Ok(NetworkFile::Blocks {
            blocks: blocks(list),
            weights: read_upload(ctx, weights, "weights").await?,
        }),
        (None, None, Some(onnx), None) => {
            let mut files = vec![named_file(ctx, onnx, "onnx").await?];
            for data in input.onnx_data {
                files.push(named_file(ctx, data, "onnxData").await?);
            }
            Ok(NetworkFile::Onnx {
                files,
                options: onnx_options(input.output, input.preprocessing.unwrap_or_default())?,
            })
        }
        (None, None, None, Some(activations)) => Ok(NetworkFile::Activations {
            file: read_upload(ctx, activations, "activations").await?,
            probe_set: input.probe_set.as_ref().map(ProbeSetId::decode).transpose()?,
        }),
        _ => Err(ApiError::bad_input(
            "give one network: `blocks` with `weights`, or `onnx`, or `activations`",
        )),
    }
}

async fn named_file(ctx: &Context<'_>, upload: Upload, field: &str) -> Result<NamedFile> {
    let name = upload
        .value(ctx)
        .map_err(|error| ApiError::bad_input(format!("`{field}`: {error}")))?
        .filename;
    Ok(NamedFile {
        name,
        bytes: read_upload(ctx, upload, field).await?,
    })
}

fn onnx_options(output: Option<String>, given: PreprocessingInput) -> Result<OnnxOptions> {
    let size = match (given.height, given.width) {
        (None, None) => None,
        (Some(height), Some(width)) if height > 0 && width > 0 => Some([height as usize, width as usize]),
        _ => {
            return Err(ApiError::bad_input(
                "give both `height` and `width`, above zero, or neither",
            ));
        }
    };
    let scale = given.scale.unwrap_or(1.0 / 255.0);
    let statistics = match (given.mean, given.std) {
        (Some(mean), Some(std)) => Some(scaled(&mean, &std, scale)?),
        (None, None) if given.scale.is_none() => None,
        (None, None) => {
            return Err(ApiError::bad_input(
                "`scale` goes with `mean` and `std`: give all three",
            ));
        }
        _ => return Err(ApiError::bad_input("give both `mean` and `std`, or neither")),
    };
    Ok(OnnxOptions {
        output,
        size,
        order: given.channel_order.map(Into::into).unwrap_or_default(),
        statistics,
    })
}

/// `(pixel * scale - mean) / std` in the form in which data sets are normalised, with pixels from 0 to 1.
fn scaled(mean: &[f32], std: &[f32], scale: f32) -> Result<ChannelStatistics> {
    let unit = scale * 255.0;
    let are_finite = mean.iter().chain(std).all(|number| number.is_finite());
    if !are_finite || std.iter().any(|&number| number <= 0.0) || !unit.is_finite() || unit <= 0.0 {
        return Err(ApiError::bad_input(
            "`scale` and `std` must be above zero, and all numbers finite",
        ));
    }
    Ok(ChannelStatistics {
        mean: mean.iter().map(|number| number / unit).collect(),
        std: std.iter().map(|number| number / unit).collect(),
    })
}
