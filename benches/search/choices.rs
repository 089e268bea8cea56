//! Measurements behind the constants of the search: the length of a sketch, the number of candidates, and how
//! far the index is searched.

use std::time::Instant;

use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::vector::{Measure, SketchedVector};
use scv_store::{Candidates, SearchScope, SearchTarget, SearchWindow};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _};

use crate::MEASURES;
use crate::library::{Filler, statements};

const SAMPLE: usize = 20_000;
const TARGETS: usize = 50;
const HITS: usize = 10;
const LENGTHS: [usize; 3] = [128, 256, 512];
const CANDIDATES: [usize; 4] = [30, 50, 100, 200];
const CONSTRUCTIONS: [(u32, u32); 5] = [(16, 64), (24, 128), (24, 400), (48, 200), (24, 800)];
const ADMITTED: [usize; 7] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000];
const CONSTRUCTION_TARGETS: usize = 200;

/// recall@10 among the best candidates by sketch, for prefixes of our sketches, without an index.
pub(crate) fn sketch_lengths(filler: &mut Filler) -> anyhow::Result<()> {
    let sample = filler.sample(SAMPLE)?;
    println!("recall@10 by length of the sketch and candidates, {SAMPLE} layers, debiased CKA / CKA\n");
    println!("| length | {} |", CANDIDATES.map(|count| count.to_string()).join(" | "));
    println!("|---|{}", "---|".repeat(CANDIDATES.len()));
    let targets: Vec<_> = sample.iter().step_by(SAMPLE / TARGETS).collect();
    let truths = MEASURES.map(|measure| {
        let truth = |target: &&SketchedVector| nearest(&sample, HITS, |other| exact(measure, target, other));
        targets.iter().map(truth).collect::<Vec<_>>()
    });
    for length in LENGTHS {
        let cells = CANDIDATES.map(|count| {
            let recalls = [0, 1].map(|index| {
                let found: usize = targets
                    .iter()
                    .zip(&truths[index])
                    .map(|(target, truth)| {
                        let own = &sketch(MEASURES[index], target)[..length];
                        let near = nearest(&sample, count, |other| {
                            cosine(own, &sketch(MEASURES[index], other)[..length])
                        });
                        truth.iter().filter(|index| near.contains(index)).count()
                    })
                    .sum();
                format!("{:.3}", found as f64 / (HITS * targets.len()) as f64)
            });
            recalls.join(" / ")
        });
        println!("| {length} | {} |", cells.join(" | "));
    }
    Ok(())
}

fn exact(measure: Measure, a: &SketchedVector, b: &SketchedVector) -> f32 {
    let (a, b) = (&a.vector, &b.vector);
    match measure {
        Measure::DebiasedCka => cosine(&a.lead, &b.lead),
        Measure::Cka => dot(&a.lead, &b.lead) + dot(&a.tail, &b.tail),
    }
}

fn sketch(measure: Measure, layer: &SketchedVector) -> &[f32] {
    match measure {
        Measure::DebiasedCka => &layer.debiased_sketch,
        Measure::Cka => &layer.cka_sketch,
    }
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest = a.len() / 16 * 16;
    sums.iter().sum::<f32>() + a[rest..].iter().zip(&b[rest..]).map(|(a, b)| a * b).sum::<f32>()
}

fn nearest(sample: &[SketchedVector], count: usize, score: impl Fn(&SketchedVector) -> f32) -> Vec<usize> {
    let mut scored: Vec<_> = sample
        .iter()
        .enumerate()
        .map(|(index, other)| (score(other), index))
        .collect();
    scored.select_nth_unstable_by(count - 1, |a, b| b.0.total_cmp(&a.0));
    scored[..count].iter().map(|(_, index)| *index).collect()
}

