//! The work of a job: train if there are no weights yet, evaluate, ingest, and write the results in one transaction.

use std::sync::Arc;

use super::JobRunner;
use super::layers::{activation_layer_row, layer_rows};
use super::reporter::Reporter;
use crate::ServiceError;
use crate::metrics::METRICS;
use crate::network::{RunnableVersion, is_classifier_of, statistics_for, weights_key};
use scv_artifact::ArtifactKind;
use scv_compute::activations::ActivationTask;
use scv_compute::control::Control;
use scv_compute::evaluate::EvaluateTask;
use scv_compute::ingest::IngestTask;
use scv_compute::train::TrainTask;
use scv_domain::dataset::Split;
use scv_domain::dataset_record::{Dataset, ProbeSet};
use scv_domain::evaluation::NewEvaluation;
use scv_domain::exemplar::Exemplars;
use scv_domain::id::{ProbeSetId, SynthesisId, VersionId};
use scv_domain::job::{Job, JobKind, JobPhase, JobStatus, JobSubject};
use scv_domain::model::Visibility;
use scv_domain::synthesis::SynthesisOutcome;
use scv_domain::vector::{Degenerate, LayerVector};
use scv_domain::version::{FailureCode, ModelFormat, Version, VersionSource, VersionStatus};
use scv_store::{DatasetLock, MeasuredLayer, NewJob, NewLayer, Tx};

/// The share of a training job's progress that the training takes; measuring takes the rest.
const TRAINING_SHARE: f64 = 0.8;

/// A version, and the data set that its job reads.
struct Subject {
    version: Version,
    dataset: Dataset,
}

/// The vectors of a version's layers on one probe set.
struct ProbeSetVectors {
    probe_set: ProbeSetId,
    /// In the order of the layers.
    vectors: Vec<Result<LayerVector, Degenerate>>,
}

/// The layers of a version, with their vectors on one or more probe sets.
struct Measurement {
    layers: Vec<NewLayer>,
    probe_sets: Vec<ProbeSetVectors>,
}

/// What a job has computed and not yet written.
struct Results {
    version: Version,
    evaluation: Option<NewEvaluation>,
    /// `None` for a job that measures nothing.
    measurement: Option<Measurement>,
    /// `None` for a job that makes no synthetic image.
    synthesis: Option<(SynthesisId, SynthesisOutcome)>,
    /// The top-activating images of each layer's channels, in the order of the layers; empty for a job that did not look for
    /// them.
    exemplars: Vec<Option<Exemplars>>,
}

impl Results {
    fn none(version: Version) -> Self {
        Self {
            version,
            evaluation: None,
            measurement: None,
            synthesis: None,
            exemplars: Vec::new(),
        }
    }
}

impl JobRunner {
    /// Does all the work of a job, up to its end in the catalogue.
    pub(super) async fn perform(&self, job: &Job) -> Result<(), ServiceError> {
        match &job.subject {
            JobSubject::Version(version) => self.work_on_version(job, *version).await,
            JobSubject::NewDataset(source) => self.import(job, source).await,
        }
    }

    async fn work_on_version(&self, job: &Job, version: VersionId) -> Result<(), ServiceError> {
        let reporter = Reporter::start(self.library.store.clone(), job);
        let results = self.compute(job, version, &reporter).await;
        // Progress is only written while a job runs: the last of it has to be written before the job ends.
        reporter.stop().await;
        self.write(job, results?).await
    }

    async fn compute(&self, job: &Job, version: VersionId, reporter: &Reporter) -> Result<Results, ServiceError> {
        let version = self.library.version(version).await?;
        let dataset = self.library.dataset(version.dataset_id).await?;
        let mut subject = Subject { version, dataset };
        match job.kind {
            JobKind::Evaluate => {
                let on = match job.dataset_id {
                    Some(id) if id != subject.dataset.id => self.library.dataset(id).await?,
                    _ => subject.dataset.clone(),
                };
                self.evaluate_on(subject, &on, reporter).await
            }
            JobKind::Synthesize => self.synthesize(subject, job, reporter).await,
            JobKind::FindExemplars => {
                let subject = self.load_network(subject).await?;
                Ok(Results {
                    exemplars: self.find_channel_exemplars(&subject, reporter).await?,
                    ..Results::none(subject.version)
                })
            }
            JobKind::Ingest => match subject.version.source {
                Some(VersionSource::Activations { probe_set }) => {
                    self.measure_activations(subject, probe_set, reporter).await
                }
                _ => self.measure(subject, reporter, 0.0).await,
            },
            JobKind::Train => {
                if subject.version.weights_key.is_none() {
                    subject.version.weights_key = Some(self.train(&subject, reporter).await?);
                }
                self.measure(subject, reporter, TRAINING_SHARE).await
            }
            JobKind::Import => Err(ServiceError::Damaged(
                "the job is an import, but it has a version in place of files".to_owned(),
            )),
        }
    }

