//! Synthetic images.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::rows::{RowContext, raw, slices};
use super::{Store, StoreError, Tx};
use scv_domain::id::{JobId, SynthesisId, VersionId};
use scv_domain::page::{Page, Slice};
use scv_domain::synthesis::{Synthesis, SynthesisOutcome, SynthesisScope, SynthesisSettings, SynthesisTarget};

struct SynthesisRow {
    synthesis_id: i64,
    version_id: i64,
    job_id: i64,
    target: Value,
    settings: Value,
    image_hash: Option<String>,
    image_width: Option<i32>,
    image_height: Option<i32>,
    activation: Option<f64>,
    activation_history: Option<Vec<f64>>,
    exemplars: Option<Value>,
    created_at: DateTime<Utc>,
}

impl TryFrom<SynthesisRow> for Synthesis {
    type Error = StoreError;

    fn try_from(row: SynthesisRow) -> Result<Self, StoreError> {
        let row_context = RowContext {
            table: "synthesis",
            row: row.synthesis_id,
        };
        let outcome = match (
            row.image_hash,
            row.image_width,
            row.image_height,
            row.activation,
            row.activation_history,
        ) {
            (Some(image_hash), Some(width), Some(height), Some(activation), Some(activation_history)) => {
                Some(SynthesisOutcome {
                    image_hash,
                    image_width: width as u32,
                    image_height: height as u32,
                    activation,
                    activation_history,
                    exemplars: row_context.json("exemplars", row.exemplars.unwrap_or_default())?,
                })
            }
            _ => None,
        };
        Ok(Self {
            id: SynthesisId(row.synthesis_id),
            version_id: VersionId(row.version_id),
            job_id: JobId(row.job_id),
            target: row_context.json("target", row.target)?,
            settings: row_context.json("settings", row.settings)?,
            outcome,
            created_at: row.created_at,
        })
    }
}

/// Separates the lists of whole versions from those of layers.
fn versions_and_layers(lists: &[SynthesisScope]) -> (Vec<VersionId>, Vec<(VersionId, i32)>) {
    let (mut versions, mut layers) = (Vec::new(), Vec::new());
    for list in lists {
        match *list {
            SynthesisScope::Version(version) => versions.push(version),
            SynthesisScope::Layer(version, layer) => layers.push((version, layer)),
        }
    }
    (versions, layers)
}

impl Store {
    /// A synthetic image by key.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.synthesis", skip_all)]
    pub async fn synthesis(&self, id: SynthesisId) -> Result<Option<Synthesis>, StoreError> {
        let row = sqlx::query_as!(
            SynthesisRow,
            "select synthesis_id, version_id, job_id, target, settings, image_hash, image_width, image_height,
                    activation, activation_history, exemplars, created_at
               from synthesis
              where synthesis_id = $1",
            id.0
        );
        row.fetch_optional(&self.pool)
            .await?
            .map(Synthesis::try_from)
            .transpose()
    }

    /// The synthetic image that a job computes.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.synthesis_of_job", skip_all)]
    pub async fn synthesis_of_job(&self, job: JobId) -> Result<Option<Synthesis>, StoreError> {
        let row = sqlx::query_as!(
            SynthesisRow,
            "select synthesis_id, version_id, job_id, target, settings, image_hash, image_width, image_height,
                    activation, activation_history, exemplars, created_at
               from synthesis
              where job_id = $1",
            job.0
        );
        row.fetch_optional(&self.pool)
            .await?
            .map(Synthesis::try_from)
            .transpose()
    }

    /// The same page of each of several lists, latest first: one statement for lists of versions, and one for lists of layers.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.syntheses_pages", skip_all)]
    pub async fn syntheses_pages(
        &self,
        lists: &[SynthesisScope],
        page: &Page<i64>,
    ) -> Result<Vec<(SynthesisScope, Slice<Synthesis>)>, StoreError> {
        let (versions, layers) = versions_and_layers(lists);
        let whole = self.read_page(&versions, &vec![None; versions.len()], page).await?;
        let mut pages = slices(&whole, page, |synthesis| SynthesisScope::Version(synthesis.version_id));
        let (of_versions, indices): (Vec<_>, Vec<_>) = layers.iter().map(|(of, layer)| (*of, Some(*layer))).unzip();
        let of_layers = self.read_page(&of_versions, &indices, page).await?;
        pages.extend(slices(&of_layers, page, |synthesis| {
            let layer = synthesis.target.layer().unwrap_or_default();
            SynthesisScope::Layer(synthesis.version_id, layer as i32)
        }));
        Ok(pages)
    }

