//! What can be watched.

use std::time::Duration;

use async_graphql::{Context, ID, Subscription};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::error::Result;
use super::explanation::{ExplanationChunk, explain};
use super::id::GlobalId;
use super::job::Job;
use scv_domain::id::JobId;
use scv_domain::job as domain;
use scv_service::{JobFeed, Library};

/// How long a watcher trusts that no news is no change: the feed may lose some while the database is away.
const REREAD: Duration = Duration::from_secs(5);

/// What can be watched.
#[derive(Debug, async_graphql::Description)]
pub struct Subscription;

#[Subscription(use_type_description)]
impl Subscription {
    /// A job as it stands now and each time it changes; ends with the job.
    async fn job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Its global id.")] id: ID,
    ) -> Result<impl Stream<Item = Result<Job>> + use<>> {
        let library = ctx.data_unchecked::<Library>().clone();
        let id = JobId::decode(&id)?;
        // Listen first, read then: a change between the two is seen twice rather than never.
        let news = ctx.data_unchecked::<JobFeed>().subscribe();
        let first = library.job(id).await?;
        let state = Watch {
            library,
            id,
            news,
            last: None,
            pending: Some(first),
            failed: false,
        };
        Ok(stream::unfold(state, Watch::next).map(|job| job.map(Job)))
    }

    /// Why two layers may compute the same thing, piece by piece as a language model writes it; ends with the whole.
    async fn explanation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The one layer.")] layer_id: ID,
        #[graphql(desc = "The other layer.")] other_layer_id: ID,
        #[graphql(desc = "Language by its name or code; the server's usual one if left out. Rules know English only.")]
        language: Option<String>,
    ) -> Result<impl Stream<Item = Result<ExplanationChunk>> + use<>> {
        let explaining = explain(ctx, &layer_id, &other_layer_id, language).await?;
        let parts = explaining.parts();
        Ok(parts.map(|part| part.map(ExplanationChunk::from).map_err(Into::into)))
    }
}

struct Watch {
    library: Library,
    id: JobId,
    news: Receiver<JobId>,
    last: Option<domain::Job>,
    pending: Option<domain::Job>,
    /// It could not be read, as if it were private now.
    failed: bool,
}

impl Watch {
    async fn next(mut self) -> Option<(Result<domain::Job>, Self)> {
        if self.failed || self.last.as_ref().is_some_and(|job| job.status.is_final()) {
            return None;
        }
        loop {
            let job = match self.pending.take() {
                Some(job) => job,
                None => match self.changed().await? {
                    Ok(job) => job,
                    Err(error) => {
                        self.failed = true;
                        return Some((Err(error), self));
                    }
                },
            };
            if self.last.as_ref() != Some(&job) {
                self.last = Some(job.clone());
                return Some((Ok(job), self));
            }
        }
    }

    /// The job after the next news of it; `None` once the server stops.
    async fn changed(&mut self) -> Option<Result<domain::Job>> {
        loop {
            match tokio::time::timeout(REREAD, self.news.recv()).await {
                Ok(Ok(id)) if id != self.id => {}
                Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => {
                    return Some(self.library.job(self.id).await.map_err(Into::into));
                }
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }
}
