//! What goes over the wire besides the answers themselves: pages, health, limits, subscriptions, and the price of a query.

use std::cell::RefCell;
use std::sync::Once;

use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::support::client::{Client, first_error};
use crate::support::networks::{first_weights, perceptron, small_cnn};
use crate::support::server::Server;
use crate::support::socket::Subscription;

#[tokio::test]
async fn the_playground_is_at_the_root_and_health_beside_it() {
    let server = Server::start().await;
    for (path, wanted) in [("/", "GraphiQL"), ("/healthz", "alive"), ("/readyz", "ready")] {
        let response = reqwest::get(format!("{}{path}", server.api.url)).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.text().await.unwrap().contains(wanted), "{path}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_database_is_away_is_not_ready_until_it_is_back() {
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
    for is_there in [false, true] {
        allow(is_there).await;
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while is_ready().await != is_there {
            assert!(std::time::Instant::now() < end, "the database is there: {is_there}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        // The process lives all the while.
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
async fn what_operators_watch_is_counted() {
    let server = Server::start().await;
    let api = &server.api;
    let model = api.model("m").await;
    api.pushed(&model, perceptron(), first_weights(&perceptron(), 1)).await;
    api.error("{ nothing }", json!({})).await;
    let job = api.push(&model, perceptron(), first_weights(&perceptron(), 2)).await;
    let watch = "subscription($id: ID!) { job(id: $id) { status } }";
    let mut watched = Subscription::start(api, watch, json!({ "id": job })).await;
    while watched.next().await.is_some() {}
    let no_request = reqwest::Client::new().post(format!("{}/graphql", api.url)).body("text");
    assert_eq!(no_request.send().await.unwrap().status(), 415);
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
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_says_what_it_is_and_which_limits_it_keeps() {
    let server = Server::start().await;
    let query = "{ serverInfo { version device catalogueGeneration maxPageSize maxBlocks minProbeImages maxProbeImages
                   defaultProbeImages } }";
    let info = server.api.data(query, json!({})).await["serverInfo"].take();
    insta::assert_json_snapshot!(info, { ".device" => "[device]", ".version" => "[version]" });
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_query_that_nests_too_deep_is_refused() {
    let server = Server::start().await;
    let nested = |times: usize| {
        let open = "versions(first: 1) { nodes { model { ".repeat(times);
        format!("{{ models {{ nodes {{ {open} name {} }} }} }}", "} } }".repeat(times))
    };
    assert!(
        server
            .api
            .ask(&nested(7), json!({}))
            .await
            .unwrap()
            .get("errors")
            .is_none()
    );
    let answer = server.api.ask(&nested(8), json!({})).await.unwrap();
    assert_eq!(
        answer["errors"][0]["message"],
        "the document is nested too deep (serverInfo.limits.depth): ask for less at a time",
        "{answer:#}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_training_is_watched_to_its_end() {
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
        assert_ne!(pair[0], pair[1], "every event is news");
        assert!(
            pair[0]["progress"].as_f64() <= pair[1]["progress"].as_f64(),
            "{pair:#?}"
        );
    }
    // The id of a job that was never asked for: base64 of "Job:999".
    let mut events = Subscription::start(&server.api, query, json!({ "id": "Sm9iOjk5OQ" })).await;
    let refused = events.next().await.unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "NOT_FOUND", "{refused:#}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_upload_beyond_the_limit_is_refused() {
    let server = Server::with(|config| config.limits.upload_bytes = 100_000).await;
    let input =
        json!({ "modelId": server.api.model("m").await, "dataset": "digits", "blocks": perceptron(), "weights": null });
    let query = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { job { id } } }";
    let fits = first_weights(&perceptron(), 1);
    let answer = server
        .api
        .upload(query, json!({ "input": input }), &[("input.weights", &fits)])
        .await
        .unwrap();
    assert!(answer.get("errors").is_none(), "{answer:#}");
    let large = vec![0; 100_001];
    let answer = server
        .api
        .upload(query, json!({ "input": input }), &[("input.weights", &large)])
        .await
        .unwrap();
    let (code, message) = first_error(&answer);
    assert_eq!(code, "PAYLOAD_TOO_LARGE");
    assert!(message.contains("larger than"), "{message}");

    let long = format!("{{ model(name: \"{}\") {{ id }} }}", "x".repeat(3 << 20));
    assert_eq!(server.api.error(&long, json!({})).await.0, "PAYLOAD_TOO_LARGE");
    server.stop().await.unwrap();
}

/// So many that a statement for every one of them would be seen.
const MODELS: u64 = 18;

thread_local! {
    /// The SQL statements of this thread while they are counted.
    static STATEMENTS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Counts statements, but for those of the job queue.
struct Counter;

impl<S: Subscriber> Layer<S> for Counter {
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
async fn what_is_no_query_of_this_schema_is_the_callers_to_mend() {
    let server = Server::start().await;
    let bad = [
        "{ models { nodes { colour } } }",
        "{ models(first: \"many\") { totalCount } }",
        "{ models(first: 99999999999) { totalCount } }",
        "this is no query",
        "{ model(name: \"a\\u0000b\") { id } }",
        "mutation { createModel(input: { name: \"a\", description: \"b\\u0000\" }) { model { id } } }",
    ];
    for query in bad {
        assert_eq!(server.api.error(query, json!({})).await.0, "BAD_USER_INPUT", "{query}");
    }
    let response = reqwest::Client::new()
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

/// The statements that one query takes.
async fn statements(api: &Client, query: &str) -> (Value, Vec<String>) {
    static SUBSCRIBED: Once = Once::new();
    // For all threads: whether an event is wanted is decided once, by whichever thread comes by first.
    SUBSCRIBED.call_once(|| {
        let only_statements = Targets::new().with_target("sqlx::query", LevelFilter::DEBUG);
        let subscriber = tracing_subscriber::registry().with(Counter.with_filter(only_statements));
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
    // The schema runs on the thread of the test.
    STATEMENTS.set(Some(Vec::new()));
    let data = api.data(query, json!({})).await;
    (data, STATEMENTS.take().unwrap())
}

/// Which fields wait for each other's rows differs with the load of the machine, so that two of them may share a
/// statement in one run and not in the next. What may never happen is that one field takes a statement for every entry.
#[tokio::test]
async fn a_nested_page_takes_at_most_one_statement_for_each_of_its_fields() {
    let server = Server::start().await;
    let api = &server.api;
    let blocks = perceptron();
    for name in 0..MODELS {
        let model = api.model(&name.to_string()).await;
        for seed in 0..2 {
            api.pushed(&model, blocks.clone(), first_weights(&blocks, 10 * name + seed))
                .await;
        }
    }
    let page = format!(
        "{{ models(first: {MODELS}) {{ totalCount nodes {{ name
             version(alias: \"best\") {{ number }}
             versions(first: 5) {{ totalCount nodes {{ number accuracy evaluation {{ dataset {{ name }} }}
               dataset {{ name splits {{ imageCount }} probeSets {{ contentHash dataset {{ name }} }} }}
               layers(first: 5) {{ totalCount nodes {{ name degenerate {{ reason }} version {{ model {{ name }} }} }} }}
             }} }} }} }} }}"
    );
    let (answer, taken) = statements(api, &page).await;
    assert_eq!(answer["models"]["nodes"].as_array().unwrap().len(), MODELS as usize);
    // All fields above but the plain columns: name, number, imageCount, contentHash and reason.
    let fields = 17;
    assert!((5..=fields).contains(&taken.len()), "{}: {taken:#?}", taken.len());

    let hits = |first: u64| {
        format!(
            "{{ model(name: \"0\") {{ version(number: 1) {{ layers(first: 1) {{ nodes {{ similar(first: {first}) {{
                 edges {{ node {{ name version {{ accuracy model {{ name }} dataset {{ name }} }} }} }} }} }} }} }} }} }}"
        )
    };
    let (_, of_one) = statements(api, &hits(1)).await;
    let (answer, of_many) = statements(api, &hits(MODELS)).await;
    let similar = &answer["model"]["version"]["layers"]["nodes"][0]["similar"]["edges"];
    assert_eq!(similar.as_array().unwrap().len(), MODELS as usize);
    // One hit's fields may share no statement with each other, so many hits take no more than one does.
    assert!(of_one.len() > 5, "they are counted: {of_one:#?}");
    assert!(of_many.len() <= of_one.len(), "{of_one:#?}\n{of_many:#?}");
    server.stop().await.unwrap();
}
