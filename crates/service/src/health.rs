//! What a server needs to handle requests and jobs, as it is seen from outside.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Library;
use crate::worker::{WorkerState, WorkerStatus};
use scv_artifact::{ArtifactError, ArtifactStore};
use scv_compute::engine::Engine;
use scv_store::Store;

/// How long a part may take to respond.
const TIMEOUT: Duration = Duration::from_millis(700);

/// With less free disk than this, the database and uploads may fail at any moment.
const MIN_FREE_BYTES: u64 = 200_000_000;

/// A step of a computation takes seconds. A thread that has not ended one for so long hangs.
const MAX_SILENCE: Duration = Duration::from_secs(600);

/// A look at the artifact store, which finds the number of free bytes.
type Probe = JoinHandle<Result<Option<u64>, ArtifactError>>;

/// Looks at the parts of a server. The faults that it names contain nothing that a stranger must not know; details are logged.
#[derive(Debug, Clone)]
pub struct Health {
    store: Store,
    artifacts: ArtifactStore,
    engine: Engine,
    worker: WorkerState,
    /// The last look at the artifact store. One that hangs must not be followed by more.
    probe: Arc<Mutex<Option<Probe>>>,
}

impl Library {
    /// The health of the server with a worker.
    pub fn health(&self, worker: WorkerState) -> Health {
        Health {
            store: self.store.clone(),
            artifacts: self.artifacts.clone(),
            engine: self.engine.clone(),
            worker,
            probe: Arc::default(),
        }
    }
}

impl Health {
    /// Faults that only a restart of the server repairs.
    pub fn lasting_faults(&self) -> Vec<&'static str> {
        lasting_faults(self.engine.has_ended(), self.worker.get())
    }

    /// Everything that keeps the server from handling requests or jobs. Takes less than a second.
    pub async fn faults(&self) -> Vec<&'static str> {
        let (database, artifacts) = tokio::join!(self.fault_of_database(), self.fault_of_artifacts());
        let mut faults = self.lasting_faults();
        faults.extend(database);
        faults.extend(artifacts);
        if self.worker.get() == WorkerStatus::Restarting {
            faults.push("the worker does not run, so jobs wait");
        }
        if self.engine.silence().is_some_and(|silence| silence > MAX_SILENCE) {
            faults.push("the compute thread does not respond");
        }
        faults
    }

    async fn fault_of_database(&self) -> Option<&'static str> {
        let outcome = timeout(TIMEOUT, self.store.ping()).await;
        if matches!(outcome, Ok(Ok(()))) {
            return None;
        }
        tracing::warn!(?outcome, "the database does not respond");
        Some("the database does not respond")
    }

    async fn fault_of_artifacts(&self) -> Option<&'static str> {
        let mut probe = self.take_probe();
        let outcome = timeout(TIMEOUT, &mut probe).await;
        match outcome {
            Ok(Ok(Ok(free))) if free.is_none_or(|free| free >= MIN_FREE_BYTES) => None,
            Ok(Ok(Ok(_))) => Some("less than 200 MB of disk are free"),
            Ok(error) => {
                tracing::warn!(?error, "the artifact store cannot be used");
                Some("the artifact store cannot be written and read")
            }
            Err(_) => {
                *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(probe);
                Some("the artifact store does not respond")
            }
        }
    }

    /// The look at the artifact store that still hangs, or a new one.
    fn take_probe(&self) -> Probe {
        let hanging = self.probe.lock().unwrap_or_else(PoisonError::into_inner).take();
        hanging.unwrap_or_else(|| {
            let artifacts = self.artifacts.clone();
            tokio::spawn(async move {
                artifacts.probe().await?;
                let free = tokio::task::spawn_blocking(move || artifacts.free_bytes()).await;
                Ok(free.unwrap_or(None))
            })
        })
    }
}

fn lasting_faults(has_engine_ended: bool, worker: WorkerStatus) -> Vec<&'static str> {
    let mut faults = Vec::new();
    if has_engine_ended {
        faults.push("the compute thread has ended: restart the server");
    }
    if worker == WorkerStatus::Ended {
        faults.push("the worker has ended: restart the server");
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_that_have_ended_for_good_need_a_restart() {
        assert_eq!(lasting_faults(false, WorkerStatus::Running), Vec::<&str>::new());
        assert_eq!(lasting_faults(false, WorkerStatus::Restarting), Vec::<&str>::new());
        let faults = lasting_faults(true, WorkerStatus::Ended);
        assert!(
            faults.iter().all(|fault| fault.ends_with("restart the server")),
            "{faults:?}"
        );
        assert_eq!(faults.len(), 2);
    }
}
