//! Starts the jobs that create synthetic images and find top-activating images.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use crate::error::Result;
use crate::id::GlobalId as _;
use crate::job::Job;
use crate::synthesis::{Synthesis, SynthesisSettingsInput, SynthesisTargetInput};
use crate::version::Version;
use scv_domain::id::{SynthesisId, VersionId};
use scv_service::Library;

/// Mutations of synthetic and top-activating images.
#[derive(Debug, Default, async_graphql::Description)]
pub struct SynthesisMutation;

#[Object(use_type_description)]
impl SynthesisMutation {
    /// Creates a synthetic image that maximises the activation of a class, layer, channel or neuron. A job runs in the
    /// background and stores the image, with the top-activating images of the data set, in the version. If an image
    /// with the same target and settings exists, it and its job are returned instead of a new one.
    async fn synthesize_image(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The target and the settings.")] input: SynthesizeImageInput,
    ) -> Result<SynthesizeImagePayload> {
        let version = VersionId::decode(&input.version_id)?;
        let target = input.target.try_into()?;
        let wishes = input.settings.unwrap_or_default().try_into()?;
        let library = ctx.data_unchecked::<Library>();
        let (synthesis, job) = library.synthesize_image(version, target, wishes).await?;
        Ok(SynthesizeImagePayload {
            synthesis: Synthesis(synthesis),
            job: Job(job),
        })
    }

    /// Deletes a synthetic image permanently.
    async fn delete_synthesis(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The synthetic image.")] input: DeleteSynthesisInput,
    ) -> Result<DeleteSynthesisPayload> {
        let id = SynthesisId::decode(&input.id)?;
        let version = ctx.data_unchecked::<Library>().delete_synthesis(id).await?;
        Ok(DeleteSynthesisPayload {
            deleted_synthesis_id: input.id,
            version: Version(version),
        })
    }

    /// Finds the top-activating images of the test split for each channel of all layers of a version, in the
    /// background.
    async fn find_exemplars(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The version.")] input: FindExemplarsInput,
    ) -> Result<FindExemplarsPayload> {
        let version = VersionId::decode(&input.version_id)?;
        let (version, job) = ctx.data_unchecked::<Library>().find_exemplars_of(version).await?;
        Ok(FindExemplarsPayload {
            version: Version(version),
            job: Job(job),
        })
    }
}

/// A synthetic image to delete. Its job must have ended.
#[derive(Debug, InputObject)]
pub struct DeleteSynthesisInput {
    /// Global id of the synthetic image.
    id: ID,
}

/// The result of deleting a synthetic image.
#[derive(Debug, SimpleObject)]
pub struct DeleteSynthesisPayload {
    /// Global id of the deleted image.
    deleted_synthesis_id: ID,
    /// The version that the image belonged to.
    version: Version,
}

/// A version whose top-activating images to find.
#[derive(Debug, InputObject)]
pub struct FindExemplarsInput {
    /// Global id of the version.
    version_id: ID,
}

/// The job that finds top-activating images.
#[derive(Debug, SimpleObject)]
pub struct FindExemplarsPayload {
    /// The version.
    version: Version,
    /// The job that finds the images.
    job: Job,
}

/// A synthetic image to create.
#[derive(Debug, InputObject)]
pub struct SynthesizeImageInput {
    /// Global id of the version.
    version_id: ID,
    /// The target whose activation is maximised.
    target: SynthesisTargetInput,
    /// The settings of the optimisation.
    settings: Option<SynthesisSettingsInput>,
}

/// The synthetic image and its job.
#[derive(Debug, SimpleObject)]
pub struct SynthesizeImagePayload {
    /// The synthetic image; its results are available once the job has succeeded.
    synthesis: Synthesis,
    /// The job that creates it.
    job: Job,
}
