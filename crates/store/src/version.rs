//! Versions and their status, from `QUEUED` to `READY` or `FAILED`.

use chrono::{DateTime, Utc};

use super::rows::{RowContext, enum_name, raw, slices};
use super::{Store, StoreError, Tx};
use scv_domain::id::{AccountId, DatasetId, ModelId, ProbeSetId, VersionId};
use scv_domain::page::{Page, Slice};
use scv_domain::training::{EpochReport, TrainSettings};
use scv_domain::version::{Failure, ModelFormat, Version, VersionChoice, VersionSource};
use scv_domain::weight_mapping::WeightMapping;

#[derive(sqlx::FromRow)]
pub(super) struct VersionRow {
    version_id: i64,
    model_id: i64,
    number: i32,
    status: String,
    format: String,
    dataset_id: i64,
    blocks: Option<serde_json::Value>,
    weights_key: Option<String>,
    parameter_count: i64,
    multiply_accumulates: i64,
    train_settings: Option<serde_json::Value>,
    train_epochs: Option<serde_json::Value>,
    source: Option<serde_json::Value>,
    failure: Option<serde_json::Value>,
    duplicate_of: Option<i64>,
    created_by: Option<i64>,
    created_at: DateTime<Utc>,
}

impl TryFrom<VersionRow> for Version {
    type Error = StoreError;

    fn try_from(row: VersionRow) -> Result<Self, StoreError> {
        let row_context = RowContext {
            table: "version",
            row: row.version_id,
        };
        Ok(Self {
            id: VersionId(row.version_id),
            model_id: ModelId(row.model_id),
            number: row.number,
            status: row_context.enum_value("status", &row.status)?,
            format: row_context.enum_value("format", &row.format)?,
            dataset_id: DatasetId(row.dataset_id),
            blocks: row.blocks,
            weights_key: row.weights_key,
            parameter_count: row.parameter_count,
            multiply_accumulates: row.multiply_accumulates,
            train_settings: row_context.json_option("train_settings", row.train_settings)?,
            train_epochs: row_context.json_option("train_epochs", row.train_epochs)?,
            source: row_context.json_option("source", row.source)?,
            failure: row_context.json_option("failure", row.failure)?,
            duplicate_of: row.duplicate_of.map(VersionId),
            created_by: row.created_by.map(AccountId),
            created_at: row.created_at,
        })
    }
}

/// A version to register.
#[derive(Debug, Clone, PartialEq)]
pub struct NewVersion {
    /// Format of the upload.
    pub format: ModelFormat,
    /// The data set for which the network is made.
    pub dataset_id: DatasetId,
    /// Its block list as uploaded.
    pub blocks: Option<serde_json::Value>,
    /// Artifact key of its weights; `None` if they are still to be trained.
    pub weights_key: Option<String>,
    /// Number of trainable parameters.
    pub parameter_count: i64,
    /// Multiply-accumulate operations per image.
    pub multiply_accumulates: i64,
    /// Training settings, if it is to be trained.
    pub train_settings: Option<TrainSettings>,
    /// How to read its file; `None` for a block version.
    pub source: Option<VersionSource>,
    /// Where its weights come from, if they were uploaded for blocks.
    pub weight_mapping: Option<WeightMapping>,
}

/// A layer to write.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLayer {
    /// From 0, in execution order.
    pub index: i32,
    /// Its position in the block list.
    pub name: String,
    /// Layer kind.
    pub kind: String,
    /// Its settings.
    pub parameters: serde_json::Value,
    /// Shape of the input for one image.
    pub input_shape: Vec<i32>,
    /// Shape of the output for one image.
    pub output_shape: Vec<i32>,
    /// Number of trainable parameters.
    pub parameter_count: i64,
    /// Multiply-accumulate operations per image.
    pub multiply_accumulates: i64,
    /// See [`scv_domain::version::Layer::inputs`].
    pub inputs: Option<Vec<i32>>,
}