    /// The same page for each version, or for one of its layers if an index is given.
    async fn read_page(
        &self,
        versions: &[VersionId],
        layers: &[Option<i32>],
        page: &Page<i64>,
    ) -> Result<Vec<Synthesis>, StoreError> {
        if versions.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query_as!(
            SynthesisRow,
            r#"select page.synthesis_id as "synthesis_id!", page.version_id as "version_id!", page.job_id as "job_id!",
                      page.target as "target!", page.settings as "settings!", page.image_hash, page.image_width,
                      page.image_height, page.activation, page.activation_history, page.exemplars,
                      page.created_at as "created_at!"
                 from unnest($1::bigint[], $2::int[]) as wanted (version_id, layer)
                cross join lateral (
                      select *
                        from synthesis
                       where synthesis.version_id = wanted.version_id
                         and (wanted.layer is null or (target->>'layer')::int = wanted.layer)
                         and ($3::bigint is null or synthesis_id < $3)
                         and ($4::bigint is null or synthesis_id > $4)
                       order by case when $5 then synthesis_id else -synthesis_id end
                       limit $6) as page
                order by wanted.version_id, wanted.layer, case when $5 then page.synthesis_id else -page.synthesis_id end"#,
            &raw(versions, |id| id.0),
            layers as &[Option<i32>],
            page.after,
            page.before,
            page.from_end,
            page.limit as i64 + 1,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Synthesis::try_from).collect()
    }

    /// The length of each of several lists.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_syntheses", skip_all)]
    pub async fn count_syntheses(&self, lists: &[SynthesisScope]) -> Result<Vec<(SynthesisScope, i64)>, StoreError> {
        let (mut versions, layers) = versions_and_layers(lists);
        versions.extend(layers.iter().map(|(version, _)| *version));
        let counts = sqlx::query!(
            r#"select version_id, (target->>'layer')::int as layer, count(*) as "count!"
                 from synthesis
                where version_id = any($1)
                group by version_id, (target->>'layer')::int"#,
            &raw(&versions, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        let length = |list: &SynthesisScope| -> i64 {
            let of_list = counts.iter().filter(|row| match list {
                SynthesisScope::Version(version) => row.version_id == version.0,
                SynthesisScope::Layer(version, layer) => row.version_id == version.0 && row.layer == Some(*layer),
            });
            of_list.map(|row| row.count).sum()
        };
        Ok(lists.iter().map(|list| (*list, length(list))).collect())
    }

    /// The hashes of all pictures of synthetic images.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.synthetic_pictures", skip_all)]
    pub async fn synthetic_pictures(&self) -> Result<Vec<String>, StoreError> {
        let hashes =
            sqlx::query_scalar!(r#"select image_hash as "image_hash!" from synthesis where image_hash is not null"#);
        Ok(hashes.fetch_all(&self.pool).await?)
    }
}

impl Tx {
    /// Registers a synthetic image that a job will compute.
    ///
    /// # Errors
    /// The database fails.
    pub async fn insert_synthesis(
        &mut self,
        version: VersionId,
        job: JobId,
        target: SynthesisTarget,
        settings: SynthesisSettings,
    ) -> Result<Synthesis, StoreError> {
        sqlx::query_as!(
            SynthesisRow,
            "insert into synthesis (version_id, job_id, target, settings)
             values ($1, $2, $3, $4)
             returning synthesis_id, version_id, job_id, target, settings, image_hash, image_width, image_height,
                    activation, activation_history, exemplars, created_at",
            version.0,
            job.0,
            json!(target),
            json!(settings),
        )
        .fetch_one(self.connection())
        .await?
        .try_into()
    }

    /// The latest synthetic image of a version with the same target and settings whose job has not failed or been cancelled.
    /// Settings without a padding are older than that setting; they used the mean.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    pub async fn same_synthesis(
        &mut self,
        version: VersionId,
        target: SynthesisTarget,
        settings: SynthesisSettings,
    ) -> Result<Option<Synthesis>, StoreError> {
        let row = sqlx::query_as!(
            SynthesisRow,
            "select synthesis_id, synthesis.version_id, job_id, target, settings, image_hash, image_width, image_height,
                    activation, activation_history, exemplars, synthesis.created_at
               from synthesis
               join job using (job_id)
              where synthesis.version_id = $1
                and target = $2
                and jsonb_build_object('padding', 'MEAN') || settings = $3
                and job.status in ('QUEUED', 'RUNNING', 'SUCCEEDED')
                and not job.cancel_requested
              order by synthesis_id desc
              limit 1",
            version.0,
            json!(target),
            json!(settings),
        );
        let row = row.fetch_optional(self.connection()).await?;
        row.map(Synthesis::try_from).transpose()
    }

    /// Deletes a synthetic image. Its job stays.
    ///
    /// # Errors
    /// The database fails.
    pub async fn delete_synthesis(&mut self, id: SynthesisId) -> Result<(), StoreError> {
        sqlx::query!("delete from synthesis where synthesis_id = $1", id.0)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Writes the result of the job.
    ///
    /// # Errors
    /// The database fails.
    pub async fn set_synthesis_outcome(
        &mut self,
        id: SynthesisId,
        outcome: &SynthesisOutcome,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "update synthesis
                set image_hash = $2, image_width = $3, image_height = $4, activation = $5, activation_history = $6,
                    exemplars = $7
              where synthesis_id = $1",
            id.0,
            outcome.image_hash,
            outcome.image_width as i32,
            outcome.image_height as i32,
            outcome.activation,
            &outcome.activation_history,
            json!(outcome.exemplars),
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
