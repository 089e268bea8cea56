//! Models and their versions: created, changed, listed and found.

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;

const MODEL: &str = "id name description tags visibility createdAt deletedAt versions { totalCount }";

/// The model in the payload of a mutation.
async fn change(api: &Client, mutation: &str, input: Value) -> Value {
    let kind = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
    let query = format!("mutation($input: {kind}!) {{ {mutation}(input: $input) {{ model {{ {MODEL} }} }} }}");
    api.data(&query, json!({ "input": input })).await[mutation]["model"].take()
}

#[tokio::test]
async fn a_model_is_created_changed_deleted_and_restored() {
    let server = Server::start().await;
    let api = &server.api;
    let created = change(
        api,
        "createModel",
        json!({ "name": "lenet", "description": "A classic.", "tags": ["small", "digits", "small"] }),
    )
    .await;
    insta::assert_json_snapshot!(created, { ".id" => "[id]", ".createdAt" => "[time]" });
    let id = &created["id"];

    let changed = change(
        api,
        "updateModel",
        json!({ "id": id, "name": "lenet-5", "tags": ["old"] }),
    )
    .await;
    assert_eq!(changed["name"], "lenet-5");
    assert_eq!(changed["tags"], json!(["old"]));
    assert_eq!(
        changed["description"], "A classic.",
        "fields that are left out do not change"
    );

    let deleted = change(api, "deleteModel", json!({ "id": id })).await;
    assert!(deleted["deletedAt"].is_string(), "{deleted:#}");
    let query = "query($id: ID!) { byName: model(name: \"lenet-5\") { id } byId: model(id: $id) { name }
                   models { totalCount } deleted: models(filter: { deleted: true }) { nodes { name } } }";
    let seen = api.data(query, json!({ "id": id })).await;
    assert_eq!(
        seen,
        json!({ "byName": null, "byId": { "name": "lenet-5" }, "models": { "totalCount": 0 },
                "deleted": { "nodes": [{ "name": "lenet-5" }] } })
    );

    let restored = change(api, "restoreModel", json!({ "id": id })).await;
    assert_eq!(restored, changed);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_name_is_unique_among_models_that_are_not_deleted() {
    let server = Server::start().await;
    let api = &server.api;
    let first = api.model("a").await;
    let create = "mutation { createModel(input: { name: \"a\" }) { model { id } } }";
    let (code, message) = api.error(create, json!({})).await;
    assert_eq!(code, "CONFLICT");
    assert!(message.contains("choose another name"), "{message}");

    change(api, "deleteModel", json!({ "id": first })).await;
    api.model("a").await;
    let restore = "mutation($id: ID!) { restoreModel(input: { id: $id }) { model { id } } }";
    let (code, _) = api.error(restore, json!({ "id": first })).await;
    assert_eq!(code, "CONFLICT");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_names_and_tags_are_refused_with_what_is_allowed() {
    let server = Server::start().await;
    let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }";
    let bad = [
        json!({ "name": "" }),
        json!({ "name": "two\nlines" }),
        json!({ "name": "x".repeat(129) }),
        json!({ "name": "team:cnn" }),
        json!({ "name": "a", "description": "x".repeat(10_001) }),
        json!({ "name": "a", "tags": [""] }),
        json!({ "name": "a", "tags": (0..33).map(|tag| tag.to_string()).collect::<Vec<_>>() }),
    ];
    let mut messages = Vec::new();
    for input in bad {
        let (code, message) = server.api.error(create, json!({ "input": input })).await;
        assert_eq!(code, "BAD_USER_INPUT", "{input}");
        assert!(message.len() < 300, "a long text is not repeated in full: {message}");
        messages.push(message);
    }
    insta::assert_json_snapshot!(messages);
    let data = server.api.data("{ models { totalCount } }", json!({})).await;
    assert_eq!(data["models"]["totalCount"], 0, "nothing was stored");
    server.stop().await.unwrap();
}

/// The names on a page, whether there are previous and next pages, and the cursors of its ends.
async fn page(api: &Client, arguments: &str) -> (Vec<String>, [bool; 2], [String; 2]) {
    let arguments = if arguments.is_empty() {
        String::new()
    } else {
        format!("({arguments})")
    };
    let query = format!(
        "{{ models{arguments} {{ totalCount nodes {{ name }}
             pageInfo {{ hasPreviousPage hasNextPage startCursor endCursor }} }} }}"
    );
    let data = api.data(&query, json!({})).await;
    let (models, info) = (&data["models"], &data["models"]["pageInfo"]);
    let names = models["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| text(&node["name"]));
    (
        names.collect(),
        ["hasPreviousPage", "hasNextPage"].map(|side| info[side].as_bool().unwrap()),
        ["startCursor", "endCursor"].map(|end| info[end].as_str().unwrap_or_default().to_owned()),
    )
}

