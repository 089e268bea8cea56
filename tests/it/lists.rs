//! Lists: their filters and orders, and that pages neither repeat nor drop an entry.

use serde_json::{Value, json};

use crate::support::client::{Client, text};
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

/// Models with and without versions, accuracies and owners, and jobs. Some values of each order are equal.
const MODELS: &str = "
    insert into account (name) values ('ada'), ('bob');
    insert into model (name, owner_id, visibility, tags, created_at, updated_at)
         select model.name, account_id, visibility, array[model.name], created::timestamptz, updated::timestamptz
           from (values (1, 'a', 'ada', 'PUBLIC', '2026-01-01Z', '2026-05-01Z'),
                        (2, 'b', 'ada', 'PUBLIC', '2026-01-02Z', '2026-04-01Z'),
                        (3, 'c', 'bob', 'PUBLIC', '2026-01-03Z', '2026-04-01Z'),
                        (4, 'd', null, 'PUBLIC', '2026-01-04Z', '2026-01-04Z'),
                        (5, 'e', 'bob', 'PRIVATE', '2026-01-05Z', '2026-06-01Z'),
                        (6, 'f', null, 'PUBLIC', '2026-01-06Z', '2026-03-01Z'))
                as model (row, name, owner, visibility, created, updated)
           left join account on account.name = owner
          order by row;
    insert into version (model_id, number, status, format, dataset_id, parameter_count, multiply_accumulates, failure,
                         source, created_at)
         select model_id, number, status, format, dataset_id, parameters, operations,
                case status when 'FAILED' then '{\"code\": \"INTERNAL\", \"message\": \"\"}'::jsonb end,
                case when format <> 'BLOCKS' then '{\"kind\": \"ACTIVATIONS\", \"probe_set\": 1}'::jsonb end, model.created_at
           from (values ('a', 1, 'READY', 'BLOCKS', 300, 5), ('a', 2, 'READY', 'ONNX', 20, 9),
                        ('b', 1, 'READY', 'BLOCKS', 100, 5), ('c', 1, 'READY', 'ACTIVATIONS', 100, 0),
                        ('d', 1, 'FAILED', 'BLOCKS', 50, 7), ('e', 1, 'QUEUED', 'ONNX', 10, 7))
                as version (model, number, status, format, parameters, operations)
           join model on model.name = version.model
          cross join dataset
          where dataset.name = 'digits'
          order by version.model, number;
    insert into evaluation (version_id, dataset_id, accuracy, loss, image_count)
         select version_id, dataset_id, accuracy, 1, 1
           from (values ('a', 1, 0.5), ('a', 2, 0.9), ('b', 1, 0.9), ('c', 1, 0.7)) as evaluated (model, number, accuracy)
           join model on model.name = model
           join version using (model_id, number);
    insert into job (kind, status, version_id, started_at, finished_at)
         select 'INGEST', case when finished is null then 'RUNNING' else 'SUCCEEDED' end, version_id, started::timestamptz,
                finished::timestamptz
           from (values (1, '2026-01-02Z', '2026-01-03Z'), (2, null, null), (3, '2026-01-01Z', '2026-01-03Z'),
                        (4, '2026-01-02Z', null), (5, '2026-01-04Z', '2026-01-05Z'))
                as job (row, started, finished)
          cross join (select min(version_id) as version_id from version) as version
          order by row";

/// A server with [`MODELS`].
async fn server_with_models() -> Server {
    let server = Server::start().await;
    for statement in MODELS.split(';') {
        server.execute(statement).await;
    }
    server
}

/// A page of a list, with the arguments of the list.
async fn page(api: &Client, list: &str, arguments: &str) -> Value {
    let query = format!(
        "{{ {list}({arguments}) {{ totalCount edges {{ cursor node {{ id }} }} pageInfo {{ hasPreviousPage hasNextPage }} }} }}"
    );
    api.data(&query, json!({})).await[list].take()
}

