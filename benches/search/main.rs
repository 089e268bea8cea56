//! Compares the search with the exact scan, through the GraphQL API of a running server, on a library that grows during
//! the run.
//!
//! `just bench-search [layers…]` takes the sizes to measure at, in ascending order (default: 10,000 and 100,000; a
//! layer takes 30 KB on disk). Every request is sent once, so that no response comes from the cache. Prints tables for
//! docs/benchmarks.md.

#![expect(clippy::print_stdout, reason = "a benchmark prints its results")]

mod api;
mod choices;
mod fill;
mod library;

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
use scv_store::{Store, embedded};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

/// Searches per cell of a table.
const TARGETS: usize = 100;
const HITS: usize = 10;
/// Time limit for all exact scans of a cell, after at least `MIN_SCANS`.
const SCAN_BUDGET: Duration = Duration::from_secs(75);
const MIN_SCANS: usize = 25;
/// The layers of a library that are written while its indexes exist.
const WRITTEN_ONE_BY_ONE: usize = 2_000;
/// The largest library whose indexes are also built with other settings.
const MAX_CONSTRUCTION_LAYERS: usize = 10_000;
/// The cells whose targets are searched with either measure before anything is timed.
const WARM_UP_CELLS: std::ops::Range<usize> = 13..17;
const PAGE: usize = 100;
const PAGES: usize = 10;
const MEASURES: [Measure; 2] = [Measure::DebiasedCka, Measure::Cka];

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
    let sizes = arguments.iter().map(|argument| argument.parse());
    let mut sizes: Vec<usize> = sizes.collect::<Result<_, _>>().context("sizes must be whole numbers")?;
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    runtime.block_on(bench(&sizes))
}

async fn bench(sizes: &[usize]) -> anyhow::Result<()> {
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
        ..defaults
    })
    .await?;
    let (api, shutdown) = (Api::new(app.address()), CancellationToken::new());
    let running = tokio::spawn(app.run(shutdown.clone()));
    let outcome = match Store::connect(database.clone(), 2, Duration::from_secs(3_600)).await {
        Ok(store) => measure(sizes, store, &database, &api).await,
        Err(error) => Err(error.into()),
    };
    shutdown.cancel();
    running.await??;
    cluster.stop().await;
    outcome
}

async fn measure(sizes: &[usize], store: Store, database: &PgConnectOptions, api: &Api) -> anyhow::Result<()> {
    let mut filler = Filler::new(store).await?;
    println!(
        "{} real layer vectors; the others are copies of them with noise\n",
        filler.real_count()
    );
    let probe_set = filler.probe_set().id;
    choices::sketch_lengths(&mut filler)?;
    for &size in sizes {
        println!("\n## {size} layers\n");
        if let Some(bulk) = size
            .checked_sub(WRITTEN_ONE_BY_ONE)
            .filter(|bulk| *bulk > filler.layers.len())
        {
            let duration = filler.fill_in_bulk(bulk, |_| Ok(())).await?;
            println!(
                "Both indexes of {bulk} layers built in {:.0} s.",
                duration.as_secs_f64()
            );
        }
        let before = filler.layers.len();
        let writing = filler.fill(size, |_| Ok(())).await?;
        let rate = (filler.layers.len() - before) as f64 / writing.as_secs_f64();
        println!("The last {WRITTEN_ONE_BY_ONE} written at {rate:.0} layers per second, twenty per transaction.");
        warm_up(api, &filler.layers).await?;
        cells(api, &filler.layers).await?;
        pages(api, &filler.layers).await?;
        choices::compare_candidate_selection(&filler).await?;
        choices::ef_search(database, probe_set, &filler.layers).await?;
        if size <= MAX_CONSTRUCTION_LAYERS {
            choices::construction(database, probe_set).await?;
        }
    }
    rebuild(api, probe_set).await
}

