//! Comparisons of whole versions.

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::insight::{list, number};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

const SIMILAR_VERSIONS: &str =
    "query($id: ID!, $first: Int!, $after: String, $filter: SimilarityFilter, $measure: Measure!) {
    version(id: $id) {
      similarVersions(first: $first, after: $after, filter: $filter, measure: $measure) {
        exact totalCount nodes { id } pageInfo { hasNextPage endCursor }
        edges { rank score node { id number model { name } }
                bestMatches { score layer { name } otherLayer { name } }
                alignment { score pairs { score layer { name } otherLayer { name } } } } } } }";

const MATRIX: &str = "query($a: ID!, $b: ID!, $measure: Measure!, $layerKinds: [String!]!) {
    ckaMatrix(a: $a, b: $b, measure: $measure, layerKinds: $layerKinds) {
      a { id } b { id } measure probeSet { imageCount }
      rows { id name } columns { id name } scores bestMatchAverage
      bestMatches { score layer { id } otherLayer { id } } alignment { score pairs { score } }
      svg: plot png: plot(format: PNG) } }";

async fn version(api: &Client, model: &str, seed: u64) -> String {
    let model = api.model(model).await;
    api.push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
        .await
}

async fn similar_versions(api: &Client, id: &str, arguments: Value) -> Value {
    api.data(SIMILAR_VERSIONS, variables(id, arguments)).await["version"]["similarVersions"].take()
}

fn variables(id: &str, arguments: Value) -> Value {
    let mut variables = json!({ "id": id, "first": 10, "measure": "DEBIASED_CKA" });
    for (name, value) in arguments.as_object().unwrap() {
        variables[name] = value.clone();
    }
    variables
}

fn names(response: &Value) -> Vec<String> {
    let edges = list(&response["edges"]).iter();
    edges.map(|edge| text(&edge["node"]["model"]["name"])).collect()
}

