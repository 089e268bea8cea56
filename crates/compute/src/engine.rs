//! One thread that owns the device, and the way to it from async code.
//!
//! Work waits in a short queue and is done one piece after the other, since two at a time would only share the same device.
//! What somebody sits before does not wait for the end of a job, which may take hours: a job lets one such piece in between
//! any two of its steps. Whoever drops the future of a piece of work cancels it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use candle_core::Device;
use crossbeam_channel::{Receiver, Sender, select_biased, unbounded};
use tokio::sync::{Semaphore, oneshot};
use tracing::Span;

use super::activations::{ActivationTask, MeasuredLayer, measure};
use super::attribution::{AttributionTask, attribute};
use super::channel_exemplars::{ChannelExemplarsTask, channel_exemplars};
use super::control::Control;
use super::device::{self, DeviceChoice, DeviceMemory, OpenDevice};
use super::error::ComputeError;
use super::evaluate::evaluate;
use super::exemplar::{ExemplarTask, strongest};
use super::feature_map::{FeatureMapTask, feature_maps};
use super::ingest::{IngestTask, LayerOutcome, ingest};
use super::memory;
use super::network::{Network, NetworkFile};
use super::predict::{PredictTask, predict};
use super::sketch::Sketcher;
use super::synthesis::{SynthesisTask, Synthesized, synthesize};
use super::train::{TrainTask, Trained, train};
use scv_domain::evaluation::Report;
use scv_domain::exemplar::Exemplars;
use scv_domain::image::{ChannelStatistics, LabelledImages};
use scv_domain::insight::{Attribution, FeatureMap};

#[cfg(test)]
mod tests;

/// Most images that go through a network together while it is evaluated.
const EVALUATION_BATCH: usize = 256;

/// A network and the labelled images to test it on.
#[derive(Debug, Clone)]
pub struct EvaluateTask {
    /// The network.
    pub network: Arc<Network>,
    /// The images with their classes.
    pub data: LabelledImages,
    /// How pixels become numbers.
    pub statistics: ChannelStatistics,
    /// Bytes of activations that may be held at a time.
    pub activation_limit: u64,
}

/// A handle on the thread that computes. The thread ends when the last handle is dropped, which
/// waits for the job in hand.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    /// Whether nobody sits before its work: then that waits for a place in the queue if there is none, and lets in what
    /// somebody does sit before.
    is_for_jobs: bool,
}

#[derive(Debug)]
struct Shared {
    device: String,
    memory: Arc<Mutex<Option<DeviceMemory>>>,
    /// Taken only on drop, so that the thread sees the end of the queues before it is joined.
    queues: Option<Queues>,
    /// Pieces of work that may wait for their turn.
    places: Arc<Semaphore>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Queues {
    jobs: Sender<Work>,
    requests: Sender<Work>,
}

/// What the thread owns.
struct Bench {
    device: Device,
    sketcher: Sketcher,
    requests: Receiver<Work>,
}

impl Bench {
    /// Does one piece of work that somebody waits for, if there is any.
    fn let_one_in(self: &Arc<Self>) {
        if let Ok(work) = self.requests.try_recv() {
            work(self);
        }
    }
}

type Work = Box<dyn FnOnce(&Arc<Bench>) + Send>;

/// The backward pass walks the graph recursively, a few frames an operation: deep networks need more than a
/// thread has by default.
const STACK_BYTES: usize = 256 << 20;

impl Engine {
    /// Opens the device and starts its thread. Up to `queue` pieces of work (at least one) wait for their turn.
    ///
    /// # Errors
    /// [`ComputeError::NoDevice`] if the device cannot be had.
    pub fn start(choice: DeviceChoice, queue: usize) -> Result<Self, ComputeError> {
        let open = device::open(choice)?;
        let device = open.description().to_owned();
        let memory = Arc::new(Mutex::new(None));
        let (jobs, waiting_jobs) = unbounded();
        let (requests, waiting_requests) = unbounded();
        let told = Arc::clone(&memory);
        let thread = Builder::new()
            .name("compute".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || work(&open, &waiting_jobs, waiting_requests, &told))
            .map_err(|error| ComputeError::NoDevice(format!("no thread can be started for {device}: {error}")))?;
        Ok(Self {
            shared: Arc::new(Shared {
                device,
                memory,
                queues: Some(Queues { jobs, requests }),
                places: Arc::new(Semaphore::new(queue.max(1))),
                thread: Some(thread),
            }),
            is_for_jobs: false,
        })
    }

