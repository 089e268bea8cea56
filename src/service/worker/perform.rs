//! What a job does: train if there are no weights yet, evaluate, ingest, and write it all in one transaction.

use std::sync::Arc;

use super::report::Reporter;
use crate::artifact::ArtifactKind;
use crate::compute::control::Control;
use crate::compute::engine::EvaluateTask;
use crate::compute::error::ComputeError;
use crate::compute::ingest::{IngestTask, LayerOutcome};
use crate::compute::network::{Network, NetworkFile};
use crate::compute::train::TrainTask;
use crate::domain::dataset::Split;
use crate::domain::dataset_record::{Dataset, ProbeSet};
use crate::domain::graph::Graph;
use crate::domain::id::ProbeSetId;
use crate::domain::job::{Job, JobKind, JobPhase, JobStatus};
use crate::domain::version::{Failure, FailureCode, NewEvaluation, Version, VersionStatus};
use crate::service::{Library, ServiceError};
use crate::store::{DatasetLock, MeasuredLayer, NewJob, NewLayer, Tx};

/// How a job ended otherwise than well.
pub(super) enum JobError {
    /// Somebody asked for it.
    Cancelled,
    /// It would fail again.
    Failed(Failure),
    /// It may go well the next time.
    Passing(ServiceError),
}

/// A version with all that its job reads.
struct Subject {
    version: Version,
    dataset: Dataset,
    graph: Arc<Graph>,
}

/// The outcomes of one probe set.
struct Measured {
    probe_set: ProbeSetId,
    layers: Vec<LayerOutcome>,
}

/// What a job has computed and not yet written.
struct Results {
    subject: Subject,
    evaluation: Option<NewEvaluation>,
    /// `None` for a job that only evaluates.
    measured: Option<Vec<Measured>>,
}

impl Library {
    pub(super) async fn perform(&self, job: &Job) -> Result<(), JobError> {
        let reporter = Reporter::start(self.store.clone(), job);
        let results = self.compute(job, &reporter).await;
        // Progress is only written while a job runs: the last of it has to be there before the job ends.
        reporter.stop().await;
        self.write(job, results?).await
    }

    async fn compute(&self, job: &Job, reporter: &Reporter) -> Result<Results, JobError> {
        let version = self.version(job.version_id).await?;
        let dataset = self.dataset(version.dataset_id).await?;
        let graph = self.graph(&version, &dataset)?;
        let mut subject = Subject {
            version,
            dataset,
            graph,
        };
        match job.kind {
            JobKind::Evaluate => {
                let on = match job.dataset_id {
                    Some(id) if id != subject.dataset.id => self.dataset(id).await?,
                    _ => subject.dataset.clone(),
                };
                let control = reporter.phase(JobPhase::Evaluating, 0.0..1.0);
                let evaluation = Some(self.evaluate(&subject, &on, control).await?);
                Ok(Results {
                    subject,
                    evaluation,
                    measured: None,
                })
            }
            JobKind::Ingest => self.measure(subject, reporter, 0.0).await,
            JobKind::Train => {
                if subject.version.weights_key.is_none() {
                    subject.version.weights_key = Some(self.train(&subject, reporter).await?);
                }
                self.measure(subject, reporter, 0.8).await
            }
        }
    }

    /// Trains and keeps the weights, so that a worker that takes over goes on from there.
    async fn train(&self, subject: &Subject, reporter: &Reporter) -> Result<String, JobError> {
        let Some(settings) = subject.version.train_settings.clone() else {
            return Err(internal("a version to be trained has no settings"));
        };
        let task = TrainTask {
            graph: Arc::clone(&subject.graph),
            data: self.images(&subject.dataset, Split::Train).await?,
            statistics: subject.dataset.statistics.clone(),
            settings,
            classes: subject.dataset.class_names.len(),
            activation_limit: self.activation_limit,
        };
        let control = reporter.phase(JobPhase::Training, 0.0..0.8);
        let trained = self.engine.train(task, control).await?;
        let key = self
            .artifacts
            .put(ArtifactKind::Weights, trained.weights)
            .await
            .map_err(ServiceError::from)?;
        let mut tx = self.store.begin().await?;
        let kept = tx
            .set_version_trained(subject.version.id, &key.to_string(), &trained.epochs)
            .await?;
        tx.commit().await?;
        Ok(kept)
    }

