//! Exact scores, from vectors that are kept in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use super::layer_sketch::vector_key;
use super::vector::stored_vectors;
use super::{CacheStatistics, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::vector::{CkaScores, ScoredVector, TargetVector};

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
        let (mut found, _) = self.vectors(database, probe_set, &[layer]).await?;
        found.pop().ok_or(StoreError::Overtaken)
    }

    /// The scores of layers with a target, in the order of the layers, and how many of their vectors were read in the database.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] if a layer has another vector by now, or none.
    pub(super) async fn scores(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        target: &TargetVector,
        layers: &[KeyedLayer],
    ) -> Result<(Vec<CkaScores>, usize), StoreError> {
        let (vectors, read) = self.vectors(database, probe_set, layers).await?;
        let scores = vectors.iter().map(|vector| target.scores(vector));
        Ok((scores.collect(), read))
    }

    /// The vectors of layers, before searches need them. Those that are read are kept if there is room.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn read_ahead(
        &self,
        database: &PgPool,
        probe_set: ProbeSetId,
        layers: &[KeyedLayer],
    ) -> Result<HashMap<Uuid, Arc<ScoredVector>>, StoreError> {
        let kept = layers
            .iter()
            .filter_map(|(key, _)| Some((*key, self.vectors.get(key)?)));
        let mut vectors: HashMap<Uuid, Arc<ScoredVector>> = kept.collect();
        // One layer of each.
        let missing = layers.iter().filter(|(key, _)| !vectors.contains_key(key));
        let missing: HashMap<Uuid, i64> = missing.copied().collect();
        let missing: Vec<i64> = missing.into_values().collect();
        if !missing.is_empty() {
            let read = self.read(database, probe_set, &missing).await?;
            self.vectors.run_pending_tasks();
            let bytes: usize = read.values().map(|vector| vector.byte_count()).sum();
            let limit = self.vectors.policy().max_capacity().unwrap_or(u64::MAX);
            if self.vectors.weighted_size().saturating_add(bytes as u64) <= limit {
                self.keep(&read);
            }
            vectors.extend(read);
        }
        Ok(vectors)
    }

    async fn vectors(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        layers: &[KeyedLayer],
    ) -> Result<(Vec<Arc<ScoredVector>>, usize), StoreError> {
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
        self.keep(&read);
        let vectors = layers
            .iter()
            .zip(kept)
            .map(|((key, _), kept)| kept.or_else(|| read.get(key).cloned()).ok_or(StoreError::Overtaken));
        Ok((vectors.collect::<Result<_, _>>()?, missing.len()))
    }

    async fn read(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        layers: &[i64],
    ) -> Result<HashMap<Uuid, Arc<ScoredVector>>, StoreError> {
        let vectors = stored_vectors(database, probe_set, layers).await?;
        let keyed = vectors
            .into_iter()
            .map(|(_, vector)| (vector_key(&vector), Arc::new(ScoredVector::new(vector))));
        Ok(keyed.collect())
    }

    fn keep(&self, read: &HashMap<Uuid, Arc<ScoredVector>>) {
        for (key, vector) in read {
            self.vectors.insert(*key, Arc::clone(vector));
        }
    }
}
