//! What a job does: train if there are no weights yet, evaluate, ingest, and write it all in one transaction.

use std::sync::Arc;

use super::layers::{given_layer, new_layers};
use super::report::Reporter;
use scv_artifact::ArtifactKind;
use scv_compute::activations::ActivationTask;
use scv_compute::control::Control;
use scv_compute::engine::EvaluateTask;
use scv_compute::error::ComputeError;
use scv_compute::ingest::IngestTask;
use scv_compute::network::Network;
use scv_compute::train::TrainTask;
use scv_domain::dataset::Split;
use scv_domain::dataset_record::{Dataset, ProbeSet};
use scv_domain::evaluation::NewEvaluation;
use scv_domain::exemplar::Exemplars;
use scv_domain::id::{ProbeSetId, SynthesisId, VersionId};
use scv_domain::job::{Job, JobKind, JobPhase, JobStatus};
use scv_domain::model::Visibility;
use scv_domain::synthesis::SynthesisOutcome;
use scv_domain::vector::{Degenerate, SketchedVector};
use scv_domain::version::{Failure, FailureCode, ModelFormat, Source, Version, VersionStatus};
use crate::metrics::METRICS;
use crate::network::{Runnable, answers_classes, file_of, statistics_for};
use crate::{Library, ServiceError};
use scv_store::{DatasetLock, MeasuredLayer, NewJob, NewLayer, Tx};

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
}

/// What a version's layers came to on one probe set.
struct Measured {
    probe_set: ProbeSetId,
    vectors: Vec<Result<SketchedVector, Degenerate>>,
}

/// What was measured: the layers, and their vectors on one or more probe sets.
struct Measurement {
    layers: Vec<NewLayer>,
    measured: Vec<Measured>,
}

/// What a job has computed and not yet written.
struct Results {
    version: Version,
    evaluation: Option<NewEvaluation>,
    /// `None` for a job that measures nothing.
    measurement: Option<Measurement>,
    /// What a job that seeks an image has found.
    synthesis: Option<(SynthesisId, SynthesisOutcome)>,
    /// What the channels of each layer answer to most, in the order of the layers; empty for a job that did not look.
    exemplars: Vec<Option<Exemplars>>,
}