    async fn evaluate(&self, subject: &Subject, on: &Dataset, control: Control) -> Result<NewEvaluation, JobError> {
        let task = EvaluateTask {
            network: self.network_of(subject).await?,
            data: self.images(on, Split::Test).await?,
            statistics: on.statistics.clone(),
            activation_limit: self.activation_limit,
        };
        let evaluated = self.engine.evaluate(task, control).await?;
        Ok(NewEvaluation {
            version_id: subject.version.id,
            dataset_id: on.id,
            accuracy: evaluated.accuracy,
            loss: evaluated.loss,
            image_count: evaluated.image_count as i32,
        })
    }

    /// Evaluates a version that has not been, and takes its vectors on the probe sets of its data set that lack them.
    /// A version that is not ready yet is measured on the default one alone: no other may keep it from becoming so.
    async fn measure(&self, subject: Subject, reporter: &Reporter, done: f64) -> Result<Results, JobError> {
        let middle = f64::midpoint(done, 1.0);
        let evaluations = self.store.evaluations_of(&[subject.version.id]).await?;
        let evaluation = match evaluations.iter().any(|e| e.dataset_id == subject.dataset.id) {
            true => None,
            false => {
                let control = reporter.phase(JobPhase::Evaluating, done..middle);
                Some(self.evaluate(&subject, &subject.dataset, control).await?)
            }
        };
        let measured_before = self.store.measured_probe_sets(subject.version.id).await?;
        let all = self.store.probe_sets_of(&[subject.dataset.id]).await?;
        let missing: Vec<_> = all
            .into_iter()
            .filter(|set| !measured_before.contains(&set.id))
            .filter(|set| set.is_default || subject.version.status == VersionStatus::Ready)
            .collect();
        let mut measured = Vec::new();
        for (index, probe_set) in missing.iter().enumerate() {
            let share = |part: usize| middle + (1.0 - middle) * part as f64 / missing.len() as f64;
            let control = reporter.phase(JobPhase::Ingesting, share(index)..share(index + 1));
            measured.push(self.ingest(&subject, probe_set, control).await?);
        }
        reporter.phase(JobPhase::Storing, 1.0..1.0);
        Ok(Results {
            subject,
            evaluation,
            measured: Some(measured),
        })
    }

    async fn ingest(&self, subject: &Subject, probe_set: &ProbeSet, control: Control) -> Result<Measured, JobError> {
        let split = self.images(&subject.dataset, probe_set.split).await?;
        let indices: Vec<_> = probe_set.image_indices.iter().map(|&index| index as usize).collect();
        let task = IngestTask {
            network: self.network_of(subject).await?,
            probes: split.images.select(&indices),
            statistics: subject.dataset.statistics.clone(),
            activation_limit: self.activation_limit,
        };
        Ok(Measured {
            probe_set: probe_set.id,
            layers: self.engine.ingest(task, control).await?,
        })
    }

    /// Layers, vectors, evaluation, `READY` and the end of the job: all of it or nothing.
    async fn write(&self, job: &Job, results: Results) -> Result<(), JobError> {
        let Results {
            subject: Subject { version, graph, .. },
            evaluation,
            measured,
        } = results;
        let mut tx = self.store.begin().await?;
        if !tx.finish_job(job.id, JobStatus::Succeeded, None).await? {
            // Cancelled, or ended by a worker that took it over.
            return Ok(());
        }
        tx.lock_dataset(version.dataset_id, DatasetLock::AddingVersion).await?;
        tx.lock_version(version.id).await?;
        if let Some(evaluation) = &evaluation {
            tx.put_evaluation(evaluation).await?;
        }
        if let Some(measured) = measured {
            self.write_vectors(&mut tx, &version, &graph, measured).await?;
        }
        tx.bump_generation().await?;
        tx.commit().await?;
        tracing::info!(job = %job.id, version = %version.id, kind = ?job.kind, "a job succeeded");
        Ok(())
    }

