//! The differences of two versions: how each layer changed, and how similar its activations still are.

use std::collections::HashMap;

use super::{Library, ServiceError};
use scv_domain::dataset_record::ProbeSet;
use scv_domain::diff::{Entry, diff};
use scv_domain::id::{LayerId, ProbeSetId, VersionId};
use scv_domain::page::Page;
use scv_domain::vector::{CkaScores, LayerVector};
use scv_domain::version::{Layer, Version, VersionStatus};

/// Numbers of the vectors in memory at the same time, 128 MB: all layers of most pairs of versions.
const MAX_NUMBERS: usize = 32_000_000;

/// The differences from one version to another.
#[derive(Debug)]
pub struct VersionDiff {
    /// In execution order, each with the CKA scores of its two layers if it has two that can be compared.
    pub entries: Vec<(Entry, Option<CkaScores>)>,
    /// The probe set that they were compared on, or why they cannot be compared.
    pub probe_set: Result<ProbeSetId, String>,
}

impl Library {
    /// The differences from a version to another. Layers that pair up are compared on a probe set that both versions were
    /// measured on: the requested one, or the default one, or else the oldest.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a version that has no layers yet, a probe set of another data set, or too many layers.
    #[tracing::instrument(name = "service.version_diff", skip_all, fields(version = %version.id, other = %other.id))]
    pub async fn version_diff(
        &self,
        version: &Version,
        other: &Version,
        probe_set: Option<ProbeSetId>,
    ) -> Result<VersionDiff, ServiceError> {
        let entries = self.aligned(version, other).await?;
        let probe_set = self.common_probe_set(version, other, probe_set).await?;
        let scores = match &probe_set {
            Ok(probe_set) => {
                let pairs = entries.iter().filter_map(Entry::pair);
                let pairs: Vec<_> = pairs.map(|(layer, other)| (layer.id, other.id)).collect();
                self.scores_of_pairs(probe_set, &pairs).await?
            }
            Err(_) => HashMap::new(),
        };
        let compared = entries.into_iter().map(|entry| {
            let pair_scores = entry
                .pair()
                .and_then(|(layer, other)| scores.get(&(layer.id, other.id)).copied());
            (entry, pair_scores)
        });
        Ok(VersionDiff {
            entries: compared.collect(),
            probe_set: probe_set.map(|probe_set| probe_set.id),
        })
    }

    /// The layers of two versions, aligned.
    pub(super) async fn aligned(&self, version: &Version, other: &Version) -> Result<Vec<Entry>, ServiceError> {
        for version in [version, other] {
            if version.status != VersionStatus::Ready {
                let name = self.name_of(version).await?;
                return Err(ServiceError::bad_input(format!(
                    "{name} is not READY, so it has no layers to compare: wait for its job, or choose another version"
                )));
            }
        }
        let mut layers = self.layers_of(&[version.id, other.id]).await?;
        let own = layers.remove(&version.id).unwrap_or_default();
        let others = if version.id == other.id {
            own.clone()
        } else {
            layers.remove(&other.id).unwrap_or_default()
        };
        // Large networks take a while.
        let aligned = self.compute(move |_| diff(&own, &others)).await?;
        aligned.map_err(ServiceError::bad_input)
    }

    /// All layers of versions, in execution order.
    async fn layers_of(&self, versions: &[VersionId]) -> Result<HashMap<VersionId, Vec<Layer>>, ServiceError> {
        let all = Page {
            limit: i32::MAX as usize,
            from_end: false,
            after: None,
            before: None,
        };
        let mut versions = versions.to_vec();
        versions.dedup();
        let pages = self.store.layers_pages(&versions, &all).await?;
        Ok(pages
            .into_iter()
            .map(|(version, slice)| (version, slice.entries))
            .collect())
    }

    /// A probe set that both versions were measured on, or the reason why there is none.
    pub(super) async fn common_probe_set(
        &self,
        version: &Version,
        other: &Version,
        requested: Option<ProbeSetId>,
    ) -> Result<Result<ProbeSet, String>, ServiceError> {
        if requested.is_some() {
            self.probe_set_of(version.dataset_id, requested).await?;
        }
        if version.dataset_id != other.dataset_id {
            return Ok(Err(
                "the versions are made for different data sets and have no probe set in common".to_owned(),
            ));
        }
        let own = self.store.measured_probe_sets(version.id).await?;
        let others = self.store.measured_probe_sets(other.id).await?;
        let sets = self.store.probe_sets_of(&[version.dataset_id]).await?;
        // The default one comes first.
        let found = sets.into_iter().find(|set| {
            requested.is_none_or(|requested| set.id == requested) && own.contains(&set.id) && others.contains(&set.id)
        });
        Ok(found.ok_or_else(|| "the versions have not been measured on the same probe set yet".to_owned()))
    }

    /// The CKA scores of each pair of layers. Pairs with a layer that has no vector are left out.
    async fn scores_of_pairs(
        &self,
        probe_set: &ProbeSet,
        pairs: &[(LayerId, LayerId)],
    ) -> Result<HashMap<(LayerId, LayerId), CkaScores>, ServiceError> {
        let mut scores = HashMap::new();
        for pairs in pairs.chunks(max_vectors(probe_set) / 2) {
            let layers: Vec<LayerId> = pairs.iter().flat_map(|&(layer, other)| [layer, other]).collect();
            let vectors: HashMap<LayerId, LayerVector> =
                self.store.vectors(probe_set.id, &layers).await?.into_iter().collect();
            scores.extend(pairs.iter().filter_map(|&(layer, other)| {
                let pair_scores = vectors.get(&layer)?.cka_scores(vectors.get(&other)?);
                Some(((layer, other), pair_scores))
            }));
        }
        Ok(scores)
    }
}

/// Vectors that may be in memory at the same time.
pub(super) fn max_vectors(probe_set: &ProbeSet) -> usize {
    (MAX_NUMBERS / probe_set.vector_length()).max(2)
}
