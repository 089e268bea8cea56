//! Real layer vectors, and libraries made of them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use candle_core::Device;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use scv_compute::control::Control;
use scv_compute::ingest::IngestTask;
use scv_compute::network::Network;
use scv_compute::task::{DeviceContext, Task as _};
use scv_compute::train::TrainTask;
use scv_compute::weights::Weights;
use scv_dataset::{IdxPreset, ImportError, digits};
use scv_domain::block::{Block, lower};
use scv_domain::dataset::{NewDataset, Split};
use scv_domain::dataset_source::{DatasetSource, IdxFiles};
use scv_domain::image::{Images, LabelledImages};
use scv_domain::training::{Optimizer, Schedule, TrainSettings};
use scv_domain::vector::LayerVector;
use serde_json::{Value, json};

/// What the layers of a library are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Layers of untrained networks on the digits, each with a share of another one and a little noise.
    Blended,
    /// The same layers, each with a share of noise between none and all.
    Noisy,
    /// Layers of networks that were trained on MNIST or Fashion-MNIST, as they are.
    Real,
}

impl std::str::FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "blended" => Ok(Self::Blended),
            "noisy" => Ok(Self::Noisy),
            "real" => Ok(Self::Real),
            other => anyhow::bail!("unknown kind of library {other:?}: choose from blended, noisy and real"),
        }
    }
}

const SEEDS: u64 = 40;
const WIDTHS: [u32; 4] = [4, 8, 16, 32];
const ACTIVATIONS: [&str; 4] = ["ReLU", "ELU", "Tanh", "SiLU"];
/// Images that a network is trained on.
const TRAIN_IMAGES: usize = 3_000;
/// What the networks are trained on: the folder, the preset, and what the networks are drawn with.
const DATASETS: [(&str, &str, u64); 2] = [("mnist", "mnist", 11), ("fashion", "fashion_mnist", 12)];

/// An endless supply of layer vectors, or all layers of real networks.
pub(crate) struct Vectors {
    kind: Kind,
    real: Vec<LayerVector>,
    random: ChaCha8Rng,
    given: usize,
}

impl Vectors {
    /// Vectors on the probe images of the digits, or, for so many layers, on images of MNIST and Fashion-MNIST, which are in
    /// `networks`.
    pub(crate) fn new(kind: Kind, probes: &[usize], networks: Option<&Path>, count: usize) -> anyhow::Result<Self> {
        let real = match kind {
            Kind::Blended | Kind::Noisy => untrained(probes)?,
            Kind::Real => trained(
                networks.context("real networks need the folder of scripts/networks")?,
                probes.len(),
                count,
            )?,
        };
        Ok(Self {
            kind,
            real,
            random: ChaCha8Rng::seed_from_u64(7),
            given: 0,
        })
    }

    pub(crate) fn real_count(&self) -> usize {
        self.real.len()
    }

    /// The next vectors; fewer, in the end none, if there are no more.
    pub(crate) fn next(&mut self, count: usize) -> Vec<LayerVector> {
        let vectors: Vec<_> = match self.kind {
            Kind::Blended => (0..count).map(|_| blended(&self.real, &mut self.random)).collect(),
            Kind::Noisy => (0..count).map(|_| noisy(&self.real, &mut self.random)).collect(),
            Kind::Real => self.real.iter().skip(self.given).take(count).cloned().collect(),
        };
        self.given += vectors.len();
        vectors
    }
}

fn conv(width: u32, kernel: u32) -> Value {
    json!({ "kind": "Conv2d", "parameters": { "out_channels": width, "kernel_size": kernel, "padding": kernel / 2 } })
}

/// The vectors of all layers of a network.
fn measure(network: Network, probes: &Images, dataset: &NewDataset) -> anyhow::Result<Vec<LayerVector>> {
    let task = IngestTask {
        network: Arc::new(network),
        probes: probes.clone(),
        statistics: dataset.statistics().clone(),
        activation_limit: u64::MAX,
    };
    let layers = task.run(&DeviceContext::new(Device::Cpu), &Control::unwatched())?;
    Ok(layers.into_iter().filter_map(|layer| layer.vector.ok()).collect())
}

fn untrained(probes: &[usize]) -> anyhow::Result<Vec<LayerVector>> {
    let data = digits();
    let images = data.split(Split::Train).images.select(probes);
    let mut vectors = Vec::new();
    for width in WIDTHS {
        for activation in ACTIVATIONS {
            let blocks: Vec<Block> = serde_json::from_value(json!([
                conv(width, 3), { "kind": activation }, conv(width, 3), { "kind": activation },
                { "kind": "MaxPool2d", "parameters": { "kernel_size": 2 } },
                conv(width, 3), { "kind": activation }, { "kind": "Flatten" },
                { "kind": "Linear", "parameters": { "out_features": 10 } },
            ]))?;
            let graph = Arc::new(lower(&blocks, data.shape(), 10).map_err(|errors| anyhow::anyhow!("{errors:?}"))?);
            for seed in 0..SEEDS {
                let network = Network::new(Arc::clone(&graph), Weights::init(&graph, seed, &Device::Cpu)?);
                vectors.extend(measure(network, &images, &data)?);
            }
        }
    }
    Ok(vectors)
}

/// At least so many layers of trained networks, about as many for each data set. Each trains its networks in a thread of its own.
fn trained(networks: &Path, probe_count: usize, count: usize) -> anyhow::Result<Vec<LayerVector>> {
    let each = count.div_ceil(DATASETS.len());
    let trained = std::thread::scope(|scope| {
        let threads = DATASETS.map(|(folder, preset, seed)| {
            let folder = networks.join(folder);
            scope.spawn(move || trained_on(&folder, preset, seed, probe_count, each))
        });
        threads.map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a training panicked"))?)
    });
    trained
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()
        .map(|trained| trained.concat())
}