    /// The same for work that nobody sits before: where the queue is full it waits for a place, ahead of whoever comes later, and
    /// is never told that the device is overloaded. Between its steps it lets in what somebody does sit before.
    pub fn for_jobs(&self) -> Self {
        Self {
            is_for_jobs: true,
            ..self.clone()
        }
    }

    /// The device, in words.
    pub fn device(&self) -> &str {
        &self.shared.device
    }

    /// What a GPU has said of its memory when the last job ended.
    pub fn device_memory(&self) -> Option<DeviceMemory> {
        *self.shared.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a network onto the device; see [`Network::load`].
    ///
    /// # Errors
    /// Those of [`Network::load`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn load(&self, file: NetworkFile) -> Result<Arc<Network>, ComputeError> {
        let span = tracing::info_span!("compute.load");
        self.run(span, Control::unwatched(), move |bench, _| {
            Network::load(&file, &bench.device).map(Arc::new)
        })
        .await
    }

    /// Makes the vectors of all layers of a network; see [`ingest`].
    ///
    /// # Errors
    /// Those of [`ingest`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn ingest(&self, task: IngestTask, control: Control) -> Result<Vec<LayerOutcome>, ComputeError> {
        let span = tracing::info_span!("compute.ingest", probes = task.probes.count());
        self.run(span, control, move |bench, control| {
            ingest(&task, &bench.device, &bench.sketcher, control)
        })
        .await
    }

