//! Probe sets.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::rows::{RowContext, enum_name, raw};
use super::{Store, StoreError, Tx};
use scv_domain::dataset::Split;
use scv_domain::dataset_record::ProbeSet;
use scv_domain::id::{DatasetId, ProbeSetId};

struct ProbeSetRow {
    probe_set_id: i64,
    dataset_id: i64,
    split: String,
    image_indices: Vec<i32>,
    seed: i64,
    content_hash: String,
    is_default: bool,
    created_at: DateTime<Utc>,
}

impl TryFrom<ProbeSetRow> for ProbeSet {
    type Error = StoreError;

    fn try_from(row: ProbeSetRow) -> Result<Self, StoreError> {
        let row_context = RowContext {
            table: "probe_set",
            row: row.probe_set_id,
        };
        Ok(Self {
            id: ProbeSetId(row.probe_set_id),
            dataset_id: DatasetId(row.dataset_id),
            split: row_context.enum_value("split", &row.split)?,
            image_indices: row.image_indices,
            seed: row.seed,
            content_hash: row.content_hash,
            is_default: row.is_default,
            created_at: row.created_at,
        })
    }
}

/// A probe set to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProbeSet {
    /// The split that contains its images.
    pub split: Split,
    /// Indices of the images in that split, in order.
    pub image_indices: Vec<i32>,
    /// The random seed with which the images were drawn.
    pub seed: i64,
    /// Hash of the content that networks read.
    pub content_hash: String,
    /// Whether searches use it when none is specified.
    pub is_default: bool,
}

impl Store {
    /// Probe sets by key.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.probe_sets_by_id", skip_all)]
    pub async fn probe_sets_by_id(&self, ids: &[ProbeSetId]) -> Result<Vec<ProbeSet>, StoreError> {
        sqlx::query_as!(
            ProbeSetRow,
            "select probe_set_id, dataset_id, split, image_indices, seed, content_hash, is_default, created_at
               from probe_set
              where probe_set_id = any($1)",
            &raw(ids, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(ProbeSet::try_from)
        .collect()
    }

    /// All probe sets of data sets, the default one of each first.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.probe_sets_of", skip_all)]
    pub async fn probe_sets_of(&self, datasets: &[DatasetId]) -> Result<Vec<ProbeSet>, StoreError> {
        probe_sets_of(&self.pool, datasets).await
    }
}

async fn probe_sets_of(database: impl PgExecutor<'_>, datasets: &[DatasetId]) -> Result<Vec<ProbeSet>, StoreError> {
    sqlx::query_as!(
        ProbeSetRow,
        "select probe_set_id, dataset_id, split, image_indices, seed, content_hash, is_default, created_at
           from probe_set
          where dataset_id = any($1)
          order by dataset_id, is_default desc, probe_set_id",
        &raw(datasets, |id| id.0),
    )
    .fetch_all(database)
    .await?
    .into_iter()
    .map(ProbeSet::try_from)
    .collect()
}

impl Tx {
    /// All probe sets of a data set as this transaction sees them, the default one first.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn probe_sets_of(&mut self, dataset: DatasetId) -> Result<Vec<ProbeSet>, StoreError> {
        probe_sets_of(self.connection(), &[dataset]).await
    }

    /// The probe set of a data set that has exactly these images.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn probe_set_of_content(
        &mut self,
        dataset: DatasetId,
        new: &NewProbeSet,
    ) -> Result<Option<ProbeSet>, StoreError> {
        let all = self.probe_sets_of(dataset).await?;
        Ok(all.into_iter().find(|set| set.content_hash == new.content_hash))
    }

    /// Writes a probe set of a data set, with a basis for its sketches that knows no direction yet.
    ///
    /// # Errors
    /// The database fails.
    pub async fn insert_probe_set(
        &mut self,
        dataset: DatasetId,
        probe_set: &NewProbeSet,
    ) -> Result<ProbeSet, StoreError> {
        let row = sqlx::query_as!(
            ProbeSetRow,
            "insert into probe_set (dataset_id, split, image_indices, seed, content_hash, is_default)
             values ($1, $2, $3, $4, $5, $6)
             returning probe_set_id, dataset_id, split, image_indices, seed, content_hash, is_default, created_at",
            dataset.0,
            enum_name(probe_set.split),
            &probe_set.image_indices,
            probe_set.seed,
            probe_set.content_hash,
            probe_set.is_default,
        )
        .fetch_one(self.connection())
        .await?;
        sqlx::query!("select create_empty_basis($1)", row.probe_set_id)
            .fetch_one(self.connection())
            .await?;
        row.try_into()
    }
}
