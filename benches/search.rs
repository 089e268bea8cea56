//! Search through the index against the exact scan, on one library in one run.
//!
//! `just bench-search [layers]` (4,000 if left out). The layers are real: networks of several architectures and seeds
//! are run on the digits' probe set, and each vector is then copied with noise of varied strength until there are
//! enough. Both ways answer the same questions, in turn, through the service that the API uses, past its cache.

#![expect(clippy::print_stdout, reason = "a benchmark speaks to the person at the terminal")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use candle_core::Device;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use scv::artifact::ArtifactStore;
use scv::compute::control::Control;
use scv::compute::engine::Engine;
use scv::compute::ingest::{IngestTask, ingest};
use scv::compute::network::Network;
use scv::compute::sketch::Sketcher;
use scv::compute::weights::Weights;
use scv::config::Config;
use scv::domain::block::{Block, lower};
use scv::domain::dataset::Split;
use scv::domain::id::{DatasetId, LayerId, ProbeSetId};
use scv::domain::model::NewModel;
use scv::domain::similarity::{Matches, SimilarityFilter, SimilarityQuery};
use scv::domain::vector::{LayerVector, Measure};
use scv::domain::version::ModelFormat;
use scv::service::import::digits;
use scv::service::{Library, LibraryLimits};
use scv::store::{DatabaseSettings, MeasuredLayer, NewLayer, NewVersion, Store, open};
use serde_json::json;

const TARGETS: usize = 60;
const HITS: usize = 10;
const LAYERS_A_VERSION: usize = 20;

fn main() -> anyhow::Result<()> {
    // Cargo passes `--bench` along.
    let wanted = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(4_000);
    tokio::runtime::Runtime::new()?.block_on(bench(wanted))
}

async fn bench(wanted: usize) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("scv-bench-").tempdir_in("/tmp")?;
    // Started as root, PostgreSQL runs as another user, who has to pass through.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let defaults = Config::defaults();
    let settings = DatabaseSettings {
        url: None,
        data_dir: folder.path().to_owned(),
        ..defaults.database()
    };
    let database = open(&settings).await?;
    let engine = Engine::start("cpu".parse()?, 1)?;
    let library = Library::new(
        database.store.clone(),
        ArtifactStore::open(&folder.path().join("artifacts"))?,
        engine,
        LibraryLimits {
            search_cache_bytes: defaults.search_cache_bytes,
            activation_bytes: defaults.activation_bytes,
            network_cache_bytes: defaults.network_cache_bytes,
        },
    );
    library.ensure_digits().await?;
    let targets = fill(library.store(), wanted).await?;
    let outcome = measure(&library, &targets).await;
    database.close().await;
    outcome
}

/// Fills the library and gives layers spread over it.
async fn fill(store: &Store, wanted: usize) -> anyhow::Result<Vec<LayerId>> {
    let dataset = store.dataset_by_name("digits").await?.context("the digits are there")?;
    let probe_set = store
        .probe_sets_of(&[dataset.id])
        .await?
        .pop()
        .context("so is a probe set")?;
    let indices: Vec<_> = probe_set.image_indices.iter().map(|&index| index as usize).collect();
    let real = real_vectors(&indices)?;
    println!("{} real layer vectors; filling up to {wanted} layers", real.len());
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let sketcher = Sketcher::new(Device::Cpu);
    let (mut ids, started) = (Vec::new(), Instant::now());
    while ids.len() < wanted {
        let vectors = (0..LAYERS_A_VERSION).map(|_| perturbed(&real, &mut random)).collect();
        ids.extend(write_version(store, dataset.id, probe_set.id, &sketcher, vectors).await?);
    }
    println!("wrote {} layers in {:.1} s", ids.len(), started.elapsed().as_secs_f64());
    let stride = ids.len() / TARGETS;
    Ok(ids.into_iter().step_by(stride.max(1)).take(TARGETS).collect())
}

fn real_vectors(probes: &[usize]) -> anyhow::Result<Vec<LayerVector>> {
    let data = digits();
    let images = data.split(Split::Train).images.select(probes);
    let (device, control) = (Device::Cpu, Control::unwatched());
    let sketcher = Sketcher::new(device.clone());
    let mut vectors = Vec::new();
    for (architecture, width) in [4, 8, 16, 32].into_iter().enumerate() {
        let activation = ["ReLU", "ELU", "Tanh", "SiLU"][architecture];
        let conv = json!({ "kind": "Conv2d", "parameters": { "out_channels": width, "kernel_size": 3, "padding": 1 } });
        let blocks: Vec<Block> = serde_json::from_value(json!([
            conv, { "kind": activation }, conv, { "kind": activation },
            { "kind": "MaxPool2d", "parameters": { "kernel_size": 2 } },
            conv, { "kind": activation }, { "kind": "Flatten" },
            { "kind": "Linear", "parameters": { "out_features": 10 } },
        ]))?;
        let graph = Arc::new(lower(&blocks, data.shape(), 10).map_err(|errors| anyhow::anyhow!("{errors:?}"))?);
        for seed in 0..10 {
            let task = IngestTask {
                network: Arc::new(Network::new(Arc::clone(&graph), Weights::init(&graph, seed, &device)?)),
                probes: images.clone(),
                statistics: data.statistics().clone(),
                activation_limit: u64::MAX,
            };
            let layers = ingest(&task, &device, &sketcher, &control)?;
            vectors.extend(layers.into_iter().filter_map(|layer| Some(layer.vector.ok()?.vector)));
        }
    }
    Ok(vectors)
}