impl Store {
    /// Versions by key that the viewer may see, including those of deleted models.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.versions_by_id", skip_all)]
    pub async fn versions_by_id(&self, ids: &[VersionId]) -> Result<Vec<Version>, StoreError> {
        sqlx::query_as!(
            VersionRow,
            "select version_id, model_id, number, status, format, dataset_id, blocks, weights_key, parameter_count,
                    multiply_accumulates, train_settings, train_epochs, source, failure, duplicate_of,
                    created_by, created_at
               from version
              where version_id = any($1)
                and ($2::bigint is null or is_visible(model_id, $2))",
            &raw(ids, |id| id.0),
            self.viewer(),
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(Version::try_from)
        .collect()
    }

    /// The same page of the versions of each of several models, by number, in a single statement.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.versions_pages", skip_all)]
    pub async fn versions_pages(
        &self,
        models: &[ModelId],
        page: &Page<i32>,
    ) -> Result<Vec<(ModelId, Slice<Version>)>, StoreError> {
        let rows = sqlx::query_as!(
            VersionRow,
            r#"select page.version_id as "version_id!", page.model_id as "model_id!", page.number as "number!",
                      page.status as "status!", page.format as "format!", page.dataset_id as "dataset_id!", page.blocks,
                      page.weights_key, page.parameter_count as "parameter_count!",
                      page.multiply_accumulates as "multiply_accumulates!", page.train_settings, page.train_epochs,
                      page.source, page.failure, page.duplicate_of, page.created_by, page.created_at as "created_at!"
                 from unnest($1::bigint[]) as wanted (model_id)
                cross join lateral (
                      select *
                        from version
                       where version.model_id = wanted.model_id
                         and ($2::integer is null or number > $2)
                         and ($3::integer is null or number < $3)
                       order by case when $4 then -number else number end
                       limit $5) as page
                order by page.model_id, case when $4 then -page.number else page.number end"#,
            &raw(models, |id| id.0),
            page.after,
            page.before,
            page.from_end,
            page.limit as i64 + 1,
        )
        .fetch_all(&self.pool)
        .await?;
        let versions = rows.into_iter().map(Version::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(slices(&versions, page, |version| version.model_id))
    }

    /// The chosen version of each of several models. Models without such a version are left out.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.chosen_versions", skip_all)]
    pub async fn chosen_versions(&self, models: &[ModelId], choice: VersionChoice) -> Result<Vec<Version>, StoreError> {
        let number = match choice {
            VersionChoice::Number(number) => Some(number),
            VersionChoice::Latest | VersionChoice::Best => None,
        };
        sqlx::query_as!(
            VersionRow,
            "select distinct on (model_id)
                    version_id, model_id, number, status, format, dataset_id, blocks, weights_key, parameter_count,
                    multiply_accumulates, train_settings, train_epochs, source, failure, duplicate_of,
                    created_by, version.created_at
               from version
               left join evaluation using (version_id, dataset_id)
              where model_id = any($1)
                and (number = $2 or ($2 is null and status = 'READY'))
                and (accuracy is not null or not $3)
              order by model_id, case when $3 then accuracy end desc, number desc",
            &raw(models, |id| id.0),
            number,
            choice == VersionChoice::Best,
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(Version::try_from)
        .collect()
    }

    /// Where the weights of versions come from that the viewer may see. Those without uploaded weights for blocks are left
    /// out.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.weight_mappings", skip_all)]
    pub async fn weight_mappings(&self, versions: &[VersionId]) -> Result<Vec<(VersionId, WeightMapping)>, StoreError> {
        let rows = sqlx::query!(
            r#"select version_id, weight_mapping as "weight_mapping!"
                 from version
                where version_id = any($1)
                  and weight_mapping is not null
                  and ($2::bigint is null or is_visible(model_id, $2))"#,
            &raw(versions, |id| id.0),
            self.viewer(),
        )
        .fetch_all(&self.pool)
        .await?;
        let mapping = |row: i64, mapping| {
            let row_context = RowContext { table: "version", row };
            Ok((VersionId(row), row_context.json("weight_mapping", mapping)?))
        };
        rows.into_iter()
            .map(|row| mapping(row.version_id, row.weight_mapping))
            .collect()
    }

    /// Counts the versions of each model. Models without versions are left out.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_versions", skip_all)]
    pub async fn count_versions(&self, models: &[ModelId]) -> Result<Vec<(ModelId, i64)>, StoreError> {
        let rows = sqlx::query!(
            r#"select model_id, count(*) as "count!" from version where model_id = any($1) group by model_id"#,
            &raw(models, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (ModelId(row.model_id), row.count)).collect())
    }
}

impl Tx {
    /// The `READY` versions of a data set that have not been measured on a probe set. Versions of deleted models and
    /// versions that consist of activations only are left out.
    ///
    /// # Errors
    /// The database fails.
    pub async fn unmeasured_versions(
        &mut self,
        dataset: DatasetId,
        probe_set: ProbeSetId,
    ) -> Result<Vec<VersionId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "select version_id
               from version
               join model using (model_id)
              where dataset_id = $1
                and status = 'READY'
                and format <> 'ACTIVATIONS'
                and deleted_at is null
                and not exists (select
                                  from layer
                                  left join layer_vector as v on v.layer_id = layer.layer_id and v.probe_set_id = $2
                                  left join degenerate_layer as d on d.layer_id = layer.layer_id and d.probe_set_id = $2
                                 where layer.version_id = version.version_id
                                   and (v.layer_id is not null or d.layer_id is not null))
              order by version_id",
            dataset.0,
            probe_set.0,
        )
        .fetch_all(self.connection())
        .await?;
        Ok(ids.into_iter().map(VersionId).collect())
    }

    /// Registers a version under the next number of its model. The caller holds the row lock of the model.
    ///
    /// # Errors
    /// The database fails.
    pub async fn insert_version(
        &mut self,
        model: ModelId,
        version: &NewVersion,
        created_by: Option<AccountId>,
    ) -> Result<Version, StoreError> {
        sqlx::query_as!(
            VersionRow,
            "with next as (
                 update model set last_version_number = last_version_number + 1, updated_at = now()
                  where model_id = $1
                 returning last_version_number
             )
             insert into version (model_id, number, format, dataset_id, blocks, weights_key, parameter_count,
                                  multiply_accumulates, train_settings, source, created_by, weight_mapping)
             select $1, last_version_number, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
               from next
             returning version_id, model_id, number, status, format, dataset_id, blocks, weights_key, parameter_count,
                       multiply_accumulates, train_settings, train_epochs, source, failure, duplicate_of,
                       created_by, created_at",
            model.0,
            enum_name(version.format),
            version.dataset_id.0,
            version.blocks,
            version.weights_key,
            version.parameter_count,
            version.multiply_accumulates,
            version
                .train_settings
                .as_ref()
                .map(|settings| serde_json::json!(settings)),
            version.source.as_ref().map(|source| serde_json::json!(source)),
            created_by.map(|account| account.0),
            version
                .weight_mapping
                .as_ref()
                .map(|mapping| serde_json::json!(mapping)),
        )
        .fetch_one(self.connection())
        .await?
        .try_into()
    }

