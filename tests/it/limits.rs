//! Limits: each admits the largest allowed value and refuses the next larger one.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::client::{self, Client, first_error};
use crate::support::networks::{initial_weights, small_cnn};
use crate::support::server::Server;
use crate::support::socket::Subscription;

/// The response to a query, or the code and message of its first error.
async fn outcome(api: &Client, query: &str) -> Result<Value, (String, String)> {
    let response = api.execute(query, json!({})).await.unwrap();
    if response.get("errors").is_none() {
        Ok(response)
    } else {
        Err(first_error(&response))
    }
}

/// Checks that a query within a limit succeeds and that one beyond it is refused.
async fn check(api: &Client, within: &str, beyond: &str, words: &str) {
    assert!(outcome(api, within).await.is_ok(), "{words}: {within}");
    let (code, message) = outcome(api, beyond).await.unwrap_err();
    assert_eq!(code, "QUERY_TOO_COMPLEX", "{message}");
    assert!(message.contains(words), "{message}");
}

async fn connection(server: &Server) -> PgConnection {
    let url = server.config.database_url.as_deref().unwrap();
    PgConnection::connect(url).await.unwrap()
}

/// Whether a statement on models waits for a lock. Must not run within a transaction, which would see a stale snapshot.
async fn is_waiting_for_a_lock(watcher: &mut PgConnection) -> bool {
    let waiting = "select exists (select from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock' and query like '%from model%')";
    sqlx::query_scalar(waiting).fetch_one(watcher).await.unwrap()
}

