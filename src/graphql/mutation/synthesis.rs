//! Asking for images that parts of a network answer to most, synthetic and real ones.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use scv_domain::id::{SynthesisId, VersionId};
use crate::graphql::error::Result;
use crate::graphql::id::GlobalId as _;
use crate::graphql::job::Job;
use crate::graphql::synthesis::{Synthesis, SynthesisSettingsInput, SynthesisTargetInput};
use crate::graphql::version::Version;
use scv_service::Library;

/// Asks for images.
#[derive(Debug, Default, async_graphql::Description)]
pub struct SynthesisMutation;

#[Object(use_type_description)]
impl SynthesisMutation {
    /// Seeks an image that a part of a version's network answers to most. The job tells how far it is; the image and those of
    /// the data set that are answered to most are kept with the version. A search for the same by the same settings is not made
    /// twice: its image and job are answered again.
    async fn synthesize_image(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to answer, and how the image is sought.")] input: SynthesizeImageInput,
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

    /// Deletes a synthetic image for good.
    async fn delete_synthesis(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which image.")] input: DeleteSynthesisInput,
    ) -> Result<DeleteSynthesisPayload> {
        let id = SynthesisId::decode(&input.id)?;
        let version = ctx.data_unchecked::<Library>().delete_synthesis(id).await?;
        Ok(DeleteSynthesisPayload {
            deleted_synthesis_id: input.id,
            version: Version(version),
        })
    }

    /// Looks for the images of the test split that each channel of a version's layers answers to most, in one pass for all.
    async fn find_exemplars(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Of which version.")] input: FindExemplarsInput,
    ) -> Result<FindExemplarsPayload> {
        let version = VersionId::decode(&input.version_id)?;
        let (version, job) = ctx.data_unchecked::<Library>().find_exemplars_of(version).await?;
        Ok(FindExemplarsPayload {
            version: Version(version),
            job: Job(job),
        })
    }
}

/// A synthetic image to delete. Its search must have ended.
#[derive(Debug, InputObject)]
pub struct DeleteSynthesisInput {
    /// Which image.
    id: ID,
}

/// What is left of a synthetic image.
#[derive(Debug, SimpleObject)]
pub struct DeleteSynthesisPayload {
    /// What its global id was.
    deleted_synthesis_id: ID,
    /// The version that it was of.
    version: Version,
}

/// Images to be looked for.
#[derive(Debug, InputObject)]
pub struct FindExemplarsInput {
    /// The version whose channels answer.
    version_id: ID,
}

/// Whose images are looked for.
#[derive(Debug, SimpleObject)]
pub struct FindExemplarsPayload {
    /// The version.
    version: Version,
    /// The job that looks for them.
    job: Job,
}

/// An image to be sought.
#[derive(Debug, InputObject)]
pub struct SynthesizeImageInput {
    /// The version whose network answers.
    version_id: ID,
    /// What is to answer.
    target: SynthesisTargetInput,
    /// How it is sought; as usual if left out.
    settings: Option<SynthesisSettingsInput>,
}

/// The image to be sought.
#[derive(Debug, SimpleObject)]
pub struct SynthesizeImagePayload {
    /// The image, once the job has succeeded.
    synthesis: Synthesis,
    /// The job that seeks it.
    job: Job,
}