#[tokio::test]
async fn a_list_is_paged_from_both_ends_and_reports_whether_there_are_more_pages() {
    let server = Server::start().await;
    let api = &server.api;
    for name in ["c", "a", "e", "b", "d"] {
        api.model(name).await;
    }
    let (names, sides, [_, end]) = page(api, "first: 2, orderBy: { field: NAME }").await;
    assert_eq!((names.concat(), sides), ("ab".to_owned(), [false, true]));
    let (names, sides, [start, end]) =
        page(api, &format!("first: 3, after: {end:?}, orderBy: {{ field: NAME }}")).await;
    assert_eq!((names.concat(), sides), ("cde".to_owned(), [true, false]));
    let (names, ..) = page(api, &format!("first: 3, after: {end:?}, orderBy: {{ field: NAME }}")).await;
    assert_eq!(names.concat(), "");
    let (names, sides, _) = page(api, &format!("last: 1, before: {start:?}, orderBy: {{ field: NAME }}")).await;
    assert_eq!((names.concat(), sides), ("b".to_owned(), [true, true]));
    // The list also reports pages beyond `before` and `after`.
    let (names, sides, _) = page(api, &format!("before: {start:?}, orderBy: {{ field: NAME }}")).await;
    assert_eq!((names.concat(), sides), ("ab".to_owned(), [false, true]));
    let (_, _, [first, _]) = page(api, "first: 1, orderBy: { field: NAME }").await;
    let between = format!("last: 5, after: {first:?}, before: {start:?}, orderBy: {{ field: NAME }}");
    let (names, sides, _) = page(api, &between).await;
    assert_eq!((names.concat(), sides), ("b".to_owned(), [true, true]));
    let (names, sides, _) = page(api, "last: 2, orderBy: { field: NAME, direction: DESC }").await;
    assert_eq!((names.concat(), sides), ("ba".to_owned(), [true, false]));
    let (names, ..) = page(api, "").await;
    assert_eq!(names.concat(), "caebd", "by creation time by default");
    let (names, ..) = page(api, "filter: { nameContains: \"D\" }").await;
    assert_eq!(names.concat(), "d");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn invalid_paging_arguments_are_refused() {
    let server = Server::start().await;
    let mut messages = Vec::new();
    for arguments in [
        "first: 100000",
        "last: -1",
        "first: 1, last: 1",
        "first: 1, after: \"nonsense\"",
    ] {
        let (code, message) = server
            .api
            .error(&format!("{{ models({arguments}) {{ totalCount }} }}"), json!({}))
            .await;
        assert_eq!(code, "BAD_USER_INPUT", "{arguments}");
        messages.push(message);
    }
    insta::assert_json_snapshot!(messages);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn every_object_is_found_by_its_global_id_and_a_missing_one_is_null() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let blocks = perceptron();
    let (version, job) = api
        .try_push(&model, blocks.clone(), initial_weights(&blocks, 1))
        .await
        .unwrap();
    api.wait_for_success(&job).await;
    let query = "query($id: ID!) { version(id: $id) { layers { nodes { id } } dataset { id probeSets { id } } } }";
    let of_version = api.data(query, json!({ "id": version })).await["version"].take();
    let layer = text(&of_version["layers"]["nodes"][0]["id"]);
    let dataset = text(&of_version["dataset"]["id"]);
    let probe_set = text(&of_version["dataset"]["probeSets"][0]["id"]);
    let ids = [&dataset, &job, &layer, &model, &probe_set, &version];
    let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
    let found = api.data(nodes, json!({ "ids": ids })).await["nodes"].take();
    let kinds = ["Dataset", "Job", "Layer", "Model", "ProbeSet", "Version"];
    let expected: Vec<_> = kinds
        .iter()
        .zip(ids)
        .map(|(kind, id)| json!({ "__typename": kind, "id": id }))
        .collect();
    assert_eq!(found, json!(expected));

    // The id of a model that does not exist: base64 of "Model:999".
    let unknown = "TW9kZWw6OTk5";
    let found = api.data(nodes, json!({ "ids": [unknown, model] })).await["nodes"].take();
    assert_eq!(
        found,
        json!([null, { "__typename": "Model", "id": model }]),
        "in the requested order"
    );
    let by_type = "query($id: ID!) { model(id: $id) { id } }";
    assert_eq!(api.data(by_type, json!({ "id": unknown })).await["model"], Value::Null);
    let (code, message) = api.error(by_type, json!({ "id": layer })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("is the id of a Layer, not of a Model"), "{message}");
    let (code, message) = api.error(by_type, json!({ "id": "7" })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(
        message.starts_with("\"7\" is not a valid id") && message.contains("`model(name:)`"),
        "{message}"
    );
    let too_many: Vec<_> = (0..101).map(|_| &model).collect();
    let (code, message) = api.error(nodes, json!({ "ids": too_many })).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert!(message.contains("at most 100"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn objects_of_a_deleted_model_are_not_found_until_it_is_restored() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let blocks = perceptron();
    let (version, job) = api
        .try_push(&model, blocks.clone(), initial_weights(&blocks, 1))
        .await
        .unwrap();
    api.wait_for_success(&job).await;
    let query = "query($id: ID!) { version(id: $id) { layers { nodes { id } } } }";
    let layer = text(&api.data(query, json!({ "id": version })).await["version"]["layers"]["nodes"][0]["id"]);
    change(api, "deleteModel", json!({ "id": model })).await;

    let query = "query($version: ID!, $layer: ID!) { version(id: $version) { id } layer(id: $layer) { id }
                   nodes(ids: [$version, $layer]) { id } }";
    let ids = json!({ "version": version, "layer": layer });
    let gone = json!({ "version": null, "layer": null, "nodes": [null, null] });
    assert_eq!(api.data(query, ids.clone()).await, gone);
    let writes = [
        ("updateModel", "UpdateModelInput", json!({ "id": model, "name": "n" })),
        ("deleteModel", "DeleteModelInput", json!({ "id": model })),
        ("deleteVersion", "DeleteVersionInput", json!({ "id": version })),
        ("retryJob", "RetryJobInput", json!({ "id": job })),
        (
            "trainVersion",
            "TrainVersionInput",
            json!({ "modelId": model, "dataset": "digits", "blocks": blocks }),
        ),
        (
            "evaluateVersion",
            "EvaluateVersionInput",
            json!({ "versionId": version }),
        ),
    ];
    for (mutation, kind, input) in writes {
        let query = format!("mutation($input: {kind}!) {{ {mutation}(input: $input) {{ __typename }} }}");
        let (code, message) = api.error(&query, json!({ "input": input })).await;
        assert_eq!(code, "NOT_FOUND", "{mutation}: {message}");
    }

    change(api, "restoreModel", json!({ "id": model })).await;
    assert_eq!(api.data(query, ids).await["layer"]["id"], layer);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_version_is_selected_by_number_or_alias() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let blocks = perceptron();
    api.train_and_wait(&model, blocks.clone(), json!({ "epochs": 3, "seed": 1 }))
        .await;
    api.push_and_wait(&model, blocks.clone(), initial_weights(&blocks, 2))
        .await;
    let query = "{ model(name: \"m\") { one: version(number: 1) { number } none: version(number: 3) { number }
                   latest: version(alias: \"latest\") { number } best: version(alias: \"best\") { number accuracy }
                   versions(last: 1) { totalCount nodes { number } } } }";
    let seen = api.data(query, json!({})).await["model"].take();
    assert_eq!(seen["one"]["number"], 1);
    assert_eq!(seen["none"], Value::Null);
    assert_eq!(seen["latest"]["number"], 2);
    assert_eq!(seen["best"]["number"], 1, "three epochs beat none: {seen:#}");
    assert_eq!(seen["versions"], json!({ "totalCount": 2, "nodes": [{ "number": 2 }] }));
    for arguments in ["", "(number: 1, alias: \"best\")", "(alias: \"newest\")"] {
        let query = format!("{{ model(name: \"m\") {{ version{arguments} {{ id }} }} }}");
        assert_eq!(api.error(&query, json!({})).await.0, "BAD_USER_INPUT", "{arguments}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_is_selected_by_name_or_index() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    api.push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), 1))
        .await;
    let query = "{ model(name: \"m\") { version(number: 1) { layers { nodes { index name } }
                   named: layer(name: \"1\") { index name } numbered: layer(index: 0) { index name }
                   unnamed: layer(name: \"\") { index } after: layer(index: 9) { index } before: layer(index: -1) { index } } } }";
    let seen = api.data(query, json!({})).await["model"]["version"].take();
    let layers = &seen["layers"]["nodes"];
    assert_eq!(seen["named"], layers[1]);
    assert_eq!(seen["numbered"], layers[0]);
    for missing in ["unnamed", "after", "before"] {
        assert_eq!(seen[missing], Value::Null, "{missing}");
    }
    for arguments in ["", "(name: \"1\", index: 1)"] {
        let query = format!("{{ model(name: \"m\") {{ version(number: 1) {{ layer{arguments} {{ id }} }} }} }}");
        assert_eq!(api.error(&query, json!({})).await.0, "BAD_USER_INPUT", "{arguments}");
    }
    server.stop().await.unwrap();
}