impl Results {
    /// Nothing yet.
    fn of(version: Version) -> Self {
        Self {
            version,
            evaluation: None,
            measurement: None,
            synthesis: None,
            exemplars: Vec::new(),
        }
    }
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
        let mut subject = Subject { version, dataset };
        match job.kind {
            JobKind::Evaluate => {
                let on = match job.dataset_id {
                    Some(id) if id != subject.dataset.id => self.dataset(id).await?,
                    _ => subject.dataset.clone(),
                };
                let control = reporter.phase(JobPhase::Evaluating, 0.0..1.0);
                let network = self.network(&subject.version, &subject.dataset).await?;
                if !answers_classes(&network, &on) {
                    return Err(JobError::Failed(Failure {
                        code: FailureCode::CannotRun,
                        message: format!(
                            "the network does not answer with one number for each of the {} classes of {}",
                            on.class_names.len(),
                            on.name
                        ),
                        layer: None,
                    }));
                }
                let evaluation = Some(self.evaluate(&subject, network, &on, control).await?);
                Ok(Results {
                    evaluation,
                    ..Results::of(subject.version)
                })
            }
            JobKind::Synthesize => self.synthesize(subject, job, reporter).await,
            JobKind::Exemplify => self.exemplify(subject, reporter).await,
            JobKind::Ingest => match subject.version.source {
                Some(Source::Activations { probe_set }) => self.measure_activations(subject, probe_set, reporter).await,
                _ => self.measure(subject, reporter, 0.0).await,
            },
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
            graph: self.graph(&subject.version, &subject.dataset)?,
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

    async fn evaluate(
        &self,
        subject: &Subject,
        network: Arc<Network>,
        on: &Dataset,
        control: Control,
    ) -> Result<NewEvaluation, JobError> {
        let task = EvaluateTask {
            network,
            data: self.images(on, Split::Test).await?,
            statistics: statistics_for(&subject.version, on),
            activation_limit: self.activation_limit,
        };
        Ok(NewEvaluation {
            version_id: subject.version.id,
            dataset_id: on.id,
            report: self.engine.evaluate(task, control).await?,
        })
    }

    /// Evaluates a version that has not been, and takes its vectors on the probe sets of its data set that lack them.
    /// A version that is not ready yet is measured on the default one alone: no other may keep it from becoming so.
    async fn measure(&self, subject: Subject, reporter: &Reporter, done: f64) -> Result<Results, JobError> {
        let middle = f64::midpoint(done, 1.0);
        let network = self.network(&subject.version, &subject.dataset).await?;
        let evaluations = self.store.evaluations_of(&[subject.version.id]).await?;
        let is_evaluated = evaluations.iter().any(|e| e.dataset_id == subject.dataset.id);
        let evaluation = match is_evaluated || !answers_classes(&network, &subject.dataset) {
            true => None,
            false => {
                let control = reporter.phase(JobPhase::Evaluating, done..middle);
                let network = Arc::clone(&network);
                match self.evaluate(&subject, network, &subject.dataset, control).await {
                    // Its layers are compared all the same: those that are numbers.
                    Err(JobError::Failed(failure)) if failure.code == FailureCode::NotFinite => {
                        tracing::warn!(version = %subject.version.id, reason = failure.message, "not evaluated");
                        None
                    }
                    outcome => Some(outcome?),
                }
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
            measured.push(self.ingest(&subject, Arc::clone(&network), probe_set, control).await?);
        }
        reporter.phase(JobPhase::Storing, 1.0..1.0);
        Ok(Results {
            evaluation,
            measurement: Some(Measurement {
                layers: new_layers(network.graph()),
                measured,
            }),
            ..Results::of(subject.version)
        })
    }

    async fn ingest(
        &self,
        subject: &Subject,
        network: Arc<Network>,
        probe_set: &ProbeSet,
        control: Control,
    ) -> Result<Measured, JobError> {
        let task = IngestTask {
            network,
            probes: self.probe_images(&subject.dataset, probe_set).await?,
            statistics: statistics_for(&subject.version, &subject.dataset),
            activation_limit: self.activation_limit,
        };
        let outcomes = self.engine.ingest(task, control).await?;
        Ok(Measured {
            probe_set: probe_set.id,
            vectors: outcomes.into_iter().map(|outcome| outcome.vector).collect(),
        })
    }

    async fn synthesize(&self, subject: Subject, job: &Job, reporter: &Reporter) -> Result<Results, JobError> {
        let Some(synthesis) = self.store.synthesis_of_job(job.id).await? else {
            return Err(internal("a job that seeks an image has none to seek"));
        };
        let subject = self.running(subject).await?;
        let outcome = self.seek(&subject, &synthesis, reporter).await?;
        Ok(Results {
            synthesis: Some((synthesis.id, outcome)),
            ..Results::of(subject.version)
        })
    }

    async fn exemplify(&self, subject: Subject, reporter: &Reporter) -> Result<Results, JobError> {
        let subject = self.running(subject).await?;
        Ok(Results {
            exemplars: self.find_exemplars(&subject, reporter).await?,
            ..Results::of(subject.version)
        })
    }

    async fn running(&self, subject: Subject) -> Result<Runnable, JobError> {
        let Subject { version, dataset } = subject;
        Ok(Runnable {
            network: self.network(&version, &dataset).await?,
            version,
            dataset,
        })
    }

    /// Takes the vectors of activations that were computed elsewhere.
    async fn measure_activations(
        &self,
        subject: Subject,
        probe_set: ProbeSetId,
        reporter: &Reporter,
    ) -> Result<Results, JobError> {
        let probe_set = self.probe_set_of(&subject.dataset, Some(probe_set)).await?;
        let control = reporter.phase(JobPhase::Ingesting, 0.0..1.0);
        let task = ActivationTask {
            file: self.weights(file_of(&subject.version)?).await?,
            limits: self.activation_limits(&probe_set),
        };
        let (layers, vectors) = self
            .engine
            .measure(task, control)
            .await?
            .into_iter()
            .enumerate()
            .map(|(index, measured)| (given_layer(index, measured.layer), measured.vector))
            .unzip();
        let probe_set = probe_set.id;
        Ok(Results {
            measurement: Some(Measurement {
                layers,
                measured: vec![Measured { probe_set, vectors }],
            }),
            ..Results::of(subject.version)
        })
    }

    /// Layers, vectors, evaluation, `READY` and the end of the job: all of it or nothing.
    async fn write(&self, job: &Job, results: Results) -> Result<(), JobError> {
        let Results {
            version,
            evaluation,
            measurement,
            synthesis,
            exemplars,
        } = results;
        let duplicate_of = match &measurement {
            Some(measurement) if version.status != VersionStatus::Ready => {
                self.find_original(&version, measurement).await?
            }
            _ => None,
        };
        let mut tx = self.store.begin().await?;
        if !tx.finish_job(job.id, JobStatus::Succeeded, None).await? {
            // Cancelled, or ended by a worker that took it over.
            return Ok(());
        }
        // Searches see evaluations and vectors, and nothing else that a job writes.
        let is_searched = evaluation.is_some() || measurement.is_some();
        if is_searched {
            tx.lock_dataset(version.dataset_id, DatasetLock::AddingVersion).await?;
        }
        tx.lock_version(version.id).await?;
        if let Some(evaluation) = &evaluation {
            tx.put_evaluation(evaluation).await?;
        }
        if let Some((id, outcome)) = &synthesis {
            tx.set_synthesis_outcome(*id, outcome).await?;
        }
        if !exemplars.is_empty() {
            for (layer, exemplars) in tx.layer_ids(version.id).await?.into_iter().zip(&exemplars) {
                if let Some(exemplars) = exemplars {
                    tx.put_channel_exemplars(layer, exemplars).await?;
                }
            }
        }
        if let Some(measurement) = measurement {
            write_vectors(&mut tx, &version, measurement, duplicate_of).await?;
        }
        if is_searched {
            tx.bump_generation().await?;
        }
        tx.commit().await?;
        METRICS.count_job(job.kind, JobStatus::Succeeded);
        tracing::info!(job = %job.id, version = %version.id, kind = ?job.kind, "a job succeeded");
        Ok(())
    }

    /// The version that a new one is a duplicate of: one that everybody sees, if there is any and everybody sees the new one too,
    /// or else one that its owner sees. One that is being written at this moment is not seen.
    async fn find_original(&self, version: &Version, measurement: &Measurement) -> Result<Option<VersionId>, JobError> {
        let Some(Measured { probe_set, vectors }) = measurement.measured.first() else {
            return Ok(None);
        };
        let model = self.store.models_by_id(&[version.model_id]).await?.pop();
        let owner = model.as_ref().and_then(|model| model.owner);
        let is_public = model.is_some_and(|model| model.visibility == Visibility::Public);
        let whole: Vec<_> = vectors.iter().filter_map(|vector| vector.as_ref().ok()).collect();
        if is_public && let Some(found) = self.original_of(None, *probe_set, &whole).await? {
            return Ok(Some(found));
        }
        Ok(self.original_of(owner, *probe_set, &whole).await?)
    }
}

async fn write_vectors(
    tx: &mut Tx,
    version: &Version,
    measurement: Measurement,
    duplicate_of: Option<VersionId>,
) -> Result<(), JobError> {
    let ids = tx.put_layers(version.id, &measurement.layers).await?;
    let mut done = tx.measured_probe_sets(version.id).await?;
    for Measured { probe_set, vectors } in measurement.measured {
        let layers: Vec<_> = ids
            .iter()
            .zip(vectors)
            .map(|(&layer, vector)| MeasuredLayer { layer, vector })
            .collect();
        tx.put_vectors(version.model_id, probe_set, &layers).await?;
        done.push(probe_set);
    }
    tx.set_version_ready(version.id, duplicate_of).await?;
    if version.format == ModelFormat::Activations {
        return Ok(());
    }
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

fn internal(what: &str) -> JobError {
    tracing::error!("{what}");
    JobError::Failed(Failure {
        code: FailureCode::Internal,
        message: what.to_owned(),
        layer: None,
    })
}

impl From<scv_store::StoreError> for JobError {
    fn from(error: scv_store::StoreError) -> Self {
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
            ComputeError::Activations(_) | ComputeError::Onnx(_) => failed(FailureCode::CannotRun, None),
            ComputeError::NotFinite { .. } | ComputeError::AnswerNotFinite { .. } => {
                failed(FailureCode::NotFinite, None)
            }
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
