//! Decisions and transactions: what the program does, between those who ask and those who store or compute.

pub mod error;
pub mod metrics;

mod access;
mod cache;
mod catalogue;
mod compare;
mod dataset;
mod diff;
mod duplicate;
mod evaluation;
mod explain;
mod export;
mod facts;
mod hit;
mod insight;
mod job;
mod network;
mod picture;
mod predict;
mod probe;
mod search;
mod search_index;
mod source;
mod synthesis;
mod version;
pub mod worker;

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

pub use access::create_token;
pub use cache::CacheStatistics;
pub use error::ServiceError;

/// News of jobs that changed, for those who watch them.
pub type JobFeed = tokio::sync::broadcast::Sender<scv_domain::id::JobId>;
pub use diff::VersionDiff;
pub use evaluation::EvaluationPlot;
pub use explain::{ExplanationInProgress, ExplanationPart, ExplanationSettings};
pub use export::ExportFormat;
pub use insight::{AttributionRequest, ImageAttribution, ImageChoice, Seen, SeenMap};
pub use picture::{KeptPicture, PictureFormat, PictureRequest};
pub use predict::{PredictRequest, Prediction};
pub use probe::ProbeSetRequest;
pub use search::ActivationMatches;
pub use synthesis::SynthesisWishes;
pub use version::{NetworkFile, OnnxOptions, TrainRequest, VersionRequest};

use self::cache::{Answers, MeteredCache};
use scv_artifact::ArtifactStore;
use scv_compute::engine::Engine;
use scv_compute::network::Network;
use scv_domain::access::Access;
use scv_domain::dataset::Split;
use scv_domain::exemplar::Exemplars;
use scv_domain::id::{DatasetId, ProbeSetId, VersionId};
use scv_domain::image::{Images, LabelledImages};
use scv_domain::synthesis::TargetGroup;
use crate::metrics::Snapshot;
use scv_store::Store;

/// Bytes of lists of exemplars that are kept: those of some hundred layers.
const EXEMPLAR_CACHE_BYTES: u64 = 16 << 20;

/// The library: catalogue, artifacts and the device, with everything that can be done with them.
#[derive(Clone)]
pub struct Library {
    store: Store,
    artifacts: ArtifactStore,
    engine: Engine,
    /// Answers to searches.
    answers: Answers,
    explainer: Arc<explain::Explainer>,
    /// Networks on the device, by version.
    networks: MeteredCache<VersionId, Arc<Network>>,
    /// Images of probe sets.
    probes: MeteredCache<ProbeSetId, Images>,
    /// Images of splits.
    splits: MeteredCache<(DatasetId, Split), LabelledImages>,
    /// Which images of the test split the parts of a version answer to most.
    exemplars: MeteredCache<(VersionId, TargetGroup), Arc<Exemplars>>,
    /// Room for pictures.
    pictures: Arc<picture::PictureRoom>,
    /// Bytes of activations that a computation may hold.
    activation_limit: u64,
    /// Turns of those who compute with many vectors.
    turns: Arc<Semaphore>,
    /// Turns on the device of what one request asks for.
    device_turns: Arc<Semaphore>,
    /// On whose behalf it is asked.
    access: Access,
}

/// How much of the machine a library may take, and whom it may ask.
#[derive(Debug, Clone)]
pub struct LibrarySettings {
    /// How explanations are written.
    pub explanations: ExplanationSettings,
    /// Bytes of search results that are kept.
    pub search_cache_bytes: u64,
    /// Bytes of activations that a computation may hold.
    pub activation_bytes: u64,
    /// Bytes of networks that are kept loaded.
    pub network_cache_bytes: u64,
    /// Bytes of the images of probe sets that are kept.
    pub probe_cache_bytes: u64,
    /// Bytes of the images of splits that are kept.
    pub split_cache_bytes: u64,
    /// Bytes that all pictures may take, those of synthetic images included.
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
        Self {
            store,
            artifacts,
            engine,
            answers: Answers::of_searches(settings.search_cache_bytes),
            explainer: Arc::new(explain::Explainer::new(settings.explanations)),
            networks: MeteredCache::new("networks", settings.network_cache_bytes, |_, network: &Arc<Network>| {
                network.byte_len()
            }),
            probes: MeteredCache::new("probes", settings.probe_cache_bytes, |_, images: &Images| {
                images.pixels.len() as u64
            }),
            splits: MeteredCache::new("splits", settings.split_cache_bytes, |_, split: &LabelledImages| {
                split.images.pixels.len() as u64
            }),
            exemplars: MeteredCache::new("exemplars", EXEMPLAR_CACHE_BYTES, |_, exemplars: &Arc<Exemplars>| {
                exemplars.byte_len()
            }),
            pictures: Arc::new(picture::PictureRoom::new(settings.picture_bytes)),
            activation_limit: settings.activation_bytes,
            turns: Arc::new(Semaphore::new(
                std::thread::available_parallelism().map_or(2, NonZero::get),
            )),
            device_turns: Arc::new(Semaphore::new(1)),
            access: Access::FULL,
        }
    }

    /// The same library for jobs, whose statements take as long as they take.
    pub fn for_jobs(&self) -> Self {
        Self {
            store: self.store.for_jobs(),
            engine: self.engine.for_jobs(),
            ..self.clone()
        }
    }

    /// The catalogue, for reads that need no decision.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Drops answers as soon as it is heard that the catalogue has moved: their keys are never asked for again. It only frees
    /// memory, since every question reads the generation in the database.
    pub fn forget_outdated(&self, mut generation: tokio::sync::watch::Receiver<i64>) {
        let answers = self.answers.clone();
        tokio::spawn(async move {
            while generation.changed().await.is_ok() {
                answers.clear();
            }
        });
    }

    /// What is true at this moment, for those who watch the server.
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
        })
    }

    /// How its caches are used.
    pub async fn cache_statistics(&self) -> Vec<CacheStatistics> {
        vec![
            self.answers.statistics().await,
            self.explainer.written.statistics().await,
            self.networks.statistics().await,
            self.probes.statistics().await,
            self.splits.statistics().await,
            self.exemplars.statistics().await,
        ]
    }

    /// Waits for one's turn to compute with many vectors: as many at a time as there are cores, in the order in which they
    /// asked. Nothing large may be held while waiting.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    /// Waits for a turn on the device among all that the same request asks for: one that looks at many layers stands in the
    /// device's queue once, and is not refused because it has filled that itself.
    async fn device_turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.device_turns.acquire().await.ok()
    }

    /// What networks run on, in words.
    pub fn device(&self) -> &str {
        self.engine.device()
    }
}
