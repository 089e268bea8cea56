//! The example queries of docs/sql.md, run by an analyst.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::{analyst, assert_agree, layer, owner, rows, similar};
use crate::support::networks::{constant_weights, initial_weights, perceptron};
use crate::support::server::Server;

const DOCUMENT: &str = include_str!("../../../docs/sql.md");

/// The ten queries in the order of the document.
fn queries() -> [&'static str; 10] {
    let blocks: Vec<_> = DOCUMENT
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    blocks.try_into().expect("there are ten queries")
}

/// A library with the model names of the demonstration: four networks of one architecture, two of which are equal, a
/// network of another architecture, one without vectors, a deleted one and a failed one.
async fn library(server: &Server) {
    let api = &server.api;
    let blocks = |text| serde_json::from_str::<Value>(text).unwrap();
    let plain = blocks(include_str!("../../../examples/plain.json"));
    let wide = blocks(include_str!("../../../examples/wide.json"));
    for (name, blocks, seed) in [("plain-1", &plain, 1), ("plain-2", &plain, 2), ("wide-1", &wide, 1)] {
        let model = api.model(name).await;
        api.train_and_wait(&model, blocks.clone(), json!({ "epochs": 2, "seed": seed }))
            .await;
    }
    let mut last = String::new();
    for name in ["plain-hasty", "twin", "gone"] {
        last = api.model(name).await;
        api.push_and_wait(&last, plain.clone(), initial_weights(&plain, 3))
            .await;
    }
    let delete = "mutation($input: DeleteModelInput!) { deleteModel(input: $input) { model { id } } }";
    api.data(delete, json!({ "input": { "id": last } })).await;
    let flat = constant_weights(&[("1.weight", &[10, 64], 0.0), ("1.bias", &[10], 1.0)]);
    let model = api.model("flat").await;
    api.push_and_wait(&model, perceptron(), flat).await;
    sqlx::raw_sql(
        "insert into version (model_id, number, status, format, dataset_id, parameter_count, multiply_accumulates, failure)
         select model_id, 2, 'FAILED', 'BLOCKS', dataset_id, 650, 640, '{}'
           from version join model using (model_id) where name = 'flat'",
    )
    .execute(&mut owner(server).await)
    .await
    .unwrap();
}

fn number(row: &Value, field: &str) -> f64 {
    row[field].as_f64().unwrap_or_else(|| panic!("{field} of {row:#}"))
}

/// The named fields of each row.
fn fields(rows: &[Value], names: &[&str]) -> Vec<Vec<Value>> {
    rows.iter()
        .map(|row| names.iter().map(|name| row[name].clone()).collect())
        .collect()
}

#[tokio::test]
async fn every_example_query_returns_what_the_document_says() {
    let server = Server::start().await;
    library(&server).await;
    let mut database = analyst(&server).await;
    let [
        growth,
        accuracy,
        nearest,
        better,
        unique,
        alike,
        prune,
        depth,
        export,
        groups,
    ] = queries();

    let weeks = rows(&mut database, growth).await;
    let total: f64 = weeks.iter().map(|week| number(week, "versions")).sum();
    assert_eq!((total, &weeks.last().unwrap()["versions_so_far"]), (6.0, &json!(6)));

    check_architectures(&rows(&mut database, accuracy).await);
    let found = rows(&mut database, nearest).await;
    let (_, id) = layer(&mut database, "plain-1", "2").await;
    let of_api = similar(
        &server.api,
        &id,
        json!({ "first": 5, "filter": { "minAccuracy": 0.5 } }),
    )
    .await;
    let compared = [
        "rank",
        "model_name",
        "version_number",
        "layer_name",
        "accuracy",
        "debiased_cka",
        "cka",
    ];
    let [found_fields, expected] = [&found, &of_api].map(|rows| json!(fields(rows, &compared)));
    assert_agree(&found_fields, &expected, "nearest layers");
    assert_eq!(found.len(), 5);

    check_cheaper_layers(&rows(&mut database, better).await);
    check_unique_layers(&mut database, unique).await;
    check_similar_models(&mut database, alike).await;
    check_prunable_layers(&mut database, prune).await;
    check_redundancy_by_depth(&mut database, depth).await;
    check_export(&mut database, export).await;
    check_groups(&rows(&mut database, groups).await);
    server.stop().await.unwrap();
}

