//! Exact scores, from vectors that are kept in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use sqlx::PgExecutor;
use uuid::Uuid;

use super::layer_sketch::vector_key;
use super::vector::stored_vectors;
use super::{CacheStatistics, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::vector::{CkaScores, ScoredVector};

/// Vectors by their keys, which are digests of their numbers. So none is ever out of date.
#[derive(Debug, Clone)]
pub(super) struct VectorCache {
    vectors: Cache<Uuid, Arc<ScoredVector>>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// A layer, with the key of its vector.
pub(super) type KeyedLayer = (Uuid, i64);

impl VectorCache {
    pub(super) fn new(byte_limit: u64) -> Self {
        Self {
            vectors: Cache::builder()
                .max_capacity(byte_limit)
                .weigher(|_, vector: &Arc<ScoredVector>| vector.byte_count().try_into().unwrap_or(u32::MAX))
                .build(),
            counts: Arc::default(),
        }
    }

    /// How its memory is used.
    pub(super) fn statistics(&self) -> CacheStatistics {
        self.vectors.run_pending_tasks();
        CacheStatistics {
            name: "vectors",
            bytes: self.vectors.weighted_size(),
            byte_limit: self.vectors.policy().max_capacity().unwrap_or(0),
            entries: self.vectors.entry_count(),
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed),
        }
    }

    /// The vector of one layer.
    ///
    /// # Errors
    /// As for [`VectorCache::scores`].
    pub(super) async fn vector(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        layer: KeyedLayer,
    ) -> Result<Arc<ScoredVector>, StoreError> {
        let mut found = self.vectors(database, probe_set, &[layer]).await?;
        found.pop().ok_or(StoreError::Overtaken)
    }

    /// The scores of layers with a target, in the order of the layers.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] if a layer has another vector by now, or none.
    pub(super) async fn scores(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        target: &ScoredVector,
        layers: &[KeyedLayer],
    ) -> Result<Vec<CkaScores>, StoreError> {
        let vectors = self.vectors(database, probe_set, layers).await?;
        Ok(vectors.iter().map(|vector| target.scores(vector)).collect())
    }

    async fn vectors(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        layers: &[KeyedLayer],
    ) -> Result<Vec<Arc<ScoredVector>>, StoreError> {
        let kept: Vec<_> = layers.iter().map(|(key, _)| self.vectors.get(key)).collect();
        let missing: Vec<i64> = layers
            .iter()
            .zip(&kept)
            .filter_map(|((_, layer), kept)| kept.is_none().then_some(*layer))
            .collect();
        self.counts
            .hits
            .fetch_add((layers.len() - missing.len()) as u64, Ordering::Relaxed);
        self.counts.misses.fetch_add(missing.len() as u64, Ordering::Relaxed);
        let read = match missing.is_empty() {
            true => HashMap::new(),
            false => self.read(database, probe_set, &missing).await?,
        };
        let vectors = layers
            .iter()
            .zip(kept)
            .map(|((key, _), kept)| kept.or_else(|| read.get(key).cloned()).ok_or(StoreError::Overtaken));
        vectors.collect()
    }

    async fn read(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        layers: &[i64],
    ) -> Result<HashMap<Uuid, Arc<ScoredVector>>, StoreError> {
        let vectors = stored_vectors(database, probe_set, layers).await?;
        let keyed = vectors.into_iter().map(|(_, vector)| {
            let (key, vector) = (vector_key(&vector), Arc::new(ScoredVector::new(vector)));
            self.vectors.insert(key, Arc::clone(&vector));
            (key, vector)
        });
        Ok(keyed.collect())
    }
}