#[tokio::test]
async fn the_most_similar_versions_are_found_with_their_matching_layers() {
    let server = Server::start().await;
    let api = &server.api;
    let target = version(api, "target", 1).await;
    let other = version(api, "other", 2).await;
    version(api, "copy", 1).await;
    let flat = api.model("flat").await;
    api.push_and_wait(&flat, perceptron(), initial_weights(&perceptron(), 1))
        .await;

    let found = similar_versions(api, &target, json!({})).await;

    assert_eq!(names(&found), ["copy", "other", "flat"]);
    assert_eq!(found["exact"], true, "all of so few versions are compared");
    assert_eq!(found["nodes"][1]["id"], other);
    let [copy, other, flat] = list(&found["edges"]) else {
        panic!("three hits: {found:#}")
    };
    assert!((number(&copy["score"]) - 1.0).abs() < 1e-5, "{copy:#}");
    assert!((number(&copy["alignment"]["score"]) - 1.0).abs() < 1e-5, "{copy:#}");
    for pair in list(&copy["alignment"]["pairs"]) {
        assert_eq!(pair["layer"], pair["otherLayer"], "a copy matches layer by layer");
    }
    assert_eq!(list(&other["bestMatches"]).len(), 7, "one for each layer of the target");
    assert!(number(&flat["score"]) < number(&other["score"]));
    assert!(
        list(&flat["alignment"]["pairs"]).len() < 7,
        "a shorter network cannot match each layer"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_search_for_versions_applies_its_filter() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("target").await;
    let target = api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    api.push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 3))
        .await;
    version(api, "other", 2).await;

    let own = similar_versions(api, &target, json!({ "filter": { "includeOwnModel": true } })).await;
    assert_eq!(
        names(&own).len(),
        2,
        "the sibling, and never the version itself: {own:#}"
    );
    assert_eq!(names(&similar_versions(api, &target, json!({})).await), ["other"]);
    let linear = similar_versions(api, &target, json!({ "filter": { "layerKinds": ["Linear"] } })).await;
    assert_eq!(list(&linear["edges"][0]["bestMatches"]).len(), 1, "{linear:#}");
    let none = similar_versions(api, &target, json!({ "filter": { "minScore": 0.999 } })).await;
    assert!(names(&none).is_empty());
    let (code, message) = api
        .error(
            SIMILAR_VERSIONS,
            variables(&target, json!({ "filter": { "layerKinds": ["Softmax"] } })),
        )
        .await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("target:1 has no layers of kind Softmax"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_search_among_many_versions_compares_candidates_and_finds_the_most_similar_one() {
    let server = Server::start().await;
    let api = &server.api;
    let target = version(api, "target", 1).await;
    for seed in 2..56 {
        version(api, &format!("other-{seed}"), seed).await;
    }
    version(api, "copy", 1).await;

    let found = similar_versions(api, &target, json!({ "first": 3 })).await;

    assert_eq!(found["exact"], false);
    assert_eq!(names(&found)[0], "copy");
    assert_eq!(names(&found).len(), 3);
    // More versions than the nearest layers belong to: the page is still full.
    let many = similar_versions(
        api,
        &target,
        json!({ "first": 25, "filter": { "layerKinds": ["Linear"] } }),
    )
    .await;
    assert_eq!((&many["exact"], names(&many).len()), (&json!(false), 25));
    assert_eq!(many["totalCount"], 55);
    let next = json!({ "first": 25, "after": many["pageInfo"]["endCursor"], "filter": { "layerKinds": ["Linear"] } });
    let next = similar_versions(api, &target, next).await;
    assert_eq!((&next["edges"][0]["rank"], names(&next).len()), (&json!(26), 25));
    assert!(
        names(&many).iter().all(|name| !names(&next).contains(name)),
        "no version twice"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_matrix_of_two_versions_has_the_scores_of_a_search() {
    let server = Server::start().await;
    let api = &server.api;
    let (a, b) = (version(api, "a", 1).await, version(api, "b", 2).await);
    for (measure, score) in [("DEBIASED_CKA", "debiasedCka"), ("CKA", "cka")] {
        let variables = json!({ "a": a, "b": b, "measure": measure, "layerKinds": [] });
        let matrix = api.data(MATRIX, variables).await["ckaMatrix"].take();
        assert_eq!((&matrix["a"]["id"], &matrix["b"]["id"]), (&json!(a), &json!(b)));
        assert_eq!(list(&matrix["rows"]).len(), 7);
        let first_row = text(&matrix["rows"][0]["id"]);
        let query = format!(
            "query($id: ID!) {{ layer(id: $id) {{ similar(first: 100, measure: {measure}, exact: true) {{
               edges {{ {score} node {{ id }} }} }} }} }}"
        );
        let found = api.data(&query, json!({ "id": first_row })).await;
        let edges = list(&found["layer"]["similar"]["edges"]);
        assert_eq!(edges.len(), 7);
        for (column, expected) in list(&matrix["columns"]).iter().zip(list(&matrix["scores"][0])) {
            let edge = edges.iter().find(|edge| edge["node"]["id"] == column["id"]).unwrap();
            assert!(
                (number(&edge[score]) - number(expected)).abs() < 1e-5,
                "{measure}: {edge:#}"
            );
        }
        let best = list(&matrix["scores"][0]).iter().map(number).fold(-1.0, f64::max);
        // The matrix has seven decimals.
        assert!((number(&matrix["bestMatches"][0]["score"]) - best).abs() <= 5.01e-8);
    }
    let variables = json!({ "a": a, "b": a, "measure": "CKA", "layerKinds": ["Conv2d", "Linear"] });
    let own = api.data(MATRIX, variables).await["ckaMatrix"].take();
    assert_eq!(list(&own["rows"]).len(), 3);
    assert!((number(&own["bestMatchAverage"]) - 1.0).abs() < 1e-5);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_matrix_is_available_as_a_plot() {
    let server = Server::start().await;
    let api = &server.api;
    let (a, b) = (version(api, "a<&>", 1).await, version(api, "b", 2).await);
    let variables = json!({ "a": a, "b": b, "measure": "CKA", "layerKinds": ["Conv2d", "Linear"] });
    let matrix = api.data(MATRIX, variables).await["ckaMatrix"].take();

    let svg = api.get(&text(&matrix["svg"])).await;
    assert_eq!((svg.status().as_u16(), content_type(&svg)), (200, "image/svg+xml"));
    let svg = svg.text().await.unwrap();
    assert!(svg.contains("a&lt;&amp;&gt;:1") && svg.contains("0 Conv2d"), "{svg}");
    let png = api.get(&text(&matrix["png"])).await;
    assert_eq!((png.status().as_u16(), content_type(&png)), (200, "image/png"));
    assert!(png.bytes().await.unwrap().starts_with(b"\x89PNG"));

    for (path, status, words) in [
        (format!("/cka/{a}/{b}.gif"), 404, "choose svg or png"),
        (format!("/cka/{a}/nothing.svg"), 400, "id"),
        (format!("/cka/{a}/{b}.svg?measure=L2"), 400, "DEBIASED_CKA or CKA"),
        (
            format!("/cka/{a}/{b}.svg?layerKinds=Softmax"),
            400,
            "no layers of kind Softmax",
        ),
    ] {
        let refused = api.get(&path).await;
        assert_eq!(refused.status().as_u16(), status, "{path}");
        let message = refused.text().await.unwrap();
        assert!(message.contains(words), "{path}: {message}");
    }
    server.stop().await.unwrap();
}

