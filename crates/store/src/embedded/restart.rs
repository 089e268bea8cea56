//! A PostgreSQL that ends although nobody stopped it is started again, with what it had.

use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Cluster, EmbeddedError};

/// PostgreSQL is started again at most this many times within [`WINDOW`].
const MAX_RESTARTS: usize = 3;
const WINDOW: Duration = Duration::from_secs(600);

/// How often a start is attempted, and how long to wait after the first that failed; longer after the next.
const START_ATTEMPTS: u32 = 3;
const START_DELAY: Duration = Duration::from_secs(1);

impl Cluster {
    /// Waits until PostgreSQL has ended. Returns at once if it has.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        self.postmaster.ended().await
    }

    /// Starts a PostgreSQL that has ended again. It recovers, so no committed data is lost.
    ///
    /// # Errors
    /// It has ended too often, or does not start.
    pub async fn start_again(&mut self) -> Result<(), EmbeddedError> {
        self.restarts.retain(|at| at.elapsed() < WINDOW);
        if self.restarts.len() == MAX_RESTARTS {
            return Err(EmbeddedError::KeepsEnding {
                restarts: MAX_RESTARTS,
                minutes: WINDOW.as_secs() / 60,
                logs: self.origin.directory.cluster().join("log"),
            });
        }
        self.restarts.push(Instant::now());
        let mut attempt = 1;
        loop {
            let error = match self.origin.launch().await {
                Ok((postmaster, options)) => {
                    (self.postmaster, self.options) = (postmaster, options);
                    return Ok(());
                }
                Err(error) => error,
            };
            if attempt == START_ATTEMPTS {
                return Err(error);
            }
            tracing::error!(%error, "PostgreSQL did not start; another attempt follows");
            sleep(START_DELAY * attempt).await;
            attempt += 1;
        }
    }
}
