//! Reading back what was stored: the images of a data set and the network of a version.

use std::sync::Arc;

use bytes::Bytes;

use super::{Library, ServiceError};
use scv_artifact::{ArtifactError, ArtifactKey, SplitKeys, Stored};
use scv_compute::activations::ActivationLimits;
use scv_domain::block::{Block, lower};
use scv_domain::dataset::Split;
use scv_domain::dataset_record::{Dataset, ProbeSet};
use scv_domain::graph::Graph;
use scv_domain::id::{DatasetId, ProbeSetId, VersionId};
use scv_domain::image::{Images, LabelledImages};
use scv_domain::model::Model;
use scv_domain::version::Version;

impl Library {
    pub(super) async fn dataset(&self, id: DatasetId) -> Result<Dataset, ServiceError> {
        let found = self.store.datasets_by_id(&[id]).await?.pop();
        found.ok_or_else(|| ServiceError::not_found("data set", id))
    }

    /// The data set of a name.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none.
    pub async fn dataset_named(&self, name: &str) -> Result<Dataset, ServiceError> {
        if let Some(found) = self.store.dataset_by_name(name).await? {
            return Ok(found);
        }
        let known = self.store.datasets().await?;
        Err(ServiceError::not_found("data set", unknown_dataset(name, &known)))
    }

    pub(super) async fn version(&self, id: VersionId) -> Result<Version, ServiceError> {
        let found = self.store.versions_by_id(&[id]).await?.pop();
        found.ok_or_else(|| ServiceError::not_found("version", id))
    }

    /// A version with its model.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or its model is deleted.
    pub async fn listed_version(&self, id: VersionId) -> Result<(Version, Model), ServiceError> {
        let version = self.version(id).await?;
        let model = self.store.models_by_id(&[version.model_id]).await?.pop();
        match model.filter(|model| model.deleted_at.is_none()) {
            Some(model) => Ok((version, model)),
            None => Err(ServiceError::not_found("version", id)),
        }
    }

    /// The probe set to measure on: the one that is asked for, or the data set's default one.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if it is none of the data set's.
    pub async fn probe_set_of(&self, dataset: &Dataset, wanted: Option<ProbeSetId>) -> Result<ProbeSet, ServiceError> {
        let own = self.store.probe_sets_of(&[dataset.id]).await?;
        let found = own.into_iter().find(|set| match wanted {
            Some(wanted) => set.id == wanted,
            None => set.is_default,
        });
        found.ok_or_else(|| match wanted {
            Some(_) => ServiceError::bad_input(format!(
                "data set {} has no such probe set: choose one of its own (Dataset.probeSets lists them)",
                dataset.name
            )),
            None => ServiceError::internal(anyhow::anyhow!("a data set has no default probe set")),
        })
    }

    /// What a file of activations on a probe set is held against.
    pub(super) fn activation_limits(&self, probe_set: &ProbeSet) -> ActivationLimits {
        ActivationLimits {
            probes: probe_set.image_indices.len(),
            layer_bytes: self.activation_limit,
        }
    }

    /// The weights of a version, a safetensors file.
    pub(super) async fn weights(&self, key: &str) -> Result<Bytes, ServiceError> {
        let key = key.parse::<ArtifactKey>().map_err(ArtifactError::from)?;
        Ok(self.artifacts.get(&key).await?)
    }

    /// The same, or an ONNX file, in pieces.
    pub(super) async fn stored(&self, key: &str) -> Result<Stored, ServiceError> {
        let key = key.parse::<ArtifactKey>().map_err(ArtifactError::from)?;
        Ok(self.artifacts.stream(&key).await?)
    }

    pub(super) async fn images(&self, dataset: &Dataset, split: Split) -> Result<LabelledImages, ServiceError> {
        let Some(stored) = self.store.split(dataset.id, split).await? else {
            return Err(ServiceError::internal(anyhow::anyhow!(
                "data set {} has no {split} split",
                dataset.name
            )));
        };
        let key = |text: &str| text.parse::<ArtifactKey>().map_err(ArtifactError::from);
        let keys = SplitKeys {
            images: key(&stored.images_key)?,
            labels: key(&stored.labels_key)?,
        };
        Ok(self.artifacts.get_split(&keys, dataset.shape).await?)
    }

    /// The images of a probe set, in order.
    pub(super) async fn probe_images(&self, dataset: &Dataset, probe_set: &ProbeSet) -> Result<Images, ServiceError> {
        // A probe set never changes, and picking its images means reading the whole split.
        let pick = async {
            let split = self.images(dataset, probe_set.split).await?;
            let indices: Vec<_> = probe_set.image_indices.iter().map(|&index| index as usize).collect();
            Ok(split.images.select(&indices))
        };
        self.probes.get_or(probe_set.id, pick).await
    }

    /// The network of a block version, lowered anew: lowering is pure, so it is the graph that was checked.
    pub(super) fn graph(&self, version: &Version, dataset: &Dataset) -> Result<Arc<Graph>, ServiceError> {
        let blocks = version.blocks.clone().unwrap_or_default();
        let blocks: Vec<Block> = serde_json::from_value(blocks).map_err(ServiceError::internal)?;
        let graph = lower(&blocks, dataset.shape, dataset.class_names.len()).map_err(|e| ServiceError::blocks(&e))?;
        Ok(Arc::new(graph))
    }
}

/// The name of a data set that is not there, and which are.
pub(super) fn unknown_dataset(name: &str, known: &[Dataset]) -> String {
    let known: Vec<_> = known.iter().map(|dataset| dataset.name.as_str()).collect();
    format!("{name:?}: known are {}", known.join(", "))
}
