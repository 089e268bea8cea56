//! Results kept in memory because they were costly to get. Each cache is bounded in bytes, counts its hits and misses, and can
//! compute an entry once however many callers wait for it.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::future::Cache;

use super::ServiceError;
use scv_store::CacheStatistics;

/// Entries by key. The least used are dropped first.
pub(super) struct MeteredCache<K, V> {
    name: &'static str,
    byte_limit: u64,
    entries: Cache<K, V>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<K, V> Clone for MeteredCache<K, V> {
    fn clone(&self) -> Self {
        Self {
            entries: self.entries.clone(),
            counts: Arc::clone(&self.counts),
            ..*self
        }
    }
}

impl<K, V> MeteredCache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(
        name: &'static str,
        byte_limit: u64,
        bytes: impl Fn(&K, &V) -> u64 + Send + Sync + 'static,
    ) -> Self {
        let entries = Cache::builder()
            .max_capacity(byte_limit)
            .weigher(move |key, value| bytes(key, value).try_into().unwrap_or(u32::MAX))
            .build();
        Self {
            name,
            byte_limit,
            entries,
            counts: Arc::default(),
        }
    }

    /// The entry of a key, or the result of `compute`, which is then kept. Of all callers that wait for the same key, one
    /// computes. An error goes to all of them and is not kept.
    pub(super) async fn get_or(
        &self,
        key: K,
        compute: impl Future<Output = Result<V, ServiceError>>,
    ) -> Result<V, ServiceError> {
        let found = self.entries.entry(key).or_try_insert_with(compute).await;
        self.count(found.as_ref().is_ok_and(|entry| !entry.is_fresh()));
        match found {
            Ok(entry) => Ok(entry.into_value()),
            Err(shared) => Err(ServiceError::clone(&shared)),
        }
    }

    /// Bytes that all entries may take.
    pub(super) fn byte_limit(&self) -> u64 {
        self.byte_limit
    }

    /// The entry of a key. The caller counts the hit or miss itself, with [`Self::count`].
    pub(super) async fn peek(&self, key: &K) -> Option<V> {
        self.entries.get(key).await
    }

    /// Counts a lookup.
    pub(super) fn count(&self, is_hit: bool) {
        let count = if is_hit { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps an entry.
    pub(super) async fn insert(&self, key: K, value: V) {
        self.entries.insert(key, value).await;
    }

    /// Drops all entries.
    pub(super) fn clear(&self) {
        self.entries.invalidate_all();
    }

    pub(super) async fn statistics(&self) -> CacheStatistics {
        // Entries that were dropped are counted until the cache has done its pending work.
        self.entries.run_pending_tasks().await;
        CacheStatistics {
            name: self.name,
            bytes: self.entries.weighted_size(),
            byte_limit: self.byte_limit,
            entries: self.entries.entry_count(),
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed),
        }
    }
}
