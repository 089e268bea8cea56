//! Registering versions. They are checked before anything is written, and queued in the transaction that writes them.

use bytes::Bytes;

use super::network::{RunnableVersion, is_classifier_of};
use super::preprocessing::{preprocessing, preprocessing_of_blocks};
use super::weights::{fitting_bytes, fitting_weights};
use super::{Library, ServiceError};
use scv_artifact::ArtifactKind;
use scv_compute::activations::check;
use scv_compute::error::ComputeError;
use scv_compute::mapping::FittingWeights;
use scv_compute::onnx::file::{NamedFile, encoded_bytes, read, write};
use scv_compute::onnx::import::{ImportOptions, import};
use scv_domain::access::Scope;
use scv_domain::block::{Block, BlockReport, lower, report};
use scv_domain::dataset_record::Dataset;
use scv_domain::graph::Graph;
use scv_domain::id::{ProbeSetId, VersionId};
use scv_domain::image::{ChannelOrder, ChannelStatistics, Preprocessing};
use scv_domain::job::{Job, JobKind};
use scv_domain::model::ModelChoice;
use scv_domain::training::TrainSettings;
use scv_domain::version::{ModelFormat, Version, VersionSource};
use scv_domain::weight_mapping::{WeightMapping, WeightOptions};
use scv_memory::{MemoryBudget, Reservation};
use scv_store::error::Conflict;
use scv_store::{NewJob, NewVersion};

/// A version to be registered.
#[derive(Debug, Clone)]
pub struct VersionRequest {
    /// The model it belongs to.
    pub model: ModelChoice,
    /// Name of the data set it is made for.
    pub dataset: String,
    /// The network.
    pub network: UploadedNetwork,
}

/// A network as it was uploaded.
#[derive(Debug, Clone)]
pub enum UploadedNetwork {
    /// Blocks with a file of weights: safetensors, or a file of PyTorch.
    Blocks {
        /// The blocks.
        blocks: Vec<Block>,
        /// The file.
        weights: NamedFile,
        /// Which of its tensors to take.
        options: WeightOptions,
        /// Means and standard deviations of pixels from 0 to 1; those of the data set if `None`.
        statistics: Option<ChannelStatistics>,
    },
    /// An ONNX file, with the files of its weights if these are external, or a zip of all.
    Onnx {
        /// The files.
        files: Vec<NamedFile>,
        /// How the file is to be read.
        options: OnnxOptions,
    },
    /// Activations of its layers that were computed elsewhere.
    Activations {
        /// An `.npz` or safetensors file.
        file: NamedFile,
        /// The images that they were computed on; the default probe set of the data set if `None`.
        probe_set: Option<ProbeSetId>,
    },
}

/// How an ONNX file is to be read. What is `None` is derived from the file and the data set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OnnxOptions {
    /// The output to use, if there are several.
    pub output: Option<String>,
    /// Rows and columns of its images, if the file leaves them open.
    pub size: Option<[usize; 2]>,
    /// The order of the colour channels.
    pub order: ChannelOrder,
    /// Means and standard deviations of pixels from 0 to 1; those of the data set if `None`.
    pub statistics: Option<ChannelStatistics>,
}

/// A checked version that is not stored yet.
struct CheckedVersion {
    version: NewVersion,
    kind: ArtifactKind,
    file: Bytes,
    /// The memory of the file.
    memory: Reservation,
}

/// A block version to be trained.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// The model it belongs to.
    pub model: ModelChoice,
    /// Name of the data set to learn.
    pub dataset: String,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// How to train.
    pub settings: TrainSettings,
}

impl Library {
    /// Checks blocks against a data set. The report lists every error, and the shapes as far as they are known.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown data set.
    pub async fn validate_blocks(&self, blocks: &[Block], dataset: &str) -> Result<BlockReport, ServiceError> {
        let dataset = self.dataset_named(dataset).await?;
        Ok(report(blocks, dataset.shape, dataset.class_names.len()))
    }

    /// Registers a version, with its model if that is new, and queues its evaluation and ingest. For weights of blocks, the
    /// result says which tensor of the file became which of the network.
    ///
    /// # Errors
    /// `NOT_FOUND` for the model or data set, `FORBIDDEN` for another account's model, `BAD_USER_INPUT` with every error
    /// of the blocks or of the file, `CONFLICT` if the name of the new model is taken.
    pub async fn create_version(
        &self,
        request: VersionRequest,
    ) -> Result<(Version, Job, Option<WeightMapping>), ServiceError> {
        let model = request.model.clone();
        self.check_model(&model).await?;
        let checked = self.check(request).await?;
        // Reading a large file takes a while. What is stored without a version only takes space until it is collected.
        self.check_model(&model).await?;
        let key = self.artifacts.put(checked.kind, checked.file).await?;
        drop(checked.memory);
        let version = NewVersion {
            weights_key: Some(key.to_string()),
            ..checked.version
        };
        let (registered, job) = self.register(model, &version, JobKind::Ingest).await?;
        Ok((registered, job, version.weight_mapping))
    }

