//! Keeps the sketches of each probe set in directions that its layers vary in.

use std::time::Duration;

use tracing::Instrument as _;

use super::{Library, ServiceError};
use scv_compute::control::Control;
use scv_compute::sketch::{FitCentres, FitDirections};
use scv_domain::access::Scope;
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::sketch::{SHORT_DIRECTIONS, SHORT_LENGTH, SketchBasis};
use scv_domain::vector::{LayerVector, Measure};
use scv_store::{BasisFit, FittedBasis, Replacement, SearchScope, Store};

/// Fewer layers are scored as a whole. No more are needed: a search for versions ranks them by sketches from the 51st version.
const MIN_FITTED_LAYERS: usize = 50;

/// Maximum number of vectors that directions are fitted to.
const MAX_DIRECTION_VECTORS: usize = 4_096;

/// Maximum number of their bytes, for one measure.
const MAX_DIRECTION_VECTOR_BYTES: usize = 128 << 20;

/// Number of layers from which the library is divided into cells.
const MIN_CELL_LAYERS: usize = 2_048;

/// Centres per square root of the number of layers: a search then looks at about as many centres as layers around them.
const CENTRES_PER_ROOT: f64 = 3.0;

/// Maximum number of centres.
const MAX_CENTRES: usize = 4_096;

/// Sketches per centre that the centres are fitted to.
const SKETCHES_PER_CENTRE: usize = 32;

/// Vectors that are in memory at a time while they are sketched.
const BATCH_VECTORS: usize = 500;

/// Sketches whose rests are averaged.
const REST_SAMPLE: usize = 2_048;

/// How much longer than at the fit the mean squared rest may be: as a factor, and beyond it.
const REST_GROWTH: (f64, f64) = (1.25, 0.01);

/// How much larger than at the fit a library may be.
const LIBRARY_GROWTH: usize = 2;

/// How long to wait before trying again after a failure.
const RETRY_DELAY: Duration = Duration::from_secs(60);

impl Library {
    /// Begins to fit a new basis to a probe set and to replace the sketches of all its layers, whether it needs it or not. This
    /// takes minutes for a million layers, and goes on by itself: see [`Store::search_indexes`].
    ///
    /// # Errors
    /// `NOT_FOUND` for the probe set, `CONFLICT` if a basis is being replaced already.
    pub async fn rebuild_search_index(&self, probe_set: ProbeSetId) -> Result<(), ServiceError> {
        self.require(Scope::Admin)?;
        if self.store.probe_sets_by_id(&[probe_set]).await?.is_empty() {
            return Err(ServiceError::not_found("probe set", probe_set));
        }
        let Some(replacement) = self.store.begin_replacement(probe_set).await? else {
            return Err(ServiceError::Conflict(
                "a search index is being rebuilt already, of this probe set or another one: wait until that has finished"
                    .to_owned(),
            ));
        };
        self.store.record_change().await?;
        let library = self.for_jobs();
        let replacing = tokio::spawn(async move { library.replace_basis(probe_set, replacement).await });
        tokio::spawn(
            async move {
                let failure = match replacing.await {
                    Ok(replaced) => replaced.err(),
                    Err(panic) => Some(ServiceError::internal(panic)),
                };
                if let Some(error) = failure {
                    tracing::warn!(%probe_set, error = format!("{error:#}"), "the search index could not be rebuilt");
                }
            }
            .in_current_span(),
        );
        Ok(())
    }

    /// Number of layers that searches of the caller can find on a probe set.
    ///
    /// # Errors
    /// The database fails.
    pub async fn count_searchable(&self, probe_set: ProbeSetId) -> Result<usize, ServiceError> {
        let scope = SearchScope {
            viewer: self.access.viewer(),
            ..SearchScope::default()
        };
        Ok(self.store.count_scope(probe_set, &scope).await?)
    }