fn content_type(response: &reqwest::Response) -> &str {
    response.headers()["content-type"].to_str().unwrap()
}

#[tokio::test]
async fn versions_on_different_data_sets_are_not_compared() {
    let server = Server::start().await;
    let api = &server.api;
    let a = version(api, "a", 1).await;
    api.import_numbers().await;
    let model = api.model("b").await;
    let query = "mutation($input: TrainVersionInput!) { trainVersion(input: $input) { version { id } job { id } } }";
    let input = json!({ "modelId": model, "dataset": "numbers", "blocks": perceptron(), "settings": { "epochs": 1 } });
    let started = api.data(query, json!({ "input": input })).await["trainVersion"].take();
    api.wait_for_success(&text(&started["job"]["id"])).await;

    let variables = json!({ "a": a, "b": started["version"]["id"], "measure": "CKA", "layerKinds": [] });
    let (code, message) = api.error(MATRIX, variables).await;

    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("comparable only on the same probe set"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn redundant_neighbours_are_listed_in_order() {
    let server = Server::start().await;
    let api = &server.api;
    let a = version(api, "a", 1).await;
    let variables = json!({ "a": a, "b": a, "measure": "DEBIASED_CKA", "layerKinds": [] });
    let matrix = api.data(MATRIX, variables).await["ckaMatrix"].take();
    let query = "query($id: ID!, $minScore: Float!) { version(id: $id) { redundantNeighbours(minScore: $minScore) {
                   score layer { index } otherLayer { index } } } }";
    let neighbours = async |min_score: f64| {
        let data = api.data(query, json!({ "id": a, "minScore": min_score })).await;
        list(&data["version"]["redundantNeighbours"]).to_vec()
    };

    let all = neighbours(-1.0).await;
    assert_eq!(all.len(), 6);
    for (index, pair) in all.iter().enumerate() {
        assert_eq!(
            (&pair["layer"]["index"], &pair["otherLayer"]["index"]),
            (&json!(index), &json!(index + 1))
        );
        let expected = number(&matrix["scores"][index][index + 1]);
        assert!((number(&pair["score"]) - expected).abs() < 1e-5);
    }
    let min_score = number(&all[2]["score"]);
    let some = neighbours(min_score).await;
    assert!(some.iter().all(|pair| number(&pair["score"]) >= min_score) && some.contains(&all[2]));
    let (code, _) = api.error(query, json!({ "id": a, "minScore": 1.5 })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_version_whose_layers_all_exist_is_marked_as_a_duplicate() {
    let server = Server::start().await;
    let api = &server.api;
    let first = version(api, "first", 1).await;
    let other = version(api, "other", 2).await;
    let second = version(api, "second", 1).await;
    let third = version(api, "third", 1).await;
    let original = async |id: &str| {
        let query = "query($id: ID!) { version(id: $id) { duplicateOf { id } } }";
        api.data(query, json!({ "id": id })).await["version"]["duplicateOf"].take()
    };

    assert_eq!(original(&first).await, Value::Null);
    assert_eq!(original(&other).await, Value::Null);
    assert_eq!(original(&second).await["id"], first);
    assert_eq!(original(&third).await["id"], first, "the oldest of several");

    let query = "query { model(name: \"first\") { id } }";
    let model = api.data(query, json!({})).await["model"]["id"].take();
    let delete = "mutation($input: DeleteModelInput!) { deleteModel(input: $input) { model { id } } }";
    api.data(delete, json!({ "input": { "id": model } })).await;
    assert_eq!(original(&second).await, Value::Null, "a deleted original is not named");
    assert_eq!(original(&version(api, "fourth", 1).await).await["id"], second);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_hit_has_the_overlap_of_its_nearest_neighbours() {
    let server = Server::start().await;
    let api = &server.api;
    version(api, "copy", 1).await;
    version(api, "other", 2).await;
    let target = version(api, "target", 1).await;
    let query = "query($id: ID!, $k: Int!) { version(id: $id) { layers(first: 1) { nodes {
                   similar(first: 20) { edges { debiasedCka mutualKnn(k: $k) { overlap expectedByChance k } } } } } } }";
    let data = api.data(query, json!({ "id": target, "k": 9 })).await;
    let edges = list(&data["version"]["layers"]["nodes"][0]["similar"]["edges"]);

    assert_eq!(
        edges[0]["mutualKnn"]["overlap"], 1.0,
        "a copy has the same neighbours: {:#}",
        edges[0]
    );
    assert_eq!(edges[0]["mutualKnn"]["k"], 9);
    assert!((number(&edges[0]["mutualKnn"]["expectedByChance"]) - 9.0 / 99.0).abs() < 1e-12);
    for edge in edges {
        assert!((0.0..=1.0).contains(&number(&edge["mutualKnn"]["overlap"])));
    }
    assert!(edges.iter().any(|edge| number(&edge["mutualKnn"]["overlap"]) < 0.9));
    for k in [0, 100] {
        let (code, message) = api.error(query, json!({ "id": target, "k": k })).await;
        assert_eq!(code, "BAD_USER_INPUT");
        assert!(message.contains("`k` must be 1 to 99"), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_cursor_of_one_list_is_refused_in_that_of_another_layer_or_version() {
    let server = Server::start().await;
    let api = &server.api;
    let [one, other] = [version(api, "one", 1).await, version(api, "other", 2).await];
    version(api, "third", 3).await;
    let found = similar_versions(api, &one, json!({ "first": 1 })).await;
    let after = json!({ "first": 1, "after": found["pageInfo"]["endCursor"] });
    assert_eq!(names(&similar_versions(api, &one, after.clone()).await).len(), 1);
    let (code, message) = api.error(SIMILAR_VERSIONS, variables(&other, after)).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("a cursor of the list of another version"), "{message}");

    let layers = "query($id: ID!) { version(id: $id) { layers(first: 2) { nodes { id } } } }";
    let layers = api.data(layers, json!({ "id": one })).await["version"]["layers"]["nodes"].take();
    let query = "query($id: ID!, $after: String) { layer(id: $id) { similar(first: 1, after: $after) {
        nodes { id } pageInfo { endCursor } } } }";
    let found = api.data(query, json!({ "id": layers[0]["id"] })).await;
    let after = &found["layer"]["similar"]["pageInfo"]["endCursor"];
    api.data(query, json!({ "id": layers[0]["id"], "after": after })).await;
    let (code, message) = api.error(query, json!({ "id": layers[1]["id"], "after": after })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("a cursor of the list of another layer"), "{message}");
    server.stop().await.unwrap();
}
