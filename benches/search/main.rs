//! Search against the exact scan, through the GraphQL API of a running server, on one library that grows in one run.
//!
//! `just bench-search [layers…]`: the sizes to measure at, ascending (10,000 and 100,000 if left out, as far as the disk
//! allows: a layer takes 30 KB). Every question is
//! asked once, so that no answer comes out of the cache. Prints tables for docs/benchmarks.md.

#![expect(clippy::print_stdout, reason = "a benchmark speaks to the person at the terminal")]

mod api;
mod choices;
mod fill;
mod library;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use api::{Answer, Api, Question};
use library::{Filler, TAG};
use scv::app::App;
use scv::config::Config;
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::vector::Measure;
use scv::graphql::id::GlobalId as _;
use scv_store::{Store, embedded};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

/// Searches timed in a cell.
const TARGETS: usize = 100;
const HITS: usize = 10;
/// Time that the exact scans of a cell may take together; there are 25 of them even if it is over.
const PATIENCE: Duration = Duration::from_secs(75);
const MIN_SCANS: usize = 25;
/// Of a library, the layers that are written while its indexes are in use.
const WRITTEN_ONE_BY_ONE: usize = 2_000;
/// Of libraries up to this size, indexes are made with other settings too.
const MAX_REPEATED_LAYERS: usize = 10_000;
/// The targets of so many cells are asked for before anything is timed, by either measure.
const WARM_UP_CELLS: std::ops::Range<usize> = 13..17;
const PAGE: usize = 100;
const PAGES: usize = 10;
const MEASURES: [Measure; 2] = [Measure::DebiasedCka, Measure::Cka];

fn main() -> anyhow::Result<()> {
    // Cargo passes `--bench` along.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let runtime = tokio::runtime::Runtime::new()?;
    if let [word, folder, count] = arguments.as_slice()
        && word == "fill"
    {
        return runtime.block_on(fill::fill(Path::new(folder), count.parse()?));
    }
    let sizes = arguments.iter().map(|argument| argument.parse());
    let mut sizes: Vec<usize> = sizes.collect::<Result<_, _>>().context("sizes are whole numbers")?;
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    runtime.block_on(bench(&sizes))
}

async fn bench(sizes: &[usize]) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("scv-bench-").tempdir_in("/tmp")?;
    // Started as root, PostgreSQL runs as another user, who has to pass through.
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
        "{} real layer vectors, the others copies of them with noise\n",
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
            let took = filler.fill_in_bulk(bulk, |_| Ok(())).await?;
            println!("Both indexes made of {bulk} layers in {:.0} s.", took.as_secs_f64());
        }
        let before = filler.layers.len();
        let writing = filler.fill(size, |_| Ok(())).await?;
        let rate = (filler.layers.len() - before) as f64 / writing.as_secs_f64();
        println!("The last {WRITTEN_ONE_BY_ONE} written at {rate:.0} layers a second, twenty to a transaction.");
        warm_up(api, &filler.layers).await?;
        cells(api, &filler.layers).await?;
        pages(api, &filler.layers).await?;
        choices::ways(&filler).await?;
        choices::ef_search(database, probe_set, &filler.layers).await?;
        if size <= MAX_REPEATED_LAYERS {
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
        "\nBoth indexes made anew in {seconds:.0} s: {}",
        index["rebuildSearchIndex"]
    );
    Ok(())
}

/// Layers spread over the library, others in each cell: a question asked twice would be answered from the cache.
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

/// Brings the index and the vectors into memory, where they are in a library that is in use.
async fn warm_up(api: &Api, layers: &[LayerId]) -> anyhow::Result<()> {
    for measure in MEASURES {
        let mut medians = Vec::new();
        for cell in WARM_UP_CELLS {
            let mut times = Vec::new();
            for target in targets(layers, cell) {
                let question = Question {
                    target,
                    measure,
                    filter: &json!(null),
                    first: HITS,
                    after: None,
                    exact: false,
                };
                times.push(api.search(&question).await?.took);
            }
            medians.push(format!("{:.1}", quantile(&mut times, 0.5)));
        }
        println!(
            "By {measure:?}, medians of the first searches, {TARGETS} at a time: {} ms.",
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
    println!("\n| measure | filter | search median | 95% | answered exactly | recall@10 | exact scan median |");
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
    let question = |target: LayerId, exact: bool| Question {
        target,
        measure,
        filter,
        first: HITS,
        after: None,
        exact,
    };
    // All of them before the first scan, which leaves the processor's caches full of what no search needs.
    let mut answers = Vec::new();
    for &target in targets {
        answers.push(api.search(&question(target, false)).await?);
    }
    let (mut found, mut there, mut scans) = (0, 0, Vec::new());
    for (&target, answer) in targets.iter().zip(&answers) {
        if scans.len() >= MIN_SCANS && scans.iter().sum::<Duration>() >= PATIENCE {
            break;
        }
        let truth = api.search(&question(target, true)).await?;
        anyhow::ensure!(answer.hits.len() == truth.hits.len(), "fewer rows than there are");
        found += agreeing(answer, &truth);
        there += truth.hits.len();
        scans.push(truth.took);
    }
    let share = 100 * answers.iter().filter(|answer| answer.exact).count() / answers.len();
    let mut searches: Vec<_> = answers.iter().map(|answer| answer.took).collect();
    let recall = match there {
        0 => "no layer there".to_owned(),
        _ => format!("{:.3} of {there}", found as f64 / there as f64),
    };
    let [median, high] = [0.5, 0.95].map(|share| quantile(&mut searches, share));
    let scan = quantile(&mut scans, 0.5);
    Ok(format!(
        "{median:.1} ms | {high:.1} ms | {share}% | {recall} | {scan:.1} ms"
    ))
}

/// Hits that are among the true ones, or as good as the last of them.
fn agreeing(answer: &Answer, truth: &Answer) -> usize {
    let worst = truth.hits.last().map_or(f64::INFINITY, |(_, score)| *score);
    answer.hits.iter().filter(|(_, score)| *score >= worst).count()
}

async fn pages(api: &Api, layers: &[LayerId]) -> anyhow::Result<()> {
    let (mut after, mut seen, mut times, mut exact) = (None, std::collections::HashSet::new(), Vec::new(), 0);
    for _ in 0..PAGES {
        let question = Question {
            target: layers[layers.len() / 2],
            measure: Measure::DebiasedCka,
            filter: &json!(null),
            first: PAGE,
            after,
            exact: false,
        };
        let answer = api.search(&question).await?;
        seen.extend(answer.hits.into_iter().map(|(layer, _)| layer));
        times.push(answer.took.as_secs_f64() * 1e3);
        exact += usize::from(answer.exact);
        after = Some(answer.next.context("there is a next page")?);
    }
    anyhow::ensure!(seen.len() == PAGE * PAGES, "pages repeat layers or lose them");
    let times: Vec<_> = times.iter().map(|time| format!("{time:.0}")).collect();
    println!(
        "\n{PAGES} pages of {PAGE}: {} ms, {exact} of them exact; no layer twice.",
        times.join(", ")
    );
    Ok(())
}

/// In milliseconds.
fn quantile(times: &mut [Duration], share: f64) -> f64 {
    times.sort();
    times[(share * (times.len() - 1) as f64) as usize].as_secs_f64() * 1e3
}
