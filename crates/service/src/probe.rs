//! Probe sets: drawing them, and choosing the one that layers are compared on.

use super::{Library, ServiceError};
use scv_compute::activations::ActivationLimits;
use scv_domain::access::Scope;
use scv_domain::dataset::{NewDataset, Split};
use scv_domain::dataset_record::{Dataset, ProbeSet};
use scv_domain::id::{DatasetId, ProbeSetId};
use scv_domain::image::{ChannelStatistics, Images, LabelledImages};
use scv_domain::job::{Job, JobKind};
use scv_domain::probe::{DEFAULT_PROBE_SEED, DEFAULT_PROBES, ProbeRequest, choose_probes, content_hash};
use scv_store::{DatasetLock, NewJob, NewProbeSet};

/// A probe set to be drawn from a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSetRequest {
    /// Name of the data set.
    pub dataset: String,
    /// How many images, and the random seed.
    pub draw: ProbeRequest,
}

impl Library {
    /// Draws a probe set and queues the ingest of every `READY` version of its data set on it. If the same images were drawn
    /// before, no new probe set is made: the existing one is returned, and versions that still lack it are queued.
    ///
    /// # Errors
    /// `NOT_FOUND` for the data set, `BAD_USER_INPUT` for more images than the data set has, or too few.
    pub async fn create_probe_set(&self, request: ProbeSetRequest) -> Result<(ProbeSet, Vec<Job>), ServiceError> {
        self.require(Scope::Write)?;
        let dataset = self.dataset_named(&request.dataset).await?;
        let permit = self.compute_permit().await;
        let ([train, test], memory) = self.all_images(&dataset).await?;
        let statistics = dataset.statistics.clone();
        let drawn = permit.run(move || {
            let _memory = memory;
            draw(&statistics, &train, &test, request.draw)
        });
        let drawn = drawn.await??;
        let mut tx = self.store.begin().await?;
        tx.lock_dataset(dataset.id, DatasetLock::AddingProbeSet).await?;
        let probe_set = match tx.probe_set_of_content(dataset.id, &drawn).await? {
            Some(drawn_before) => drawn_before,
            None => tx.insert_probe_set(dataset.id, &drawn).await?,
        };
        let mut jobs = Vec::new();
        for version_id in tx.unmeasured_versions(dataset.id, probe_set.id).await? {
            jobs.push(
                tx.insert_job(NewJob {
                    kind: JobKind::Ingest,
                    version_id,
                    dataset_id: None,
                })
                .await?,
            );
        }
        tx.commit().await?;
        // Private versions of other accounts are measured too, but their jobs are not returned.
        let jobs: Vec<_> = jobs.iter().map(|job| job.id).collect();
        Ok((probe_set, self.store.jobs_by_id(&jobs).await?))
    }

    /// The probe set of a data set to compare on: the requested one, or the data set's default one.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such probe set, `BAD_USER_INPUT` if it is one of another data set.
    pub async fn probe_set_of(
        &self,
        dataset: DatasetId,
        requested: Option<ProbeSetId>,
    ) -> Result<ProbeSet, ServiceError> {
        let read = self.read_probe_set_of(dataset, requested);
        let found = self.probe_sets.try_get_with((dataset, requested), read).await;
        found.map_err(|shared| ServiceError::clone(&shared))
    }

    async fn read_probe_set_of(
        &self,
        dataset: DatasetId,
        requested: Option<ProbeSetId>,
    ) -> Result<ProbeSet, ServiceError> {
        let own = self.store.probe_sets_of(&[dataset]).await?;
        let found = own.into_iter().find(|set| match requested {
            Some(requested) => set.id == requested,
            None => set.is_default,
        });
        if let Some(found) = found {
            return Ok(found);
        }
        let Some(requested) = requested else {
            return Err(ServiceError::internal(anyhow::anyhow!(
                "a data set has no default probe set"
            )));
        };
        if self.store.probe_sets_by_id(&[requested]).await?.is_empty() {
            return Err(ServiceError::not_found("probe set", requested));
        }
        Err(ServiceError::bad_input(format!(
            "the probe set belongs to another data set. Layers can be compared only on the same probe set: choose one of data \
             set {} (`Dataset.probeSets` lists them)",
            self.dataset(dataset).await?.name
        )))
    }

    /// The limits that a file of activations on a probe set has to keep.
    pub(super) fn activation_limits(&self, probe_set: &ProbeSet) -> ActivationLimits {
        ActivationLimits {
            probes: probe_set.image_indices.len(),
            layer_bytes: self.activation_limit,
        }
    }

    /// The images of a probe set, in order.
    pub(super) async fn probe_images(&self, dataset: &Dataset, probe_set: &ProbeSet) -> Result<Images, ServiceError> {
        // A probe set never changes, and picking its images means reading the whole split.
        let pick = async {
            let (split, _memory) = self.images(dataset, probe_set.split).await?;
            let indices: Vec<_> = probe_set.image_indices.iter().map(|&index| index as usize).collect();
            Ok(split.images.select(&indices))
        };
        self.probes.get_or(probe_set.id, pick).await
    }
}

/// Chooses the images of the default probe set of a new data set.
///
/// # Errors
/// `BAD_USER_INPUT` if there are too few.
pub(super) fn draw_default(new: &NewDataset) -> Result<NewProbeSet, ServiceError> {
    let (train, test) = (new.split(Split::Train), new.split(Split::Test));
    let request = ProbeRequest {
        count: DEFAULT_PROBES.min(train.images.count().max(test.images.count())),
        seed: DEFAULT_PROBE_SEED,
    };
    Ok(NewProbeSet {
        is_default: true,
        ..draw(new.statistics(), train, test, request)?
    })
}

/// Chooses the images of a probe set, with what identifies them.
fn draw(
    statistics: &ChannelStatistics,
    train: &LabelledImages,
    test: &LabelledImages,
    request: ProbeRequest,
) -> Result<NewProbeSet, ServiceError> {
    let choice = choose_probes(train, test, request).map_err(ServiceError::bad_input)?;
    let from = match choice.split {
        Split::Train => train,
        Split::Test => test,
    };
    let indices: Vec<_> = choice.indices.iter().map(|&index| index as usize).collect();
    Ok(NewProbeSet {
        split: choice.split,
        content_hash: content_hash(&from.images.select(&indices), statistics),
        image_indices: choice.indices.iter().map(|&index| index as i32).collect(),
        seed: request.seed as i64,
        is_default: false,
    })
}
