//! What else the stored vectors say of a target and its hits.

use tokio_util::sync::CancellationToken;

use super::{Library, ServiceError};
use scv_compute::neighbours::Neighbourhoods;
use scv_compute::significance::significance;
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::similarity::{MutualKnn, Significance};
use scv_domain::vector::LayerVector;

/// Fewest permutations of a significance: with fewer, no probability of 1% could be told.
const MIN_PERMUTATIONS: usize = 99;

/// Numbers of all relabelled Grams of a significance together: 100,000 permutations of 100 images, 1,000 of 1,000.
const MAX_RELABELLED: usize = 1_000_000_000;

/// Products of all relabelled Grams with those of the hits: seconds on two cores.
const MAX_PRODUCTS: usize = 10_000_000_000;

/// A target with some of its hits.
struct Hits {
    target: LayerVector,
    others: Vec<(LayerId, LayerVector)>,
}

impl Library {
    /// How likely a layer's scores with others are if they say nothing; others without a vector are left out.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for too few or too many permutations; the database fails.
    pub async fn significance(
        &self,
        probe_set: ProbeSetId,
        target: LayerId,
        others: &[LayerId],
        permutations: usize,
    ) -> Result<Vec<(LayerId, Significance)>, ServiceError> {
        if permutations < MIN_PERMUTATIONS {
            return Err(ServiceError::bad_input(format!(
                "`permutations` must be at least {MIN_PERMUTATIONS}, got {permutations}"
            )));
        }
        let _turn = self.turn().await;
        let Some(hits) = self.hits(probe_set, target, others).await? else {
            return Ok(Vec::new());
        };
        let images = hits.target.tail.len();
        let products = MAX_PRODUCTS / hits.others.len().max(1);
        let most = MAX_RELABELLED.min(products) / (images * images);
        if permutations > most {
            return Err(ServiceError::bad_input(format!(
                "`permutations` must be at most {most} for {} hits on a probe set of {images} images, got {permutations}",
                hits.others.len()
            )));
        }
        let watch = CancellationToken::new();
        let _stop = watch.clone().drop_guard();
        let computed = tokio::task::spawn_blocking(move || {
            let (found, vectors): (Vec<_>, Vec<_>) = hits.others.iter().map(|(layer, vector)| (*layer, vector)).unzip();
            let each = significance(&hits.target, &vectors, permutations, &|| watch.is_cancelled());
            found.into_iter().zip(each).collect()
        });
        computed.await.map_err(ServiceError::internal)
    }

    /// How many of each image's nearest other images a layer has in common with others; others without a vector are left
    /// out.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for no neighbours, or as many as there are images; the database fails.
    pub async fn mutual_knn(
        &self,
        probe_set: ProbeSetId,
        target: LayerId,
        others: &[LayerId],
        nearest: usize,
    ) -> Result<Vec<(LayerId, MutualKnn)>, ServiceError> {
        let _turn = self.turn().await;
        let Some(hits) = self.hits(probe_set, target, others).await? else {
            return Ok(Vec::new());
        };
        let images = hits.target.tail.len();
        if !(1..images).contains(&nearest) {
            return Err(ServiceError::bad_input(format!(
                "`k` must be 1 to {} on a probe set of {images} images, got {nearest}",
                images - 1
            )));
        }
        let computed = tokio::task::spawn_blocking(move || {
            let own = Neighbourhoods::of(&hits.target, nearest);
            let overlap = |(layer, vector): &(LayerId, LayerVector)| {
                let overlap = MutualKnn {
                    overlap: own.overlap(&Neighbourhoods::of(vector, nearest)),
                    by_chance: nearest as f64 / (images - 1) as f64,
                    nearest,
                };
                (*layer, overlap)
            };
            hits.others.iter().map(overlap).collect()
        });
        computed.await.map_err(ServiceError::internal)
    }

    /// `None` if the target itself has no vector.
    async fn hits(
        &self,
        probe_set: ProbeSetId,
        target: LayerId,
        others: &[LayerId],
    ) -> Result<Option<Hits>, ServiceError> {
        let wanted: Vec<LayerId> = others.iter().copied().chain([target]).collect();
        let vectors = self.store.vectors(probe_set, &wanted).await?;
        let own = vectors.iter().find(|(layer, _)| *layer == target);
        let own = own.map(|(_, vector)| vector.clone());
        Ok(own.map(|target_vector| Hits {
            target: target_vector,
            // The target may be its own hit.
            others: vectors
                .into_iter()
                .filter(|(layer, _)| others.contains(layer))
                .collect(),
        }))
    }
}
