//! Requests for synthetic images, and for the real images that activate channels most.

use super::{Library, ServiceError};
use scv_compute::synthesis::check_target;
use scv_domain::access::Scope;
use scv_domain::id::{SynthesisId, VersionId};
use scv_domain::job::{Job, JobKind};
use scv_domain::synthesis::{Padding, Parametrisation, Synthesis, SynthesisSettings, SynthesisTarget};
use scv_domain::version::Version;
use scv_store::{NewJob, Tx};

/// Settings of a synthesis. What is `None` has its default value.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SynthesisRequest {
    /// See [`SynthesisSettings::steps`].
    pub steps: Option<u32>,
    /// See [`SynthesisSettings::learning_rate`].
    pub learning_rate: Option<f64>,
    /// See [`SynthesisSettings::seed`].
    pub seed: Option<u64>,
    /// See [`SynthesisSettings::parametrisation`].
    pub parametrisation: Option<Parametrisation>,
    /// See [`SynthesisSettings::padding`].
    pub padding: Option<Padding>,
    /// See [`SynthesisSettings::jitter`].
    pub jitter: Option<f64>,
    /// See [`SynthesisSettings::scale`].
    pub scale: Option<f64>,
    /// See [`SynthesisSettings::rotation`].
    pub rotation: Option<f64>,
    /// See [`SynthesisSettings::total_variation`].
    pub total_variation: Option<f64>,
    /// See [`SynthesisSettings::l2`].
    pub l2: Option<f64>,
}

impl SynthesisRequest {
    fn with_defaults(self, defaults: SynthesisSettings) -> SynthesisSettings {
        SynthesisSettings {
            steps: self.steps.unwrap_or(defaults.steps),
            learning_rate: self.learning_rate.unwrap_or(defaults.learning_rate),
            seed: self.seed.unwrap_or(defaults.seed),
            parametrisation: self.parametrisation.unwrap_or(defaults.parametrisation),
            padding: self.padding.unwrap_or(defaults.padding),
            jitter: self.jitter.unwrap_or(defaults.jitter),
            scale: self.scale.unwrap_or(defaults.scale),
            rotation: self.rotation.unwrap_or(defaults.rotation),
            total_variation: self.total_variation.unwrap_or(defaults.total_variation),
            l2: self.l2.unwrap_or(defaults.l2),
        }
    }
}

impl Library {
    /// Registers a synthetic image and queues the job that makes it. If the same target has a synthetic image with the same
    /// settings, finished or not, that one is returned.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version; `BAD_USER_INPUT` for one that cannot be run, a target that is out of range, and
    /// settings beyond their limits.
    pub async fn synthesize_image(
        &self,
        version: VersionId,
        target: SynthesisTarget,
        request: SynthesisRequest,
    ) -> Result<(Synthesis, Job), ServiceError> {
        self.require(Scope::Write)?;
        let subject = self.runnable_version(version).await?;
        check_target(&subject.network, target)?;
        let shape = subject.network.image_shape();
        let settings = request.with_defaults(SynthesisSettings::defaults_for(shape.height, shape.width));
        let is_moved = settings.jitter > 0.0 || settings.scale > 0.0 || settings.rotation > 0.0;
        if request.padding.is_some() && !is_moved {
            return Err(ServiceError::bad_input(
                "`settings.padding` has no effect if `jitter`, `scale` and `rotation` are 0: omit it",
            ));
        }
        if let Some(problem) = settings.validation_error(shape.height, shape.width) {
            return Err(ServiceError::bad_input(problem));
        }
        let mut tx = self.store.begin().await?;
        lock_model(&mut tx, &subject.version).await?;
        if let Some(same) = tx.same_synthesis(version, target, settings).await? {
            tx.commit().await?;
            let job = self.store.jobs_by_id(&[same.job_id]).await?.pop();
            let job = job.ok_or_else(|| ServiceError::not_found("job", same.job_id))?;
            return Ok((same, job));
        }
        let job = queue(&mut tx, &subject.version, JobKind::Synthesize).await?;
        let synthesis = tx.insert_synthesis(version, job.id, target, settings).await?;
        tx.commit().await?;
        Ok((synthesis, job))
    }

    /// Deletes a synthetic image. Its picture stays available by its URL until its space is needed.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none, `FORBIDDEN` if the model is another account's, `BAD_USER_INPUT` while its job runs.
    pub async fn delete_synthesis(&self, id: SynthesisId) -> Result<Version, ServiceError> {
        self.require(Scope::Write)?;
        let missing = || ServiceError::not_found("synthetic image", id);
        let synthesis = self.store.synthesis(id).await?.ok_or_else(missing)?;
        let version = self.store.versions_by_id(&[synthesis.version_id]).await?.pop();
        let version = version.ok_or_else(missing)?;
        self.changeable_model(version.model_id).await?;
        let job = self.store.jobs_by_id(&[synthesis.job_id]).await?.pop();
        if job.is_some_and(|job| !job.status.is_final()) {
            return Err(ServiceError::bad_input(
                "the image is still being made: cancel its job with cancelJob first, or wait until it has finished",
            ));
        }
        let mut tx = self.store.begin().await?;
        tx.delete_synthesis(id).await?;
        tx.commit().await?;
        Ok(version)
    }

    /// Queues a job that finds the top-activating images of the channels of a version's layers.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version, `BAD_USER_INPUT` for one that cannot be run.
    pub async fn find_exemplars_of(&self, version: VersionId) -> Result<(Version, Job), ServiceError> {
        self.require(Scope::Write)?;
        let version = self.runnable_version(version).await?.version;
        let mut tx = self.store.begin().await?;
        lock_model(&mut tx, &version).await?;
        let job = queue(&mut tx, &version, JobKind::FindExemplars).await?;
        tx.commit().await?;
        Ok((version, job))
    }
}

/// Locks a version's model, so that it is not deleted meanwhile and the same request does not register the same image twice.
async fn lock_model(tx: &mut Tx, version: &Version) -> Result<(), ServiceError> {
    let model = tx.lock_model(version.model_id).await?;
    model
        .map(drop)
        .ok_or_else(|| ServiceError::not_found("version", version.id))
}

async fn queue(tx: &mut Tx, version: &Version, kind: JobKind) -> Result<Job, ServiceError> {
    let job = NewJob {
        kind,
        version_id: version.id,
        dataset_id: None,
    };
    Ok(tx.insert_job(job).await?)
}
