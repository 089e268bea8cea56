//! Statistics of a search's target and its hits, computed from their stored vectors.

use tokio_util::sync::CancellationToken;

use super::{Library, ServiceError};
use scv_compute::neighbours::Neighbourhoods;
use scv_compute::significance::significance;
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::similarity::{MutualKnn, Significance};
use scv_domain::vector::LayerVector;

/// Fewest permutations of a significance test: with fewer, no p-value can be as low as 1%.
const MIN_PERMUTATIONS: usize = 99;

/// Numbers of all relabelled Gram matrices of a significance test together: 100,000 permutations of 100 images, or 1,000 of
/// 1,000.
const MAX_RELABELLED: usize = 1_000_000_000;

/// Multiplications of all relabelled Gram matrices with those of the hits: seconds on two cores.
const MAX_PRODUCTS: usize = 10_000_000_000;

/// The vectors of a target and of some of its hits.
struct MatchVectors {
    target: LayerVector,
    hits: Vec<(LayerId, LayerVector)>,
}

impl Library {
    /// How likely scores as high as those of a target with its hits are by chance. Hits without a vector are left out.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for too few or too many permutations; the database fails.
    pub async fn significance(
        &self,
        probe_set: ProbeSetId,
        target: LayerId,
        hits: &[LayerId],
        permutations: usize,
    ) -> Result<Vec<(LayerId, Significance)>, ServiceError> {
        if permutations < MIN_PERMUTATIONS {
            return Err(ServiceError::bad_input(format!(
                "`permutations` must be at least {MIN_PERMUTATIONS}, got {permutations}"
            )));
        }
        let permit = self.compute_permit().await;
        let Some(vectors) = self.match_vectors(probe_set, target, hits).await? else {
            return Ok(Vec::new());
        };
        let images = vectors.target.tail.len();
        let products = MAX_PRODUCTS / vectors.hits.len().max(1);
        let max_permutations = MAX_RELABELLED.min(products) / (images * images);
        if permutations > max_permutations {
            return Err(ServiceError::bad_input(format!(
                "`permutations` must be at most {max_permutations} for {} hits on a probe set of {images} images, got \
                 {permutations}",
                vectors.hits.len()
            )));
        }
        let cancelled = CancellationToken::new();
        let _cancel_on_drop = cancelled.clone().drop_guard();
        let computed = permit.run(move || {
            let (layers, of_hits): (Vec<_>, Vec<_>) =
                vectors.hits.iter().map(|(layer, vector)| (*layer, vector)).unzip();
            let each = significance(&vectors.target, &of_hits, permutations, &|| cancelled.is_cancelled());
            layers.into_iter().zip(each).collect()
        });
        computed.await
    }

    /// How many of each image's nearest other images a target has in common with its hits. Hits without a vector are left
    /// out.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for no neighbours, or for as many as there are images; the database fails.
    pub async fn mutual_knn(
        &self,
        probe_set: ProbeSetId,
        target: LayerId,
        hits: &[LayerId],
        nearest: usize,
    ) -> Result<Vec<(LayerId, MutualKnn)>, ServiceError> {
        let permit = self.compute_permit().await;
        let Some(vectors) = self.match_vectors(probe_set, target, hits).await? else {
            return Ok(Vec::new());
        };
        let images = vectors.target.tail.len();
        if !(1..images).contains(&nearest) {
            return Err(ServiceError::bad_input(format!(
                "`k` must be 1 to {} on a probe set of {images} images, got {nearest}",
                images - 1
            )));
        }
        let computed = permit.run(move || {
            let own = Neighbourhoods::of(&vectors.target, nearest);
            let overlap = |(layer, vector): &(LayerId, LayerVector)| {
                let overlap = MutualKnn {
                    overlap: own.overlap(&Neighbourhoods::of(vector, nearest)),
                    by_chance: nearest as f64 / (images - 1) as f64,
                    nearest,
                };
                (*layer, overlap)
            };
            vectors.hits.iter().map(overlap).collect()
        });
        computed.await
    }

    /// `None` if the target itself has no vector.
    async fn match_vectors(
        &self,
        probe_set: ProbeSetId,
        target: LayerId,
        hits: &[LayerId],
    ) -> Result<Option<MatchVectors>, ServiceError> {
        let layers: Vec<LayerId> = hits.iter().copied().chain([target]).collect();
        let vectors = self.store.vectors(probe_set, &layers).await?;
        let own = vectors.iter().find(|(layer, _)| *layer == target);
        let own = own.map(|(_, vector)| vector.clone());
        Ok(own.map(|target_vector| MatchVectors {
            target: target_vector,
            // The target may be its own hit.
            hits: vectors.into_iter().filter(|(layer, _)| hits.contains(layer)).collect(),
        }))
    }
}
