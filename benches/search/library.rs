//! Libraries of layers that can be created in minutes.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use scv_domain::dataset_record::ProbeSet;
use scv_domain::evaluation::{NewEvaluation, Prediction, Report};
use scv_domain::id::{LayerId, ModelId};
use scv_domain::model::NewModel;
use scv_domain::vector::LayerVector;
use scv_domain::version::ModelFormat;
use scv_store::{MeasuredLayer, NewLayer, NewVersion, Store};
use serde_json::json;

use crate::vectors::Vectors;

/// The tag of every fiftieth model.
pub(crate) const TAG: &str = "chosen";

pub(crate) const LAYERS_PER_VERSION: usize = 20;
pub(crate) const VERSIONS_PER_MODEL: u32 = 3;
const VERSIONS_PER_BATCH: usize = 50;

/// A library that grows.
pub(crate) struct Filler {
    pub(crate) store: Store,
    probe_set: ProbeSet,
    vectors: Vectors,
    versions: u32,
    /// The last model.
    model: ModelId,
    /// All layers that were written.
    pub(crate) layers: Vec<LayerId>,
}

/// The probe set of the digits data set, which must exist.
pub(crate) async fn probe_set(store: &Store) -> anyhow::Result<ProbeSet> {
    let dataset = store
        .dataset_by_name("digits")
        .await?
        .context("the digits data set is missing")?;
    let probe_sets = store.probe_sets_of(&[dataset.id]).await?;
    probe_sets
        .into_iter()
        .next()
        .context("the digits data set has no probe set")
}

impl Filler {
    /// An empty library on a probe set.
    pub(crate) fn new(store: Store, probe_set: ProbeSet, vectors: Vectors) -> Self {
        Self {
            store,
            probe_set,
            vectors,
            versions: 0,
            model: ModelId(0),
            layers: Vec::new(),
        }
    }

    /// Writes versions, each in its own transaction, until there are `count` layers or no more vectors. Returns the time that
    /// the writing took. `visit` sees every layer first.
    pub(crate) async fn fill(
        &mut self,
        count: usize,
        mut visit: impl FnMut(&LayerVector) -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let mut writing = Duration::ZERO;
        while self.layers.len() < count {
            let most = (count - self.layers.len()).min(LAYERS_PER_VERSION * VERSIONS_PER_BATCH);
            let vectors = self.vectors.next(most);
            if vectors.is_empty() {
                break;
            }
            for version in vectors.chunks(LAYERS_PER_VERSION) {
                version.iter().try_for_each(&mut visit)?;
                let started = Instant::now();
                self.write_version(version.to_vec()).await?;
                writing += started.elapsed();
            }
        }
        Ok(writing)
    }

    async fn write_version(&mut self, vectors: Vec<LayerVector>) -> anyhow::Result<()> {
        let number = self.versions;
        self.versions += 1;
        let layers: Vec<_> = (0..vectors.len() as i32)
            .map(|index| NewLayer {
                index,
                name: index.to_string(),
                kind: "Conv2d".to_owned(),
                parameters: json!({}),
                input_shape: vec![1],
                output_shape: vec![1],
                parameter_count: 0,
                multiply_accumulates: 0,
                inputs: None,
            })
            .collect();
        let mut tx = self.store.begin().await?;
        if number.is_multiple_of(VERSIONS_PER_MODEL) {
            let model = number / VERSIONS_PER_MODEL;
            let model = NewModel {
                name: format!("model-{model}").try_into()?,
                description: String::new().try_into()?,
                tags: match model % 50 {
                    0 => vec![TAG.to_owned().try_into()?],
                    _ => Vec::new(),
                },
                visibility: Default::default(),
                owner: None,
            };
            self.model = tx.insert_model(&model).await?.id;
        }
        let version = NewVersion {
            format: ModelFormat::Blocks,
            dataset_id: self.probe_set.dataset_id,
            blocks: None,
            weights_key: None,
            parameter_count: 0,
            multiply_accumulates: 0,
            train_settings: None,
            source: None,
            weight_mapping: None,
        };
        let version = tx.insert_version(self.model, &version, None).await?;
        let evaluation = NewEvaluation {
            version_id: version.id,
            dataset_id: self.probe_set.dataset_id,
            report: Report {
                image_count: 1,
                accuracy: accuracy(number),
                top_five_accuracy: 1.0,
                loss: 1.0,
                cells: Vec::new(),
                calibration: Vec::new(),
                mistakes: Vec::new(),
                predictions: vec![Prediction {
                    actual: 0,
                    predicted: 0,
                    confidence: 1.0,
                }],
            },
        };
        tx.put_evaluation(&evaluation).await?;
        let ids = tx.put_layers(version.id, &layers).await?;
        let measured: Vec<_> = ids
            .iter()
            .zip(vectors)
            .map(|(&layer, vector)| MeasuredLayer {
                layer,
                vector: Ok(vector),
            })
            .collect();
        tx.put_vectors(self.model, self.probe_set.id, &measured).await?;
        tx.set_version_ready(version.id, None).await?;
        tx.commit().await?;
        self.layers.extend(ids);
        Ok(())
    }
}

/// The accuracy of a version. Accuracies are evenly spread for any number of versions: the fractions of multiples of
/// the golden ratio.
pub(crate) fn accuracy(version: u32) -> f64 {
    (f64::from(version) * 0.618_033_988_749_895).fract()
}
