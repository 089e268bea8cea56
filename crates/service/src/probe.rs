//! Probe sets made on request.

use super::{Library, ServiceError};
use scv_domain::access::Scope;
use scv_domain::dataset::Split;
use scv_domain::dataset_record::{Dataset, ProbeSet};
use scv_domain::image::LabelledImages;
use scv_domain::job::{Job, JobKind};
use scv_domain::probe::{ProbeRequest, choose_probes, content_hash};
use scv_store::{DatasetLock, NewJob, NewProbeSet};

/// A probe set to be drawn from a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSetRequest {
    /// Name of the data set.
    pub dataset: String,
    /// How many images and by which seed.
    pub draw: ProbeRequest,
}

impl Library {
    /// Draws a probe set and queues the ingest of every `READY` version of its data set on it. Images that were drawn
    /// before are no new probe set: it is given back, and versions that still lack it are queued.
    ///
    /// # Errors
    /// `NOT_FOUND` for the data set, `BAD_USER_INPUT` for a count that cannot be had.
    pub async fn create_probe_set(&self, request: ProbeSetRequest) -> Result<(ProbeSet, Vec<Job>), ServiceError> {
        self.require(Scope::Write)?;
        let dataset = self.dataset_named(&request.dataset).await?;
        let train = self.images(&dataset, Split::Train).await?;
        let test = self.images(&dataset, Split::Test).await?;
        let drawn = draw(&dataset, &train, &test, request.draw, false)?;
        let mut tx = self.store.begin().await?;
        tx.lock_dataset(dataset.id, DatasetLock::AddingProbeSet).await?;
        let probe_set = match tx.probe_set_of_content(&drawn).await? {
            Some(drawn_before) => drawn_before,
            None => tx.insert_probe_set(&drawn).await?,
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
        // Private versions of others are measured too, and not told of.
        let jobs: Vec<_> = jobs.iter().map(|job| job.id).collect();
        Ok((probe_set, self.store.jobs_by_id(&jobs).await?))
    }
}

/// The images of a probe set and what identifies them.
pub(super) fn draw(
    dataset: &Dataset,
    train: &LabelledImages,
    test: &LabelledImages,
    request: ProbeRequest,
    is_default: bool,
) -> Result<NewProbeSet, ServiceError> {
    let choice = choose_probes(train, test, request).map_err(ServiceError::bad_input)?;
    let from = match choice.split {
        Split::Train => train,
        Split::Test => test,
    };
    let indices: Vec<_> = choice.indices.iter().map(|&index| index as usize).collect();
    Ok(NewProbeSet {
        dataset_id: dataset.id,
        split: choice.split,
        content_hash: content_hash(&from.images.select(&indices), &dataset.statistics),
        image_indices: choice.indices.iter().map(|&index| index as i32).collect(),
        seed: request.seed as i64,
        is_default,
    })
}
