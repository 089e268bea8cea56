//! News from the database, of what happened on whichever server.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification};
use tokio::sync::{broadcast, watch};

use super::{Store, StoreError};
use scv_domain::id::JobId;

/// News that a slow reader may have outstanding before it is told that it missed some.
const BACKLOG: usize = 1_024;

const JOBS: &str = "scv_job";
const CATALOGUE: &str = "scv_catalogue";

/// What happens in the database. It is news, not history: a reader reads first and listens then, and reads again when it
/// is told that it lagged.
#[derive(Debug)]
pub struct News {
    /// Jobs that changed.
    pub jobs: broadcast::Sender<JobId>,
    /// The catalogue's latest generation that was heard of. It trails the database, and whatever has to be true at this
    /// moment must be read there.
    pub generation: watch::Receiver<i64>,
}

struct Senders {
    jobs: broadcast::Sender<JobId>,
    generation: watch::Sender<i64>,
}

impl Store {
    /// Listens for news.
    ///
    /// # Errors
    /// The database cannot be reached. Later interruptions are mended by the listener itself.
    pub async fn news(&self) -> Result<News, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all([JOBS, CATALOGUE]).await?;
        let senders = Senders {
            jobs: broadcast::channel(BACKLOG).0,
            generation: watch::channel(self.generation().await?).0,
        };
        let news = News {
            jobs: senders.jobs.clone(),
            generation: senders.generation.subscribe(),
        };
        tokio::spawn(async move {
            loop {
                match listener.recv().await {
                    Ok(notification) => senders.pass_on(&notification),
                    Err(sqlx::Error::PoolClosed) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the news from the database were interrupted");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(news)
    }
}

impl Senders {
    fn pass_on(&self, notification: &PgNotification) {
        let Ok(number) = notification.payload().parse() else {
            return;
        };
        if notification.channel() == CATALOGUE {
            self.generation.send_replace(number);
        } else {
            // No one listening is the usual case, and no error.
            let _ = self.jobs.send(JobId(number));
        }
    }
}