/// A real vector turned away from itself by a random part of its length.
fn perturbed(real: &[LayerVector], random: &mut ChaCha8Rng) -> LayerVector {
    let mut vector = real[random.random_range(0..real.len())].clone();
    let length = (vector.lead.len() + vector.tail.len()) as f32;
    let strength = random.random_range(0.05..1.0_f32) / length.sqrt();
    let mut squares = 0.0_f64;
    for value in vector.lead.iter_mut().chain(&mut vector.tail) {
        // Uniform in -√3..√3: mean 0, variance 1.
        *value += strength * random.random_range(-1.732..1.732_f32);
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

async fn write_version(
    store: &Store,
    dataset: DatasetId,
    probe_set: ProbeSetId,
    sketcher: &Sketcher,
    vectors: Vec<LayerVector>,
) -> anyhow::Result<Vec<LayerId>> {
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
    let mut tx = store.begin().await?;
    let model = NewModel {
        name: uuid::Uuid::new_v4().to_string().try_into()?,
        description: String::new().try_into()?,
        tags: Vec::new(),
        visibility: Default::default(),
    };
    let model = tx.insert_model(&model).await?;
    let version = NewVersion {
        model_id: model.id,
        format: ModelFormat::Blocks,
        dataset_id: dataset,
        blocks: None,
        weights_key: None,
        parameter_count: 0,
        multiply_accumulates: 0,
        train_settings: None,
        source: None,
    };
    let version = tx.insert_version(&version).await?;
    let ids = tx.put_layers(version.id, &layers).await?;
    let measured: Vec<_> = ids
        .iter()
        .zip(sketcher.sketch(vectors)?)
        .map(|(&layer, sketched)| MeasuredLayer {
            layer,
            vector: Ok(sketched),
        })
        .collect();
    tx.put_vectors(model.id, probe_set, &measured).await?;
    tx.set_version_ready(version.id).await?;
    tx.commit().await?;
    Ok(ids)
}

async fn measure(library: &Library, targets: &[LayerId]) -> anyhow::Result<()> {
    for measure in [Measure::DebiasedCka, Measure::Cka] {
        // Once for warmth, so that neither way pays for the first touch of a page.
        for exact in [true, false] {
            ask(library, targets[0], measure, exact).await?;
        }
        let (mut exact_times, mut indexed_times, mut found) = (Vec::new(), Vec::new(), 0);
        for &target in &targets[1..] {
            let (expected, exact_time) = ask(library, target, measure, true).await?;
            let (answer, indexed_time) = ask(library, target, measure, false).await?;
            anyhow::ensure!(
                !answer.exact,
                "the library is too small for the index to be used: ask for more layers"
            );
            exact_times.push(exact_time);
            indexed_times.push(indexed_time);
            found += answer
                .hits
                .iter()
                .filter(|hit| expected.hits.iter().any(|e| e.layer == hit.layer))
                .count();
        }
        let recall = found as f64 / (HITS * exact_times.len()) as f64;
        println!(
            "{measure:?}: recall@{HITS} {recall:.3} over {} targets",
            exact_times.len()
        );
        for (way, mut times) in [("exact", exact_times), ("indexed", indexed_times)] {
            times.sort();
            let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
            println!("  {way:<8} median {:>8.2} ms   95% {:>8.2} ms", at(0.5), at(0.95));
        }
    }
    Ok(())
}

async fn ask(
    library: &Library,
    target: LayerId,
    measure: Measure,
    exact: bool,
) -> anyhow::Result<(Arc<Matches>, Duration)> {
    let store = library.store();
    let layer = store
        .layers_by_id(&[target])
        .await?
        .pop()
        .context("the layer is there")?;
    let version = store
        .versions_by_id(&[layer.version_id])
        .await?
        .pop()
        .context("so is its version")?;
    let probe_sets = store.probe_sets_of(&[version.dataset_id]).await?;
    let query = SimilarityQuery {
        probe_set: probe_sets.first().context("so is a probe set")?.id,
        measure,
        filter: SimilarityFilter::default(),
        exact,
        first: HITS,
        after: None,
    };
    let started = Instant::now();
    let matches = library
        .similar(target, &query, &version, store.generation().await?)
        .await?;
    Ok((matches, started.elapsed()))
}
