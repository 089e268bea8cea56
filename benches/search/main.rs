//! Measures the search through the GraphQL API of a running server, on a library that grows during the run, against the scores
//! of all layers, which this program computes itself.
//!
//! `just bench-search [KIND] [layers…]` takes the kind of library (`blended`, `noisy` or `real`; the last needs the folder that
//! `scripts/networks` prints in SCV_NETWORKS) and the sizes to measure at, in ascending order (default: blended, 10,000 and
//! 100,000). Each layer needs 21 KB on disk and 48 KB of memory: 21 KB for this program and 27 KB for the server. Libraries of more
//! than 100,000 layers have 60 probe images instead of 100, and each of their layers needs a third of that. This program sends every
//! request once, so that no response comes from the cache. It prints tables for docs/benchmarks.md.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

mod api;
mod fill;
mod library;
mod truth;
mod vectors;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api::{Api, SearchRequest, SearchResponse};
use library::{Filler, TAG};
use scv::app::App;
use scv::config::Config;
use scv_api::id::GlobalId as _;
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::vector::Measure;
use scv_store::{Store, StoreSettings, embedded};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use tokio_util::sync::CancellationToken;
use truth::Truth;
use vectors::{Kind, Vectors};

/// How often the server is asked whether a search index has been rebuilt.
const POLLING_INTERVAL: Duration = Duration::from_millis(100);
/// Vectors are in memory when more are than the first search reads, and no more have come for so long.
const SETTLED: Duration = Duration::from_secs(10);
/// How long that may take.
const MAX_WARM_UP: Duration = Duration::from_secs(600);
/// Searches per cell of a table.
const TARGETS: usize = 100;
/// Searches per cell whose proof is demanded.
const DEMANDED: usize = 25;
/// What scores in single precision may differ by from those of the server.
const TOLERANCE: f64 = 2e-6;
const HITS: usize = 10;
/// The last layers of a library, which are written when the sketches have been fitted: so many, or a fifth of a smaller one.
const WRITTEN_LAST: usize = 2_000;
/// The cells whose targets are searched with either measure before anything is timed.
const WARM_UP_CELLS: std::ops::Range<usize> = 13..15;
/// The largest library on the default probe set, and the number of probe images of larger ones.
const MANY_LAYERS: (usize, usize) = (100_000, 60);
const PAGE: usize = 100;
const PAGES: usize = 10;
const MEASURES: [Measure; 2] = [Measure::DebiasedCka, Measure::Cka];

/// As in the program that is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    // Cargo passes `--bench` to the program.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [command, folder, count] = arguments.as_slice()
        && command == "fill"
    {
        return runtime.block_on(fill::fill(Path::new(folder), count.parse()?));
    }
    let (kind, sizes) = match arguments.split_first() {
        Some((first, sizes)) if first.parse::<usize>().is_err() => (first.parse()?, sizes),
        _ => (Kind::Blended, arguments.as_slice()),
    };
    let sizes = sizes.iter().map(|argument| argument.parse());
    let mut sizes: Vec<usize> = sizes.collect::<Result<_, _>>().context("sizes must be whole numbers")?;
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    runtime.block_on(bench(kind, &sizes))
}

async fn bench(kind: Kind, sizes: &[usize]) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("scv-bench-").tempdir_in("/tmp")?;
    // Started as root, PostgreSQL runs as another user, which needs access to the folder.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
    let defaults = Config::defaults();
    let cluster = embedded::start(embedded::Settings {
        data_dir: folder.path().join("database"),
        postgres_dir: defaults.postgres_dir.clone(),
        cache_dir: defaults.cache_dir.clone(),
    })
    .await?;
    let database = cluster.connect_options();
    let app = App::build(&Config {
        data_dir: folder.path().join("server"),
        database_url: Some(database.to_url_lossy().to_string()),
        listen: ([127, 0, 0, 1], 0).into(),
        device: "cpu".parse()?,
        // All sketches and all vectors fit into memory.
        memory: 1 << 50,
        sketch_cache_bytes: Some(1 << 48),
        vector_cache_bytes: Some(1 << 48),
        ..defaults
    })
    .await?;
    let (mut api, shutdown) = (Api::new(app.address()), CancellationToken::new());
    let running = tokio::spawn(app.run(shutdown.clone()));
    let outcome = match Store::connect(database.clone(), StoreSettings::for_writing(2)).await {
        Ok(store) => measure(kind, sizes, store, &mut api).await,
        Err(error) => Err(error.into()),
    };
    shutdown.cancel();
    running.await??;
    cluster.stop().await;
    outcome
}

