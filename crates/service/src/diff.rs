//! Two versions side by side: what became of each layer, and how far it moved.

use std::collections::HashMap;

use super::{Library, ServiceError};
use scv_domain::dataset_record::ProbeSet;
use scv_domain::diff::{Entry, diff};
use scv_domain::id::{LayerId, ProbeSetId, VersionId};
use scv_domain::page::Page;
use scv_domain::vector::{LayerVector, Likeness};
use scv_domain::version::{Layer, Version, VersionStatus};

/// Numbers of the vectors that are held at a time, 128 MB: all layers of most pairs of versions.
const HELD_NUMBERS: usize = 32_000_000;

/// What leads from one version to another.
#[derive(Debug)]
pub struct VersionDiff {
    /// In execution order, each with the likeness of its two layers if it has two that can be compared.
    pub entries: Vec<(Entry, Option<Likeness>)>,
    /// What they were compared on, or why they cannot be.
    pub probe_set: Result<ProbeSetId, String>,
}

impl Library {
    /// What leads from a version to another. Layers that pair up are compared on a probe set that both versions were measured
    /// on: the one asked for, or the default one, or else the oldest.
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
        let likenesses = match &probe_set {
            Ok(probe_set) => {
                let pairs = entries.iter().filter_map(Entry::pair);
                let pairs: Vec<_> = pairs.map(|(layer, other)| (layer.id, other.id)).collect();
                self.likenesses(probe_set, &pairs).await?
            }
            Err(_) => HashMap::new(),
        };
        let compared = entries.into_iter().map(|entry| {
            let likeness = entry
                .pair()
                .and_then(|(layer, other)| likenesses.get(&(layer.id, other.id)).copied());
            (entry, likeness)
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
                return Err(ServiceError::bad_input(format!(
                    "version {} is not READY, so it has no layers to compare: wait for its job, or choose another version",
                    version.number
                )));
            }
        }
        let mut layers = self.layers_of(&[version.id, other.id]).await?;
        let own = layers.remove(&version.id).unwrap_or_default();
        let others = match version.id == other.id {
            true => own.clone(),
            false => layers.remove(&other.id).unwrap_or_default(),
        };
        // Large networks take a while.
        let aligned = tokio::task::spawn_blocking(move || diff(&own, &others));
        let aligned = aligned.await.map_err(ServiceError::internal)?;
        aligned.map_err(ServiceError::bad_input)
    }

    /// All layers of versions, in execution order.
    async fn layers_of(&self, versions: &[VersionId]) -> Result<HashMap<VersionId, Vec<Layer>>, ServiceError> {
        let whole = Page {
            limit: i32::MAX as usize,
            from_end: false,
            after: None,
            before: None,
        };
        let mut versions = versions.to_vec();
        versions.dedup();
        let pages = self.store.layers_pages(&versions, &whole).await?;
        Ok(pages
            .into_iter()
            .map(|(version, slice)| (version, slice.entries))
            .collect())
    }

    /// A probe set that both versions were measured on, or in words why there is none.
    pub(super) async fn common_probe_set(
        &self,
        version: &Version,
        other: &Version,
        wanted: Option<ProbeSetId>,
    ) -> Result<Result<ProbeSet, String>, ServiceError> {
        if let Some(wanted) = wanted {
            self.probe_set_of(&self.dataset(version.dataset_id).await?, Some(wanted))
                .await?;
        }
        if version.dataset_id != other.dataset_id {
            return Ok(Err(
                "the versions are made for different data sets, so that they have no probe set in common".to_owned(),
            ));
        }
        let own = self.store.measured_probe_sets(version.id).await?;
        let others = self.store.measured_probe_sets(other.id).await?;
        let sets = self.store.probe_sets_of(&[version.dataset_id]).await?;
        // The default one stands first.
        let found = sets.into_iter().find(|set| {
            wanted.is_none_or(|wanted| set.id == wanted) && own.contains(&set.id) && others.contains(&set.id)
        });
        Ok(found.ok_or_else(|| "the versions have not been measured on the same probe set yet".to_owned()))
    }

    /// How like the layers of each pair are; pairs with a layer that has no vector are left out.
    async fn likenesses(
        &self,
        probe_set: &ProbeSet,
        pairs: &[(LayerId, LayerId)],
    ) -> Result<HashMap<(LayerId, LayerId), Likeness>, ServiceError> {
        let mut likenesses = HashMap::new();
        for pairs in pairs.chunks(held_vectors(probe_set) / 2) {
            let wanted: Vec<LayerId> = pairs.iter().flat_map(|&(layer, other)| [layer, other]).collect();
            let vectors: HashMap<LayerId, LayerVector> =
                self.store.vectors(probe_set.id, &wanted).await?.into_iter().collect();
            likenesses.extend(pairs.iter().filter_map(|&(layer, other)| {
                let likeness = vectors.get(&layer)?.likeness(vectors.get(&other)?);
                Some(((layer, other), likeness))
            }));
        }
        Ok(likenesses)
    }
}

/// Vectors that may be held at a time.
pub(super) fn held_vectors(probe_set: &ProbeSet) -> usize {
    (HELD_NUMBERS / probe_set.vector_length()).max(2)
}
