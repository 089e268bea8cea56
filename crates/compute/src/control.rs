//! Progress of long work, and its cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{ComputeError, Result};
use scv_domain::training::EpochReport;

/// Connects a long computation to its caller.
#[derive(Clone)]
pub struct Control {
    /// Once set, the work ends with [`ComputeError::Cancelled`] at its next step.
    pub cancelled: Arc<AtomicBool>,
    /// Receives the progress, on the thread that does the work. It must not block.
    pub progress: Arc<dyn Fn(Progress) + Send + Sync>,
    /// Called between two steps, on the thread that does the work: runs what cannot wait until the work ends.
    pub run_pending: Arc<dyn Fn() + Send + Sync>,
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// A training epoch ended.
    Epoch(EpochReport),
    /// The share of the whole work that is done, 0 to 1.
    Fraction(f64),
}

impl Control {
    /// A control without an observer, for work that is never cancelled.
    pub fn unwatched() -> Control {
        Control {
            cancelled: Arc::new(AtomicBool::new(false)),
            progress: Arc::new(|_| {}),
            run_pending: Arc::new(|| {}),
        }
    }

    /// Reports progress.
    pub fn report(&self, progress: Progress) {
        (self.progress)(progress);
    }

    /// Runs what cannot wait, then fails if the work has been cancelled. To be called between two steps, while the work
    /// holds no activations.
    pub fn between_steps(&self) -> Result<()> {
        (self.run_pending)();
        self.check()
    }

    /// Fails if the work has been cancelled.
    pub fn check(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) {
            Err(ComputeError::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// Reports progress once per whole percent, so that it costs next to nothing.
pub(crate) struct PercentProgress<'a> {
    control: &'a Control,
    total: usize,
    done: usize,
}

impl<'a> PercentProgress<'a> {
    /// The progress of work in `total` steps.
    pub(crate) fn new(control: &'a Control, total: usize) -> Self {
        PercentProgress {
            control,
            total: total.max(1),
            done: 0,
        }
    }

    /// Counts one more step as done.
    pub(crate) fn step(&mut self) {
        let before = self.done * 100 / self.total;
        self.done += 1;
        if self.done * 100 / self.total > before {
            self.control
                .report(Progress::Fraction(self.done as f64 / self.total as f64));
        }
    }
}