    /// Trains and stores the weights, so that a worker that takes the job over continues from there.
    async fn train(&self, subject: &Subject, reporter: &Reporter) -> Result<String, ServiceError> {
        let Some(settings) = subject.version.train_settings.clone() else {
            return Err(ServiceError::Damaged(
                "the version is to be trained, but its training settings are missing".to_owned(),
            ));
        };
        let (data, _memory) = self.library.images(&subject.dataset, Split::Train).await?;
        let task = TrainTask {
            graph: self.library.graph(&subject.version, &subject.dataset)?,
            data,
            statistics: subject.dataset.statistics.clone(),
            settings,
            classes: subject.dataset.class_names.len(),
            activation_limit: self.library.activation_limit,
        };
        let control = reporter.phase(JobPhase::Training, 0.0..TRAINING_SHARE);
        let trained = self.library.engine.run(task, control).await?;
        let key = self
            .library
            .artifacts
            .put(ArtifactKind::Weights, trained.weights)
            .await?;
        let mut tx = self.library.store.begin().await?;
        let kept = tx
            .set_version_trained(subject.version.id, &key.to_string(), &trained.epochs)
            .await?;
        tx.commit().await?;
        Ok(kept)
    }

    async fn evaluate_on(&self, subject: Subject, on: &Dataset, reporter: &Reporter) -> Result<Results, ServiceError> {
        let control = reporter.phase(JobPhase::Evaluating, 0.0..1.0);
        let subject = self.load_network(subject).await?;
        if !is_classifier_of(&subject.network, on) {
            return Err(ServiceError::bad_input(format!(
                "the network's output is not one number for each of the {} classes of {}",
                on.class_names.len(),
                on.name
            )));
        }
        Ok(Results {
            evaluation: Some(self.evaluate(&subject, on, control).await?),
            ..Results::none(subject.version)
        })
    }

    async fn evaluate(
        &self,
        subject: &RunnableVersion,
        on: &Dataset,
        control: Control,
    ) -> Result<NewEvaluation, ServiceError> {
        let (data, _memory) = self.library.images(on, Split::Test).await?;
        let task = EvaluateTask {
            network: Arc::clone(&subject.network),
            data,
            statistics: statistics_for(&subject.version, on),
            activation_limit: self.library.activation_limit,
        };
        Ok(NewEvaluation {
            version_id: subject.version.id,
            dataset_id: on.id,
            report: self.library.engine.run(task, control).await?,
        })
    }

    /// Evaluates a version that has not been evaluated, and computes its vectors on the probe sets of its data set that lack
    /// them. A version that is not ready yet is measured on the default probe set alone: no other may keep it from becoming
    /// ready. `done` is the progress of the job before.
    async fn measure(&self, subject: Subject, reporter: &Reporter, done: f64) -> Result<Results, ServiceError> {
        let middle = f64::midpoint(done, 1.0);
        let store = &self.library.store;
        let subject = self.load_network(subject).await?;
        let network = &subject.network;
        let evaluations = store.evaluations_of(&[subject.version.id]).await?;
        let is_evaluated = evaluations.iter().any(|e| e.dataset_id == subject.dataset.id);
        let evaluation = if is_evaluated || !is_classifier_of(network, &subject.dataset) {
            None
        } else {
            let control = reporter.phase(JobPhase::Evaluating, done..middle);
            match self.evaluate(&subject, &subject.dataset, control).await {
                // Layers whose activations are finite are compared all the same.
                Err(error) if error.classify().code == FailureCode::NotFinite => {
                    tracing::warn!(version = %subject.version.id, reason = %error, "not evaluated");
                    None
                }
                outcome => Some(outcome?),
            }
        };
        let measured_before = store.measured_probe_sets(subject.version.id).await?;
        let all = store.probe_sets_of(&[subject.dataset.id]).await?;
        let missing: Vec<_> = all
            .into_iter()
            .filter(|set| !measured_before.contains(&set.id))
            .filter(|set| set.is_default || subject.version.status == VersionStatus::Ready)
            .collect();
        let mut probe_sets = Vec::new();
        for (index, probe_set) in missing.iter().enumerate() {
            let share = |part: usize| middle + (1.0 - middle) * part as f64 / missing.len() as f64;
            let control = reporter.phase(JobPhase::Ingesting, share(index)..share(index + 1));
            probe_sets.push(self.ingest(&subject, probe_set, control).await?);
        }
        reporter.phase(JobPhase::Storing, 1.0..1.0);
        Ok(Results {
            evaluation,
            measurement: Some(Measurement {
                layers: layer_rows(network.graph()),
                probe_sets,
            }),
            ..Results::none(subject.version)
        })
    }

