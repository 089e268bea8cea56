//! Decisions and transactions: what the program does, between the API and what stores or computes.

pub mod error;
pub mod metrics;
pub mod worker;

mod access;
mod answers;
mod artifact_store;
mod audit;
mod cache;
mod catalogue;
mod compare;
mod dataset;
mod diff;
mod draft;
mod explain;
mod export;
mod facts;
mod health;
mod image_file;
mod import;
mod insight;
mod job;
mod lasting;
mod match_statistics;
mod network;
mod picture;
mod plot;
mod predict;
mod preprocessing;
mod probe;
mod search;
mod search_cache;
mod sketch_basis;
mod synthesis;
mod version;
mod weights;

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

pub use access::{SESSION_LIFETIME, create_token};
pub use answers::{AnswerBody, Question, QuestionForm};
pub use artifact_store::ForeignStoreError;
pub use diff::VersionDiff;
pub use draft::ReadBlocks;
pub use error::{Fault, LookupKey, ServiceError};
pub use explain::{ExplanationInProgress, ExplanationPart, ExplanationSettings};
pub use export::ExportFormat;
pub use facts::{FACT_PERMUTATIONS, LayerScores};
pub use health::Health;
pub use insight::{AttributionRequest, ImageAttribution, ImageChoice, ImageFeatureMap, SourceImage};
pub use picture::{PictureFormat, Pictures, StoredPicture};
pub use plot::{CkaPlotRequest, EvaluationPlot};
pub use predict::{PredictRequest, Prediction};
pub use probe::ProbeSetRequest;
pub use scv_compute::error::{NamedShape, WeightError, WeightRule};
pub use scv_compute::mapping::Unfit;
pub use scv_compute::onnx::file::NamedFile;
pub use scv_store::{CacheStatistics, CurrentChange};
pub use search::{ActivationMatches, SimilarityRequest};
pub use search_cache::SimilarLayers;
pub use synthesis::SynthesisRequest;
pub use version::{OnnxOptions, TrainRequest, UploadedNetwork, VersionRequest};
pub use weights::refused_weights;

use self::answers::AnswerCache;
use self::cache::MeteredCache;
use self::lasting::{LayerCache, LayerPageCache, OriginCache};
use self::metrics::Snapshot;
use self::search_cache::SearchCache;
use scv_artifact::ArtifactStore;
use scv_compute::engine::Engine;
use scv_compute::network::Network;
use scv_domain::access::Access;
use scv_domain::dataset::Split;
use scv_domain::dataset_record::ProbeSet;
use scv_domain::exemplar::Exemplars;
use scv_domain::id::{DatasetId, JobId, ProbeSetId, VersionId};
use scv_domain::image::{Images, LabelledImages};
use scv_domain::synthesis::TargetGroup;
use scv_memory::MemoryBudget;
use scv_store::Store;

/// Sends the ids of jobs that changed to those who subscribed to them.
pub type JobFeed = tokio::sync::broadcast::Sender<JobId>;

/// Bytes of the cache of top-activating images: those of some hundred layers.
const EXEMPLAR_CACHE_BYTES: u64 = 16 << 20;

/// Probe sets that are kept in memory, some kilobytes each.
const CACHED_PROBE_SETS: u64 = 1_000;

