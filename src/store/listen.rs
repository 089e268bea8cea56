//! News from the database: which jobs have changed, on whichever server.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::broadcast;

use super::{Store, StoreError};
use crate::domain::id::JobId;

/// News that a slow reader may have outstanding before it is told that it missed some.
const BACKLOG: usize = 1_024;

impl Store {
    /// A feed of the jobs that change. It is news, not history: a reader reads the job first and listens then,
    /// and reads again when it is told that it lagged.
    ///
    /// # Errors
    /// The database cannot be reached. Later interruptions are mended by the listener itself.
    pub async fn job_changes(&self) -> Result<broadcast::Sender<JobId>, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen("scv_job").await?;
        let (sender, _) = broadcast::channel(BACKLOG);
        let feed = sender.clone();
        tokio::spawn(async move {
            loop {
                match listener.recv().await {
                    Ok(news) => {
                        if let Ok(id) = news.payload().parse() {
                            // No one listening is the usual case, and no error.
                            let _ = feed.send(JobId(id));
                        }
                    }
                    Err(sqlx::Error::PoolClosed) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the feed of job changes was interrupted");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(sender)
    }
}
