//! Notifications from the database about changes made by any server.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgNotification};
use tokio::sync::{broadcast, watch};

use super::generation::Generations;
use super::{Store, StoreError};
use scv_domain::id::JobId;

/// Number of notifications that wait for a slow reader. A reader that falls further behind misses some, and receives an error
/// that says so.
const MAX_BACKLOG: usize = 1_024;

const JOBS: &str = "scv_job";
const CATALOGUE: &str = "scv_catalogue";

/// Changes in the database as they happen. A reader subscribes first and then reads the current state. When it has fallen
/// behind, it reads the state again.
#[derive(Debug)]
pub struct Notifications {
    /// Jobs that have changed.
    pub jobs: broadcast::Sender<JobId>,
    /// The last generation of the catalogue that was received. It lags behind the database: a reader that needs the current
    /// one reads it there.
    pub generation: watch::Receiver<i64>,
}

struct Senders {
    jobs: broadcast::Sender<JobId>,
    generation: watch::Sender<i64>,
    generations: Generations,
}

impl Store {
    /// Starts to listen for changes.
    ///
    /// # Errors
    /// The database cannot be reached. After a later interruption the listener reconnects.
    pub async fn listen(&self) -> Result<Notifications, StoreError> {
        let mut listener = PgListener::connect_with(self.pool.pool()).await?;
        listener.listen_all([JOBS, CATALOGUE]).await?;
        let senders = Senders {
            jobs: broadcast::channel(MAX_BACKLOG).0,
            generation: watch::channel(self.generation().await?).0,
            generations: self.generations.clone(),
        };
        let notifications = Notifications {
            jobs: senders.jobs.clone(),
            generation: senders.generation.subscribe(),
        };
        tokio::spawn(async move {
            loop {
                match listener.recv().await {
                    Ok(notification) => senders.pass_on(&notification),
                    Err(sqlx::Error::PoolClosed) => break,
                    Err(error) => {
                        tracing::warn!(%error, "notifications from the database were interrupted");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(notifications)
    }
}

impl Senders {
    fn pass_on(&self, notification: &PgNotification) {
        let Ok(number) = notification.payload().parse() else {
            return;
        };
        if notification.channel() == CATALOGUE {
            self.generations.publish(number);
            self.generation.send_replace(number);
        } else {
            // Usually nobody subscribes, which is not an error.
            let _ = self.jobs.send(JobId(number));
        }
    }
}
