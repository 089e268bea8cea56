//! Whether the worker runs.

use std::sync::{Arc, Mutex, PoisonError};

/// The state of a worker. A clone is another handle to the same state.
#[derive(Debug, Clone)]
pub struct WorkerState(Arc<Mutex<WorkerStatus>>);

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStatus {
    /// It takes jobs.
    Running,
    /// It failed, and has not been started again yet.
    Restarting,
    /// Nothing starts it any more.
    Ended,
}

impl WorkerState {
    /// The state of a worker that runs.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(WorkerStatus::Running)))
    }

    /// The state at this moment.
    pub fn get(&self) -> WorkerStatus {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state.
    pub fn set(&self, status: WorkerStatus) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// The state becomes [`WorkerStatus::Ended`] when the result is dropped, for whatever reason.
    pub fn ended_on_drop(&self) -> impl Drop + use<> {
        EndedOnDrop(self.clone())
    }
}

struct EndedOnDrop(WorkerState);

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        self.0.set(WorkerStatus::Ended);
    }
}