/// The library: catalogue, artifacts and the device, with everything that can be done with them.
#[derive(Clone)]
pub struct Library {
    store: Store,
    artifacts: ArtifactStore,
    engine: Engine,
    pictures: Pictures,
    explainer: Arc<explain::Explainer>,
    /// Finished answers.
    answers: AnswerCache,
    /// Results of searches.
    searches: SearchCache,
    /// Networks on the device, by version.
    networks: MeteredCache<VersionId, Arc<Network>>,
    /// Images of probe sets.
    probes: MeteredCache<ProbeSetId, Images>,
    /// Probe sets that searches have used, by data set and requested id. A probe set never changes.
    probe_sets: moka::future::Cache<(DatasetId, Option<ProbeSetId>), ProbeSet>,
    /// Layers that searches have found.
    layers: LayerCache,
    /// Pages of the layers of versions.
    layer_pages: LayerPageCache,
    /// Where versions come from whose layers have been searched for.
    origins: OriginCache,
    /// Images of splits.
    splits: MeteredCache<(DatasetId, Split), LabelledImages>,
    /// Top-activating images of the test split, for each member of a group of targets.
    exemplars: MeteredCache<(VersionId, TargetGroup), Arc<Exemplars>>,
    /// Bytes of activations that a computation may hold. The device does one thing at a time, so they are set aside once.
    activation_limit: u64,
    /// What files, networks, images and answers take their memory from.
    memory: MemoryBudget,
    /// The same for jobs.
    memory_of_jobs: MemoryBudget,
    /// One permit per core, for computations on many vectors.
    compute_permits: Arc<Semaphore>,
    /// One permit for all device work of the same request.
    device_permits: Arc<Semaphore>,
    /// Notified whenever layers have been written.
    layers_written: Arc<tokio::sync::Notify>,
    /// The caller's access.
    access: Access,
    /// The generation of the catalogue when the request began, if it was read.
    generation_at_start: Option<i64>,
}

/// A permit to compute with many vectors, which all its copies share.
#[derive(Debug, Clone)]
struct ComputePermit(#[expect(dead_code, reason = "it is held, not read")] Arc<Option<OwnedSemaphorePermit>>);

impl ComputePermit {
    /// Works in a thread of its own. The thread keeps the permit until it ends, even if the request ends before.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ServiceError> {
        let permit = self.clone();
        let computed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        computed.await.map_err(ServiceError::internal)
    }
}

