//! Data sets and their splits.

use chrono::{DateTime, Utc};

use super::rows::{RowContext, enum_name, raw};
use super::{Store, StoreError, Tx};
use scv_domain::dataset::Split;
use scv_domain::dataset_record::{Dataset, StoredSplit};
use scv_domain::id::DatasetId;
use scv_domain::image::{ChannelStatistics, ImageShape};

struct DatasetRow {
    dataset_id: i64,
    name: String,
    channels: i32,
    height: i32,
    width: i32,
    class_names: Vec<String>,
    mean: Vec<f32>,
    std: Vec<f32>,
    created_at: DateTime<Utc>,
}

impl From<DatasetRow> for Dataset {
    fn from(row: DatasetRow) -> Self {
        Self {
            id: DatasetId(row.dataset_id),
            name: row.name,
            shape: ImageShape {
                channels: row.channels as usize,
                height: row.height as usize,
                width: row.width as usize,
            },
            class_names: row.class_names,
            statistics: ChannelStatistics {
                mean: row.mean,
                std: row.std,
            },
            created_at: row.created_at,
        }
    }
}

impl Store {
    /// All data sets, by name.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.datasets", skip_all)]
    pub async fn datasets(&self) -> Result<Vec<Dataset>, StoreError> {
        let rows = sqlx::query_as!(
            DatasetRow,
            "select dataset_id, name, channels, height, width, class_names, mean, std, created_at
               from dataset
              order by name",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Dataset::from).collect())
    }

    /// Data sets by key.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.datasets_by_id", skip_all)]
    pub async fn datasets_by_id(&self, ids: &[DatasetId]) -> Result<Vec<Dataset>, StoreError> {
        let rows = sqlx::query_as!(
            DatasetRow,
            "select dataset_id, name, channels, height, width, class_names, mean, std, created_at
               from dataset
              where dataset_id = any($1)",
            &raw(ids, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Dataset::from).collect())
    }

    /// The data set with a name.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.dataset_by_name", skip_all)]
    pub async fn dataset_by_name(&self, name: &str) -> Result<Option<Dataset>, StoreError> {
        let row = sqlx::query_as!(
            DatasetRow,
            "select dataset_id, name, channels, height, width, class_names, mean, std, created_at
               from dataset
              where name = $1",
            name,
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Dataset::from))
    }

    /// The splits of data sets, each with the key of its data set.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.splits", skip_all)]
    pub async fn splits(&self, ids: &[DatasetId]) -> Result<Vec<(DatasetId, StoredSplit)>, StoreError> {
        sqlx::query!(
            "select dataset_id, split, image_count, images_key, labels_key
               from dataset_split
              where dataset_id = any($1)
              order by dataset_id, split desc",
            &raw(ids, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| {
            let row_context = RowContext {
                table: "dataset_split",
                row: row.dataset_id,
            };
            let split = StoredSplit {
                split: row_context.enum_value("split", &row.split)?,
                image_count: row.image_count,
                images_key: row.images_key,
                labels_key: row.labels_key,
            };
            Ok((DatasetId(row.dataset_id), split))
        })
        .collect()
    }

    /// One split of a data set.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn split(&self, id: DatasetId, split: Split) -> Result<Option<StoredSplit>, StoreError> {
        let splits = self.splits(&[id]).await?;
        Ok(splits
            .into_iter()
            .map(|(_, stored)| stored)
            .find(|stored| stored.split == split))
    }
}

impl Tx {
    /// Writes a data set with its splits.
    ///
    /// # Errors
    /// [`super::error::Conflict::DatasetName`], or the database fails.
    pub async fn insert_dataset(
        &mut self,
        name: &str,
        shape: ImageShape,
        class_names: &[String],
        statistics: &ChannelStatistics,
        splits: &[StoredSplit],
    ) -> Result<Dataset, StoreError> {
        let row = sqlx::query_as!(
            DatasetRow,
            "insert into dataset (name, channels, height, width, class_names, mean, std)
             values ($1, $2, $3, $4, $5, $6, $7)
             returning dataset_id, name, channels, height, width, class_names, mean, std, created_at",
            name,
            shape.channels as i32,
            shape.height as i32,
            shape.width as i32,
            class_names,
            &statistics.mean,
            &statistics.std,
        )
        .fetch_one(self.connection())
        .await?;
        for split in splits {
            sqlx::query!(
                "insert into dataset_split (dataset_id, split, image_count, images_key, labels_key)
                 values ($1, $2, $3, $4, $5)",
                row.dataset_id,
                enum_name(split.split),
                split.image_count,
                split.images_key,
                split.labels_key,
            )
            .execute(self.connection())
            .await?;
        }
        Ok(row.into())
    }
}

/// Why the row of a data set is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetLock {
    /// A probe set is added. Meanwhile no version may become `READY`, because it would miss the new probe set.
    AddingProbeSet,
    /// A version becomes `READY`. Meanwhile no probe set may be added.
    AddingVersion,
}

impl Tx {
    /// Waits until no other transaction that looks for duplicates among the versions of a data set is under way: of two equal
    /// versions, the later one then sees the earlier.
    ///
    /// # Errors
    /// The database fails.
    pub async fn lock_duplicates(&mut self, id: DatasetId) -> Result<(), StoreError> {
        sqlx::query("select pg_advisory_xact_lock(hashtext('scv duplicates ' || $1::bigint))")
            .bind(id.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Locks the row of a data set until the transaction ends.
    ///
    /// # Errors
    /// The database fails.
    pub async fn lock_dataset(&mut self, id: DatasetId, lock: DatasetLock) -> Result<(), StoreError> {
        let statement = match lock {
            DatasetLock::AddingProbeSet => "select from dataset where dataset_id = $1 for no key update",
            DatasetLock::AddingVersion => "select from dataset where dataset_id = $1 for share",
        };
        sqlx::query(statement).bind(id.0).execute(self.connection()).await?;
        Ok(())
    }
}