#[tokio::test]
async fn documents_beyond_a_limit_are_refused() {
    let server = Server::with(|config| {
        config.limits.tokens = 60;
        config.limits.document_bytes = 2_000;
        config.limits.fields = 20;
        config.limits.root_fields = 4;
        config.limits.aliases = 3;
    })
    .await;
    let api = &server.api;
    let roots = |count: usize| format!("{{ {} }}", "serverInfo { version } ".repeat(count));
    // A repeated field counts each time.
    check(
        api,
        &roots(4),
        &roots(5),
        "the operation has 5 root fields; the limit is 4",
    )
    .await;
    let through = |count: usize| {
        let spreads = "...f ".repeat(count);
        format!("{{ {spreads} }} fragment f on Query {{ serverInfo {{ version }} }}")
    };
    check(api, &through(4), &through(5), "5 root fields; the limit is 4").await;
    let aliases = |count: usize| {
        let fields: String = (0..count).map(|index| format!("a{index}: version ")).collect();
        format!("{{ serverInfo {{ {fields} }} }}")
    };
    check(api, &aliases(3), &aliases(4), "4 aliases; the limit is 3").await;
    let fields = |count: usize| format!("{{ serverInfo {{ {} }} }}", "version ".repeat(count - 1));
    check(api, &fields(20), &fields(21), "21 fields; the limit is 20").await;
    let tokens = |count: usize| format!("{{ nodes(ids: [{}]) {{ id }} }}", "\"TW9kZWw6MQ\" ".repeat(count - 12));
    check(api, &tokens(60), &tokens(61), "61 tokens; the limit is 60").await;
    let bytes = |count: usize| format!("{:count$}", "{ serverInfo { version } }");
    check(
        api,
        &bytes(2_000),
        &bytes(2_001),
        "the document has 2001 bytes; the limit is 2000",
    )
    .await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_complexity_of_a_document_is_that_of_its_pages() {
    // A page of ten ids: the page, and per entry the node and the id.
    let page = |first: usize| format!("{{ models(first: {first}) {{ nodes {{ id }} }} }}");
    let server = Server::with(|config| config.limits.complexity = 1 + 10 * 2).await;
    check(&server.api, &page(10), &page(11), "complexity of 23; the limit is 21").await;
    let hidden =
        "{ ...a } fragment a on Query { models(first: 11) { ...b } } fragment b on ModelConnection { nodes { id } }";
    assert_eq!(outcome(&server.api, hidden).await.unwrap_err().0, "QUERY_TOO_COMPLEX");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_facts_about_two_layers_count_like_their_test_of_significance() {
    let compare = |fields: &str| format!("{{ compareLayers(a: \"TGF5ZXI6MQ\", b: \"TGF5ZXI6Mg\") {{ {fields} }} }}");
    let server = Server::with(|config| config.limits.complexity = 42).await;
    let code = async |fields: &str| outcome(&server.api, &compare(fields)).await.unwrap_err();
    assert_eq!(code("cka debiasedCka").await.0, "NOT_FOUND", "there are no such layers");
    for fields in ["facts { pValue }", "significance { pValue }"] {
        let (code, message) = code(fields).await;
        assert_eq!(code, "QUERY_TOO_COMPLEX", "{fields}");
        assert!(message.contains("complexity of 43"), "{fields}: {message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn fragments_that_multiply_are_refused_immediately() {
    let server = Server::start().await;
    for end in ["fragment f30 on Query { serverInfo { version } }", ""] {
        let levels: String = (0..30)
            .map(|level| {
                format!(
                    "fragment f{level} on Query {{ {} }} ",
                    format!("...f{} ", level + 1).repeat(4)
                )
            })
            .collect();
        let document = format!("{{ ...f0 }} {levels} {end}");
        let (code, message) = outcome(&server.api, &document).await.unwrap_err();
        assert_eq!(code, "QUERY_TOO_COMPLEX", "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_huge_complexity_exceeds_the_limit_without_overflowing() {
    let server = Server::start().await;
    let pages = ["models", "versions", "layers", "similar"].map(|list| format!("{list}(first: 100) {{ nodes {{ "));
    let open = format!("{}{}", pages.concat(), "similar(first: 100) { nodes { ".repeat(5));
    let document = format!("{{ serverInfo {{ version }} {open} id {} }}", "} } ".repeat(9));
    let (code, message) = outcome(&server.api, &document).await.unwrap_err();
    assert_eq!(code, "QUERY_TOO_COMPLEX", "{message}");
    let ids = vec!["\"TW9kZWw6MQ\""; 100].join(" ");
    let many = format!("{{ nodes(ids: [{ids}]) {{ ... on Layer {{ {}", pages[3..].concat());
    let document = format!("{many} id }} }} }} }} }}");
    assert!(
        outcome(&server.api, &document).await.is_ok(),
        "10,000 entries are within the limit"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn an_overloaded_server_refuses_requests_and_subscriptions() {
    let server = Server::with(|config| {
        config.limits.concurrent_requests = 0;
        config.limits.subscriptions = 0;
    })
    .await;
    let (code, message) = outcome(&server.api, "{ serverInfo { version } }").await.unwrap_err();
    assert_eq!(code, "OVERLOADED", "{message}");
    let response = client::http()
        .post(format!("{}/graphql", server.api.url))
        .header("accept", "application/graphql-response+json")
        .json(&json!({ "query": "{ serverInfo { version } }" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    let watched = client::http()
        .post(format!("{}/graphql", server.api.url))
        .header("accept", "text/event-stream")
        .json(&json!({ "query": "subscription { job(id: \"Sm9iOjE\") { status } }" }))
        .send()
        .await
        .unwrap();
    assert!(watched.text().await.unwrap().contains("OVERLOADED"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_number_of_concurrent_requests_is_limited() {
    let server = Server::with(|config| config.limits.concurrent_requests = 1).await;
    let (mut owner, mut watcher) = (connection(&server).await, connection(&server).await);
    let mut holding = owner.begin().await.unwrap();
    sqlx::query("lock table model in access exclusive mode")
        .execute(&mut *holding)
        .await
        .unwrap();
    let api = server.api.clone();
    let first = tokio::spawn(async move { outcome(&api, "{ models { nodes { name } } }").await });
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_waiting_for_a_lock(&mut watcher).await {
        assert!(
            std::time::Instant::now() < end,
            "the first request does not reach the database"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (code, message) = outcome(&server.api, "{ serverInfo { version } }").await.unwrap_err();
    assert_eq!(code, "OVERLOADED", "{message}");
    holding.rollback().await.unwrap();
    assert!(first.await.unwrap().is_ok());
    assert!(outcome(&server.api, "{ serverInfo { version } }").await.is_ok());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_number_of_concurrent_subscriptions_is_limited() {
    let server = Server::with(|config| config.limits.subscriptions = 1).await;
    let job = server.api.endless_job().await;
    let query = "subscription($id: ID!) { job(id: $id) { status } }";
    let watch = async || Subscription::start(&server.api, query, json!({ "id": job })).await;
    let mut first = watch().await;
    assert!(first.next().await.unwrap()["data"]["job"].is_object());
    let refused = watch().await.next().await.unwrap().to_string();
    assert!(refused.contains("OVERLOADED"), "{refused}");
    // A client that disconnects releases its subscription.
    drop(first);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while watch().await.next().await.unwrap().to_string().contains("OVERLOADED") {
        assert!(
            std::time::Instant::now() < end,
            "the subscription of the disconnected client is still open"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.api.cancel(&job).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_subscription_limit_of_one_client_does_not_affect_others() {
    let server = Server::with(|config| config.limits.client_subscriptions = 2).await;
    let job = server.api.endless_job().await;
    let query = "subscription($id: ID!) { job(id: $id) { status } }";
    let watch = async |client: &Client| {
        let mut subscription = Subscription::start(client, query, json!({ "id": job })).await;
        let first = subscription.next().await.unwrap();
        (subscription, first.to_string())
    };
    let ada = server.api.as_account("ada", "READ").await;
    // Another token is another client, even of the same account.
    let also_ada = server.api.as_account("ada", "READ").await;
    for client in [&ada, &also_ada, &server.api] {
        let (_first, seen) = watch(client).await;
        assert!(seen.contains("status"), "{seen}");
        let (_second, seen) = watch(client).await;
        assert!(seen.contains("status"), "{seen}");
        let (_third, refused) = watch(client).await;
        assert!(
            refused.contains("OVERLOADED") && refused.contains("you have 2"),
            "{refused}"
        );
        let events = client::http()
            .post(format!("{}/graphql", client.url))
            .header("accept", "text/event-stream")
            .header(
                "authorization",
                client
                    .token
                    .as_ref()
                    .map_or(String::new(), |token| format!("Bearer {token}")),
            )
            .json(&json!({ "query": query, "variables": { "id": job } }));
        let refused = events.send().await.unwrap().text().await.unwrap();
        assert!(refused.contains("you have 2"), "{refused}");
    }
    server.api.cancel(&job).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_that_times_out_also_cancels_its_statement() {
    let server = Server::with(|config| config.limits.timeout_seconds = 1).await;
    let (mut owner, mut watcher) = (connection(&server).await, connection(&server).await);
    let mut holding = owner.begin().await.unwrap();
    sqlx::query("lock table model in access exclusive mode")
        .execute(&mut *holding)
        .await
        .unwrap();
    let (code, message) = outcome(&server.api, "{ models { nodes { name } } }").await.unwrap_err();
    assert_eq!(code, "TIMEOUT", "{message}");
    assert!(message.contains("more than 1 seconds"), "{message}");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while is_waiting_for_a_lock(&mut watcher).await {
        assert!(std::time::Instant::now() < end, "the statement is still waiting");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    holding.rollback().await.unwrap();
    assert!(outcome(&server.api, "{ models { nodes { name } } }").await.is_ok());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_without_introspection_does_not_show_its_schema() {
    let server = Server::with(|config| config.no_introspection = true).await;
    let api = &server.api;
    assert!(outcome(api, "{ serverInfo { version } }").await.is_ok());
    for introspection in [
        "{ __schema { types { name } } }",
        "{ ...a } fragment a on Query { ... { type: __type(name: \"ServerInfo\") { name } } }",
    ] {
        let (code, message) = outcome(api, introspection).await.unwrap_err();
        assert_eq!(code, "FORBIDDEN");
        assert!(message.contains("is disabled on this server"), "{message}");
    }
    assert!(outcome(api, "{ __typename }").await.is_ok());
    for misspelt in [
        "{ serverInf { version } }",
        "{ models(filter: { tag: [] }) { totalCount } }",
        "{ models(orderBy: { field: NAMES }) { totalCount } }",
    ] {
        let (_, message) = outcome(api, misspelt).await.unwrap_err();
        assert!(!message.contains("Did you mean"), "{message}");
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_reports_its_limits() {
    let server = Server::with(|config| config.limits.batch = 3).await;
    let query =
        "{ serverInfo { limits { documentBytes tokens depth fields rootFields aliases complexity batch bodyBytes
                   uploadBytes files timeoutSeconds concurrentRequests clientRequests subscriptions responseBytes fileBytes
                   clientSubscriptions clientSockets beginningSockets uploads clientUploads requestsPerMinute } } }";
    let found = server.api.data(query, json!({})).await;
    insta::assert_json_snapshot!(found["serverInfo"]["limits"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_number_of_concurrent_uploads_is_limited() {
    for (uploads, code) in [(0, "OVERLOADED"), (1, "NOT_FOUND")] {
        let server = Server::with(|config| config.limits.uploads = uploads).await;
        let input = json!({ "versionId": "VmVyc2lvbjox", "image": null });
        let query = "mutation($input: PredictInput!) { predict(input: $input) { preprocessingSteps } }";
        let response = server
            .api
            .upload(query, json!({ "input": input }), &[("input.image", b"?")])
            .await;
        assert_eq!(first_error(&response.unwrap()).0, code);
        assert!(
            outcome(&server.api, "{ serverInfo { limits { uploads } } }")
                .await
                .is_ok()
        );
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn the_size_of_a_response_is_limited_and_changes_of_a_mutation_remain() {
    let server = Server::with(|config| config.limits.response_bytes = 3_000).await;
    let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id ALIASES } } }";
    let aliases = |count: usize| {
        (0..count)
            .map(|index| format!("d{index}: description "))
            .collect::<String>()
    };
    let input = |name: &str| json!({ "input": { "name": name, "description": "d".repeat(900) } });
    let create_model = async |name: &str, count: usize| {
        let create = create.replace("ALIASES", &aliases(count));
        server.api.execute(&create, input(name)).await.unwrap()
    };
    assert!(create_model("within", 3).await.get("errors").is_none());
    let (code, message) = first_error(&create_model("beyond", 4).await);
    assert_eq!(code, "QUERY_TOO_COMPLEX");
    assert!(message.contains("more than 3000 bytes"), "{message}");
    // The change was made, and is recorded.
    let found = server
        .api
        .data(
            "{ model(name: \"beyond\") { name } auditLog(first: 1) { nodes { code input } } }",
            json!({}),
        )
        .await;
    assert_eq!(found["model"]["name"], "beyond");
    let entry = &found["auditLog"]["nodes"][0];
    assert_eq!(
        (&entry["code"], &entry["input"]["name"]),
        (&json!("QUERY_TOO_COMPLEX"), &json!("beyond"))
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn attributions_count_by_their_steps_for_every_image() {
    let server = Server::start().await;
    let query = |images: usize, steps: usize| {
        let attribution = |image| {
            let settings = format!("{{ method: INTEGRATED_GRADIENTS, steps: {steps} }}");
            format!("a{image}: attribution(image: {image}, settings: {settings}) {{ score }} ")
        };
        let images: String = (0..images).map(attribution).collect();
        format!("{{ version(id: \"VmVyc2lvbjo5OTk\") {{ {images} }} }}")
    };
    check(
        &server.api,
        &query(16, 300),
        &query(17, 300),
        "the document has a complexity of",
    )
    .await;
    assert!(outcome(&server.api, &query(60, 50)).await.is_ok());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn permutations_count_for_every_hit_of_a_page() {
    let server = Server::start().await;
    let query = |hits: usize, permutations: usize| {
        format!(
            "{{ layer(id: \"TGF5ZXI6MQ\") {{ similar(first: {hits}) {{
                edges {{ significance(permutations: {permutations}) {{ pValue }} }} }} }} }}"
        )
    };
    check(
        &server.api,
        &query(10, 100_000),
        &query(13, 100_000),
        "the document has a complexity of",
    )
    .await;
    assert!(outcome(&server.api, &query(100, 10_000)).await.is_ok());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_size_of_a_response_counts_the_fields_of_listed_layers() {
    let server = Server::with(|config| config.limits.response_bytes = 3_000).await;
    let blocks = small_cnn();
    let model = server.api.model("small").await;
    let weights = initial_weights(&blocks, 1);
    server.api.push_and_wait(&model, blocks, weights).await;
    let layers = |selection: &str| {
        format!("{{ model(name: \"small\") {{ version(number: 1) {{ layers {{ nodes {{ {selection} }} }} }} }} }}")
    };
    assert!(outcome(&server.api, &layers("name")).await.is_ok());
    let aliases: String = (0..40).map(|index| format!("n{index}: name ")).collect();
    for selection in [aliases.clone(), format!("{aliases} version {{ number }}")] {
        let (code, message) = outcome(&server.api, &layers(&selection)).await.unwrap_err();
        assert_eq!(
            (code.as_str(), message.contains("3000 bytes")),
            ("QUERY_TOO_COMPLEX", true),
            "{message}"
        );
    }
    server.stop().await.unwrap();
}