async fn rebuild(api: &Api, probe_set: ProbeSetId) -> anyhow::Result<()> {
    let started = Instant::now();
    let query =
        "mutation($input: RebuildSearchIndexInput!) { rebuildSearchIndex(input: $input) { layerCount byteCount } }";
    let index = api
        .data(query, json!({ "input": { "probeSetId": probe_set.encode() } }))
        .await?;
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "\nBoth indexes rebuilt in {seconds:.0} s: {}",
        index["rebuildSearchIndex"]
    );
    Ok(())
}

/// Layers spread over the library, different ones in each cell: a repeated request would be served from the cache.
fn targets(layers: &[LayerId], cell: usize) -> Vec<LayerId> {
    let stride = layers.len() / TARGETS;
    layers
        .iter()
        .skip(cell * 13)
        .step_by(stride)
        .take(TARGETS)
        .copied()
        .collect()
}

/// Loads the index and the vectors into memory, as in a library in use.
async fn warm_up(api: &Api, layers: &[LayerId]) -> anyhow::Result<()> {
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

async fn cells(api: &Api, layers: &[LayerId]) -> anyhow::Result<()> {
    let filters = [
        ("none", json!(null)),
        ("keeps 50%", json!({ "minAccuracy": 0.5 })),
        ("keeps 10%", json!({ "minAccuracy": 0.9 })),
        ("keeps 1%", json!({ "minAccuracy": 0.99 })),
        ("keeps 0.1%", json!({ "minAccuracy": 0.999 })),
        ("a tag (2%)", json!({ "tags": [TAG] })),
    ];
    println!("\n| measure | filter | search median | 95% | exact results | recall@10 | exact scan median |");
    println!("|---|---|---|---|---|---|---|");
    let kinds = MEASURES
        .iter()
        .flat_map(|measure| filters.iter().map(move |filter| (*measure, filter)));
    for (cell, (measure, (name, filter))) in kinds.enumerate() {
        let row = one_cell(api, &targets(layers, cell + 1), measure, filter).await?;
        println!("| {measure:?} | {name} | {row} |");
    }
    Ok(())
}

async fn one_cell(api: &Api, targets: &[LayerId], measure: Measure, filter: &Value) -> anyhow::Result<String> {
    let request = |target: LayerId, exact: bool| SearchRequest {
        target,
        measure,
        filter,
        first: HITS,
        after: None,
        exact,
    };
    // All searches before the first scan, which fills the processor's caches with data that no search needs.
    let mut responses = Vec::new();
    for &target in targets {
        responses.push(api.search(&request(target, false)).await?);
    }
    let (mut found, mut total, mut scans) = (0, 0, Vec::new());
    for (&target, response) in targets.iter().zip(&responses) {
        if scans.len() >= MIN_SCANS && scans.iter().sum::<Duration>() >= SCAN_BUDGET {
            break;
        }
        let truth = api.search(&request(target, true)).await?;
        anyhow::ensure!(
            response.hits.len() == truth.hits.len(),
            "the search found fewer layers than the exact scan"
        );
        found += count_correct(response, &truth);
        total += truth.hits.len();
        scans.push(truth.duration);
    }
    let share = 100 * responses.iter().filter(|response| response.exact).count() / responses.len();
    let mut searches: Vec<_> = responses.iter().map(|response| response.duration).collect();
    let recall = match total {
        0 => "no layers".to_owned(),
        _ => format!("{:.3} of {total}", found as f64 / total as f64),
    };
    let [median, high] = [0.5, 0.95].map(|share| quantile(&mut searches, share));
    let scan = quantile(&mut scans, 0.5);
    Ok(format!(
        "{median:.1} ms | {high:.1} ms | {share}% | {recall} | {scan:.1} ms"
    ))
}

/// Hits whose score is at least that of the last true hit.
fn count_correct(response: &SearchResponse, truth: &SearchResponse) -> usize {
    let worst = truth.hits.last().map_or(f64::INFINITY, |(_, score)| *score);
    response.hits.iter().filter(|(_, score)| *score >= worst).count()
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
