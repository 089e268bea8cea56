//! The import of a data set: read and check its files, store its images, and write it in one transaction.

use super::JobRunner;
use super::reporter::Reporter;
use crate::ServiceError;
use crate::dataset::{StoredDataset, insert_dataset};
use crate::import::error_of;
use crate::metrics::METRICS;
use crate::probe::draw_default;
use scv_compute::control::Progress;
use scv_domain::dataset_source::DatasetSource;
use scv_domain::job::{Job, JobKind, JobPhase, JobStatus};
use scv_store::error::Conflict;

/// The progress of an import when its files are loaded.
const LOADED: f64 = 0.2;

/// The progress of an import when its images are read and checked.
const CHECKED: f64 = 0.7;

impl JobRunner {
    /// Does all the work of an import, up to its end in the catalogue.
    pub(super) async fn import(&self, job: &Job, source: &DatasetSource<String>) -> Result<(), ServiceError> {
        let reporter = Reporter::start(self.library.store.clone(), job);
        let stored = self.store_dataset(source, &reporter).await;
        // Progress is only written while a job runs: the last of it has to be written before the job ends.
        reporter.stop().await;
        let stored = stored.map_err(|error| error_of(job, error))?;
        let mut tx = self.library.store.begin().await?;
        if !tx.finish_job(job.id, JobStatus::Succeeded, None).await? {
            // It was cancelled, or ended by a worker that took it over.
            return Ok(());
        }
        let dataset = insert_dataset(&mut tx, &stored).await?;
        tx.set_imported_dataset(job.id, dataset.id).await?;
        tx.commit().await?;
        METRICS.count_job(JobKind::Import, JobStatus::Succeeded);
        tracing::info!(job = %job.id, dataset = %dataset.name, "imported a data set");
        self.delete_spent_files(source).await;
        Ok(())
    }

    /// Reads the files and stores the images. Everything that can be wrong with them is found before anything is stored.
    async fn store_dataset(
        &self,
        source: &DatasetSource<String>,
        reporter: &Reporter,
    ) -> Result<StoredDataset, ServiceError> {
        self.check_name(source).await?;
        let control = reporter.phase(JobPhase::Loading, 0.0..LOADED);
        let files = self.library.get_files(source, &control).await?;
        let _memory = self.library.memory.reserve(scv_dataset::check(&files)?).await?;
        let control = reporter.phase(JobPhase::Checking, LOADED..CHECKED);
        let read = move || {
            let new = scv_dataset::read(files, |share| {
                control.check()?;
                control.report(Progress::Fraction(share));
                Ok::<_, ServiceError>(())
            })?;
            let probe_set = draw_default(&new)?;
            Ok::<_, ServiceError>((new, probe_set))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (new, probe_set) = read.map_err(ServiceError::internal)??;
        let control = reporter.phase(JobPhase::Storing, CHECKED..1.0);
        let splits = self.library.put_splits(&new, &control).await?;
        Ok(StoredDataset { new, splits, probe_set })
    }

    /// Checks that the name of a new data set is free. It may have been taken since the import was queued, and a conflict when the
    /// data set is written starts the job again.
    async fn check_name(&self, source: &DatasetSource<String>) -> Result<(), ServiceError> {
        match self.library.store.dataset_by_name(source.name().as_str()).await? {
            Some(_) => Err(ServiceError::bad_input(Conflict::DatasetName)),
            None => Ok(()),
        }
    }

    /// Deletes the files that no import needs any more. If that fails, the next import does it.
    pub(super) async fn delete_spent_files(&self, ended: &DatasetSource<String>) {
        if let Err(error) = self.library.delete_spent_files(ended).await {
            tracing::warn!(%error, "the uploaded files of imports could not be deleted");
        }
    }
}
