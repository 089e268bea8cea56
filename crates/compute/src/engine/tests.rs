#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::pin::{Pin, pin};
use std::sync::mpsc::{Sender, TryRecvError, channel};

use tracing::Span;

use super::*;
use crate::load::NetworkSource;
use crate::{activations, ingest};
use scv_domain::vector::Degenerate;

fn engine(queue: usize) -> Engine {
    Engine::start(DeviceChoice::Cpu, queue).unwrap()
}

/// Any function as a task.
struct Call<F>(F);

impl<T: Send + 'static, F: FnOnce(&Control) -> T + Send + 'static> Task for Call<F> {
    type Output = T;

    fn span(&self) -> Span {
        Span::none()
    }

    fn run(self, _: &DeviceContext, control: &Control) -> Result<T, ComputeError> {
        Ok((self.0)(control))
    }
}

impl Engine {
    /// Runs any function on the thread.
    async fn call<T: Send + 'static>(
        &self,
        control: Control,
        function: impl FnOnce(&Control) -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        self.run(Call(function), control).await
    }
}

/// A task that keeps the device busy, step by step, until it is released.
async fn occupied(engine: &Engine) -> (Pin<Box<dyn Future<Output = Result<(), ComputeError>> + '_>>, Sender<()>) {
    let (started, has_started) = channel();
    let (release, released) = channel::<()>();
    let mut running = Box::pin(engine.call(Control::unwatched(), move |control| {
        started.send(()).unwrap();
        while let Err(TryRecvError::Empty) = released.try_recv() {
            control.between_steps().unwrap();
            std::thread::yield_now();
        }
    }));
    assert!(futures::poll!(&mut running).is_pending());
    has_started.recv().unwrap();
    (running, release)
}

#[tokio::test]
async fn layers_are_ingested_on_the_thread_of_the_device() {
    let engine = engine(4);
    assert!(engine.device().starts_with("CPU, "));
    let outcomes = engine.run(ingest::tests::task(8), Control::unwatched()).await.unwrap();
    assert_eq!(outcomes.len(), 5);
    assert_eq!(outcomes[2].vector, Err(Degenerate::Constant));
}

#[tokio::test]
async fn layers_of_a_file_are_measured_on_the_thread_of_the_device() {
    let task = activations::tests::measured::task();
    let measured = engine(4).run(task, Control::unwatched()).await.unwrap();
    assert_eq!(measured.len(), 5);
    assert_eq!(measured[0].layer.name, "1");
    assert_eq!(measured[2].vector, Err(Degenerate::Constant));
}

#[tokio::test]
async fn a_network_is_loaded_or_refused_on_the_thread_of_the_device() {
    let task = ingest::tests::task(8);
    let source = |weights: Vec<u8>| NetworkSource::Blocks {
        graph: Arc::new(task.network.graph().clone()),
        weights: weights.into(),
    };
    let engine = engine(4);
    let weights = task.network.weights().to_safetensors().unwrap();
    let loaded = engine.run(source(weights), Control::unwatched()).await.unwrap();
    assert_eq!(loaded.byte_len(), task.network.byte_len());
    let refused = engine.run(source(vec![1, 2, 3]), Control::unwatched()).await;
    assert!(matches!(refused, Err(ComputeError::Weights(_))));
}

#[tokio::test]
async fn tasks_run_one_after_the_other_on_one_thread() {
    let engine = engine(4);
    let name = |_: &Control| {
        (
            std::thread::current().id(),
            std::thread::current().name().map(str::to_owned),
        )
    };
    let [a, b] = futures::future::join_all([
        engine.call(Control::unwatched(), name),
        engine.call(Control::unwatched(), name),
    ])
    .await
    .try_into()
    .unwrap();
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a, b);
    assert_eq!(a.1.as_deref(), Some("compute"));
}

#[tokio::test]
async fn a_full_queue_refuses_a_request_immediately_and_does_not_cancel_it() {
    let engine = engine(1);
    let (running, release) = occupied(&engine).await;
    let mut waiting = pin!(engine.call(Control::unwatched(), |_| 2));
    assert!(futures::poll!(&mut waiting).is_pending());

    let control = Control::unwatched();
    let refused = engine.call(control.clone(), |_| 3).await;
    assert!(matches!(refused, Err(ComputeError::Overloaded)));
    assert!(control.check().is_ok());

    release.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(waiting.await.unwrap(), 2);
    assert_eq!(engine.call(control, |_| 3).await.unwrap(), 3);
}

