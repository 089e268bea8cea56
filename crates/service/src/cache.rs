//! What is kept in memory because it was costly to get: bounded in bytes, counted, computed once however many ask for it.

use std::any::Any;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::future::Cache;

use super::ServiceError;

/// How a cache is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheStatistics {
    /// What it keeps.
    pub name: &'static str,
    /// Bytes of all that it keeps.
    pub bytes: u64,
    /// Most bytes it keeps.
    pub byte_limit: u64,
    /// Things it keeps.
    pub entries: u64,
    /// Questions that it had the answer to, or that waited for somebody else's.
    pub hits: u64,
    /// Questions that had to be computed.
    pub misses: u64,
}

/// Things by key, the least used dropped first.
pub(super) struct MeteredCache<K, V> {
    name: &'static str,
    byte_limit: u64,
    kept: Cache<K, V>,
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
            kept: self.kept.clone(),
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
        let kept = Cache::builder()
            .max_capacity(byte_limit)
            .weigher(move |key, value| bytes(key, value).try_into().unwrap_or(u32::MAX))
            .build();
        Self {
            name,
            byte_limit,
            kept,
            counts: Arc::default(),
        }
    }

    /// What is kept under a key, or what `compute` gives, which is then kept. Of all who wait for the same key one computes;
    /// an error goes to all of them and is not kept.
    pub(super) async fn get_or(
        &self,
        key: K,
        compute: impl Future<Output = Result<V, ServiceError>>,
    ) -> Result<V, ServiceError> {
        let found = self.kept.entry(key).or_try_insert_with(compute).await;
        self.count(found.as_ref().is_ok_and(|entry| !entry.is_fresh()));
        match found {
            Ok(entry) => Ok(entry.into_value()),
            Err(shared) => Err(ServiceError::clone(&shared)),
        }
    }

    /// What is kept under a key, for those who count themselves whether that was of use.
    pub(super) async fn peek(&self, key: &K) -> Option<V> {
        self.kept.get(key).await
    }

    /// Counts a question.
    pub(super) fn count(&self, is_hit: bool) {
        let count = match is_hit {
            true => &self.counts.hits,
            false => &self.counts.misses,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps something.
    pub(super) async fn insert(&self, key: K, value: V) {
        self.kept.insert(key, value).await;
    }

    /// Drops everything.
    pub(super) fn clear(&self) {
        self.kept.invalidate_all();
    }

    pub(super) async fn statistics(&self) -> CacheStatistics {
        // Counted as of now, and not of the last time that it tidied up.
        self.kept.run_pending_tasks().await;
        CacheStatistics {
            name: self.name,
            bytes: self.kept.weighted_size(),
            byte_limit: self.byte_limit,
            entries: self.kept.entry_count(),
            hits: self.counts.hits.load(Ordering::Relaxed),
            misses: self.counts.misses.load(Ordering::Relaxed),
        }
    }
}

/// An answer computed from the catalogue.
pub(super) trait Answer: Any + Send + Sync {
    /// Bytes that it takes.
    fn bytes(&self) -> usize;
}

/// Answers of all kinds, each true for one generation of the catalogue.
pub(super) type Answers = MeteredCache<String, Arc<dyn Answer>>;

impl Answers {
    pub(super) fn of_searches(byte_limit: u64) -> Self {
        Self::new("searches", byte_limit, |key: &String, answer: &Arc<dyn Answer>| {
            (key.len() + answer.bytes()) as u64
        })
    }

    /// The answer to a question, which must name all that it depends on, its kind too. `generation` is the catalogue's, read
    /// before: an answer that is newer than its key says is never wrong, an older one would be.
    pub(super) async fn answer<A: Answer>(
        &self,
        generation: i64,
        question: String,
        compute: impl Future<Output = Result<A, ServiceError>>,
    ) -> Result<Arc<A>, ServiceError> {
        let key = format!("{generation} {} {question}", std::any::type_name::<A>());
        let compute = async { Ok(Arc::new(compute.await?) as Arc<dyn Answer>) };
        let answer: Arc<dyn Any + Send + Sync> = self.get_or(key, compute).await?;
        answer
            .downcast()
            .map_err(|_| ServiceError::internal(anyhow::anyhow!("an answer of one kind under the key of another")))
    }
}
