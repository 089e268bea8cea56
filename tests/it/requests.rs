//! Pages, health, metrics, limits, subscriptions, and the number of SQL statements per query.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Once;

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::support::client::{self, Client, first_error};
use crate::support::networks::{initial_weights, perceptron, small_cnn};
use crate::support::server::Server;
use crate::support::socket::Subscription;

#[tokio::test]
async fn the_pages_and_the_health_endpoints_are_served() {
    let server = Server::start().await;
    for (path, words) in [
        ("/", "SCV"),
        ("/graphiql", "GraphiQL"),
        ("/healthz", "alive"),
        ("/readyz", "ready"),
    ] {
        let response = reqwest::get(format!("{}{path}", server.api.url)).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.text().await.unwrap().contains(words), "{path}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_is_not_ready_while_its_database_is_unavailable() {
    let server = Server::start().await;
    let url: PgConnectOptions = server.config.database_url.as_deref().unwrap().parse().unwrap();
    let name = url.get_database().unwrap().to_owned();
    let mut operator = PgConnection::connect_with(&url.database("postgres")).await.unwrap();
    let mut allow = async |is_allowed: bool| {
        for statement in [
            format!("alter database {name} with allow_connections {is_allowed}"),
            format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
        ] {
            operator.execute(AssertSqlSafe(statement)).await.unwrap();
        }
    };
    let is_ready = async || {
        reqwest::get(format!("{}/readyz", server.api.url))
            .await
            .unwrap()
            .status()
            == 200
    };
    for is_available in [false, true] {
        allow(is_available).await;
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while is_ready().await != is_available {
            assert!(
                std::time::Instant::now() < end,
                "the database is available: {is_available}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        // The process is alive all the time.
        assert_eq!(
            reqwest::get(format!("{}/healthz", server.api.url))
                .await
                .unwrap()
                .status(),
            200
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_metrics_count_requests_jobs_and_caches() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    api.push_and_wait(&model, perceptron(), initial_weights(&perceptron(), 1))
        .await;
    api.error("{ nothing }", json!({})).await;
    let job = api.push(&model, perceptron(), initial_weights(&perceptron(), 2)).await;
    let watch = "subscription($id: ID!) { job(id: $id) { status } }";
    let mut watched = Subscription::start(api, watch, json!({ "id": job })).await;
    while watched.next().await.is_some() {}
    let invalid = client::http().post(format!("{}/graphql", api.url)).body("text");
    assert_eq!(invalid.send().await.unwrap().status(), 415);
    let response = api.get("/metrics").await;
    assert_eq!(
        response.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = response.text().await.unwrap();
    for line in [
        "scv_requests_total{operation=\"query\",code=\"OK\"} ",
        "scv_requests_total{operation=\"mutation\",code=\"OK\"} ",
        "scv_requests_total{operation=\"query\",code=\"BAD_USER_INPUT\"} ",
        "scv_requests_total{operation=\"subscription\",code=\"OK\"} ",
        "scv_requests_total{operation=\"unknown\",code=\"BAD_USER_INPUT\"} ",
        "scv_request_seconds_count{operation=\"mutation\"} ",
        "scv_root_field_seconds_count{field=\"Mutation.createModel\"} ",
        "scv_job_phase_seconds_count{kind=\"ingest\",phase=\"ingesting\"} ",
        "scv_jobs_waiting 0\n",
        "scv_jobs_total{kind=\"ingest\",status=\"succeeded\"} ",
        "scv_build_info{version=",
        "scv_cache_limit_bytes{cache=\"searches\"} 67108864\n",
        "scv_catalogue_generation ",
        "scv_resident_bytes ",
        "scv_reserved_bytes{for=\"requests\"} ",
        "scv_reserved_limit_bytes{for=\"jobs\"} ",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_reports_its_version_and_limits() {
    let server = Server::start().await;
    let query = "{ serverInfo { version device catalogueGeneration maxPageSize maxBlocks maxTokensPerAccount
                   minProbeImages maxProbeImages defaultProbeImages } }";
    let info = server.api.data(query, json!({})).await["serverInfo"].take();
    insta::assert_json_snapshot!(info, { ".device" => "[device]", ".version" => "[version]" });
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_document_that_is_nested_too_deeply_is_refused() {
    let server = Server::start().await;
    let nested = |times: usize| {
        let open = "versions(first: 1) { nodes { model { ".repeat(times);
        format!("{{ models {{ nodes {{ {open} name {} }} }} }}", "} } }".repeat(times))
    };
    assert!(
        server
            .api
            .execute(&nested(7), json!({}))
            .await
            .unwrap()
            .get("errors")
            .is_none()
    );
    let response = server.api.execute(&nested(8), json!({})).await.unwrap();
    assert_eq!(
        response["errors"][0]["message"],
        "the operation is 27 fields deep; the limit is 24 (serverInfo.limits.depth): select fewer levels at a time",
        "{response:#}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_subscription_to_a_training_ends_with_the_job() {
    let server = Server::start().await;
    let model = server.api.model("m").await;
    let job = server.api.train(&model, small_cnn(), json!({ "epochs": 5 })).await;
    let query = "subscription($id: ID!) { job(id: $id) { status phase progress epochs { epoch } version { status } } }";
    let mut events = Subscription::start(&server.api, query, json!({ "id": job })).await;
    let mut seen = Vec::new();
    while let Some(mut event) = events.next().await {
        seen.push(event["data"]["job"].take());
    }
    let last = seen.last().unwrap();
    assert_eq!(
        last,
        &json!({ "status": "SUCCEEDED", "phase": "FINISHED", "progress": 1.0, "version": { "status": "READY" },
                 "epochs": (1..=5).map(|epoch| json!({ "epoch": epoch })).collect::<Vec<_>>() })
    );
    assert!(seen.len() > 2, "{seen:#?}");
    for pair in seen.windows(2) {
        assert_ne!(pair[0], pair[1], "every event has changes");
        assert!(
            pair[0]["progress"].as_f64() <= pair[1]["progress"].as_f64(),
            "{pair:#?}"
        );
    }
    // The id of a job that does not exist: base64 of "Job:999".
    let mut events = Subscription::start(&server.api, query, json!({ "id": "Sm9iOjk5OQ" })).await;
    let refused = events.next().await.unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "NOT_FOUND", "{refused:#}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn uploads_and_documents_beyond_the_limit_are_refused() {
    let server = Server::with(|config| config.limits.upload_bytes = 100_000).await;
    let input =
        json!({ "modelId": server.api.model("m").await, "dataset": "digits", "blocks": perceptron(), "weights": null });
    let query = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { job { id } } }";
    let fits = initial_weights(&perceptron(), 1);
    let response = server
        .api
        .upload(query, json!({ "input": input }), &[("input.weights", &fits)])
        .await
        .unwrap();
    assert!(response.get("errors").is_none(), "{response:#}");
    let large = vec![0; 100_001];
    let response = server
        .api
        .upload(query, json!({ "input": input }), &[("input.weights", &large)])
        .await
        .unwrap();
    let (code, message) = first_error(&response);
    assert_eq!(code, "PAYLOAD_TOO_LARGE");
    assert!(message.contains("larger than"), "{message}");

    let long = format!("{{ model(name: \"{}\") {{ id }} }}", "x".repeat(3 << 20));
    assert_eq!(server.api.error(&long, json!({})).await.0, "PAYLOAD_TOO_LARGE");
    server.stop().await.unwrap();
}

/// So many that one statement per model would be noticed.
const MODELS: u64 = 18;

thread_local! {
    /// The SQL statements of this thread while they are counted.
    static STATEMENTS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Records SQL statements except those of the job queue.
struct StatementRecorder;

impl<S: Subscriber> Layer<S> for StatementRecorder {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        STATEMENTS.with_borrow_mut(|statements| {
            if let Some(statements) = statements.as_mut().filter(|_| !fields.0.contains("graphile_worker")) {
                statements.push(fields.0);
            }
        });
    }
}

#[tokio::test]
async fn invalid_documents_and_values_are_errors_of_the_caller() {
    let server = Server::start().await;
    let bad = [
        "{ models { nodes { colour } } }",
        "{ models(first: \"many\") { totalCount } }",
        "{ models(first: 99999999999) { totalCount } }",
        "this is not a query",
        "{ model(name: \"a\\u0000b\") { id } }",
        "mutation { createModel(input: { name: \"a\", description: \"b\\u0000\" }) { model { id } } }",
    ];
    for query in bad {
        assert_eq!(server.api.error(query, json!({})).await.0, "BAD_USER_INPUT", "{query}");
    }
    let response = client::http()
        .post(format!("{}/graphql", server.api.url))
        .header("content-type", "application/json")
        .body("{")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(first_error(&response.json().await.unwrap()).0, "BAD_USER_INPUT");
    server.stop().await.unwrap();
}

/// All fields of an event as text.
#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

/// The response to a query and the SQL statements that it executes.
async fn statements(api: &Client, query: &str) -> (Value, Vec<String>) {
    static SUBSCRIBED: Once = Once::new();
    // A global subscriber, because the first thread that reaches an event decides for all threads whether it is
    // recorded.
    SUBSCRIBED.call_once(|| {
        let only_statements = Targets::new().with_target("sqlx::query", LevelFilter::DEBUG);
        let subscriber = tracing_subscriber::registry().with(StatementRecorder.with_filter(only_statements));
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    // The schema runs on the thread of the test.
    STATEMENTS.set(Some(Vec::new()));
    let data = api.data(query, json!({})).await;
    let mut executed = STATEMENTS.take().unwrap();
    executed.retain(|statement| !OF_BACKGROUND.iter().any(|text| statement.contains(text)));
    (data, executed)
}

/// What the server asks from time to time, whatever is requested: whether the sketches still fit, and which server cleans the queue.
const OF_BACKGROUND: [&str; 5] = [
    "select probe_set_id from sketch_basis where state",
    "select basis_id, layer_count, debiased_rest, cka_rest",
    "select (select count(*) from (select 1 from layer_sketch",
    "pg_try_advisory_xact_lock",
    "summary=\"COMMIT\"",
];

/// Whether two fields share a statement depends on the load of the machine. A field must never execute one statement
/// per entry.
#[tokio::test]
async fn a_nested_page_executes_a_statement_per_field_and_not_per_entry() {
    let server = Server::start().await;
    let api = &server.api;
    let blocks = perceptron();
    for name in 0..MODELS {
        let model = api.model(&name.to_string()).await;
        for seed in 0..2 {
            api.push_and_wait(&model, blocks.clone(), initial_weights(&blocks, 10 * name + seed))
                .await;
        }
    }
    let page = format!(
        "{{ models(first: {MODELS}) {{ totalCount nodes {{ name
             version(alias: \"best\") {{ number }}
             versions(first: 5) {{ totalCount nodes {{ number accuracy
               evaluation {{ dataset {{ name }} images(actual: 1, predicted: 1) {{ totalCount nodes {{ index }} }} }}
               dataset {{ name splits {{ imageCount }} probeSets {{ contentHash dataset {{ name }} }} }}
               layer(name: \"1\") {{ kind }}
               layers(first: 5) {{ totalCount nodes {{ name inputs degenerate {{ reason }} version {{ model {{ name }} }} }} }}
             }} }} }} }} }}"
    );
    let (response, executed) = statements(api, &page).await;
    assert_eq!(response["models"]["nodes"].as_array().unwrap().len(), MODELS as usize);
    // All fields above except the plain columns: name, number, imageCount, contentHash, kind, index, inputs and reason.
    let fields = 19;
    // On a busy machine the entries of a field come in several batches, but never one by one.
    let mut repeats: BTreeMap<&str, u64> = BTreeMap::new();
    for statement in &executed {
        let (text, _) = statement.split_once("rows_affected").unwrap();
        *repeats.entry(text).or_default() += 1;
    }
    assert!((5..=fields).contains(&repeats.len()), "{executed:#?}");
    assert!(repeats.values().all(|&count| count < MODELS / 2), "{repeats:#?}");

    let hits = |first: u64| {
        format!(
            "{{ model(name: \"0\") {{ version(number: 1) {{ layers(first: 1) {{ nodes {{ similar(first: {first}) {{
                 edges {{ node {{ name version {{ accuracy model {{ name }} dataset {{ name }} }} }} }} }} }} }} }} }} }}"
        )
    };
    let (_, of_one) = statements(api, &hits(1)).await;
    let (response, of_many) = statements(api, &hits(MODELS)).await;
    let similar = &response["model"]["version"]["layers"]["nodes"][0]["similar"]["edges"];
    assert_eq!(similar.as_array().unwrap().len(), MODELS as usize);
    // Many hits execute no more statements than one hit.
    assert!(of_one.len() > 5, "statements are recorded: {of_one:#?}");
    assert!(of_many.len() <= of_one.len(), "{of_one:#?}\n{of_many:#?}");
    server.stop().await.unwrap();
}

