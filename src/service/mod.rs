//! Decisions and transactions: what the program does, between those who ask and those who store or compute.

pub mod error;
pub mod import;

mod catalogue;
mod dataset;
mod diff;
mod explain;
mod export;
mod facts;
mod job;
mod probe;
mod search;
mod search_index;
mod source;
mod version;
pub mod worker;

use std::sync::Arc;

use moka::future::Cache;

pub use error::ServiceError;

/// News of jobs that changed, for those who watch them.
pub type JobFeed = tokio::sync::broadcast::Sender<crate::domain::id::JobId>;
pub use diff::VersionDiff;
pub use explain::{ExplanationInProgress, ExplanationPart, ExplanationSettings};
pub use export::ExportFormat;
pub use probe::ProbeSetRequest;
pub use search::ActivationMatches;
pub use version::{NetworkFile, OnnxOptions, TrainRequest, VersionRequest};

use crate::artifact::ArtifactStore;
use crate::compute::engine::Engine;
use crate::compute::network::Network;
use crate::domain::id::VersionId;
use crate::domain::similarity::Matches;
use crate::store::Store;

/// The library: catalogue, artifacts and the device, with everything that can be done with them.
#[derive(Clone)]
pub struct Library {
    store: Store,
    artifacts: ArtifactStore,
    engine: Engine,
    searches: Cache<String, Arc<Matches>>,
    explainer: Arc<explain::Explainer>,
    /// Networks on the device, by version.
    networks: Cache<VersionId, Arc<Network>>,
    /// Bytes of activations that a computation may hold.
    activation_limit: u64,
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
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").finish_non_exhaustive()
    }
}

impl Library {
    /// A library over its parts.
    pub fn new(store: Store, artifacts: ArtifactStore, engine: Engine, settings: LibrarySettings) -> Self {
        let searches = Cache::builder()
            .max_capacity(settings.search_cache_bytes)
            .weigher(|key: &String, found: &Arc<Matches>| search::weight(key, found))
            .build();
        Self {
            store,
            artifacts,
            engine,
            searches,
            explainer: Arc::new(explain::Explainer::new(settings.explanations)),
            networks: Cache::builder()
                .max_capacity(settings.network_cache_bytes)
                .weigher(|_, network: &Arc<Network>| network.byte_len().try_into().unwrap_or(u32::MAX))
                .build(),
            activation_limit: settings.activation_bytes,
        }
    }

    /// The catalogue, for reads that need no decision.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What networks run on, in words.
    pub fn device(&self) -> &str {
        self.engine.device()
    }
}