    /// Checks a version as [`Library::create_version`] does, without writing anything.
    ///
    /// # Errors
    /// Those of [`Library::create_version`].
    pub async fn validate_version(
        &self,
        request: VersionRequest,
    ) -> Result<(Option<WeightMapping>, Option<Preprocessing>), ServiceError> {
        self.check_model(&request.model).await?;
        let version = self.check(request).await?.version;
        let preprocessing = match version.source {
            Some(VersionSource::Onnx { preprocessing, .. } | VersionSource::Blocks { preprocessing }) => {
                Some(preprocessing)
            }
            _ => None,
        };
        Ok((version.weight_mapping, preprocessing))
    }

    /// Checks that the caller may add a version to a model, and that the name of a new model is free.
    async fn check_model(&self, model: &ModelChoice) -> Result<(), ServiceError> {
        match model {
            ModelChoice::Existing(id) => match self.changeable_model(*id).await?.deleted_at {
                Some(_) => Err(ServiceError::not_found("model", *id)),
                None => Ok(()),
            },
            ModelChoice::New(model) => {
                self.check_new_model(model)?;
                match self.store.model_by_name(model.name.as_str()).await? {
                    Some(_) => Err(Conflict::ModelName.into()),
                    None => Ok(()),
                }
            }
        }
    }

    async fn check(&self, request: VersionRequest) -> Result<CheckedVersion, ServiceError> {
        let dataset = self.dataset_named(&request.dataset).await?;
        match request.network {
            UploadedNetwork::Blocks {
                blocks,
                weights,
                options,
                statistics,
            } => {
                let graph = checked_graph(&blocks, &dataset)?;
                let preprocessing = statistics.map(|given| preprocessing_of_blocks(&dataset, given));
                let source = preprocessing.transpose()?;
                let version = NewVersion {
                    source: source.map(|preprocessing| VersionSource::Blocks { preprocessing }),
                    ..new_version(&dataset, &graph, &blocks)
                };
                let permit = self.compute_permit().await;
                let memory = self.memory.reserve(fitting_bytes(&weights, &graph)).await?;
                let read = permit.run(move || (fitting_weights(&weights, &graph, &options), memory));
                let (fitting, memory) = read.await?;
                let FittingWeights { file, mapping } = fitting?;
                memory.shrink_to(file.len() as u64);
                Ok(CheckedVersion {
                    memory,
                    version: NewVersion {
                        weight_mapping: Some(mapping),
                        ..version
                    },
                    kind: ArtifactKind::Weights,
                    file: file.into(),
                })
            }
            UploadedNetwork::Onnx { files, options } => {
                let memory = self.memory.clone();
                self.compute(move |_| check_onnx(&dataset, files, options, memory))
                    .await?
            }
            UploadedNetwork::Activations { file, probe_set } => {
                let probe_set = self.probe_set_of(dataset.id, probe_set).await?;
                let limits = self.activation_limits(&probe_set);
                let NamedFile { name, bytes } = file;
                let read = tokio::task::spawn_blocking(move || check(&bytes, limits).map(|_| bytes));
                let file = read
                    .await
                    .map_err(ServiceError::internal)?
                    .map_err(|errors| ServiceError::from(ComputeError::Activations(errors)).in_file(&name))?;
                Ok(CheckedVersion {
                    // The file is not read into memory.
                    memory: self.memory.empty(),
                    version: NewVersion {
                        format: ModelFormat::Activations,
                        dataset_id: dataset.id,
                        blocks: None,
                        weights_key: None,
                        parameter_count: 0,
                        multiply_accumulates: 0,
                        train_settings: None,
                        source: Some(VersionSource::Activations {
                            probe_set: probe_set.id,
                        }),
                        weight_mapping: None,
                    },
                    kind: ArtifactKind::Activations,
                    file,
                })
            }
        }
    }

    /// Registers a version, with its model if that is new, and queues its training, evaluation and ingest.
    ///
    /// # Errors
    /// `NOT_FOUND` for the model or data set, `FORBIDDEN` for another account's model, `BAD_USER_INPUT` with every error
    /// of the blocks.
    pub async fn train_version(&self, request: TrainRequest) -> Result<(Version, Job), ServiceError> {
        self.check_model(&request.model).await?;
        let dataset = self.dataset_named(&request.dataset).await?;
        let graph = checked_graph(&request.blocks, &dataset)?;
        let version = NewVersion {
            train_settings: Some(request.settings),
            ..new_version(&dataset, &graph, &request.blocks)
        };
        self.register(request.model, &version, JobKind::Train).await
    }

