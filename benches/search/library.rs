//! Libraries of layers that resemble real ones and can be created in minutes: real vectors, and copies of them with
//! noise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use candle_core::Device;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use scv_compute::control::Control;
use scv_compute::ingest::IngestTask;
use scv_compute::network::Network;
use scv_compute::sketch::Sketcher;
use scv_compute::task::{DeviceContext, Task as _};
use scv_compute::weights::Weights;
use scv_dataset::digits;
use scv_domain::block::{Block, lower};
use scv_domain::dataset::Split;
use scv_domain::dataset_record::ProbeSet;
use scv_domain::evaluation::{NewEvaluation, Report};
use scv_domain::id::{LayerId, ModelId};
use scv_domain::model::NewModel;
use scv_domain::vector::{LayerVector, SketchedVector};
use scv_domain::version::ModelFormat;
use scv_store::{MeasuredLayer, NewLayer, NewVersion, Store};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};

/// The tag of every fiftieth model.
pub(crate) const TAG: &str = "chosen";

const SEEDS: u64 = 40;
const WIDTHS: [u32; 4] = [4, 8, 16, 32];
const ACTIVATIONS: [&str; 4] = ["ReLU", "ELU", "Tanh", "SiLU"];
pub(crate) const LAYERS_PER_VERSION: usize = 20;
const VERSIONS_PER_MODEL: u32 = 3;
const VERSIONS_PER_SKETCH_BATCH: usize = 50;

/// A library that grows.
pub(crate) struct Filler {
    pub(crate) store: Store,
    probe_set: ProbeSet,
    sketcher: Sketcher,
    real: Vec<LayerVector>,
    random: ChaCha8Rng,
    versions: u32,
    /// The last model.
    model: ModelId,
    /// All layers that were written.
    pub(crate) layers: Vec<LayerId>,
}

impl Filler {
    /// An empty library on the probe set of the digits data set, which must exist.
    pub(crate) async fn new(store: Store) -> anyhow::Result<Self> {
        let dataset = store
            .dataset_by_name("digits")
            .await?
            .context("the digits data set is missing")?;
        let probe_set = store
            .probe_sets_of(&[dataset.id])
            .await?
            .pop()
            .context("the digits data set has no probe set")?;
        Ok(Self {
            real: real_vectors(&probe_set)?,
            store,
            probe_set,
            sketcher: Sketcher::new(Device::Cpu),
            random: ChaCha8Rng::seed_from_u64(7),
            versions: 0,
            model: ModelId(0),
            layers: Vec::new(),
        })
    }

    pub(crate) fn probe_set(&self) -> &ProbeSet {
        &self.probe_set
    }

    pub(crate) fn real_count(&self) -> usize {
        self.real.len()
    }

    /// Vectors like those of the library, without storing them.
    pub(crate) fn sample(&mut self, count: usize) -> anyhow::Result<Vec<SketchedVector>> {
        let mut sketched = Vec::new();
        while sketched.len() < count {
            let vectors = (0..500).map(|_| perturbed(&self.real, &mut self.random)).collect();
            sketched.extend(self.sketcher.sketch(vectors)?);
        }
        sketched.truncate(count);
        Ok(sketched)
    }

    /// Writes versions, each in its own transaction, until there are `count` layers. Returns the time that the
    /// writing took. `visit` sees every layer first.
    pub(crate) async fn fill(
        &mut self,
        count: usize,
        mut visit: impl FnMut(&SketchedVector) -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let mut writing = Duration::ZERO;
        while self.layers.len() < count {
            let mut sketched = self.sample(LAYERS_PER_VERSION * VERSIONS_PER_SKETCH_BATCH)?.into_iter();
            for _ in 0..VERSIONS_PER_SKETCH_BATCH {
                let version: Vec<_> = sketched.by_ref().take(LAYERS_PER_VERSION).collect();
                version.iter().try_for_each(&mut visit)?;
                let started = Instant::now();
                self.write_version(version).await?;
                writing += started.elapsed();
            }
        }
        Ok(writing)
    }

    /// Drops the indexes over the sketches, writes versions until there are `count` layers, and builds the indexes
    /// again over all of them, which takes a fraction of the time. Returns the time that the indexes took.
    pub(crate) async fn fill_in_bulk(
        &mut self,
        count: usize,
        visit: impl FnMut(&SketchedVector) -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let probe_set = self.probe_set.id.0;
        // Detached, so that its settings do not return to the pool.
        let mut connection = self.store.pool().acquire().await?.detach();
        let drop: Vec<String> = sqlx::query_scalar(
            "select format('drop index %s', indexrelid::regclass)
               from pg_index
               join pg_class on pg_class.oid = indexrelid
               join pg_am on pg_am.oid = relam and amname = 'hnsw'
              where indrelid = $1::text::regclass",
        )
        .bind(format!("sketch_{probe_set}"))
        .fetch_all(&mut connection)
        .await?;
        statements(&mut connection, drop.join(";")).await?;
        self.fill(count, visit).await?;
        let started = Instant::now();
        let build = format!(
            "set maintenance_work_mem = '2GB';
             select create_sketch_indexes({probe_set})"
        );
        statements(&mut connection, build).await?;
        let duration = started.elapsed();
        statements(&mut connection, "vacuum analyze".to_owned()).await?;
        Ok(duration)
    }