async fn measure(kind: Kind, sizes: &[usize], store: Store, api: &mut Api) -> anyhow::Result<()> {
    let probe_set = match sizes.iter().any(|size| *size > MANY_LAYERS.0) {
        true => store
            .probe_sets_by_id(&[api.use_probe_set(MANY_LAYERS.1).await?])
            .await?
            .pop(),
        false => Some(library::probe_set(&store).await?),
    };
    let probe_set = probe_set.context("there is no probe set")?;
    let api = &*api;
    let probes: Vec<usize> = probe_set.image_indices.iter().map(|&index| index as usize).collect();
    let networks = std::env::var_os("SCV_NETWORKS");
    let most = sizes.iter().copied().max().unwrap_or_default();
    let vectors = Vectors::new(kind, &probes, networks.as_ref().map(Path::new), most)?;
    println!(
        "{kind:?} library, made of {} real layer vectors.\n",
        vectors.real_count()
    );
    let id = probe_set.id;
    let mut truth = Truth::new(probe_set.image_indices.len());
    let mut filler = Filler::new(store, probe_set, vectors);
    for &size in sizes {
        println!("\n## {size} layers\n");
        let mut add = |vector: &_| {
            truth.add(vector);
            Ok(())
        };
        let first = size - WRITTEN_LAST.min(size / 5);
        let before = filler.layers.len();
        let writing = filler.fill(first, &mut add).await?;
        let rate = (filler.layers.len() - before) as f64 / writing.as_secs_f64();
        println!(
            "The first {} written at {rate:.0} layers per second, twenty per transaction.",
            filler.layers.len()
        );
        fit(api, id).await?;
        let before = filler.layers.len();
        let writing = filler.fill(size, &mut add).await?;
        let rate = (filler.layers.len() - before) as f64 / writing.as_secs_f64();
        println!(
            "The last {} written at {rate:.0} layers per second.",
            filler.layers.len() - before
        );
        sqlx::query("vacuum analyze").execute(filler.store.pool()).await?;
        warm_up(api, &filler.layers).await?;
        cells(api, &filler.layers, &truth).await?;
        if filler.layers.len() >= 2 * PAGE * PAGES {
            pages(api, &filler.layers).await?;
        }
    }
    Ok(())
}

