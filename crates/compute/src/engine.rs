//! One thread that owns the device, and the way to it from async code.
//!
//! Tasks wait in a short queue and run one after the other, because two at a time would only share the same device.
//! A request does not wait for the end of a job, which may take hours: between any two of its steps, a job runs pending
//! requests. While both wait, jobs and requests get half of the time each. Dropping the future of a task cancels it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select_biased, unbounded};
use tokio::sync::{Semaphore, oneshot};

use super::control::Control;
use super::device::{self, DeviceChoice, DeviceMemory, OpenDevice};
use super::error::ComputeError;
use super::task::{DeviceContext, Task};
use share::RequestShare;

mod pulse;
mod share;

#[cfg(test)]
mod tests;

use pulse::Pulse;

/// The backward pass walks the graph recursively, a few frames per operation: deep networks need a larger stack than a
/// thread has by default.
const STACK_BYTES: usize = 256 << 20;

/// A handle to the thread that computes. The thread ends when the last handle is dropped, which
/// waits for the task in progress.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    priority: Priority,
}

/// How the tasks of a handle get the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Priority {
    /// A client waits for the result: refused if the queue is full.
    Request,
    /// No client waits: the task waits for a slot in the queue, and lets requests run between its steps.
    Job,
}

#[derive(Debug)]
struct Shared {
    device: String,
    memory: Arc<Mutex<Option<DeviceMemory>>>,
    pulse: Arc<Pulse>,
    /// Taken only on drop, so that the thread sees the end of the queues before it is joined.
    queues: Option<Queues>,
    /// The slots of the queue, for tasks that wait for their turn.
    slots: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Queues {
    jobs: Sender<Work>,
    requests: Sender<Work>,
}

/// A task with its reply channel.
type Work = Box<dyn FnOnce(&Arc<Worker>) + Send>;

/// What the thread owns.
struct Worker {
    context: DeviceContext,
    requests: Receiver<Work>,
    /// Of the time, while jobs want it too.
    share: Mutex<RequestShare>,
    pulse: Arc<Pulse>,
}

impl Worker {
    /// Between two steps of a job, the first of which began at `since`: runs pending requests for as long as their share lasts.
    /// Returns when the next step begins.
    fn run_pending_requests(self: &Arc<Self>, since: Instant) -> Instant {
        self.pulse.beat();
        let mut now = Instant::now();
        self.share().job_ran(now - since);
        while self.share().is_left()
            && let Ok(work) = self.requests.try_recv()
        {
            work(self);
            self.pulse.beat();
            let started = std::mem::replace(&mut now, Instant::now());
            self.share().request_ran(now - started);
        }
        now
    }

    fn share(&self) -> MutexGuard<'_, RequestShare> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Opens the device and starts its thread. Up to `queue` tasks (at least one) wait for their turn.
    ///
    /// # Errors
    /// [`ComputeError::NoDevice`] if the device cannot be opened.
    pub fn start(choice: DeviceChoice, queue: usize) -> Result<Self, ComputeError> {
        let open = device::open(choice)?;
        let device = open.description().to_owned();
        let memory = Arc::new(Mutex::new(None));
        let (jobs, waiting_jobs) = unbounded();
        let (requests, waiting_requests) = unbounded();
        let last_memory = Arc::clone(&memory);
        let pulse = Arc::new(Pulse::new());
        let own_pulse = Arc::clone(&pulse);
        let thread = Builder::new()
            .name("compute".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let context = DeviceContext::new(open.device().clone());
                let worker = Worker {
                    context,
                    requests: waiting_requests,
                    share: Mutex::default(),
                    pulse: own_pulse,
                };
                serve(&open, &waiting_jobs, &Arc::new(worker), &last_memory);
            })
            .map_err(|error| ComputeError::NoDevice(format!("cannot start a thread for {device}: {error}")))?;
        Ok(Self {
            shared: Arc::new(Shared {
                device,
                memory,
                pulse,
                queues: Some(Queues { jobs, requests }),
                slots: Arc::new(Semaphore::new(queue.max(1))),
                thread: Some(thread),
            }),
            priority: Priority::Request,
        })
    }

