//! The network of a version, ready to run.

use std::sync::Arc;

use super::{Library, ServiceError};
use scv_compute::network::{Network, NetworkFile};
use scv_compute::onnx::import::ImportOptions;
use scv_domain::dataset_record::Dataset;
use scv_domain::id::VersionId;
use scv_domain::image::ChannelStatistics;
use scv_domain::version::{ModelFormat, Source, Version, VersionStatus};

/// A version that can be run, with the data set it is made for.
#[derive(Debug, Clone)]
pub(super) struct Runnable {
    pub(super) version: Version,
    pub(super) dataset: Dataset,
    pub(super) network: Arc<Network>,
}

impl Runnable {
    /// What pixels are normalised with before the network reads them.
    pub(super) fn statistics(&self) -> ChannelStatistics {
        statistics_for(&self.version, &self.dataset)
    }
}

impl Library {
    /// A version to be run on images.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or its model is deleted, `BAD_USER_INPUT` if it is not ready or has no network.
    pub(super) async fn runnable(&self, version: VersionId) -> Result<Runnable, ServiceError> {
        let version = self.ready(version).await?;
        let dataset = self.dataset(version.dataset_id).await?;
        let network = self.network(&version, &dataset).await?;
        Ok(Runnable {
            version,
            dataset,
            network,
        })
    }

    /// A version that has come to its end well and has a network.
    ///
    /// # Errors
    /// Those of [`Library::runnable`].
    pub(super) async fn ready(&self, version: VersionId) -> Result<Version, ServiceError> {
        let (version, _) = self.listed_version(version).await?;
        if version.format == ModelFormat::Activations {
            return Err(ServiceError::bad_input(
                "a version of activations has no network to run: register its weights to have that",
            ));
        }
        match version.status {
            VersionStatus::Ready => Ok(version),
            VersionStatus::Failed => {
                let reason = version
                    .failure
                    .map_or_else(String::new, |failure| format!(": {}", failure.message));
                Err(ServiceError::bad_input(format!(
                    "the version has failed and cannot be run{reason}"
                )))
            }
            VersionStatus::Queued | VersionStatus::Running => Err(ServiceError::bad_input(
                "the version is not READY yet: wait for its job",
            )),
        }
    }

    /// The network of a version, kept on the device.
    pub(super) async fn network(&self, version: &Version, dataset: &Dataset) -> Result<Arc<Network>, ServiceError> {
        let key = file_of(version)?;
        let load = async {
            let file = match &version.source {
                Some(Source::Onnx { output, preprocessing }) => NetworkFile::Onnx {
                    bytes: self.weights(key).await?,
                    options: ImportOptions {
                        size: Some([preprocessing.shape.height, preprocessing.shape.width]),
                        output: output.clone(),
                    },
                    order: preprocessing.order,
                },
                _ => NetworkFile::Blocks {
                    graph: self.graph(version, dataset)?,
                    weights: self.weights(key).await?,
                },
            };
            let _turn = self.device_turn().await;
            Ok::<_, ServiceError>(self.engine.load(file).await?)
        };
        // A version's network never changes, so its key is all that tells it from others.
        self.networks.get_or(version.id, load).await
    }
}

/// The artifact that a version's network is read from.
pub(super) fn file_of(version: &Version) -> Result<&str, ServiceError> {
    let missing = || ServiceError::bad_input("the version has no weights yet: wait for its job");
    version.weights_key.as_deref().ok_or_else(missing)
}

/// Whether a network answers with one score for each class of a data set. One from elsewhere may have been made for
/// something else: its layers are compared all the same.
pub(super) fn answers_classes(network: &Network, dataset: &Dataset) -> bool {
    network
        .classes()
        .is_ok_and(|classes| classes == dataset.class_names.len())
}

/// What pixels are normalised with before a version reads them.
pub(super) fn statistics_for(version: &Version, on: &Dataset) -> ChannelStatistics {
    match &version.source {
        Some(Source::Onnx { preprocessing, .. }) => preprocessing.statistics.clone(),
        _ => on.statistics.clone(),
    }
}