    /// Fits a new basis wherever the layers have outgrown the old one: now, and whenever layers have been written. Never ends.
    pub(super) async fn tend_bases(&self) {
        loop {
            if let Err(error) = self.fit_outgrown_bases().await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the sketches could not be fitted; trying again later"
                );
                tokio::time::sleep(RETRY_DELAY).await;
                continue;
            }
            self.layers_written.notified().await;
        }
    }

    async fn fit_outgrown_bases(&self) -> Result<(), ServiceError> {
        for probe_set in self.store.probe_sets_with_basis().await? {
            if is_outgrown(&self.store.basis_fit(probe_set, REST_SAMPLE).await?) {
                // Another server may be at it.
                if let Some(replacement) = self.store.begin_replacement(probe_set).await? {
                    self.replace_basis(probe_set, replacement).await?;
                }
            }
        }
        Ok(())
    }

    /// Fits a basis to the layers of a probe set and replaces the old one.
    async fn replace_basis(&self, probe_set: ProbeSetId, replacement: Replacement) -> Result<(), ServiceError> {
        let started = std::time::Instant::now();
        let fitted = self.fitted(probe_set).await?;
        let fitting = started.elapsed();
        replacement.finish(fitted).await?;
        tracing::info!(%probe_set, ?fitting, total = ?started.elapsed(), "replaced the sketches of the search index");
        Ok(())
    }

    async fn fitted(&self, probe_set: ProbeSetId) -> Result<FittedBasis, ServiceError> {
        let (sample, layer_count) = self
            .store
            .sample_layers(probe_set, MAX_CENTRES * SKETCHES_PER_CENTRE)
            .await?;
        if layer_count < MIN_FITTED_LAYERS {
            return Ok(FittedBasis {
                basis: SketchBasis::empty(),
                layer_count: 0,
                rests: [1.0; 2],
            });
        }
        let mut basis = self.fitted_directions(probe_set, &sample).await?;
        let centres = match layer_count {
            ..MIN_CELL_LAYERS => 0,
            _ => ((layer_count as f64).sqrt() * CENTRES_PER_ROOT).min(MAX_CENTRES as f64) as usize,
        };
        let wanted = (centres * SKETCHES_PER_CENTRE).max(REST_SAMPLE).min(sample.len());
        let [debiased, cka] = sketches(&self.store, probe_set, &sample[..wanted], &basis).await?;
        let rests = [&debiased, &cka].map(|sketches| mean_squared_rest(sketches, REST_SAMPLE));
        let fit = |basis, sketches| {
            self.engine.run(
                FitCentres {
                    basis,
                    sketches,
                    centres,
                },
                Control::unwatched(),
            )
        };
        basis.debiased = fit(basis.debiased, debiased).await?;
        basis.cka = fit(basis.cka, cka).await?;
        Ok(FittedBasis {
            basis,
            layer_count,
            rests,
        })
    }

    async fn fitted_directions(&self, probe_set: ProbeSetId, sample: &[LayerId]) -> Result<SketchBasis, ServiceError> {
        let first = vectors(&self.store, probe_set, &sample[..1.min(sample.len())]).await?;
        let bytes = first
            .first()
            .map_or(1, |vector| (vector.lead.len() + vector.tail.len()) * size_of::<f32>());
        let count = MAX_DIRECTION_VECTORS
            .min(MAX_DIRECTION_VECTOR_BYTES / bytes.max(1))
            .max(1)
            .min(sample.len());
        let sample = vectors(&self.store, probe_set, &sample[..count]).await?;
        Ok(self.engine.run(FitDirections { sample }, Control::unwatched()).await?)
    }
}

fn is_outgrown(fit: &BasisFit) -> bool {
    let (factor, beyond) = REST_GROWTH;
    let is_larger = fit.layer_count_now >= MIN_FITTED_LAYERS.max(LIBRARY_GROWTH * fit.layer_count);
    let has_drifted = fit.layer_count > 0
        && fit
            .rests
            .iter()
            .zip(fit.rests_now)
            .any(|(then, now)| now > factor * then + beyond);
    is_larger || has_drifted
}

async fn vectors(store: &Store, probe_set: ProbeSetId, layers: &[LayerId]) -> Result<Vec<LayerVector>, ServiceError> {
    let found = store.vectors(probe_set, layers).await?;
    Ok(found.into_iter().map(|(_, vector)| vector).collect())
}

/// The short sketches of layers by each measure, one after the other, in the order of the layers.
async fn sketches(
    store: &Store,
    probe_set: ProbeSetId,
    layers: &[LayerId],
    basis: &SketchBasis,
) -> Result<[Vec<f32>; 2], ServiceError> {
    let mut sketches = [Measure::DebiasedCka, Measure::Cka].map(|_| Vec::with_capacity(layers.len() * SHORT_LENGTH));
    for batch in layers.chunks(BATCH_VECTORS) {
        let vectors = vectors(store, probe_set, batch).await?;
        for sketch in basis.sketches(&vectors.iter().collect::<Vec<_>>()) {
            sketches[0].extend(sketch.debiased.short);
            sketches[1].extend(sketch.cka.short);
        }
        tokio::task::yield_now().await;
    }
    Ok(sketches)
}

fn mean_squared_rest(sketches: &[f32], most: usize) -> f64 {
    let rests = sketches
        .chunks_exact(SHORT_LENGTH)
        .take(most)
        .map(|sketch| f64::from(sketch[SHORT_DIRECTIONS]).powi(2));
    let count = rests.len().max(1);
    rests.sum::<f64>() / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basis_is_outgrown_by_twice_as_many_layers_or_by_layers_that_it_knows_less() {
        let fit = BasisFit {
            layer_count: 1_000,
            layer_count_now: 1_900,
            rests: [0.1, 0.02],
            rests_now: [0.12, 0.03],
        };
        assert!(!is_outgrown(&fit));
        assert!(is_outgrown(&BasisFit {
            layer_count_now: 2_000,
            ..fit
        }));
        assert!(is_outgrown(&BasisFit {
            rests_now: [0.14, 0.02],
            ..fit
        }));
        assert!(is_outgrown(&BasisFit {
            rests_now: [0.1, 0.04],
            ..fit
        }));
    }

    #[test]
    fn the_first_basis_is_fitted_to_fifty_layers() {
        let fit = BasisFit {
            layer_count: 0,
            layer_count_now: 49,
            rests: [1.0; 2],
            rests_now: [1.0; 2],
        };
        assert!(!is_outgrown(&fit));
        assert!(is_outgrown(&BasisFit {
            layer_count_now: 256,
            ..fit
        }));
    }
}