/// Reads a list in pages of each small size, from its start and from its end, and compares them with the list in one page.
async fn assert_pages_are_the_list(api: &Client, list: &str, order: &str) {
    let ids = |page: &Value| -> Vec<String> {
        let edges = page["edges"].as_array().unwrap().iter();
        edges.map(|edge| text(&edge["node"]["id"])).collect()
    };
    let all = ids(&page(api, list, &format!("first: 100, orderBy: {order}")).await);
    assert!(all.len() > 4, "{list} {order}: {all:?}");
    for size in 1..=3 {
        let (mut forwards, mut after) = (Vec::new(), String::new());
        loop {
            let page = page(api, list, &format!("first: {size}, orderBy: {order}{after}")).await;
            forwards.extend(ids(&page));
            let Some(last) = page["edges"].as_array().unwrap().last() else {
                break;
            };
            after = format!(", after: {}", last["cursor"]);
            assert_eq!(
                page["pageInfo"]["hasNextPage"],
                forwards.len() < all.len(),
                "{list} {order}"
            );
        }
        assert_eq!(forwards, all, "{list} {order}");
        let (mut backwards, mut before) = (Vec::new(), String::new());
        loop {
            let page = page(api, list, &format!("last: {size}, orderBy: {order}{before}")).await;
            backwards.splice(..0, ids(&page));
            let Some(first) = page["edges"].as_array().unwrap().first() else {
                break;
            };
            before = format!(", before: {}", first["cursor"]);
            assert_eq!(
                page["pageInfo"]["hasPreviousPage"],
                backwards.len() < all.len(),
                "{list} {order}"
            );
        }
        assert_eq!(backwards, all, "{list} {order}");
    }
}