    /// Marks a queued version as running.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_version_running(&mut self, id: VersionId) -> Result<(), StoreError> {
        sqlx::query!(
            "update version set status = 'RUNNING' where version_id = $1 and status = 'QUEUED'",
            id.0
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Stores the result of a training, so that a worker that takes over need not train again. Of two workers that trained
    /// the same version, the first one wins. Returns the key of the stored weights.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_version_trained(
        &mut self,
        id: VersionId,
        weights_key: &str,
        epochs: &[EpochReport],
    ) -> Result<String, StoreError> {
        let stored = sqlx::query_scalar!(
            r#"update version
                set weights_key = coalesce(weights_key, $2), train_epochs = coalesce(train_epochs, $3)
              where version_id = $1
             returning weights_key as "weights_key!""#,
            id.0,
            weights_key,
            serde_json::json!(epochs),
        )
        .fetch_one(self.connection())
        .await?;
        Ok(stored)
    }

    /// Locks a version, so that no other transaction writes its results until this one ends. Otherwise the accuracy that is
    /// copied from an evaluation to the searchable rows could become stale.
    ///
    /// # Errors
    /// The database fails.
    pub async fn lock_version(&mut self, id: VersionId) -> Result<(), StoreError> {
        sqlx::query!(
            "select version_id from version where version_id = $1 for no key update",
            id.0
        )
        .fetch_optional(self.connection())
        .await?;
        Ok(())
    }

    /// Marks a version as `READY`, and as a duplicate of another one if it is. Returns `false` if it was `READY` already or
    /// has failed.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_version_ready(
        &mut self,
        id: VersionId,
        duplicate_of: Option<VersionId>,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "update version
                set status = 'READY', duplicate_of = $2
              where version_id = $1
                and status in ('QUEUED', 'RUNNING')",
            id.0,
            duplicate_of.map(|original| original.0),
        )
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Marks a version as failed, unless it is `READY`: a later failure does not affect its results.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_version_failed(&mut self, id: VersionId, failure: &Failure) -> Result<(), StoreError> {
        sqlx::query!(
            "update version
                set status = 'FAILED', failure = $2
              where version_id = $1
                and status in ('QUEUED', 'RUNNING')",
            id.0,
            serde_json::json!(failure),
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