    /// Queues an evaluation of a `READY` version on its own data set, or on another of the same shape and number of classes.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version or data set, `BAD_USER_INPUT` if the version is not ready or cannot read the images.
    pub async fn evaluate_version(
        &self,
        version: VersionId,
        dataset: Option<&str>,
    ) -> Result<(Version, Job), ServiceError> {
        self.require(Scope::Write)?;
        let RunnableVersion {
            version,
            dataset: own,
            network,
            ..
        } = self.runnable_version(version).await?;
        let on = match dataset {
            None => own.clone(),
            Some(name) => self.dataset_named(name).await?,
        };
        let shapes_fit = on.shape == own.shape || version.format == ModelFormat::Onnx;
        if !shapes_fit || on.class_names.len() != own.class_names.len() {
            return Err(ServiceError::bad_input(format!(
                "the version takes {} images of {} classes, but data set {} has {} images of {} classes: choose a data set that \
                 fits",
                own.shape,
                own.class_names.len(),
                on.name,
                on.shape,
                on.class_names.len(),
            )));
        }
        if !is_classifier_of(&network, &on) {
            return Err(ServiceError::bad_input(format!(
                "the version's output is not one number for each of the {} classes of {}, so it cannot be evaluated on them",
                on.class_names.len(),
                on.name
            )));
        }
        let mut tx = self.store.begin().await?;
        tx.lock_model(version.model_id)
            .await?
            .ok_or_else(|| ServiceError::not_found("version", version.id))?;
        let job = NewJob {
            kind: JobKind::Evaluate,
            version_id: version.id,
            dataset_id: Some(on.id),
        };
        let job = tx.insert_job(job).await?;
        tx.commit().await?;
        Ok((version, job))
    }

    async fn register(
        &self,
        model: ModelChoice,
        version: &NewVersion,
        kind: JobKind,
    ) -> Result<(Version, Job), ServiceError> {
        let mut tx = self.store.begin().await?;
        let model = match model {
            ModelChoice::Existing(id) => id,
            ModelChoice::New(model) => tx.insert_model(&model).await?.id,
        };
        tx.lock_model(model)
            .await?
            .ok_or_else(|| ServiceError::not_found("model", model))?;
        let version = tx.insert_version(model, version, self.access.account).await?;
        let job = tx
            .insert_job(NewJob {
                kind,
                version_id: version.id,
                dataset_id: None,
            })
            .await?;
        tx.commit().await?;
        Ok((version, job))
    }
}

fn check_onnx(
    dataset: &Dataset,
    files: Vec<NamedFile>,
    options: OnnxOptions,
    budget: MemoryBudget,
) -> Result<CheckedVersion, ServiceError> {
    let memory = budget.empty();
    let name = files.first().map(|file| file.name.clone()).unwrap_or_default();
    let refused = |error| ServiceError::from(ComputeError::Onnx(error)).in_file(&name);
    let file = read(files, &memory).map_err(refused)?;
    let import_options = ImportOptions {
        size: options.size,
        images: Some(dataset.shape),
        output: options.output.clone(),
        memory: budget,
    };
    let imported = import(&file, &import_options).map_err(refused)?;
    let preprocessing = preprocessing(&imported, dataset, options.order, options.statistics)?;
    let graph = &imported.graph;
    let version = NewVersion {
        format: ModelFormat::Onnx,
        dataset_id: dataset.id,
        blocks: None,
        weights_key: None,
        parameter_count: graph.parameter_count() as i64,
        multiply_accumulates: graph.multiply_accumulates() as i64,
        train_settings: None,
        source: Some(VersionSource::Onnx {
            output: options.output,
            preprocessing,
        }),
        weight_mapping: None,
    };
    drop(imported);
    memory.grow(encoded_bytes(&file))?;
    let written = write(&file);
    drop(file);
    memory.shrink_to(written.len() as u64);
    Ok(CheckedVersion {
        version,
        kind: ArtifactKind::Onnx,
        file: written.into(),
        memory,
    })
}

pub(super) fn checked_graph(blocks: &[Block], dataset: &Dataset) -> Result<Graph, ServiceError> {
    lower(blocks, dataset.shape, dataset.class_names.len()).map_err(|errors| ServiceError::blocks(&errors))
}

fn new_version(dataset: &Dataset, graph: &Graph, blocks: &[Block]) -> NewVersion {
    NewVersion {
        format: ModelFormat::Blocks,
        dataset_id: dataset.id,
        blocks: Some(serde_json::json!(blocks)),
        weights_key: None,
        parameter_count: graph.parameter_count() as i64,
        multiply_accumulates: graph.multiply_accumulates() as i64,
        train_settings: None,
        source: None,
        weight_mapping: None,
    }
}
