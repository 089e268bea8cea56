//! Imports of data sets: queueing them, and the uploaded files that they read.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;

use super::{Library, ServiceError};
use scv_artifact::{ArtifactError, ArtifactKey, ArtifactKind};
use scv_compute::control::{Control, Progress};
use scv_domain::access::Scope;
use scv_domain::dataset_source::{DatasetSource, IdxFiles};
use scv_domain::job::Job;
use scv_store::error::Conflict;

/// Days for which the files of an import that failed or was cancelled are kept, so that it can be retried.
const RETENTION_DAYS: u64 = 7;

/// The same as a duration.
const RETENTION: Duration = Duration::from_secs(RETENTION_DAYS * 24 * 3_600);

/// How long a file stays that belongs to no job: its job may be about to be queued.
const MIN_AGE: Duration = Duration::from_secs(3_600);

impl Library {
    /// Queues the import of a data set, after checking what can be checked without reading whole files.
    ///
    /// # Errors
    /// `CONFLICT` if the name is taken, `BAD_USER_INPUT` for a file or a description that is found invalid already.
    pub async fn import_dataset(&self, source: DatasetSource<Bytes>) -> Result<Job, ServiceError> {
        self.require(Scope::Write)?;
        if self.store.dataset_by_name(source.name().as_str()).await?.is_some() {
            return Err(Conflict::DatasetName.into());
        }
        let checked = tokio::task::spawn_blocking(move || scv_dataset::check(&source).map(|_| source)).await;
        let stored = self.put_files(checked.map_err(ServiceError::internal)??).await?;
        let mut tx = self.store.begin().await?;
        let job = tx.insert_import(&stored).await?;
        tx.commit().await?;
        Ok(job)
    }

    async fn put_files(&self, source: DatasetSource<Bytes>) -> Result<DatasetSource<String>, ServiceError> {
        let import = match source {
            DatasetSource::Digits(name) => return Ok(DatasetSource::Digits(name)),
            DatasetSource::Idx(import) => import,
        };
        let files = IdxFiles {
            train_images: self.put_file(&import.files.train_images).await?,
            train_labels: self.put_file(&import.files.train_labels).await?,
            test_images: self.put_file(&import.files.test_images).await?,
            test_labels: self.put_file(&import.files.test_labels).await?,
        };
        Ok(DatasetSource::Idx(Box::new(import.with_files(files))))
    }

    async fn put_file(&self, file: &Bytes) -> Result<String, ServiceError> {
        // Written in any case: it has to count as new until its job is queued.
        let key = self.artifacts.rewrite(ArtifactKind::Imports, file.clone()).await?;
        Ok(key.to_string())
    }

    /// Reads the stored files of an import.
    ///
    /// # Errors
    /// They are missing: see [`error_of`].
    pub(super) async fn get_files(
        &self,
        source: &DatasetSource<String>,
        control: &Control,
    ) -> Result<DatasetSource<Bytes>, ServiceError> {
        let import = match source {
            DatasetSource::Digits(name) => return Ok(DatasetSource::Digits(name.clone())),
            DatasetSource::Idx(import) => import,
        };
        let files = IdxFiles {
            train_images: self.get_file(&import.files.train_images, control, 0.0).await?,
            train_labels: self.get_file(&import.files.train_labels, control, 0.25).await?,
            test_images: self.get_file(&import.files.test_images, control, 0.5).await?,
            test_labels: self.get_file(&import.files.test_labels, control, 0.75).await?,
        };
        Ok(DatasetSource::Idx(Box::new(import.clone().with_files(files))))
    }

    async fn get_file(&self, key: &str, control: &Control, done: f64) -> Result<Bytes, ServiceError> {
        control.check()?;
        control.report(Progress::Fraction(done));
        Ok(self.artifacts.get(&key.parse().map_err(ArtifactError::from)?).await?)
    }

    /// Deletes the files of an import that has ended, and files that were left behind, unless an import that has not succeeded
    /// may still need them.
    pub(super) async fn delete_spent_files(&self, ended: &DatasetSource<String>) -> Result<(), ServiceError> {
        let mut needed = HashSet::new();
        for source in self.store.unfinished_imports(RETENTION).await? {
            needed.extend(keys(&source)?);
        }
        // If the same file is uploaded at this very moment, its import fails and says that it has to be uploaded again.
        for key in keys(ended)?.difference(&needed) {
            self.artifacts.delete(key).await?;
        }
        self.artifacts.trim(ArtifactKind::Imports, 0, &needed, MIN_AGE).await?;
        Ok(())
    }
}

/// The error of an import whose files are missing: for good if they may have been deleted since it was first queued, else for a time.
pub(super) fn error_of(job: &Job, error: ServiceError) -> ServiceError {
    let age = job
        .started_at
        .and_then(|started| (started - job.created_at).to_std().ok());
    match error {
        ServiceError::Missing(_) if age.is_some_and(|age| age > RETENTION) => ServiceError::bad_input(format!(
            "the uploaded files are no longer stored, because they are kept for {RETENTION_DAYS} days after an import has failed or \
             was cancelled: import the data set again"
        )),
        other => other,
    }
}

fn keys(source: &DatasetSource<String>) -> Result<HashSet<ArtifactKey>, ServiceError> {
    let keys = source.files().into_iter().map(|key| key.parse());
    Ok(keys.collect::<Result<_, _>>().map_err(ArtifactError::from)?)
}