    /// Makes the vectors of all layers of a file of activations; see [`measure`].
    ///
    /// # Errors
    /// Those of [`measure`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn measure(&self, task: ActivationTask, control: Control) -> Result<Vec<MeasuredLayer>, ComputeError> {
        let span = tracing::info_span!("compute.measure", probes = task.limits.probes, bytes = task.file.len());
        self.run(span, control, move |bench, control| {
            measure(&task, &bench.device, &bench.sketcher, control)
        })
        .await
    }

    /// Trains a network; see [`train`].
    ///
    /// # Errors
    /// Those of [`train`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn train(&self, task: TrainTask, control: Control) -> Result<Trained, ComputeError> {
        let span = tracing::info_span!("compute.train");
        self.run(span, control, move |bench, control| {
            train(&task, &bench.device, control)
        })
        .await
    }

    /// Tests a network on labelled images; see [`evaluate`].
    ///
    /// # Errors
    /// Those of [`evaluate`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn evaluate(&self, task: EvaluateTask, control: Control) -> Result<Report, ComputeError> {
        let span = tracing::info_span!("compute.evaluate", images = task.data.images.count());
        self.run(span, control, move |bench, control| {
            let graph = task.network.graph();
            memory::check_one_image(graph, task.activation_limit)?;
            evaluate(
                &task.network,
                &task.data,
                &task.statistics,
                memory::batch_within(graph, EVALUATION_BATCH, task.activation_limit),
                &bench.device,
                control,
            )
        })
        .await
    }

    /// Asks a network about images; see [`predict`].
    ///
    /// # Errors
    /// Those of [`predict`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn predict(&self, task: PredictTask, control: Control) -> Result<Vec<Vec<f64>>, ComputeError> {
        let span = tracing::info_span!("compute.predict", images = task.images.count());
        self.run(span, control, move |bench, _| predict(&task, &bench.device))
            .await
    }

    /// What a layer's channels answer to an image; see [`feature_maps`].
    ///
    /// # Errors
    /// Those of [`feature_maps`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn feature_maps(&self, task: FeatureMapTask, control: Control) -> Result<Vec<FeatureMap>, ComputeError> {
        let span = tracing::info_span!("compute.feature_maps", layer = task.layer);
        self.run(span, control, move |bench, _| feature_maps(&task, &bench.device))
            .await
    }

    /// Which pixels a score hangs on; see [`attribute`].
    ///
    /// # Errors
    /// Those of [`attribute`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn attribute(&self, task: AttributionTask, control: Control) -> Result<Attribution, ComputeError> {
        let span = tracing::info_span!("compute.attribute", class = task.class);
        self.run(span, control, move |bench, control| {
            attribute(&task, &bench.device, control)
        })
        .await
    }

    /// Seeks an image that a part of a network answers to most; see [`synthesize`].
    ///
    /// # Errors
    /// Those of [`synthesize`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn synthesize(&self, task: SynthesisTask, control: Control) -> Result<Synthesized, ComputeError> {
        let span = tracing::info_span!("compute.synthesize", steps = task.settings.steps);
        self.run(span, control, move |bench, control| {
            synthesize(&task, &bench.device, control)
        })
        .await
    }

    /// Which images a group of parts of a network answer to most; see [`strongest`].
    ///
    /// # Errors
    /// Those of [`strongest`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn strongest(&self, task: ExemplarTask, control: Control) -> Result<Exemplars, ComputeError> {
        let span = tracing::info_span!("compute.strongest", images = task.images.count());
        self.run(span, control, move |bench, control| {
            memory::check_one_image(task.network.graph(), task.activation_limit)?;
            let batch = memory::batch_within(task.network.graph(), EVALUATION_BATCH, task.activation_limit);
            strongest(&task, batch, &bench.device, control)
        })
        .await
    }

    /// Which images the channels of all layers answer to most; see [`channel_exemplars`].
    ///
    /// # Errors
    /// Those of [`channel_exemplars`], and [`ComputeError::Overloaded`] if the queue is full.
    pub async fn channel_exemplars(
        &self,
        task: ChannelExemplarsTask,
        control: Control,
    ) -> Result<Vec<Option<Exemplars>>, ComputeError> {
        let span = tracing::info_span!("compute.channel_exemplars", images = task.images.count());
        self.run(span, control, move |bench, control| {
            memory::check_one_image(task.network.graph(), task.activation_limit)?;
            let batch = memory::batch_within(task.network.graph(), EVALUATION_BATCH, task.activation_limit);
            channel_exemplars(&task, batch, &bench.device, control)
        })
        .await
    }

    /// Sends work to the thread and waits for its answer.
    async fn run<T, F>(&self, span: Span, mut control: Control, work: F) -> Result<T, ComputeError>
    where
        T: Send + 'static,
        F: FnOnce(&Bench, &Control) -> Result<T, ComputeError> + Send + 'static,
    {
        let places = Arc::clone(&self.shared.places);
        let is_for_jobs = self.is_for_jobs;
        let place = match is_for_jobs {
            true => places.acquire_owned().await.map_err(|_| broken("has ended"))?,
            false => places.try_acquire_owned().map_err(|_| ComputeError::Overloaded)?,
        };
        let (reply, answer) = oneshot::channel();
        let cancelled = Arc::clone(&control.cancelled);
        let work: Work = Box::new(move |bench| {
            drop(place);
            if is_for_jobs {
                let bench = Arc::clone(bench);
                control.let_in = Arc::new(move || bench.let_one_in());
            }
            let result = span.in_scope(|| {
                // It may have been cancelled while it waited.
                control.check()?;
                catch_unwind(AssertUnwindSafe(|| work(bench, &control)))
                    .unwrap_or_else(|panic| Err(broken(&format!("panicked: {}", words_of(panic.as_ref())))))
            });
            // Nobody listens any more if the work was abandoned.
            let _ = reply.send(result);
        });
        let queues = self
            .shared
            .queues
            .as_ref()
            .expect("the queues are there until the last handle is dropped");
        let queue = match is_for_jobs {
            true => &queues.jobs,
            false => &queues.requests,
        };
        queue.send(work).map_err(|_| broken("has ended"))?;
        let mut abandoned = CancelOnDrop(Some(cancelled));
        let result = answer.await;
        abandoned.0 = None;
        result.unwrap_or_else(|_| Err(broken("has ended")))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queues = None;
        if let Some(thread) = self.thread.take() {
            // Work catches its panics, so the thread has none to pass on.
            let _ = thread.join();
        }
    }
}

/// Cancels work when its future is dropped before the answer came.
struct CancelOnDrop(Option<Arc<AtomicBool>>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancelled) = &self.0 {
            cancelled.store(true, Ordering::Relaxed);
        }
    }
}

fn work(open: &OpenDevice, jobs: &Receiver<Work>, requests: Receiver<Work>, memory: &Mutex<Option<DeviceMemory>>) {
    let look = || *memory.lock().unwrap_or_else(PoisonError::into_inner) = open.memory();
    look();
    let device = open.device().clone();
    let bench = Arc::new(Bench {
        sketcher: Sketcher::new(device.clone()),
        device,
        requests,
    });
    // A job first: it lets requests in, and so neither starves the other.
    let next = || {
        select_biased! {
            recv(jobs) -> work => work,
            recv(bench.requests) -> work => work,
        }
    };
    while let Ok(work) = next() {
        work(&bench);
        look();
    }
    // The end of the jobs may be seen before that of the requests.
    for work in &bench.requests {
        work(&bench);
    }
}

/// A mistake of ours on the compute thread.
fn broken(what: &str) -> ComputeError {
    ComputeError::Candle(candle_core::Error::Msg(format!("the compute thread {what}")))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<&str>().map(|words| (*words).to_owned());
    words
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
