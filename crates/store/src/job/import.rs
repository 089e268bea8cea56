//! Jobs that import data sets.

use std::time::Duration;

use super::super::rows::RowContext;
use super::super::{Store, StoreError, Tx};
use super::JobRow;
use scv_domain::dataset_source::DatasetSource;
use scv_domain::id::{DatasetId, JobId};
use scv_domain::job::Job;

impl Store {
    /// The sources of imports that have not ended, and of those that failed or were cancelled less than `retention` ago.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn unfinished_imports(&self, retention: Duration) -> Result<Vec<DatasetSource<String>>, StoreError> {
        let rows = sqlx::query!(
            r#"select job_id, import as "import!"
                 from job
                where kind = 'IMPORT'
                  and status <> 'SUCCEEDED'
                  and (finished_at is null or finished_at > now() - make_interval(secs => $1))"#,
            retention.as_secs_f64(),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let row_context = RowContext {
                    table: "job",
                    row: row.job_id,
                };
                row_context.json("import", row.import)
            })
            .collect()
    }
}

impl Tx {
    /// Queues the import of a data set whose files are stored.
    ///
    /// # Errors
    /// The database fails.
    pub async fn insert_import(&mut self, source: &DatasetSource<String>) -> Result<Job, StoreError> {
        let row = sqlx::query_as!(
            JobRow,
            "insert into job (kind, import)
             values ('IMPORT', $1)
             returning job_id, kind, status, version_id, dataset_id, import, progress, phase, epochs, attempts,
                       cancel_requested, failure, created_at, started_at, finished_at",
            serde_json::json!(source),
        )
        .fetch_one(self.connection())
        .await?;
        self.enqueue(JobId(row.job_id)).await?;
        row.try_into()
    }

    /// Records the data set that an import has made.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_imported_dataset(&mut self, id: JobId, dataset: DatasetId) -> Result<(), StoreError> {
        sqlx::query!("update job set dataset_id = $2 where job_id = $1", id.0, dataset.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