/// How much of the machine a library may take, and how explanations are written.
#[derive(Debug, Clone)]
pub struct LibrarySettings {
    /// How explanations are written.
    pub explanations: ExplanationSettings,
    /// Bytes of the cache of finished answers.
    pub answer_cache_bytes: u64,
    /// Bytes of the cache of search results.
    pub search_cache_bytes: u64,
    /// Bytes of activations that a computation may hold.
    pub activation_bytes: u64,
    /// Bytes that the files, networks, images and answers of requests and jobs may take together.
    pub work_bytes: u64,
    /// Bytes of the cache of loaded networks.
    pub network_cache_bytes: u64,
    /// Bytes of the cache of the images of probe sets.
    pub probe_cache_bytes: u64,
    /// Bytes of the cache of the images of splits.
    pub split_cache_bytes: u64,
    /// Bytes that all stored pictures may take, including those of synthetic images.
    pub picture_bytes: u64,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

impl Library {
    /// A library over its parts.
    pub fn new(store: Store, artifacts: ArtifactStore, engine: Engine, settings: LibrarySettings) -> Self {
        let [memory, memory_of_jobs] = MemoryBudget::shared(settings.work_bytes);
        Self {
            memory,
            memory_of_jobs,
            pictures: Pictures::new(store.clone(), artifacts.clone(), settings.picture_bytes),
            store,
            artifacts,
            engine,
            explainer: Arc::new(explain::Explainer::new(settings.explanations)),
            answers: AnswerCache::of_answers(settings.answer_cache_bytes),
            searches: SearchCache::of_searches(settings.search_cache_bytes),
            networks: MeteredCache::new("networks", settings.network_cache_bytes, |_, network: &Arc<Network>| {
                network.byte_len()
            }),
            probes: MeteredCache::new("probes", settings.probe_cache_bytes, |_, images: &Images| {
                images.pixels.len() as u64
            }),
            probe_sets: moka::future::Cache::new(CACHED_PROBE_SETS),
            layers: LayerCache::of_layers(),
            layer_pages: LayerPageCache::of_layer_pages(),
            origins: lasting::origin_cache(),
            splits: MeteredCache::new("splits", settings.split_cache_bytes, |_, split: &LabelledImages| {
                split.images.pixels.len() as u64
            }),
            exemplars: MeteredCache::new("exemplars", EXEMPLAR_CACHE_BYTES, |_, exemplars: &Arc<Exemplars>| {
                exemplars.byte_len()
            }),
            activation_limit: settings.activation_bytes,
            compute_permits: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(2, NonZero::get),
            )),
            device_permits: Arc::new(Semaphore::new(1)),
            layers_written: Arc::default(),
            access: Access::FULL,
            generation_at_start: None,
        }
    }

    /// The same library for jobs: their statements have no timeout, and their device work lets requests run in between.
    fn for_jobs(&self) -> Self {
        Self {
            store: self.store.for_jobs(),
            engine: self.engine.for_jobs(),
            memory: self.memory_of_jobs.clone(),
            ..self.clone()
        }
    }

    /// What requests take their memory from.
    pub fn memory(&self) -> &MemoryBudget {
        &self.memory
    }

    /// The catalogue, for reads that need no decision.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The stored pictures.
    pub fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    /// The device that networks run on, for people to read.
    pub fn device(&self) -> &str {
        self.engine.device()
    }

    /// Drops what is kept of an earlier generation as soon as the catalogue is known to have changed. This only frees memory: a
    /// kept answer or result is used only at its own generation.
    pub fn drop_outdated(&self, mut generation: tokio::sync::watch::Receiver<i64>) {
        let (answers, searches) = (self.answers.clone(), self.searches.clone());
        tokio::spawn(async move {
            while generation.changed().await.is_ok() {
                answers.clear();
                searches.clear();
            }
        });
    }

    /// The state of the server at this moment, for its metrics.
    ///
    /// # Errors
    /// The database fails.
    pub async fn snapshot(&self) -> Result<Snapshot, ServiceError> {
        Ok(Snapshot {
            backlog: self.store.job_backlog().await?,
            caches: self.cache_statistics().await,
            generation: self.store.generation().await?,
            device: self.engine.device().to_owned(),
            device_memory: self.engine.device_memory(),
            memory: [("requests", self.memory.clone()), ("jobs", self.memory_of_jobs.clone())],
        })
    }

    /// How its caches are used.
    pub async fn cache_statistics(&self) -> Vec<CacheStatistics> {
        let mut caches = vec![
            self.answers.statistics().await,
            self.searches.statistics().await,
            self.explainer.explanations.statistics().await,
            self.networks.statistics().await,
            self.probes.statistics().await,
            self.splits.statistics().await,
            self.exemplars.statistics().await,
            self.layers.statistics().await,
            self.layer_pages.statistics().await,
        ];
        caches.extend(self.store.cache_statistics());
        caches
    }

    /// The same library for a request without changes, for which a generation of the catalogue has been read.
    pub fn since(self, generation: Option<i64>) -> Self {
        Self {
            generation_at_start: generation,
            ..self
        }
    }

    /// A generation that the catalogue has had since the request began: what is read from now on is at least as new.
    async fn generation(&self) -> Result<i64, ServiceError> {
        match self.generation_at_start {
            Some(generation) => Ok(generation),
            None => Ok(self.store.generation().await?),
        }
    }

    /// Waits for a permit to compute with many vectors. As many computations run at the same time as there are cores; others
    /// wait in the order of their requests, and must hold nothing large while they wait.
    async fn compute_permit(&self) -> ComputePermit {
        // The semaphore is never closed.
        ComputePermit(Arc::new(Arc::clone(&self.compute_permits).acquire_owned().await.ok()))
    }

    /// Works in a thread of its own, with a permit. If the request ends before, the work is told, so that it stops.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancellationToken) -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let ended = CancellationToken::new();
        let _ended_on_drop = ended.clone().drop_guard();
        self.compute_permit().await.run(move || work(&ended)).await
    }

    /// Waits for a permit to use the device among all device work of the same request. A request that looks at many layers
    /// then takes one place in the device's queue at a time, and is not refused because it has filled the queue itself.
    async fn device_permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.device_permits.acquire().await.ok()
    }
}