    async fn write_version(&mut self, vectors: Vec<SketchedVector>) -> anyhow::Result<()> {
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
            model_id: self.model,
            format: ModelFormat::Blocks,
            dataset_id: self.probe_set.dataset_id,
            blocks: None,
            weights_key: None,
            parameter_count: 0,
            multiply_accumulates: 0,
            train_settings: None,
            source: None,
        };
        let version = tx.insert_version(&version).await?;
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
            },
        };
        tx.put_evaluation(&evaluation).await?;
        let ids = tx.put_layers(version.id, &layers).await?;
        let measured: Vec<_> = ids
            .iter()
            .zip(vectors)
            .map(|(&layer, sketched)| MeasuredLayer {
                layer,
                vector: Ok(sketched),
            })
            .collect();
        tx.put_vectors(self.model, self.probe_set.id, &measured).await?;
        tx.set_version_ready(version.id, None).await?;
        tx.bump_generation().await?;
        tx.commit().await?;
        self.layers.extend(ids);
        Ok(())
    }
}

/// Executes statements and ignores their results.
pub(crate) async fn statements(connection: &mut PgConnection, statements: String) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}

/// The accuracy of a version. Accuracies are evenly spread for any number of versions: the fractions of multiples of
/// the golden ratio.
pub(crate) fn accuracy(version: u32) -> f64 {
    (f64::from(version) * 0.618_033_988_749_895).fract()
}

fn real_vectors(probe_set: &ProbeSet) -> anyhow::Result<Vec<LayerVector>> {
    let data = digits();
    let probes: Vec<_> = probe_set.image_indices.iter().map(|&index| index as usize).collect();
    let images = data.split(Split::Train).images.select(&probes);
    let (context, control) = (DeviceContext::new(Device::Cpu), Control::unwatched());
    let mut vectors = Vec::new();
    for width in WIDTHS {
        for activation in ACTIVATIONS {
            let conv =
                json!({ "kind": "Conv2d", "parameters": { "out_channels": width, "kernel_size": 3, "padding": 1 } });
            let blocks: Vec<Block> = serde_json::from_value(json!([
                conv, { "kind": activation }, conv, { "kind": activation },
                { "kind": "MaxPool2d", "parameters": { "kernel_size": 2 } },
                conv, { "kind": activation }, { "kind": "Flatten" },
                { "kind": "Linear", "parameters": { "out_features": 10 } },
            ]))?;
            let graph = Arc::new(lower(&blocks, data.shape(), 10).map_err(|errors| anyhow::anyhow!("{errors:?}"))?);
            for seed in 0..SEEDS {
                let task = IngestTask {
                    network: Arc::new(Network::new(
                        Arc::clone(&graph),
                        Weights::init(&graph, seed, &context.device)?,
                    )),
                    probes: images.clone(),
                    statistics: data.statistics().clone(),
                    activation_limit: u64::MAX,
                };
                let layers = task.run(&context, &control)?;
                vectors.extend(layers.into_iter().filter_map(|layer| Some(layer.vector.ok()?.vector)));
            }
        }
    }
    Ok(vectors)
}

/// A real vector with a share of another one, as if the layer also had the other's channels, and a little
/// noise.
fn perturbed(real: &[LayerVector], random: &mut ChaCha8Rng) -> LayerVector {
    let mut vector = real[random.random_range(0..real.len())].clone();
    let other = &real[random.random_range(0..real.len())];
    let share = random.random_range(0.0..0.5_f32);
    let length = (vector.lead.len() + vector.tail.len()) as f32;
    let strength = random.random_range(0.01..0.1_f32) / length.sqrt();
    let mut squares = 0.0_f64;
    let values = vector.lead.iter_mut().chain(&mut vector.tail);
    for (value, other) in values.zip(other.lead.iter().chain(&other.tail)) {
        // Uniform in -√3..√3: mean 0, variance 1.
        *value += share * other + strength * random.random_range(-1.732..1.732_f32);
        squares += f64::from(*value).powi(2);
    }
    let scale = squares.sqrt().recip() as f32;
    vector
        .lead
        .iter_mut()
        .chain(&mut vector.tail)
        .for_each(|value| *value *= scale);
    vector
}
