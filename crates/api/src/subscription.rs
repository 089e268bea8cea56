//! The subscriptions.

use std::collections::HashSet;
use std::time::Duration;

use async_graphql::{Context, ID, Subscription};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::error::{ApiError, Result};
use super::explanation::{ExplanationChunk, explain};
use super::id::GlobalId;
use super::job::Job;
use scv_domain::id::JobId;
use scv_domain::job as domain;
use scv_service::{JobFeed, Library, ServiceError};

/// How often a job is read again without a notification: notifications may be lost while the database is unreachable.
const REREAD_INTERVAL: Duration = Duration::from_secs(5);

/// Subscriptions.
#[derive(Debug, async_graphql::Description)]
pub struct Subscription;

#[Subscription(use_type_description)]
impl Subscription {
    /// The state of a job, now and after each change. The subscription completes when the job ends.
    async fn job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the job.")] id: ID,
    ) -> Result<impl Stream<Item = Result<Job>> + use<>> {
        let library = ctx.data_unchecked::<Library>().clone();
        let id = JobId::decode(&id)?;
        // Subscribe before reading, so that a change between the two is seen twice rather than missed.
        let notifications = ctx.data_unchecked::<JobFeed>().subscribe();
        let first = library.job(id).await?;
        let watch = JobWatch {
            library,
            id,
            notifications,
            last: None,
            pending: Some(first),
            failed: false,
        };
        Ok(stream::unfold(watch, JobWatch::next).map(|job| job.map(Job)))
    }

    /// Every import, and every job of a model that the caller can see, after each change. The subscription has no job that does not change, and never
    /// completes: read `jobs` first. It fails if the caller falls too far behind; then read `jobs` again and subscribe again.
    async fn jobs(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = Result<Job>> + use<>> {
        let library = ctx.data_unchecked::<Library>().clone();
        let notifications = ctx.data_unchecked::<JobFeed>().subscribe();
        let changes = stream::unfold((library, notifications), async |(library, mut notifications)| {
            let jobs = next_changes(&library, &mut notifications).await?;
            Some((stream::iter(jobs), (library, notifications)))
        });
        Ok(changes.flatten().map(|job| job.map(Job)))
    }

    /// An explanation of why two layers may compute the same, piece by piece as a language model writes it. The last
    /// chunk has the whole explanation.
    async fn explanation(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Global id of the first layer.")] layer_id: ID,
        #[graphql(desc = "Global id of the second layer.")] other_layer_id: ID,
        #[graphql(
            desc = "Language of the explanation, as a name or code. Default: the server's setting. Rules write English."
        )]
        language: Option<String>,
    ) -> Result<impl Stream<Item = Result<ExplanationChunk>> + use<>> {
        let explaining = explain(ctx, &layer_id, &other_layer_id, language).await?;
        let parts = explaining.parts();
        Ok(parts.map(|part| part.map(ExplanationChunk::from).map_err(Into::into)))
    }
}

/// The jobs that have changed since, as far as the caller can see them; `None` once the server shuts down. Waits for a change.
async fn next_changes(library: &Library, notifications: &mut Receiver<JobId>) -> Option<Vec<Result<domain::Job>>> {
    let mut changed = HashSet::new();
    match notifications.recv().await {
        Ok(id) => changed.insert(id),
        Err(RecvError::Lagged(_)) => return Some(vec![Err(fell_behind())]),
        Err(RecvError::Closed) => return None,
    };
    // Those that wait already are read together.
    while let Ok(id) = notifications.try_recv() {
        changed.insert(id);
    }
    let changed: Vec<_> = changed.into_iter().collect();
    match library.store().jobs_by_id(&changed).await {
        Ok(jobs) => Some(jobs.into_iter().map(Ok).collect()),
        Err(error) => Some(vec![Err(error.into())]),
    }
}

fn fell_behind() -> ApiError {
    ServiceError::Overloaded.into()
}

struct JobWatch {
    library: Library,
    id: JobId,
    notifications: Receiver<JobId>,
    last: Option<domain::Job>,
    pending: Option<domain::Job>,
    /// The job could not be read, for example because its model has become private.
    failed: bool,
}

impl JobWatch {
    async fn next(mut self) -> Option<(Result<domain::Job>, Self)> {
        if self.failed || self.last.as_ref().is_some_and(|job| job.status.is_final()) {
            return None;
        }
        loop {
            let job = match self.pending.take() {
                Some(job) => job,
                None => match self.next_state().await? {
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

    /// The job after its next notification, or after [`REREAD_INTERVAL`]; `None` once the server shuts down.
    async fn next_state(&mut self) -> Option<Result<domain::Job>> {
        loop {
            match tokio::time::timeout(REREAD_INTERVAL, self.notifications.recv()).await {
                Ok(Ok(id)) if id != self.id => {}
                Ok(Ok(_) | Err(RecvError::Lagged(_))) | Err(_) => {
                    return Some(self.library.job(self.id).await.map_err(Into::into));
                }
                Ok(Err(RecvError::Closed)) => return None,
            }
        }
    }
}
