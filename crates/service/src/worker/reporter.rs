//! The connection between a job's computation and its row: progress in one direction, cancellation in the other.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::metrics::METRICS;
use scv_compute::control::{Control, Progress};
use scv_domain::id::JobId;
use scv_domain::job::{Job, JobKind, JobPhase};
use scv_domain::training::EpochReport;
use scv_store::{Store, StoreError};

/// How often the row is written, and checked for a cancellation.
const INTERVAL: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, PartialEq)]
struct State {
    phase: JobPhase,
    progress: f64,
    epochs: Vec<EpochReport>,
}

/// Writes a job's progress at a bounded rate, whatever rate it is reported at.
pub(super) struct Reporter {
    kind: JobKind,
    /// The current phase, and when it began.
    current: Mutex<(JobPhase, Instant)>,
    state: Arc<Mutex<State>>,
    cancelled: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Reporter {
    pub(super) fn start(store: Store, job: &Job) -> Self {
        let state = Arc::new(Mutex::new(State {
            phase: JobPhase::Loading,
            progress: 0.0,
            epochs: job.epochs.clone(),
        }));
        let cancelled = Arc::new(AtomicBool::new(false));
        let stop = CancellationToken::new();
        let task = tokio::spawn(watch(
            store,
            job.id,
            Arc::clone(&state),
            Arc::clone(&cancelled),
            stop.clone(),
        ));
        Self {
            kind: job.kind,
            current: Mutex::new((JobPhase::Loading, Instant::now())),
            state,
            cancelled,
            stop,
            task,
        }
    }

    /// Begins a phase. The result controls a computation that takes the job's progress through `range`.
    pub(super) fn phase(&self, phase: JobPhase, range: Range<f64>) -> Control {
        self.end_phase(phase);
        update(&self.state, |state| {
            state.phase = phase;
            state.progress = range.start;
        });
        let state = Arc::clone(&self.state);
        Control {
            cancelled: Arc::clone(&self.cancelled),
            progress: Arc::new(move |progress| {
                update(&state, |state| match progress {
                    Progress::Fraction(share) => state.progress = range.start + share * (range.end - range.start),
                    Progress::Epoch(report) => state.epochs.push(report),
                });
            }),
            ..Control::unwatched()
        }
    }

    /// Records how long the phase took that ends where `next` begins.
    fn end_phase(&self, next: JobPhase) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Several computations in a row may belong to one phase.
        if current.0 == next {
            return;
        }
        METRICS.count_phase(self.kind, current.0, current.1.elapsed());
        *current = (next, Instant::now());
    }

    /// Writes the last state and stops. Nothing is written after this.
    pub(super) async fn stop(mut self) {
        self.end_phase(JobPhase::Finished);
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::warn!(%error, "the progress reporter of a job failed");
        }
    }
}

impl Drop for Reporter {
    /// The future of a job that is requeued is dropped before its end: its computation and its reports end with it.
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.stop.cancel();
    }
}

fn update(state: &Mutex<State>, change: impl FnOnce(&mut State)) {
    change(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
}

async fn watch(
    store: Store,
    job: JobId,
    state: Arc<Mutex<State>>,
    cancelled: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    let mut written: Option<State> = None;
    loop {
        let is_over = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        let current = state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err(error) = write(&store, job, &current, written.as_ref()).await {
            tracing::warn!(%job, %error, "the progress of a job could not be written");
        }
        written = Some(current);
        if is_over {
            return;
        }
        match store.cancel_requested(job).await {
            Ok(true) => cancelled.store(true, Ordering::Relaxed),
            Ok(false) => {}
            Err(error) => tracing::warn!(%job, %error, "whether a job is to be cancelled could not be read"),
        }
    }
}

async fn write(store: &Store, job: JobId, now: &State, before: Option<&State>) -> Result<(), StoreError> {
    if before.is_none_or(|before| before.epochs != now.epochs) {
        store.report_epochs(job, &now.epochs).await?;
    }
    if before.is_none_or(|before| (before.phase, before.progress) != (now.phase, now.progress)) {
        store.report_progress(job, now.phase, now.progress).await?;
    }
    Ok(())
}