#[tokio::test]
async fn between_its_steps_a_job_runs_requests_but_no_other_job() {
    let engine = engine(4);
    let jobs = engine.for_jobs();
    let (job, release) = occupied(&jobs).await;
    let mut next = pin!(jobs.call(Control::unwatched(), |_| 1));
    assert!(futures::poll!(&mut next).is_pending());
    for number in 2..5 {
        assert_eq!(
            engine.call(Control::unwatched(), move |_| number).await.unwrap(),
            number
        );
    }
    assert!(futures::poll!(&mut next).is_pending());

    release.send(()).unwrap();
    job.await.unwrap();
    assert_eq!(next.await.unwrap(), 1);
}

#[tokio::test]
async fn a_job_waits_for_the_next_slot_of_a_full_queue() {
    let engine = engine(1);
    let (running, release) = occupied(&engine).await;
    let mut queued = pin!(engine.call(Control::unwatched(), |_| 2));
    assert!(futures::poll!(&mut queued).is_pending());

    let jobs = engine.for_jobs();
    let mut waiting = pin!(jobs.call(Control::unwatched(), |_| 3));
    assert!(futures::poll!(&mut waiting).is_pending());
    release.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(queued.await.unwrap(), 2);
    // The freed slot belongs to the job that waited, not to a later request.
    let refused = engine.call(Control::unwatched(), |_| 4).await;
    assert!(matches!(refused, Err(ComputeError::Overloaded)));
    assert_eq!(waiting.await.unwrap(), 3);
}

#[tokio::test]
async fn dropping_the_future_cancels_the_task() {
    let engine = engine(1);
    let (started, has_started) = channel();
    let (ended, has_ended) = channel();
    {
        let mut abandoned = pin!(engine.call(Control::unwatched(), move |control| {
            started.send(()).unwrap();
            while control.check().is_ok() {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
        }));
        assert!(futures::poll!(&mut abandoned).is_pending());
        has_started.recv().unwrap();
    }
    has_ended.recv().unwrap();
    assert_eq!(engine.call(Control::unwatched(), |_| 7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_task_that_is_cancelled_while_it_waits_never_starts() {
    let engine = engine(1);
    let control = Control::unwatched();
    control.cancelled.store(true, Ordering::Relaxed);
    let result = engine.call(control, |_| panic!("it started")).await;
    assert!(matches!(result, Err::<(), _>(ComputeError::Cancelled)));
}

#[tokio::test]
async fn a_task_that_ends_does_not_cancel_its_control() {
    let control = Control::unwatched();
    engine(1).call(control.clone(), |_| ()).await.unwrap();
    assert!(control.check().is_ok());
}

#[tokio::test]
async fn the_thread_outlives_a_panic() {
    let engine = engine(1);
    let error = engine
        .call(Control::unwatched(), |_| -> u8 { panic!("out of {}", "luck") })
        .await
        .unwrap_err();
    assert!(error.to_string().contains("panicked: out of luck"), "{error}");
    assert_eq!(engine.call(Control::unwatched(), |_| 1).await.unwrap(), 1);
}

#[tokio::test]
async fn dropping_the_last_handle_waits_for_the_thread_to_end() {
    let engine = engine(1);
    let clone = engine.clone();
    drop(engine);
    let (started, has_started) = channel();
    let (ended, has_ended) = channel();
    {
        let mut abandoned = pin!(clone.call(Control::unwatched(), move |control| {
            started.send(()).unwrap();
            while control.check().is_ok() {
                std::thread::yield_now();
            }
            ended.send(()).unwrap();
        }));
        assert!(futures::poll!(&mut abandoned).is_pending());
        has_started.recv().unwrap();
    }
    drop(clone);
    assert!(has_ended.try_recv().is_ok());
}

#[test]
fn an_engine_does_not_start_without_its_device() {
    assert!(matches!(
        Engine::start(DeviceChoice::Cuda(4_096), 1),
        Err(ComputeError::NoDevice(_))
    ));
}

#[tokio::test]
async fn whether_the_thread_is_alive_and_busy_is_seen_from_outside() {
    let engine = engine(1);
    assert!(!engine.has_ended());
    let (running, release) = occupied(&engine).await;
    assert!(engine.silence().is_some(), "a task is in progress");
    drop(release);
    running.await.unwrap();
    // It rests once the next task has been replied to and the thread waits again.
    engine.call(Control::unwatched(), |_| ()).await.unwrap();
    while engine.silence().is_some() {
        std::thread::yield_now();
    }
    assert!(!engine.has_ended());
}
