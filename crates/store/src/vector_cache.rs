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
use scv_domain::vector::{CkaScores, Measure, ScoredVector, TargetVector};

/// Vectors by their keys, which are digests of their numbers. So none is ever out of date.
#[derive(Debug, Clone)]
pub(super) struct VectorCache {
    vectors: Cache<Uuid, Arc<ScoredVector>>,
    counts: Arc<Counts>,
    /// Held while vectors are read ahead.
    filling: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Numbers of vectors that are read ahead in one statement: 4 MB.
const FILL_NUMBERS: usize = 1_000_000;

/// A layer, with the key of its vector.
pub(super) type KeyedLayer = (Uuid, i64);

/// What a search learns of a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    Scored(CkaScores),
    /// It scores less than was asked for, and no more than this.
    Below(f64),
}

impl VectorCache {
    pub(super) fn new(byte_limit: u64) -> Self {
        Self {
            vectors: Cache::builder()
                .max_capacity(byte_limit)
                .weigher(|_, vector: &Arc<ScoredVector>| vector.byte_count().try_into().unwrap_or(u32::MAX))
                .build(),
            counts: Arc::default(),
            filling: Arc::default(),
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
    /// As for [`VectorCache::verdicts`].
    pub(super) async fn vector(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        layer: KeyedLayer,
    ) -> Result<Arc<ScoredVector>, StoreError> {
        let (mut found, _) = self.vectors(database, probe_set, &[layer]).await?;
        found.pop().ok_or(StoreError::Overtaken)
    }

    /// The scores of layers with a target by a measure, as far as they can reach the least score that matters, in the order of the
    /// layers, and how many of their vectors were read in the database.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] if a layer has another vector by now, or none.
    pub(super) async fn verdicts(
        &self,
        database: impl PgExecutor<'_>,
        probe_set: ProbeSetId,
        (target, measure, least): (&TargetVector, Measure, f64),
        layers: &[KeyedLayer],
    ) -> Result<(Vec<Verdict>, usize), StoreError> {
        let (vectors, read) = self.vectors(database, probe_set, layers).await?;
        let verdicts = vectors.iter().map(|vector| verdict(target, vector, measure, least));
        Ok((verdicts.collect(), read))
    }

    /// Reads the vectors of layers before searches need them, as long as there is room. One caller at a time does.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn fill(
        &self,
        database: &PgPool,
        probe_set: ProbeSetId,
        layers: &[KeyedLayer],
    ) -> Result<(), StoreError> {
        let _alone = self.filling.lock().await;
        let limit = self.vectors.policy().max_capacity().unwrap_or(u64::MAX);
        // The first one tells how large they are.
        let (mut batch, mut bytes) = (1, 1);
        let mut rest = layers;
        while !rest.is_empty() {
            self.vectors.run_pending_tasks();
            if self.vectors.weighted_size() + (batch * bytes) as u64 > limit {
                break;
            }
            let (next, others) = rest.split_at(batch.min(rest.len()));
            rest = others;
            let missing = next.iter().filter(|(key, _)| !self.vectors.contains_key(key));
            let missing: Vec<i64> = missing.map(|(_, layer)| *layer).collect();
            if missing.is_empty() {
                continue;
            }
            if let Some(vector) = self.read(database, probe_set, &missing).await?.values().next() {
                batch = (FILL_NUMBERS / vector.len()).max(1);
                bytes = vector.byte_count();
            }
        }
        Ok(())
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
        let keyed = vectors.into_iter().map(|(_, vector)| {
            let (key, vector) = (vector_key(&vector), Arc::new(ScoredVector::new(vector)));
            self.vectors.insert(key, Arc::clone(&vector));
            (key, vector)
        });
        Ok(keyed.collect())
    }
}

fn verdict(target: &TargetVector, vector: &ScoredVector, measure: Measure, least: f64) -> Verdict {
    if least > f64::NEG_INFINITY {
        let bound = target.bound(vector, measure);
        // Not if it is not a number.
        if bound < least {
            return Verdict::Below(bound);
        }
    }
    Verdict::Scored(target.scores(vector))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scv_domain::vector::LayerVector;

    const PROBES: usize = 12;
    const LEAD: usize = PROBES * (PROBES - 3) / 2;

    fn vector(step: f32) -> ScoredVector {
        let mut numbers: Vec<f32> = (0..LEAD + PROBES).map(|index| (index as f32 * step).sin()).collect();
        let norm = numbers.iter().map(|x| x * x).sum::<f32>().sqrt();
        numbers.iter_mut().for_each(|x| *x /= norm);
        let tail = numbers.split_off(LEAD);
        ScoredVector::new(LayerVector { lead: numbers, tail })
    }

    #[test]
    fn a_vector_is_scored_unless_its_rounded_numbers_rule_it_out() {
        let target = TargetVector::new(Arc::new(vector(0.3)));
        let other = vector(1.7);
        let scores = target.scores(&other);
        for (measure, score) in [(Measure::Cka, scores.cka), (Measure::DebiasedCka, scores.debiased_cka)] {
            let verdict = |least| verdict(&target, &other, measure, least);
            assert_eq!(verdict(f64::NEG_INFINITY), Verdict::Scored(scores));
            assert_eq!(verdict(score), Verdict::Scored(scores), "a tie is a hit");
            let ruled_out = verdict(score + 0.1);
            assert!(
                matches!(ruled_out, Verdict::Below(bound) if score <= bound && bound < score + 0.1),
                "{ruled_out:?}"
            );
        }
    }

    #[test]
    fn a_vector_whose_bound_is_not_a_number_is_scored() {
        let empty = ScoredVector::new(LayerVector {
            lead: vec![0.0; LEAD],
            tail: vec![(1.0 / PROBES as f32).sqrt(); PROBES],
        });
        let target = TargetVector::new(Arc::new(vector(0.3)));
        let verdict = verdict(&target, &empty, Measure::DebiasedCka, 0.5);
        assert!(matches!(verdict, Verdict::Scored(_)), "{verdict:?}");
    }
}