/// Layers are resolved in another way if all that is asked of them is plain.
#[tokio::test]
async fn a_layer_is_the_same_whether_or_not_all_its_selected_fields_are_plain() {
    let server = Server::start().await;
    let api = &server.api;
    let blocks = small_cnn();
    let model = api.model("small").await;
    api.push_and_wait(&model, blocks.clone(), initial_weights(&blocks, 1))
        .await;
    let plain = "id index name kind parameters inputShape outputShape parameterCount multiplyAccumulates __typename";
    let layers = async |selection: &str, fragment: &str| {
        let page = format!(
            "{{ model(name: \"small\") {{ version(number: 1) {{ layers(first: 100) {{ nodes {{ {selection} }} }} }} }} }} {fragment}"
        );
        let found = api.data(&page, json!({})).await;
        found["model"]["version"]["layers"]["nodes"].as_array().unwrap().clone()
    };
    let found = layers(plain, "").await;
    assert!(found.len() > 3 && found[0]["outputShape"].is_array(), "{found:?}");
    let mut with_another = layers(&format!("{plain} version {{ number }}"), "").await;
    for layer in &mut with_another {
        assert_eq!(
            layer.as_object_mut().unwrap().remove("version"),
            Some(json!({ "number": 1 }))
        );
    }
    assert_eq!(found, with_another);
    let on_layer = format!("fragment F on Layer {{ {plain} }}");
    assert_eq!(
        layers("id ... on Layer { name } ... { kind } ...F", &on_layer).await,
        found
    );
    let aliased = layers(
        "one: name two: name name name @skip(if: true) kind @include(if: false)",
        "",
    )
    .await;
    assert_eq!(aliased.len(), found.len());
    for (layer, whole) in aliased.iter().zip(&found) {
        let name = &whole["name"];
        assert_eq!(layer, &json!({ "one": name, "two": name, "name": name }));
    }
    assert_eq!(layers("... on Node { id }", "").await.len(), found.len());
    server.stop().await.unwrap();
}