/// How many of the ten nearest sketches are among the first hundred that an index finds, by the settings that the index
/// is built with: `m` neighbours per node, and `ef_construction` candidates for them.
pub(crate) async fn construction(database: &PgConnectOptions, probe_set: ProbeSetId) -> anyhow::Result<()> {
    let mut connection = database.connect().await?;
    let setup = format!(
        "create temporary table copy (layer_id bigint, sketch halfvec(512) storage plain);
         insert into copy select sketch_id, debiased_sketch from sketch_{};
         create temporary table target as select * from copy order by hashint8(layer_id) limit {CONSTRUCTION_TARGETS};
         create temporary table nearest as
         select target.layer_id as target, near.layer_id
           from target cross join lateral
                (select layer_id from copy order by copy.sketch <-> target.sketch limit {HITS}) as near;
         set maintenance_work_mem = '1GB'; set hnsw.iterative_scan = relaxed_order",
        probe_set.0
    );
    statements(&mut connection, setup).await?;
    println!("\n| m | ef_construction | build time | ef_search 100 | 150 | 200 |\n|---|---|---|---|---|---|");
    for (m, ef_construction) in CONSTRUCTIONS {
        let started = Instant::now();
        let build = format!(
            "create index of_copy on copy using hnsw (sketch halfvec_l2_ops)
               with (m = {m}, ef_construction = {ef_construction});
             analyze copy; set enable_seqscan = off"
        );
        statements(&mut connection, build).await?;
        let seconds = started.elapsed().as_secs_f64();
        let mut recalls = Vec::new();
        for ef_search in [100, 150, 200] {
            statements(&mut connection, format!("set hnsw.ef_search = {ef_search}")).await?;
            let found: i64 = sqlx::query_scalar(
                "select count(*)
                   from (select target.layer_id as target, near.layer_id
                           from target cross join lateral
                                (select layer_id from copy order by copy.sketch <-> target.sketch limit 100) as near
                        ) as found
                   join nearest using (target, layer_id)",
            )
            .fetch_one(&mut connection)
            .await?;
            recalls.push(found as f64 / (HITS * CONSTRUCTION_TARGETS) as f64);
        }
        println!(
            "| {m} | {ef_construction} | {seconds:.0} s | {:.4} | {:.4} | {:.4} |",
            recalls[0], recalls[1], recalls[2]
        );
        statements(&mut connection, "drop index of_copy; reset enable_seqscan".to_owned()).await?;
    }
    Ok(())
}

/// The times of the three ways to choose candidates, by how many layers a filter admits.
pub(crate) async fn compare_candidate_selection(filler: &Filler) -> anyhow::Result<()> {
    println!("\n| layers admitted | all scored | sketches sorted | index |\n|---|---|---|---|");
    let stride = filler.layers.len() / TARGETS;
    let targets: Vec<_> = filler.layers.iter().step_by(stride).take(TARGETS).collect();
    for admitted in ADMITTED.iter().filter(|admitted| **admitted <= filler.layers.len() / 2) {
        let scope = SearchScope {
            min_accuracy: Some(1.0 - *admitted as f64 / filler.layers.len() as f64),
            ..SearchScope::default()
        };
        print!("| {admitted} |");
        for candidates in [Candidates::All, Candidates::Sorted(100), Candidates::Indexed(100)] {
            let window = SearchWindow {
                measure: Measure::DebiasedCka,
                candidates,
                after: None,
                limit: HITS,
            };
            let mut times = Vec::new();
            for &target in &targets {
                let (target, started) = (SearchTarget::Layer(*target), Instant::now());
                filler
                    .store
                    .search(target, filler.probe_set().id, &scope, &window)
                    .await?;
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            print!(" {:.1} ms |", times[times.len() / 2]);
        }
        println!();
    }
    Ok(())
}

/// The share of the 200 nearest sketches that the index finds, and the time it takes.
pub(crate) async fn ef_search(
    database: &PgConnectOptions,
    probe_set: ProbeSetId,
    layers: &[LayerId],
) -> anyhow::Result<()> {
    let mut connection = database.connect().await?;
    let table = format!("layer_sketch_{0} join sketch_{0} using (sketch_id)", probe_set.0);
    println!("\n| ef_search | share of the 200 nearest sketches | median |\n|---|---|---|");
    let targets: Vec<_> = layers.iter().step_by(layers.len() / TARGETS).take(TARGETS).collect();
    let mut truths = Vec::new();
    for &target in &targets {
        truths.push(candidates(&mut connection, &table, *target, None).await?.0);
    }
    for ef_search in [40, 100, 150, 200, 400] {
        let (mut found, mut times) = (0, Vec::new());
        for (&target, truth) in targets.iter().zip(&truths) {
            let (near, time) = candidates(&mut connection, &table, *target, Some(ef_search)).await?;
            found += near.iter().filter(|layer| truth.contains(layer)).count();
            times.push(time);
        }
        times.sort_by(f64::total_cmp);
        let share = found as f64 / truths.iter().map(Vec::len).sum::<usize>() as f64;
        println!("| {ef_search} | {share:.3} | {:.1} ms |", times[times.len() / 2]);
    }
    Ok(())
}

async fn candidates(
    connection: &mut PgConnection,
    table: &str,
    target: LayerId,
    ef_search: Option<u32>,
) -> anyhow::Result<(Vec<i64>, f64)> {
    let scan = match ef_search {
        Some(ef_search) => format!(
            "set hnsw.ef_search = {ef_search}; set hnsw.iterative_scan = relaxed_order;
             set enable_indexscan = on; set enable_seqscan = off"
        ),
        None => "set enable_indexscan = off; set enable_seqscan = on".to_owned(),
    };
    statements(connection, scan).await?;
    let query = format!(
        "select layer_id from {table}
          where searchable
          order by debiased_sketch <-> (select debiased_sketch from {table} where layer_id = {target})
          limit 200"
    );
    let started = Instant::now();
    // Not prepared: a cached plan would ignore the settings above.
    let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(connection).await?;
    let time = started.elapsed().as_secs_f64() * 1e3;
    Ok((rows.iter().map(|row| row.get(0)).collect(), time))
}
