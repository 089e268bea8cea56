//! Synthetic images.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::rows::Place;
use super::{Store, StoreError, Tx};
use crate::domain::id::{JobId, SynthesisId, VersionId};
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

    /// The synthetic images of a version, the latest first.
    ///
    /// # Errors
    /// The database fails or holds what we do not know.
    #[tracing::instrument(name = "store.syntheses_of", skip_all)]
    pub async fn syntheses_of(&self, version: VersionId) -> Result<Vec<Synthesis>, StoreError> {
        let rows = sqlx::query_as!(
            SynthesisRow,
            "select synthesis_id, version_id, job_id, target, settings, image_hash, image_width, image_height, activation, course,
                    exemplars, created_at
               from synthesis
              where version_id = $1
              order by synthesis_id desc",
            version.0
        );
        rows.fetch_all(&self.pool)
            .await?
            .into_iter()
            .map(Synthesis::try_from)
            .collect()
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