fn trained_on(
    folder: &Path,
    preset: &str,
    seed: u64,
    probe_count: usize,
    count: usize,
) -> anyhow::Result<Vec<LayerVector>> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut vectors = Vec::new();
    let data = idx(folder, preset)?;
    let train = data.split(Split::Train);
    // Not among those that the networks are trained on.
    let probes: Vec<usize> = (TRAIN_IMAGES..TRAIN_IMAGES + probe_count).collect();
    let probes = train.images.select(&probes);
    let chosen: Vec<usize> = (0..TRAIN_IMAGES).collect();
    let few = LabelledImages {
        images: train.images.select(&chosen),
        labels: train.labels[..TRAIN_IMAGES].into(),
    };
    while vectors.len() < count {
        let blocks: Vec<Block> = serde_json::from_value(network(&mut random))?;
        let graph = Arc::new(lower(&blocks, data.shape(), 10).map_err(|errors| anyhow::anyhow!("{errors:?}"))?);
        let task = TrainTask {
            graph: Arc::clone(&graph),
            data: few.clone(),
            statistics: data.statistics().clone(),
            settings: TrainSettings {
                epochs: random.random_range(1..=4),
                batch_size: 64,
                learning_rate: 0.002,
                optimizer: Optimizer::Adam { weight_decay: 0.0 },
                schedule: Schedule::Constant,
                seed: random.random(),
                validation_share: 0.0,
            },
            classes: 10,
            activation_limit: u64::MAX,
        };
        let trained = task.run(&DeviceContext::new(Device::Cpu), &Control::unwatched())?;
        let weights = Weights::read(&trained.weights, &graph, &Device::Cpu)?;
        vectors.extend(measure(Network::new(graph, weights), &probes, &data)?);
    }
    Ok(vectors)
}

/// A network of random shape.
fn network(random: &mut ChaCha8Rng) -> Value {
    let activation = ACTIVATIONS[random.random_range(0..ACTIVATIONS.len())];
    let (width, kernel) = (
        [4, 6, 8, 12][random.random_range(0..4)],
        [3, 5][random.random_range(0..2)],
    );
    let normalises = random.random_bool(0.5);
    let mut blocks = Vec::new();
    for stage in 0..2 {
        for _ in 0..random.random_range(1..=2) {
            blocks.push(conv(width * (stage + 1), kernel));
            if normalises {
                blocks.push(json!({ "kind": "BatchNorm2d" }));
            }
            blocks.push(json!({ "kind": activation }));
        }
        let pool = ["MaxPool2d", "AvgPool2d"][random.random_range(0..2)];
        blocks.push(json!({ "kind": pool, "parameters": { "kernel_size": 2 } }));
    }
    blocks.push(json!({ "kind": "Flatten" }));
    if random.random_bool(0.5) {
        blocks.push(json!({ "kind": "Linear", "parameters": { "out_features": 32 } }));
        blocks.push(json!({ "kind": activation }));
    }
    blocks.push(json!({ "kind": "Linear", "parameters": { "out_features": 10 } }));
    json!(blocks)
}

fn idx(folder: &Path, preset: &str) -> anyhow::Result<NewDataset> {
    let read = |name: &str| -> anyhow::Result<Bytes> {
        for suffix in ["", ".gz"] {
            let path = folder.join(format!("{name}{suffix}"));
            if path.exists() {
                return Ok(std::fs::read(path)?.into());
            }
        }
        anyhow::bail!("{} has no {name}: run scripts/networks", folder.display())
    };
    let files = IdxFiles {
        train_images: read("train-images-idx3-ubyte")?,
        train_labels: read("train-labels-idx1-ubyte")?,
        test_images: read("t10k-images-idx3-ubyte")?,
        test_labels: read("t10k-labels-idx1-ubyte")?,
    };
    let preset = IdxPreset::find(preset).context("the preset is missing")?;
    let source = DatasetSource::Idx(Box::new(preset.import(files)?));
    Ok(scv_dataset::read(source, |_| Ok::<_, ImportError>(()))?)
}

/// A real vector with a share of another one, as if the layer also had the other's channels, and a little noise.
fn blended(real: &[LayerVector], random: &mut ChaCha8Rng) -> LayerVector {
    let other = &real[random.random_range(0..real.len())];
    let (share, noise) = (random.random_range(0.0..0.5_f32), random.random_range(0.01..0.1_f32));
    mixed(
        &real[random.random_range(0..real.len())],
        1.0,
        other,
        share,
        noise,
        random,
    )
}

/// A real vector with a share of noise between none and all.
fn noisy(real: &[LayerVector], random: &mut ChaCha8Rng) -> LayerVector {
    let one = &real[random.random_range(0..real.len())];
    let noise = random.random_range(0.0..1.0_f32);
    mixed(one, 1.0 - noise, one, 0.0, noise, random)
}

fn mixed(
    one: &LayerVector,
    own: f32,
    other: &LayerVector,
    share: f32,
    noise: f32,
    random: &mut ChaCha8Rng,
) -> LayerVector {
    let mut vector = one.clone();
    let length = (vector.lead.len() + vector.tail.len()) as f32;
    let strength = noise / length.sqrt();
    let mut squares = 0.0_f64;
    let values = vector.lead.iter_mut().chain(&mut vector.tail);
    for (value, other) in values.zip(other.lead.iter().chain(&other.tail)) {
        // Uniform in -√3..√3: mean 0, variance 1.
        *value = own * *value + share * other + strength * random.random_range(-1.732..1.732_f32);
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