fn check_architectures(architectures: &[Value]) {
    let plain = "Conv2d ReLU Conv2d ReLU MaxPool2d Conv2d ReLU Conv2d ReLU Linear ReLU Linear";
    let wide = "Conv2d ELU AvgPool2d Conv2d ELU AvgPool2d Linear ELU Linear";
    let by_kinds: BTreeMap<_, _> = architectures
        .iter()
        .map(|row| (row["kinds"].as_str().unwrap(), row))
        .collect();
    assert_eq!(by_kinds.keys().copied().collect::<Vec<_>>(), [wide, plain, "Linear"]);
    assert_eq!(
        [plain, wide, "Linear"].map(|kinds| by_kinds[kinds]["versions"].clone()),
        [json!(4), json!(1), json!(1)]
    );
    let (plain, flat) = (by_kinds[plain], by_kinds["Linear"]);
    assert!(number(plain, "best_accuracy") > 0.8 && number(plain, "mean_accuracy") < number(plain, "best_accuracy"));
    assert_eq!(flat["fewest_parameters"], 650);
    let means: Vec<_> = architectures.iter().map(|row| number(row, "mean_accuracy")).collect();
    assert!(means.is_sorted_by(|a, b| a >= b), "{means:?}");
}

fn check_cheaper_layers(rows: &[Value]) {
    assert!(!rows.is_empty());
    for row in rows {
        assert!(
            number(row, "accuracy") > 0.3,
            "better than an untrained network: {row:#}"
        );
        let (mine, theirs) = (
            number(row, "multiply_accumulates"),
            number(row, "their_multiply_accumulates"),
        );
        assert!(theirs > 0.0 && theirs < mine, "{row:#}");
        assert!(number(row, "debiased_cka") > 0.6);
        assert!(
            ["plain-1", "plain-2", "wide-1"].contains(&row["model_name"].as_str().unwrap()),
            "{row:#}"
        );
    }
}

/// The ten layers whose highest score with any layer of another model is lowest.
async fn check_unique_layers(database: &mut PgConnection, query: &str) {
    let found = rows(database, query).await;
    let every_pair = "select mine.model_name, mine.name,
                             max(analytics.debiased_cka(mine.layer_id, theirs.layer_id)) as debiased_cka
                        from analytics.layers as mine
                        join analytics.layers as theirs on theirs.model_id <> mine.model_id
                       group by mine.layer_id, mine.model_name, mine.name
                      having max(analytics.debiased_cka(mine.layer_id, theirs.layer_id)) is not null
                       order by debiased_cka
                       limit 10";
    let compared = ["model_name", "name", "debiased_cka"];
    assert_eq!(
        fields(&found, &compared),
        fields(&rows(database, every_pair).await, &compared)
    );
    assert_eq!(found.len(), 10);
    assert!(
        found
            .iter()
            .all(|row| row["model_name"] != "twin" && row["model_name"] != "plain-hasty")
    );
}

/// All pairs of models with vectors, the two equal models first.
async fn check_similar_models(database: &mut PgConnection, query: &str) {
    let pairs = rows(database, query).await;
    assert_eq!(pairs.len(), 10, "five models have vectors");
    let names = |row: &Value| BTreeSet::from([row["model"].to_string(), row["other_model"].to_string()]);
    assert_eq!(
        names(&pairs[0]),
        BTreeSet::from(["\"plain-hasty\"".to_owned(), "\"twin\"".to_owned()])
    );
    assert!((number(&pairs[0], "similarity") - 1.0).abs() < 1e-6, "{pairs:#?}");
    let by_calls = "select avg(best) as similarity
                      from (select max(analytics.debiased_cka(mine.layer_id, theirs.layer_id)) as best
                              from analytics.layers as mine
                              join analytics.layers as theirs on theirs.model_name <> mine.model_name
                             where mine.model_name in ('plain-1', 'plain-2')
                               and theirs.model_name in ('plain-1', 'plain-2')
                             group by mine.layer_id) as match";
    let expected = number(&rows(database, by_calls).await[0], "similarity");
    let seeds = BTreeSet::from(["\"plain-1\"".to_owned(), "\"plain-2\"".to_owned()]);
    let found = pairs.iter().find(|row| names(row) == seeds).unwrap();
    assert!(
        (number(found, "similarity") - expected).abs() < 1e-9,
        "{found:#} is not {expected}"
    );
}

/// Layers that compute nearly the same as the previous layer; equal models have the same ones.
async fn check_prunable_layers(database: &mut PgConnection, query: &str) {
    let found = rows(database, query).await;
    let of = |model: &str| -> BTreeMap<String, f64> {
        let rows = found.iter().filter(|row| row["model_name"] == model);
        rows.map(|row| (row["name"].to_string(), number(row, "unchanged")))
            .collect()
    };
    assert!(!of("twin").is_empty(), "{found:#?}");
    assert_eq!(of("twin"), of("plain-hasty"));
    for row in &found {
        assert!(
            number(row, "unchanged") > 0.95 && number(row, "multiply_accumulates") > 0.0,
            "{row:#}"
        );
    }
    // Layer 2 follows layer 1, and so on.
    let one_by_one = "select theirs.name, analytics.cka(mine.layer_id, theirs.layer_id) as unchanged
                        from analytics.layers as mine
                        join analytics.layers as theirs
                          on theirs.version_id = mine.version_id and theirs.index = mine.index + 1
                       where mine.model_name = 'twin'
                         and theirs.multiply_accumulates > 0";
    let expected: BTreeMap<_, _> = rows(database, one_by_one)
        .await
        .iter()
        .map(|row| (row["name"].to_string(), number(row, "unchanged")))
        .filter(|(_, unchanged)| *unchanged > 0.95)
        .collect();
    assert_eq!(of("twin"), expected);
}