    async fn write_vectors(
        &self,
        tx: &mut Tx,
        version: &Version,
        graph: &Graph,
        measured: Vec<Measured>,
    ) -> Result<(), JobError> {
        let ids = tx.put_layers(version.id, &new_layers(graph)).await?;
        let mut done = tx.measured_probe_sets(version.id).await?;
        for Measured { probe_set, layers } in measured {
            let layers: Vec<_> = ids
                .iter()
                .zip(layers)
                .map(|(&layer, outcome)| MeasuredLayer {
                    layer,
                    vector: outcome.vector,
                })
                .collect();
            tx.put_vectors(version.model_id, probe_set, &layers).await?;
            done.push(probe_set);
        }
        tx.set_version_ready(version.id).await?;
        // The other probe sets, and those that were added since the work began and found this version not yet ready.
        let now = tx.probe_sets_of(version.dataset_id).await?;
        if now.iter().any(|set| !done.contains(&set.id)) {
            tx.insert_job(NewJob {
                kind: JobKind::Ingest,
                version_id: version.id,
                dataset_id: None,
            })
            .await?;
        }
        Ok(())
    }

    async fn network_of(&self, subject: &Subject) -> Result<Arc<Network>, JobError> {
        let Some(key) = &subject.version.weights_key else {
            return Err(internal("a version has no weights"));
        };
        let file = NetworkFile::Blocks {
            graph: Arc::clone(&subject.graph),
            weights: self.weights(key).await?,
        };
        Ok(self.engine.load(file).await?)
    }
}

fn new_layers(graph: &Graph) -> Vec<NewLayer> {
    let numbers = |shape: &[usize]| shape.iter().map(|&size| size as i32).collect();
    graph
        .layers()
        .enumerate()
        .map(|(index, (_, node))| NewLayer {
            index: index as i32,
            name: node.path.clone(),
            kind: node.kind.to_owned(),
            parameters: node.settings.clone(),
            input_shape: numbers(&graph.image_shape(node.inputs[0])),
            output_shape: numbers(&node.image_shape()),
            parameter_count: node.parameter_count() as i64,
            multiply_accumulates: node.multiply_accumulates as i64,
        })
        .collect()
}

fn internal(what: &str) -> JobError {
    tracing::error!("{what}");
    JobError::Failed(Failure {
        code: FailureCode::Internal,
        message: what.to_owned(),
        layer: None,
    })
}

impl From<crate::store::StoreError> for JobError {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Passing(error.into())
    }
}

impl From<ServiceError> for JobError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Internal(_) | ServiceError::Overloaded => Self::Passing(error),
            ServiceError::Damaged(message) => {
                tracing::error!(reason = message, "a job could not read what was stored");
                Self::Failed(Failure {
                    code: FailureCode::ArtifactUnreadable,
                    message,
                    layer: None,
                })
            }
            other => Self::Failed(Failure {
                code: FailureCode::Internal,
                message: other.to_string(),
                layer: None,
            }),
        }
    }
}

impl From<ComputeError> for JobError {
    fn from(error: ComputeError) -> Self {
        let message = error.to_string();
        let failed = |code, layer| {
            Self::Failed(Failure {
                code,
                message: message.clone(),
                layer,
            })
        };
        match error {
            ComputeError::Cancelled => Self::Cancelled,
            ComputeError::Overloaded => Self::Passing(ServiceError::Overloaded),
            ComputeError::Weights(_) => failed(FailureCode::WeightsDoNotFit, None),
            ComputeError::NotFinite { .. } => failed(FailureCode::NotFinite, None),
            ComputeError::Layer { ref path, .. } => failed(FailureCode::LayerFailed, Some(path.clone())),
            ComputeError::Invalid(_) | ComputeError::TooFewProbes { .. } => failed(FailureCode::CannotRun, None),
            ComputeError::NoDevice(_) | ComputeError::Candle(_) => {
                tracing::error!(reason = message, "a job failed by our fault");
                Self::Failed(Failure {
                    code: FailureCode::Internal,
                    message: "the server failed to do it; its log says why".to_owned(),
                    layer: None,
                })
            }
        }
    }
}
