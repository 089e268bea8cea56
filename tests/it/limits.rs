//! How much may be asked for: each limit admits what is just within it and refuses what is just beyond.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::client::{Client, first_error};
use crate::support::server::Server;
use crate::support::socket::Subscription;

async fn outcome(api: &Client, query: &str) -> Result<Value, (String, String)> {
    let answer = api.ask(query, json!({})).await.unwrap();
    match answer.get("errors") {
        None => Ok(answer),
        Some(_) => Err(first_error(&answer)),
    }
}

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

/// Whether a statement on models waits. Not to be asked within a transaction, which sees what was true when it first looked.
async fn is_awaiting_a_lock(watcher: &mut PgConnection) -> bool {
    let waiting = "select exists (select from pg_stat_activity
                    where datname = current_database() and wait_event_type = 'Lock' and query like '%from model%')";
    sqlx::query_scalar(waiting).fetch_one(watcher).await.unwrap()
}

#[tokio::test]
async fn documents_are_refused_beyond_what_they_may_have() {
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
    // The same field twice is one field twice.
    check(api, &roots(4), &roots(5), "4 root fields").await;
    let through = |count: usize| {
        let spreads = "...f ".repeat(count);
        format!("{{ {spreads} }} fragment f on Query {{ serverInfo {{ version }} }}")
    };
    check(api, &through(4), &through(5), "4 root fields").await;
    let aliases = |count: usize| {
        let fields: String = (0..count).map(|index| format!("a{index}: version ")).collect();
        format!("{{ serverInfo {{ {fields} }} }}")
    };
    check(api, &aliases(3), &aliases(4), "3 aliases").await;
    let fields = |count: usize| format!("{{ serverInfo {{ {} }} }}", "version ".repeat(count - 1));
    check(api, &fields(20), &fields(21), "20 fields").await;
    let tokens = |count: usize| format!("{{ nodes(ids: [{}]) {{ id }} }}", "\"TW9kZWw6MQ\" ".repeat(count - 12));
    check(api, &tokens(60), &tokens(61), "60 tokens").await;
    let bytes = |count: usize| format!("{:count$}", "{ serverInfo { version } }");
    check(api, &bytes(2_000), &bytes(2_001), "2000 bytes").await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_price_of_a_document_is_that_of_its_pages() {
    // One model's id in a page of ten: the page, its nodes and the id.
    let page = |first: usize| format!("{{ models(first: {first}) {{ nodes {{ id }} }} }}");
    let server = Server::with(|config| config.limits.complexity = 1 + 10 * 2).await;
    check(&server.api, &page(10), &page(11), "too complex").await;
    let hidden =
        "{ ...a } fragment a on Query { models(first: 11) { ...b } } fragment b on ModelConnection { nodes { id } }";
    assert_eq!(outcome(&server.api, hidden).await.unwrap_err().0, "QUERY_TOO_COMPLEX");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn fragments_that_multiply_are_refused_at_once() {
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
async fn a_price_beyond_all_bounds_is_too_high_whatever_stands_beside_it() {
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
        "10,000 entries are within the price"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_has_enough_to_do_says_so_at_once() {
    let server = Server::with(|config| {
        config.limits.requests = 0;
        config.limits.subscriptions = 0;
    })
    .await;
    let (code, message) = outcome(&server.api, "{ serverInfo { version } }").await.unwrap_err();
    assert_eq!(code, "OVERLOADED", "{message}");
    let response = reqwest::Client::new()
        .post(format!("{}/graphql", server.api.url))
        .header("accept", "application/graphql-response+json")
        .json(&json!({ "query": "{ serverInfo { version } }" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 503);
    let watched = reqwest::Client::new()
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
async fn as_many_requests_as_may_are_answered_at_a_time_and_no_more() {
    let server = Server::with(|config| config.limits.requests = 1).await;
    let (mut owner, mut watcher) = (connection(&server).await, connection(&server).await);
    let mut holding = owner.begin().await.unwrap();
    sqlx::query("lock table model in access exclusive mode")
        .execute(&mut *holding)
        .await
        .unwrap();
    let api = server.api.clone();
    let first = tokio::spawn(async move { outcome(&api, "{ models { nodes { name } } }").await });
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_awaiting_a_lock(&mut watcher).await {
        assert!(
            std::time::Instant::now() < end,
            "the first request never came to the database"
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
async fn as_many_subscriptions_as_may_are_open_at_a_time_and_no_more() {
    let server = Server::with(|config| config.limits.subscriptions = 1).await;
    let job = server.api.endless_job().await;
    let query = "subscription($id: ID!) { job(id: $id) { status } }";
    let watch = async || Subscription::start(&server.api, query, json!({ "id": job })).await;
    let mut first = watch().await;
    assert!(first.next().await.unwrap()["data"]["job"].is_object());
    let refused = watch().await.next().await.unwrap().to_string();
    assert!(refused.contains("OVERLOADED"), "{refused}");
    // Whoever leaves makes room.
    drop(first);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while watch().await.next().await.unwrap().to_string().contains("OVERLOADED") {
        assert!(
            std::time::Instant::now() < end,
            "the subscription that was left is still open"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.api.cancel(&job).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn nobody_takes_the_subscriptions_of_others() {
    let server = Server::with(|config| config.limits.client_subscriptions = 2).await;
    let job = server.api.endless_job().await;
    let query = "subscription($id: ID!) { job(id: $id) { status } }";
    let watch = async |client: &Client| {
        let mut subscription = Subscription::start(client, query, json!({ "id": job })).await;
        let first = subscription.next().await.unwrap();
        (subscription, first.to_string())
    };
    let ada = server.api.as_account("ada", "READ").await;
    // Another token is somebody else, even of the same account.
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
        let events = reqwest::Client::new()
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
async fn a_request_that_takes_too_long_is_given_up_and_its_statement_with_it() {
    let server = Server::with(|config| config.limits.seconds = 1).await;
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
    while is_awaiting_a_lock(&mut watcher).await {
        assert!(std::time::Instant::now() < end, "the statement goes on waiting");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    holding.rollback().await.unwrap();
    assert!(outcome(&server.api, "{ models { nodes { name } } }").await.is_ok());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_with_known_clients_says_nothing_about_its_schema() {
    let server = Server::with(|config| config.no_introspection = true).await;
    let api = &server.api;
    assert!(outcome(api, "{ serverInfo { version } }").await.is_ok());
    let said = api.ask("{ __schema { types { name } } }", json!({})).await.unwrap();
    assert!(!said.to_string().contains("ServerInfo"), "{said:#}");
    let (_, message) = outcome(api, "{ serverInf { version } }").await.unwrap_err();
    assert!(!message.contains("Did you mean"), "{message}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_tells_its_limits() {
    let server = Server::with(|config| config.limits.batch = 3).await;
    let query =
        "{ serverInfo { limits { documentBytes tokens depth fields rootFields aliases complexity batch bodyBytes
                   uploadBytes files seconds requests subscriptions answerBytes fileBytes
                   clientSubscriptions sockets uploads clientUploads rate } } }";
    let found = server.api.data(query, json!({})).await;
    insta::assert_json_snapshot!(found["serverInfo"]["limits"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn no_more_requests_bring_files_at_a_time_than_may() {
    for (uploads, code) in [(0, "OVERLOADED"), (1, "NOT_FOUND")] {
        let server = Server::with(|config| config.limits.uploads = uploads).await;
        let input = json!({ "versionId": "VmVyc2lvbjox", "image": null });
        let query = "mutation($input: PredictInput!) { predict(input: $input) { preparations } }";
        let answer = server
            .api
            .upload(query, json!({ "input": input }), &[("input.image", b"?")])
            .await;
        assert_eq!(first_error(&answer.unwrap()).0, code);
        assert!(
            outcome(&server.api, "{ serverInfo { limits { uploads } } }")
                .await
                .is_ok()
        );
        server.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_has_so_many_bytes_and_no_more() {
    let server = Server::with(|config| config.limits.answer_bytes = 3_000).await;
    let create = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id ALIASES } } }";
    let aliases = |count: usize| {
        (0..count)
            .map(|index| format!("d{index}: description "))
            .collect::<String>()
    };
    let input = |name: &str| json!({ "input": { "name": name, "description": "d".repeat(900) } });
    let ask = async |name: &str, count: usize| {
        let create = create.replace("ALIASES", &aliases(count));
        server.api.ask(&create, input(name)).await.unwrap()
    };
    assert!(ask("within", 3).await.get("errors").is_none());
    let (code, message) = first_error(&ask("beyond", 4).await);
    assert_eq!(code, "QUERY_TOO_COMPLEX");
    assert!(message.contains("more than 3000 bytes"), "{message}");
    // What was changed by then is, and is written down.
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
async fn gradients_have_their_price_on_every_image() {
    let server = Server::start().await;
    let query = |images: usize, steps: usize| {
        let weigh = |image| {
            let settings = format!("{{ method: INTEGRATED_GRADIENTS, steps: {steps} }}");
            format!("a{image}: attribution(image: {image}, settings: {settings}) {{ score }} ")
        };
        let images: String = (0..images).map(weigh).collect();
        format!("{{ version(id: \"VmVyc2lvbjo5OTk\") {{ {images} }} }}")
    };
    check(&server.api, &query(16, 300), &query(17, 300), "too complex").await;
    assert!(outcome(&server.api, &query(60, 50)).await.is_ok());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn relabellings_have_their_price_on_every_hit_of_a_page() {
    let server = Server::start().await;
    let query = |hits: usize, permutations: usize| {
        format!(
            "{{ layer(id: \"TGF5ZXI6MQ\") {{ similar(first: {hits}) {{
                edges {{ significance(permutations: {permutations}) {{ pValue }} }} }} }} }}"
        )
    };
    check(&server.api, &query(10, 100_000), &query(13, 100_000), "too complex").await;
    assert!(outcome(&server.api, &query(100, 10_000)).await.is_ok());
    server.stop().await.unwrap();
}