/// Fits the sketches to the layers that there are.
async fn fit(api: &Api, probe_set: ProbeSetId) -> anyhow::Result<()> {
    let started = Instant::now();
    let id = json!({ "id": probe_set.encode() });
    let begin = "mutation($id: ID!) { rebuildSearchIndex(input: { probeSetId: $id }) { probeSet { id } } }";
    api.data(begin, id.clone()).await?;
    let state = "query($id: ID!) { node(id: $id) { ... on ProbeSet { searchIndex { rebuilding } } } }";
    while api.data(state, id.clone()).await?["node"]["searchIndex"]["rebuilding"] == true {
        tokio::time::sleep(POLLING_INTERVAL).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("Sketches fitted and replaced in {seconds:.1} s.");
    Ok(())
}

/// Layers spread over the library, different ones in each cell: a repeated request would be served from the cache.
fn targets(layers: &[LayerId], cell: usize) -> Vec<LayerId> {
    let stride = (layers.len() / TARGETS).max(1);
    layers
        .iter()
        .skip(cell * stride / 20)
        .step_by(stride)
        .take(TARGETS)
        .copied()
        .collect()
}

/// Waits until sketches and vectors are in memory, as in a library in use.
async fn warm_up(api: &Api, layers: &[LayerId]) -> anyhow::Result<()> {
    let request = SearchRequest {
        target: layers[0],
        measure: Measure::Cka,
        filter: &json!(null),
        first: 1,
        after: None,
        exact: false,
    };
    let started = Instant::now();
    api.search(&request).await?;
    let (mut kept, mut grown) = (0, Instant::now());
    // The vectors follow when all sketches have been read.
    while kept < TARGETS.min(layers.len()) as u64 || grown.elapsed() < SETTLED {
        anyhow::ensure!(started.elapsed() < MAX_WARM_UP, "only {kept} vectors came into memory");
        tokio::time::sleep(SETTLED / 20).await;
        let now = api.kept_vectors().await?;
        if now > kept {
            (kept, grown) = (now, Instant::now());
        }
    }
    let seconds = grown.duration_since(started).as_secs_f64();
    println!("Sketches and {kept} vectors were in memory {seconds:.1} s after the first search.");
    for measure in MEASURES {
        let mut medians = Vec::new();
        for cell in WARM_UP_CELLS {
            let mut times = Vec::new();
            for target in targets(layers, cell) {
                let request = SearchRequest {
                    target,
                    measure,
                    filter: &json!(null),
                    first: HITS,
                    after: None,
                    exact: false,
                };
                times.push(api.search(&request).await?.duration);
            }
            medians.push(format!("{:.1}", quantile(&mut times, 0.5)));
        }
        println!(
            "{measure:?}, medians of the first searches, in groups of {TARGETS}: {} ms.",
            medians.join(", ")
        );
    }
    Ok(())
}

async fn cells(api: &Api, layers: &[LayerId], truth: &Truth) -> anyhow::Result<()> {
    let filters = [
        ("none", json!(null)),
        ("keeps 50%", json!({ "minAccuracy": 0.5 })),
        ("keeps 10%", json!({ "minAccuracy": 0.9 })),
        ("keeps 1%", json!({ "minAccuracy": 0.99 })),
        ("keeps 0.1%", json!({ "minAccuracy": 0.999 })),
        ("a tag (2%)", json!({ "tags": [TAG] })),
    ];
    println!(
        "\n| measure | filter | median | 95% | proven | recall@10 | where scores exceed 0.5 | proven on request: median |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let kinds = MEASURES
        .iter()
        .flat_map(|measure| filters.iter().map(move |filter| (*measure, filter)));
    for (cell, (measure, (name, filter))) in kinds.enumerate() {
        let row = one_cell(api, layers, cell + 1, measure, filter, truth).await?;
        println!("| {measure:?} | {name} | {row} |");
    }
    Ok(())
}

async fn one_cell(
    api: &Api,
    layers: &[LayerId],
    cell: usize,
    measure: Measure,
    filter: &Value,
    truth: &Truth,
) -> anyhow::Result<String> {
    let targets = targets(layers, cell);
    let request = |target: LayerId, exact: bool| SearchRequest {
        target,
        measure,
        filter,
        first: HITS,
        after: None,
        exact,
    };
    let mut responses = Vec::new();
    for &target in &targets {
        responses.push(api.search(&request(target, false)).await?);
    }
    let mut demanded = Vec::new();
    for &target in targets.iter().take(DEMANDED) {
        let response = api.search(&request(target, true)).await?;
        anyhow::ensure!(response.exact, "a proof was demanded and not given");
        demanded.push(response);
    }
    let rows: Vec<usize> = targets.iter().map(|target| (target.0 - layers[0].0) as usize).collect();
    let best = truth.best(&rows, measure, filter, HITS)?;
    let (mut all, mut high) = (Recall::default(), Recall::default());
    for (best, response) in best.iter().zip(&responses) {
        let recall = Recall::of(response, best);
        anyhow::ensure!(
            !response.exact || recall.is_full(),
            "a proven result is wrong: {best:?}, {:?}",
            response.hits
        );
        let is_proven = |score: &&f32| {
            response
                .complete_above
                .is_some_and(|bound| f64::from(**score) > bound + TOLERANCE)
        };
        anyhow::ensure!(
            recall.found >= best.iter().filter(is_proven).count(),
            "a result is less complete than it says"
        );
        all.add(recall);
        if best.first().is_some_and(|score| *score > 0.5) {
            high.add(recall);
        }
    }
    for (best, response) in best.iter().zip(&demanded) {
        anyhow::ensure!(
            Recall::of(response, best).is_full(),
            "a result whose proof was demanded is wrong"
        );
    }
    let share = 100 * responses.iter().filter(|response| response.exact).count() / responses.len();
    let mut searches: Vec<_> = responses.iter().map(|response| response.duration).collect();
    let mut scans: Vec<_> = demanded.iter().map(|response| response.duration).collect();
    let [median, late] = [0.5, 0.95].map(|share| quantile(&mut searches, share));
    let scan = quantile(&mut scans, 0.5);
    Ok(format!(
        "{median:.1} ms | {late:.1} ms | {share}% | {all} | {high} | {scan:.1} ms"
    ))
}

/// How many of the best layers were found.
#[derive(Debug, Clone, Copy, Default)]
struct Recall {
    found: usize,
    total: usize,
}

impl Recall {
    /// Hits count that score at least as high as the last of the best.
    fn of(response: &SearchResponse, best: &[f32]) -> Self {
        let last = best.last().map_or(f64::INFINITY, |score| f64::from(*score));
        let found = response
            .hits
            .iter()
            .filter(|(_, score)| *score >= last - TOLERANCE)
            .count();
        Self {
            found: found.min(best.len()),
            total: best.len(),
        }
    }

    fn is_full(&self) -> bool {
        self.found == self.total
    }

    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.total += other.total;
    }
}

impl std::fmt::Display for Recall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.total {
            0 => f.write_str("no layers"),
            total => write!(f, "{:.4} of {total}", self.found as f64 / total as f64),
        }
    }
}

async fn pages(api: &Api, layers: &[LayerId]) -> anyhow::Result<()> {
    let (mut after, mut seen, mut times, mut exact) = (None, std::collections::HashSet::new(), Vec::new(), 0);
    for _ in 0..PAGES {
        let request = SearchRequest {
            target: layers[layers.len() / 2],
            measure: Measure::DebiasedCka,
            filter: &json!(null),
            first: PAGE,
            after,
            exact: false,
        };
        let response = api.search(&request).await?;
        seen.extend(response.hits.into_iter().map(|(layer, _)| layer));
        times.push(response.duration.as_secs_f64() * 1e3);
        exact += usize::from(response.exact);
        after = Some(response.next.context("the last page came too early")?);
    }
    anyhow::ensure!(seen.len() == PAGE * PAGES, "pages repeat or miss layers");
    let times: Vec<_> = times.iter().map(|time| format!("{time:.0}")).collect();
    println!(
        "\n{PAGES} pages of {PAGE}: {} ms, {exact} of them exact; no layer appears twice.",
        times.join(", ")
    );
    Ok(())
}

/// In milliseconds.
fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e3
}