/// One row per version: equal models have equal rows, and a network with one layer has no values.
async fn check_redundancy_by_depth(database: &mut PgConnection, query: &str) {
    let found = rows(database, query).await;
    let quarters = ["first_quarter", "second_quarter", "third_quarter", "last_quarter"];
    let of: BTreeMap<_, _> = found
        .iter()
        .map(|row| {
            (
                row["model_name"].as_str().unwrap(),
                quarters.map(|quarter| row[quarter].clone()),
            )
        })
        .collect();
    let names: Vec<_> = of.keys().copied().collect();
    assert_eq!(names, ["flat", "plain-1", "plain-2", "plain-hasty", "twin", "wide-1"]);
    assert_eq!(of["flat"], [Value::Null, Value::Null, Value::Null, Value::Null]);
    assert_eq!(of["twin"], of["plain-hasty"]);
    for quarter in &of["plain-1"] {
        assert!((0.0..=1.0).contains(&quarter.as_f64().unwrap()), "{of:#?}");
    }
    // The last quarter of twelve layers is 9, 10 and 11, each compared with the previous one.
    let last = "select avg(analytics.debiased_cka(mine.layer_id, theirs.layer_id)) as similarity
                  from analytics.layers as mine
                  join analytics.layers as theirs on theirs.version_id = mine.version_id and theirs.index = mine.index + 1
                 where mine.model_name = 'plain-1' and theirs.index >= 9";
    let expected = number(&rows(database, last).await[0], "similarity");
    assert!((of["plain-1"][3].as_f64().unwrap() - expected).abs() < 1e-12);
}

/// One line with the whole vector per layer that has one.
async fn check_export(database: &mut PgConnection, statement: &str) {
    use futures::TryStreamExt;
    let statement = statement.trim().trim_end_matches(';');
    let stream = database.copy_out_raw(statement).await.unwrap();
    let bytes: Vec<u8> = stream
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
        .unwrap();
    let file = String::from_utf8(bytes).unwrap();
    let mut lines = file.lines();
    assert_eq!(
        lines.next().unwrap(),
        "layer_id,model_name,version_number,index,name,kind,part,lead,tail"
    );
    let lines: Vec<_> = lines.collect();
    let mut vectors: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for line in lines {
        let (layer, _) = line.split_once(',').unwrap();
        let (lead, tail) = vectors.entry(layer).or_default();
        let mut parts = line.split('"').filter(|field| field.starts_with('['));
        for numbers in [lead, tail] {
            let part: Vec<f64> = parts
                .next()
                .map_or(Vec::new(), |part| serde_json::from_str(part).unwrap());
            numbers.extend(part);
        }
    }
    assert_eq!(vectors.len(), 4 * 12 + 9);
    for (lead, tail) in vectors.values() {
        assert_eq!((lead.len(), tail.len()), (4850, 100));
        let squares: f64 = lead.iter().chain(tail).map(|number| number * number).sum();
        assert!((squares - 1.0).abs() < 1e-5, "the vector has length one");
    }
}

/// Each layer is in at most one group, and equal layers are in the same group.
fn check_groups(groups: &[Value]) {
    let of: Vec<BTreeSet<&str>> = groups
        .iter()
        .map(|group| {
            group["members"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap())
                .collect()
        })
        .collect();
    let all: BTreeSet<_> = of.iter().flatten().copied().collect();
    assert_eq!(all.len(), of.iter().map(BTreeSet::len).sum::<usize>(), "{groups:#?}");
    for (group, members) in groups.iter().zip(&of) {
        assert!(members.len() > 1, "{group:#}");
        assert_eq!(group["layers"], members.len());
    }
    for layer in ["0", "1", "2", "12"] {
        let twins = [format!("plain-hasty:1 {layer}"), format!("twin:1 {layer}")];
        assert!(
            of.iter()
                .any(|members| twins.iter().all(|twin| members.contains(twin.as_str()))),
            "{twins:?} in {groups:#?}"
        );
    }
    let sizes: Vec<_> = of.iter().map(BTreeSet::len).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "the largest group first: {sizes:?}");
}