    /// A handle for tasks that no client waits for. Where the queue is full they wait for a slot, ahead of later
    /// tasks, and never fail with [`ComputeError::Overloaded`]. Between their steps, pending requests run.
    pub fn for_jobs(&self) -> Self {
        Self {
            priority: Priority::Job,
            ..self.clone()
        }
    }

    /// A description of the device for the log and the API.
    pub fn device(&self) -> &str {
        &self.shared.device
    }

    /// Whether the thread has ended, although there are handles: nothing can be computed any more.
    pub fn has_ended(&self) -> bool {
        self.shared.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// How long the task in progress has not ended a step; `None` if there is none.
    pub fn silence(&self) -> Option<Duration> {
        self.shared.pulse.silence()
    }

    /// The memory of the GPU, as it was when the last task ended; `None` for the CPU.
    pub fn device_memory(&self) -> Option<DeviceMemory> {
        *self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a task on the device and waits for its output.
    ///
    /// # Errors
    /// Those of the task, and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn run<T: Task>(&self, task: T, mut control: Control) -> Result<T::Output, ComputeError> {
        let priority = self.priority;
        let slots = Arc::clone(&self.shared.slots);
        let slot = match priority {
            Priority::Job => slots.acquire_owned().await.map_err(|_| thread_failure("has ended"))?,
            Priority::Request => slots.try_acquire_owned().map_err(|_| ComputeError::Overloaded)?,
        };
        let (reply, response) = oneshot::channel();
        let cancelled = Arc::clone(&control.cancelled);
        let span = task.span();
        let work: Work = Box::new(move |worker| {
            drop(slot);
            if priority == Priority::Job {
                let worker = Arc::clone(worker);
                let step_began = Mutex::new(Instant::now());
                control.run_pending = Arc::new(move || {
                    let mut step_began = step_began.lock().unwrap_or_else(PoisonError::into_inner);
                    *step_began = worker.run_pending_requests(*step_began);
                });
            }
            let result = span.in_scope(|| {
                // It may have been cancelled while it waited.
                control.check()?;
                catch_unwind(AssertUnwindSafe(|| task.run(&worker.context, &control))).unwrap_or_else(|panic| {
                    let message = panic_message(panic.as_ref());
                    Err(thread_failure(&format!("panicked: {message}")))
                })
            });
            // The receiver is gone if the future was dropped.
            let _ = reply.send(result);
        });
        let queues = self
            .shared
            .queues
            .as_ref()
            .expect("the queues exist until the last handle is dropped");
        let queue = match priority {
            Priority::Job => &queues.jobs,
            Priority::Request => &queues.requests,
        };
        queue.send(work).map_err(|_| thread_failure("has ended"))?;
        let mut guard = CancelOnDrop(Some(cancelled));
        let result = response.await;
        guard.0 = None;
        result.unwrap_or_else(|_| Err(thread_failure("has ended")))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queues = None;
        if let Some(thread) = self.thread.take() {
            // Every task catches its panics, so the thread has none to pass on.
            let _ = thread.join();
        }
    }
}

/// Cancels a task when its future is dropped before the response came.
struct CancelOnDrop(Option<Arc<AtomicBool>>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancelled) = &self.0 {
            cancelled.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs tasks until all handles are gone.
fn serve(open: &OpenDevice, jobs: &Receiver<Work>, worker: &Arc<Worker>, memory: &Mutex<Option<DeviceMemory>>) {
    let read_memory = || *memory.lock().unwrap_or_else(PoisonError::into_inner) = open.memory();
    read_memory();
    // A job first: it runs pending requests between its steps, and so neither keeps the other waiting for ever.
    let next = || {
        select_biased! {
            recv(jobs) -> work => work,
            recv(worker.requests) -> work => work,
        }
    };
    while let Ok(work) = next() {
        worker.pulse.beat();
        work(worker);
        worker.pulse.rest();
        read_memory();
    }
    // The end of the jobs may be seen before that of the requests.
    for work in &worker.requests {
        work(worker);
    }
}

/// A bug on the compute thread.
fn thread_failure(what: &str) -> ComputeError {
    ComputeError::ThreadFailed(what.to_owned())
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