/// The names of the models in a list, and whether their number is the total.
async fn models(api: &Client, arguments: &str) -> String {
    let query = format!("{{ models({arguments}) {{ totalCount nodes {{ name }} }} }}");
    let models = api.data(&query, json!({})).await["models"].take();
    let names = models["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| text(&model["name"]));
    let names: Vec<_> = names.collect();
    assert_eq!(models["totalCount"], names.len(), "{arguments}");
    names.concat()
}

#[tokio::test]
async fn models_are_filtered_by_owner_registration_accuracy_and_status() {
    let server = server_with_models().await;
    let stranger = server.api.as_account("stranger", "READ").await;
    for (filter, expected) in [
        ("owner: \"ada\"", "ab"),
        ("owner: \"bob\"", "ce"),
        ("owner: \"nobody\"", ""),
        (
            "createdSince: \"2026-01-02T00:00:00Z\", createdBefore: \"2026-01-04T00:00:00Z\"",
            "bc",
        ),
        ("createdSince: \"2026-01-05T00:00:00Z\"", "ef"),
        ("minAccuracy: 0.7", "abc"),
        ("minAccuracy: 0.9", "ab"),
        ("minAccuracy: 1", ""),
        ("statuses: [READY]", "abc"),
        ("statuses: [FAILED, QUEUED]", "de"),
        ("statuses: []", "abcdef"),
        (
            "owner: \"ada\", minAccuracy: 0.9, createdBefore: \"2026-01-02T00:00:00Z\", statuses: [READY]",
            "a",
        ),
    ] {
        let arguments = format!("filter: {{ {filter} }}");
        assert_eq!(models(&server.api, &arguments).await, expected, "{filter}");
        assert_eq!(
            models(&stranger, &arguments).await,
            expected.replace('e', ""),
            "{filter}"
        );
    }
    for wrong in ["minAccuracy: 1.5", "minAccuracy: -1"] {
        let query = format!("{{ models(filter: {{ {wrong} }}) {{ totalCount }} }}");
        let (code, message) = server.api.error(&query, json!({})).await;
        assert_eq!(code, "BAD_USER_INPUT", "{wrong}");
        assert!(message.starts_with("`filter.minAccuracy` must be 0 to 1"), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn models_are_ordered_by_change_accuracy_and_size_and_those_without_a_value_come_last() {
    let server = server_with_models().await;
    for (field, ascending, descending) in [
        ("CREATED_AT", "abcdef", "fedcba"),
        ("NAME", "abcdef", "fedcba"),
        ("UPDATED_AT", "dfbcae", "eacbfd"),
        ("ACCURACY", "cabdef", "bacfed"),
        ("SIZE", "edbcaf", "acbdef"),
    ] {
        for (direction, expected) in [("ASC", ascending), ("DESC", descending)] {
            let order = format!("{{ field: {field}, direction: {direction} }}");
            assert_eq!(
                models(&server.api, &format!("orderBy: {order}")).await,
                expected,
                "{order}"
            );
            assert_pages_are_the_list(&server.api, "models", &order).await;
        }
    }
    let facts = "{ models { nodes { bestAccuracy updatedAt } } }";
    let facts = server.api.data(facts, json!({})).await["models"]["nodes"].take();
    let best: Vec<_> = (0..6).map(|index| facts[index]["bestAccuracy"].clone()).collect();
    assert_eq!(json!(best), json!([0.9, 0.9, 0.7, null, null, null]));
    assert_eq!(facts[0]["updatedAt"], "2026-05-01T00:00:00+00:00");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_model_counts_as_changed_when_its_fields_change_and_when_it_gets_a_version() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    let times = async || {
        let query = "query($id: ID!) { model(id: $id) { createdAt updatedAt } }";
        let model = api.data(query, json!({ "id": model })).await["model"].take();
        (text(&model["createdAt"]), text(&model["updatedAt"]))
    };
    let (created, registered) = times().await;
    assert_eq!(registered, created);
    let update = "mutation($id: ID!) { updateModel(input: { id: $id, description: \"new\" }) { model { id } } }";
    api.data(update, json!({ "id": model })).await;
    let (_, changed) = times().await;
    assert!(changed > registered);
    api.push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    let (_, extended) = times().await;
    assert!(extended > changed);
    server.stop().await.unwrap();
}

/// The versions in a list, such as `a1`, and whether their number is the total.
async fn versions(api: &Client, arguments: &str) -> String {
    let query = format!("{{ versions({arguments}) {{ totalCount nodes {{ number model {{ name }} }} }} }}");
    let versions = api.data(&query, json!({})).await["versions"].take();
    let nodes = versions["nodes"].as_array().unwrap().iter();
    let names: Vec<_> = nodes
        .map(|version| text(&version["model"]["name"]) + &version["number"].to_string())
        .collect();
    assert_eq!(versions["totalCount"], names.len(), "{arguments}");
    names.join(" ")
}

#[tokio::test]
async fn versions_are_listed_and_filtered_across_models() {
    let server = server_with_models().await;
    let stranger = server.api.as_account("stranger", "READ").await;
    let all = "a1 a2 b1 c1 d1 e1";
    for (filter, expected) in [
        ("", all),
        ("datasets: [\"digits\"]", all),
        ("datasets: [\"numbers\"]", ""),
        ("statuses: [READY]", "a1 a2 b1 c1"),
        ("statuses: [FAILED, QUEUED]", "d1 e1"),
        ("formats: [ONNX, ACTIVATIONS]", "a2 c1 e1"),
        ("minAccuracy: 0.7", "a2 b1 c1"),
        ("modelNameContains: \"A\"", "a1 a2"),
        ("tags: [\"b\"]", "b1"),
        ("createdSince: \"2026-01-04T00:00:00Z\"", "d1 e1"),
        ("createdBefore: \"2026-01-02T00:00:00Z\"", "a1 a2"),
        (
            "formats: [BLOCKS], statuses: [READY], minAccuracy: 0.6, datasets: [\"digits\"]",
            "b1",
        ),
    ] {
        let arguments = format!("filter: {{ {filter} }}");
        assert_eq!(versions(&server.api, &arguments).await, expected, "{filter}");
        let public = expected.trim_end_matches("e1").trim_end();
        assert_eq!(versions(&stranger, &arguments).await, public, "{filter}");
    }
    let query = "{ versions(filter: { minAccuracy: 7 }) { totalCount } }";
    let (code, message) = server.api.error(query, json!({})).await;
    assert_eq!(code, "BAD_USER_INPUT");
    assert_eq!(message, "`filter.minAccuracy` must be 0 to 1, got 7");
    let id = server.api.data("{ model(name: \"c\") { id } }", json!({})).await["model"]["id"].take();
    let delete = "mutation($id: ID!) { deleteModel(input: { id: $id }) { model { id } } }";
    server.api.data(delete, json!({ "id": id })).await;
    assert_eq!(versions(&server.api, "filter: { statuses: [READY] }").await, "a1 a2 b1");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn versions_are_ordered_by_accuracy_and_size_and_those_not_evaluated_come_last() {
    let server = server_with_models().await;
    for (field, ascending, descending) in [
        ("CREATED_AT", "a1 a2 b1 c1 d1 e1", "e1 d1 c1 b1 a2 a1"),
        ("ACCURACY", "a1 c1 a2 b1 d1 e1", "b1 a2 c1 a1 e1 d1"),
        ("PARAMETER_COUNT", "e1 a2 d1 b1 c1 a1", "a1 c1 b1 d1 a2 e1"),
        ("MULTIPLY_ACCUMULATES", "c1 a1 b1 d1 e1 a2", "a2 e1 d1 b1 a1 c1"),
    ] {
        for (direction, expected) in [("ASC", ascending), ("DESC", descending)] {
            let order = format!("{{ field: {field}, direction: {direction} }}");
            let listed = versions(&server.api, &format!("orderBy: {order}")).await;
            assert_eq!(listed, expected, "{order}");
            assert_pages_are_the_list(&server.api, "versions", &order).await;
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn jobs_are_ordered_by_start_and_end_and_those_without_come_last() {
    let server = server_with_models().await;
    let api = &server.api;
    // Their numbers, from 1 for the oldest.
    let all = "{ jobs(orderBy: { direction: ASC }) { nodes { id } } }";
    let all = api.data(all, json!({})).await["jobs"]["nodes"].take();
    let number = |job: &Value| (all.as_array().unwrap().iter().position(|one| one == job).unwrap() + 1).to_string();
    for (order, expected) in [
        ("{}", "54321"),
        ("{ field: CREATED_AT }", "54321"),
        ("{ field: CREATED_AT, direction: ASC }", "12345"),
        ("{ field: STARTED_AT }", "54132"),
        ("{ field: STARTED_AT, direction: ASC }", "31452"),
        ("{ field: FINISHED_AT }", "53142"),
        ("{ field: FINISHED_AT, direction: ASC }", "13524"),
    ] {
        let query = format!("{{ jobs(orderBy: {order}) {{ nodes {{ id }} }} }}");
        let jobs = api.data(&query, json!({})).await["jobs"]["nodes"].take();
        let numbers: String = jobs.as_array().unwrap().iter().map(number).collect();
        assert_eq!(numbers, expected, "{order}");
        assert_pages_are_the_list(api, "jobs", order).await;
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_cursor_of_another_order_is_refused() {
    let server = server_with_models().await;
    let api = &server.api;
    let mut orders: Vec<String> = Vec::new();
    for field in ["CREATED_AT", "NAME", "UPDATED_AT", "ACCURACY", "SIZE"] {
        orders
            .extend(["ASC", "DESC"].map(|direction| format!("orderBy: {{ field: {field}, direction: {direction} }}")));
    }
    for order in &orders {
        let cursor = page(api, "models", order).await["edges"][0]["cursor"].take();
        for other in orders.iter().filter(|other| *other != order) {
            for side in ["after", "before"] {
                let query = format!("{{ models({side}: {cursor}, {other}) {{ totalCount }} }}");
                let (code, message) = api.error(&query, json!({})).await;
                assert_eq!(code, "BAD_USER_INPUT", "{query}");
                assert!(message.contains(side) && message.contains("another order"), "{message}");
            }
        }
    }
    for (list, other) in [("jobs", "STARTED_AT"), ("versions", "ACCURACY")] {
        let cursor = page(api, list, "first: 1").await["edges"][0]["cursor"].take();
        let query = format!("{{ {list}(after: {cursor}, orderBy: {{ field: {other} }}) {{ totalCount }} }}");
        assert_eq!(api.error(&query, json!({})).await.0, "BAD_USER_INPUT", "{list}");
    }
    server.stop().await.unwrap();
}
