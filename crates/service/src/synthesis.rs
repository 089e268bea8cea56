//! Asking for synthetic images, and for the real ones that channels answer to most.

use super::{Library, ServiceError};
use scv_compute::synthesis::check_target;
use scv_domain::access::Scope;
use scv_domain::id::{SynthesisId, VersionId};
use scv_domain::job::{Job, JobKind};
use scv_domain::synthesis::{Padding, Parametrisation, Synthesis, SynthesisSettings, SynthesisTarget};
use scv_domain::version::Version;
use scv_store::{NewJob, Tx};

/// What is wished of a search; the rest is as usual.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SynthesisWishes {
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

impl SynthesisWishes {
    fn over(self, usual: SynthesisSettings) -> SynthesisSettings {
        SynthesisSettings {
            steps: self.steps.unwrap_or(usual.steps),
            learning_rate: self.learning_rate.unwrap_or(usual.learning_rate),
            seed: self.seed.unwrap_or(usual.seed),
            parametrisation: self.parametrisation.unwrap_or(usual.parametrisation),
            padding: self.padding.unwrap_or(usual.padding),
            jitter: self.jitter.unwrap_or(usual.jitter),
            scale: self.scale.unwrap_or(usual.scale),
            rotation: self.rotation.unwrap_or(usual.rotation),
            total_variation: self.total_variation.unwrap_or(usual.total_variation),
            l2: self.l2.unwrap_or(usual.l2),
        }
    }
}

impl Library {
    /// Registers a synthetic image with the job that seeks it. One that is sought already, or was found, in the same way for the
    /// same target is not sought again.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version; `BAD_USER_INPUT` for one that cannot be run, a target that is not there, and settings
    /// beyond their limits.
    pub async fn synthesize_image(
        &self,
        version: VersionId,
        target: SynthesisTarget,
        wishes: SynthesisWishes,
    ) -> Result<(Synthesis, Job), ServiceError> {
        self.require(Scope::Write)?;
        let subject = self.runnable(version).await?;
        check_target(&subject.network, target)?;
        let shape = subject.network.image_shape();
        let settings = wishes.over(SynthesisSettings::usual(shape.height, shape.width));
        if let Some(fault) = settings.fault(shape.height, shape.width) {
            return Err(ServiceError::bad_input(fault));
        }
        let mut tx = self.store.begin().await?;
        lock(&mut tx, &subject.version).await?;
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

    /// Deletes a synthetic image. What others show of it, by the picture's address, is gone when room is needed.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none, `FORBIDDEN` if the model is another's, `BAD_USER_INPUT` while it is sought.
    pub async fn delete_synthesis(&self, id: SynthesisId) -> Result<Version, ServiceError> {
        self.require(Scope::Write)?;
        let missing = || ServiceError::not_found("synthetic image", id);
        let synthesis = self.store.synthesis(id).await?.ok_or_else(missing)?;
        let version = self.store.versions_by_id(&[synthesis.version_id]).await?.pop();
        let version = version.ok_or_else(missing)?;
        self.changeable(version.model_id).await?;
        // One that has ended stays so.
        let job = self.store.jobs_by_id(&[synthesis.job_id]).await?.pop();
        if job.is_some_and(|job| !job.status.is_final()) {
            return Err(ServiceError::bad_input(
                "the image is still sought: stop its job with cancelJob first, or wait for its end",
            ));
        }
        let mut tx = self.store.begin().await?;
        tx.delete_synthesis(id).await?;
        tx.commit().await?;
        Ok(version)
    }

    /// Queues the search for the images that the channels of a version's layers answer to most.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version, `BAD_USER_INPUT` for one that cannot be run.
    pub async fn find_exemplars_of(&self, version: VersionId) -> Result<(Version, Job), ServiceError> {
        self.require(Scope::Write)?;
        let version = self.runnable(version).await?.version;
        let mut tx = self.store.begin().await?;
        lock(&mut tx, &version).await?;
        let job = queue(&mut tx, &version, JobKind::Exemplify).await?;
        tx.commit().await?;
        Ok((version, job))
    }
}

/// Keeps a version's model from being deleted meanwhile, and others from asking for the same.
async fn lock(tx: &mut Tx, version: &Version) -> Result<(), ServiceError> {
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
