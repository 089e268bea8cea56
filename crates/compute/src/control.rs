//! How long work is watched and stopped from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{ComputeError, Result};
use scv_domain::training::EpochReport;

/// The line between a long computation and whoever asked for it.
#[derive(Clone)]
pub struct Control {
    /// Set it and the work ends with [`ComputeError::Cancelled`] at its next step.
    pub cancelled: Arc<AtomicBool>,
    /// Told how far the work is, from the thread that does it; it should return at once.
    pub progress: Arc<dyn Fn(Progress) + Send + Sync>,
    /// Called between two steps, on the thread that does the work: what cannot wait for its end is done there.
    pub let_in: Arc<dyn Fn() + Send + Sync>,
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Progress {
    /// A training epoch ended.
    Epoch(EpochReport),
    /// Share of the whole work that is done, 0 to 1.
    Fraction(f64),
}

impl Control {
    /// A control that nobody watches and nobody stops.
    pub fn unwatched() -> Control {
        Control {
            cancelled: Arc::new(AtomicBool::new(false)),
            progress: Arc::new(|_| {}),
            let_in: Arc::new(|| {}),
        }
    }

    /// Says how far the work is.
    pub fn report(&self, progress: Progress) {
        (self.progress)(progress);
    }

    /// Stands between two steps, where the work holds no activations: lets in what cannot wait, and fails if the work has been
    /// cancelled.
    pub fn between_steps(&self) -> Result<()> {
        (self.let_in)();
        self.check()
    }

    /// Fails if the work has been cancelled.
    pub fn check(&self) -> Result<()> {
        match self.cancelled.load(Ordering::Relaxed) {
            true => Err(ComputeError::Cancelled),
            false => Ok(()),
        }
    }
}

/// Reports whole hundredths of a task once each, so that watching costs nothing.
pub(crate) struct Hundredths<'a> {
    control: &'a Control,
    total: usize,
    done: usize,
}

impl<'a> Hundredths<'a> {
    /// Watches a task of `total` steps.
    pub(crate) fn new(control: &'a Control, total: usize) -> Self {
        Hundredths {
            control,
            total: total.max(1),
            done: 0,
        }
    }

    /// One step is done.
    pub(crate) fn step(&mut self) {
        let before = self.done * 100 / self.total;
        self.done += 1;
        if self.done * 100 / self.total > before {
            self.control
                .report(Progress::Fraction(self.done as f64 / self.total as f64));
        }
    }
}
