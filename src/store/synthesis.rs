//! Synthetic images.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::rows::{Place, raw};
use super::{Store, StoreError, Tx};
use crate::domain::id::{JobId, SynthesisId, VersionId};
use crate::domain::page::{Page, Slice};
use crate::domain::synthesis::{Synthesis, SynthesisOutcome, SynthesisSettings, SynthesisTarget};

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
    course: Option<Vec<f64>>,
    exemplars: Option<Value>,
    created_at: DateTime<Utc>,
}

impl TryFrom<SynthesisRow> for Synthesis {
    type Error = StoreError;

    fn try_from(row: SynthesisRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "synthesis",
            row: row.synthesis_id,
        };
        let outcome = match (
            row.image_hash,
            row.image_width,
            row.image_height,
            row.activation,
            row.course,
        ) {
            (Some(image_hash), Some(width), Some(height), Some(activation), Some(course)) => Some(SynthesisOutcome {
                image_hash,
                image_width: width as u32,
                image_height: height as u32,
                activation,
                course,
                exemplars: place.json("exemplars", row.exemplars.unwrap_or_default())?,
            }),
            _ => None,
        };
        Ok(Self {
            id: SynthesisId(row.synthesis_id),
            version_id: VersionId(row.version_id),
            job_id: JobId(row.job_id),
            target: place.json("target", row.target)?,
            settings: place.json("settings", row.settings)?,
            outcome,
            created_at: row.created_at,
        })
    }
}

impl Store {
    /// A synthetic image by key.
    ///
    /// # Errors
    /// The database fails or holds what we do not know.
    #[tracing::instrument(name = "store.synthesis", skip_all)]
    pub async fn synthesis(&self, id: SynthesisId) -> Result<Option<Synthesis>, StoreError> {
        let row = sqlx::query_as!(
            SynthesisRow,
            "select synthesis_id, version_id, job_id, target, settings, image_hash, image_width, image_height, activation, course,
                    exemplars, created_at
               from synthesis
              where synthesis_id = $1",
            id.0
        );
        row.fetch_optional(&self.pool)
            .await?
            .map(Synthesis::try_from)
            .transpose()
    }

    /// The synthetic image that a job seeks.
    ///
    /// # Errors
    /// The database fails or holds what we do not know.
    #[tracing::instrument(name = "store.synthesis_of_job", skip_all)]
    pub async fn synthesis_of_job(&self, job: JobId) -> Result<Option<Synthesis>, StoreError> {
        let row = sqlx::query_as!(
            SynthesisRow,
            "select synthesis_id, version_id, job_id, target, settings, image_hash, image_width, image_height, activation, course,
                    exemplars, created_at
               from synthesis
              where job_id = $1",
            job.0
        );
        row.fetch_optional(&self.pool)
            .await?
            .map(Synthesis::try_from)
            .transpose()
    }

    /// The same page of the synthetic images of each of several versions, the latest first. One statement for all.
    ///
    /// # Errors
    /// The database fails or holds what we do not know.
    #[tracing::instrument(name = "store.syntheses_pages", skip_all)]
    pub async fn syntheses_pages(
        &self,
        versions: &[VersionId],
        page: &Page<i64>,
    ) -> Result<Vec<(VersionId, Slice<Synthesis>)>, StoreError> {
        let rows = sqlx::query_as!(
            SynthesisRow,
            r#"select page.synthesis_id as "synthesis_id!", page.version_id as "version_id!", page.job_id as "job_id!",
                      page.target as "target!", page.settings as "settings!", page.image_hash, page.image_width,
                      page.image_height, page.activation, page.course, page.exemplars, page.created_at as "created_at!"
                 from unnest($1::bigint[]) as wanted (version_id)
                cross join lateral (
                      select *
                        from synthesis
                       where synthesis.version_id = wanted.version_id
                         and ($2::bigint is null or synthesis_id < $2)
                         and ($3::bigint is null or synthesis_id > $3)
                       order by case when $4 then synthesis_id else -synthesis_id end
                       limit $5) as page
                order by page.version_id, case when $4 then page.synthesis_id else -page.synthesis_id end"#,
            &raw(versions, |id| id.0),
            page.after,
            page.before,
            page.from_end,
            page.limit as i64 + 1,
        )
        .fetch_all(&self.pool)
        .await?;
        let all = rows.into_iter().map(Synthesis::try_from);
        let all = all.collect::<Result<Vec<_>, _>>()?;
        Ok(all
            .chunk_by(|a, b| a.version_id == b.version_id)
            .map(|of_one| (of_one[0].version_id, Slice::from_rows(of_one.to_vec(), page)))
            .collect())
    }

    /// How many synthetic images each version has; versions without any are left out.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_syntheses", skip_all)]
    pub async fn count_syntheses(&self, versions: &[VersionId]) -> Result<Vec<(VersionId, i64)>, StoreError> {
        let rows = sqlx::query!(
            r#"select version_id, count(*) as "count!" from synthesis where version_id = any($1) group by version_id"#,
            &raw(versions, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (VersionId(row.version_id), row.count))
            .collect())
    }

    /// The hashes of the pictures of all synthetic images.
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
    /// Registers a synthetic image that a job is to seek.
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
             returning synthesis_id, version_id, job_id, target, settings, image_hash, image_width, image_height, activation, course,
                    exemplars, created_at",
            version.0,
            job.0,
            json!(target),
            json!(settings),
        )
        .fetch_one(self.connection())
        .await?
        .try_into()
    }

    /// Writes what was found.
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
                set image_hash = $2, image_width = $3, image_height = $4, activation = $5, course = $6, exemplars = $7
              where synthesis_id = $1",
            id.0,
            outcome.image_hash,
            outcome.image_width as i32,
            outcome.image_height as i32,
            outcome.activation,
            &outcome.course,
            json!(outcome.exemplars),
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