    async fn ingest(
        &self,
        subject: &RunnableVersion,
        probe_set: &ProbeSet,
        control: Control,
    ) -> Result<ProbeSetVectors, ServiceError> {
        let task = IngestTask {
            network: Arc::clone(&subject.network),
            probes: self.library.probe_images(&subject.dataset, probe_set).await?,
            statistics: statistics_for(&subject.version, &subject.dataset),
            activation_limit: self.library.activation_limit,
        };
        let outcomes = self.library.engine.run(task, control).await?;
        Ok(ProbeSetVectors {
            probe_set: probe_set.id,
            vectors: outcomes.into_iter().map(|outcome| outcome.vector).collect(),
        })
    }

    async fn synthesize(&self, subject: Subject, job: &Job, reporter: &Reporter) -> Result<Results, ServiceError> {
        let Some(synthesis) = self.library.store.synthesis_of_job(job.id).await? else {
            return Err(ServiceError::bad_input(
                "the synthetic image of this job was deleted: request it again",
            ));
        };
        let subject = self.load_network(subject).await?;
        let outcome = self.synthesize_image(&subject, &synthesis, reporter).await?;
        Ok(Results {
            synthesis: Some((synthesis.id, outcome)),
            ..Results::none(subject.version)
        })
    }

    async fn load_network(&self, subject: Subject) -> Result<RunnableVersion, ServiceError> {
        self.library.run_version(subject.version, subject.dataset).await
    }

    /// Computes the vectors of activations that were computed elsewhere.
    async fn measure_activations(
        &self,
        subject: Subject,
        probe_set: ProbeSetId,
        reporter: &Reporter,
    ) -> Result<Results, ServiceError> {
        let probe_set = self.library.probe_set_of(subject.dataset.id, Some(probe_set)).await?;
        let control = reporter.phase(JobPhase::Ingesting, 0.0..1.0);
        let task = ActivationTask {
            file: self.library.artifact(weights_key(&subject.version)?).await?,
            limits: self.library.activation_limits(&probe_set),
        };
        let (layers, vectors) = self
            .library
            .engine
            .run(task, control)
            .await?
            .into_iter()
            .enumerate()
            .map(|(index, measured)| (activation_layer_row(index, measured.layer), measured.vector))
            .unzip();
        let probe_set = probe_set.id;
        Ok(Results {
            measurement: Some(Measurement {
                layers,
                probe_sets: vec![ProbeSetVectors { probe_set, vectors }],
            }),
            ..Results::none(subject.version)
        })
    }

    /// Writes layers, vectors, evaluation, `READY` and the end of the job: all of it or nothing.
    async fn write(&self, job: &Job, results: Results) -> Result<(), ServiceError> {
        let Results {
            version,
            evaluation,
            measurement,
            synthesis,
            exemplars,
        } = results;
        let mut tx = self.library.store.begin().await?;
        let duplicate_of = match &measurement {
            Some(measurement) if version.status != VersionStatus::Ready => {
                // Another server may be about to write an equal version: one of the two sees the other.
                tx.lock_duplicates(version.dataset_id).await?;
                self.find_original(&version, measurement).await?
            }
            _ => None,
        };
        if !tx.finish_job(job.id, JobStatus::Succeeded, None).await? {
            // It was cancelled, or ended by a worker that took it over.
            return Ok(());
        }
        // Searches see evaluations and vectors, and nothing else that a job writes.
        let changes_searches = evaluation.is_some() || measurement.is_some();
        if changes_searches {
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
        tx.commit().await?;
        if changes_searches {
            self.library.layers_written.notify_one();
        }
        METRICS.count_job(job.kind, JobStatus::Succeeded);
        tracing::info!(job = %job.id, version = %version.id, kind = ?job.kind, "job succeeded");
        Ok(())
    }

    /// The version that a new one is a duplicate of. If everybody sees the new version, that is one that everybody sees, if
    /// there is any; else one that its owner sees.
    async fn find_original(
        &self,
        version: &Version,
        measurement: &Measurement,
    ) -> Result<Option<VersionId>, ServiceError> {
        let Some(ProbeSetVectors { probe_set, vectors }) = measurement.probe_sets.first() else {
            return Ok(None);
        };
        let model = self.library.store.models_by_id(&[version.model_id]).await?.pop();
        let owner = model.as_ref().and_then(|model| model.owner);
        let is_public = model.is_some_and(|model| model.visibility == Visibility::Public);
        let vectors: Vec<_> = vectors.iter().filter_map(|vector| vector.as_ref().ok()).collect();
        if is_public && let Some(found) = self.original_of(None, *probe_set, &vectors).await? {
            return Ok(Some(found));
        }
        self.original_of(owner, *probe_set, &vectors).await
    }
}

async fn write_vectors(
    tx: &mut Tx,
    version: &Version,
    measurement: Measurement,
    duplicate_of: Option<VersionId>,
) -> Result<(), ServiceError> {
    let ids = tx.put_layers(version.id, &measurement.layers).await?;
    let mut done = tx.measured_probe_sets(version.id).await?;
    for ProbeSetVectors { probe_set, vectors } in measurement.probe_sets {
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
    // Other probe sets follow in a job of their own, also those that were added after this job began, when the version was
    // not ready yet.
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
