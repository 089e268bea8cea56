//! Asking for synthetic images, and for the real ones that channels answer to most.

use super::{Library, ServiceError};
use crate::compute::synthesis::check_target;
use crate::domain::access::Scope;
use crate::domain::id::VersionId;
use crate::domain::job::{Job, JobKind};
use crate::domain::synthesis::{Parametrisation, Synthesis, SynthesisSettings, SynthesisTarget};
use crate::domain::version::Version;
use crate::store::{NewJob, Tx};

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
            jitter: self.jitter.unwrap_or(usual.jitter),
            scale: self.scale.unwrap_or(usual.scale),
            rotation: self.rotation.unwrap_or(usual.rotation),
            total_variation: self.total_variation.unwrap_or(usual.total_variation),
            l2: self.l2.unwrap_or(usual.l2),
        }
    }
}

impl Library {
    /// Registers a synthetic image with the job that seeks it.
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
        if let Some(fault) = settings.fault() {
            return Err(ServiceError::bad_input(fault));
        }
        let mut tx = self.store.begin().await?;
        let job = queue(&mut tx, &subject.version, JobKind::Synthesize).await?;
        let synthesis = tx.insert_synthesis(version, job.id, target, settings).await?;
        tx.commit().await?;
        Ok((synthesis, job))
    }

    /// Queues the search for the images that the channels of a version's layers answer to most.
    ///
    /// # Errors
    /// `NOT_FOUND` for the version, `BAD_USER_INPUT` for one that cannot be run.
    pub async fn find_exemplars_of(&self, version: VersionId) -> Result<(Version, Job), ServiceError> {
        self.require(Scope::Write)?;
        let version = self.runnable(version).await?.version;
        let mut tx = self.store.begin().await?;
        let job = queue(&mut tx, &version, JobKind::Exemplify).await?;
        tx.commit().await?;
        Ok((version, job))
    }
}

async fn queue(tx: &mut Tx, version: &Version, kind: JobKind) -> Result<Job, ServiceError> {
    tx.lock_model(version.model_id)
        .await?
        .ok_or_else(|| ServiceError::not_found("version", version.id))?;
    let job = NewJob {
        kind,
        version_id: version.id,
        dataset_id: None,
    };
    Ok(tx.insert_job(job).await?)
}
