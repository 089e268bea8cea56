//! When the compute thread last ended a step.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Beats whenever the task in progress has ended a step. Between two tasks it rests.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    /// A pulse at rest.
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// A task or a step of it begins.
    pub(super) fn beat(&self) {
        self.set(Some(Instant::now()));
    }

    /// No task is in progress.
    pub(super) fn rest(&self) {
        self.set(None);
    }

    /// How long ago it last beat; `None` while it rests.
    pub(super) fn silence(&self) -> Option<Duration> {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|last| last.elapsed())
    }

    fn set(&self, last: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}
