//! Four viewers ask two servers of one library while its models change: each answer is what SQL says at the same generation.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::access::first_layer;
use crate::support::client::{Client, text};
use crate::support::networks::{initial_weights, perceptron};
use crate::support::server::Server;

/// Changes in the suite. `just soak-viewers` sets a time in place of it.
const CHANGES: usize = 60;

/// How long changes wait for answers.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What is asked: a document, its filter, and the keys that SQL expects, as global ids. `$1` is the viewer, or null for those
/// who see everything; `{anchor}` a model whose layer and version are searched for.
struct Question {
    document: &'static str,
    filter: Value,
    expected: String,
}

const LAYERS: &str = "query($layer: ID!, $filter: SimilarityFilter) {
    layer(id: $layer) { similar(first: 100, filter: $filter) { totalCount nodes { id } } } }";

const VERSIONS: &str = "query($version: ID!, $filter: SimilarityFilter) {
    version(id: $version) { similarVersions(first: 100, filter: $filter) { totalCount nodes { id } } } }";

const MODELS: &str = "{ models(first: 100) { totalCount nodes { id } } }";

const ORIGINAL: &str = "query($version: ID!) { version(id: $version) { duplicateOf { id } } }";

const MATRIX: &str = "query($version: ID!, $other: ID!) { ckaMatrix(a: $version, b: $other) { bestMatchAverage } }";

/// The versions that a viewer sees, with their models and accuracies.
const VISIBLE: &str = "version
    join model using (model_id)
    left join evaluation using (version_id, dataset_id)
   where deleted_at is null
     and ($1::bigint is null or private_to is null or private_to = $1)";

fn global_id(kind: &str, key: &str) -> String {
    format!("rtrim(translate(encode(convert_to('{kind}:' || {key}, 'UTF8'), 'base64'), '+/', '-_'), '=')")
}

fn questions() -> Vec<Question> {
    let filters = [
        (json!({}), ""),
        (json!({ "minAccuracy": 0.5 }), "and accuracy >= 0.5"),
        (json!({ "tags": ["red"] }), "and tags @> array['red']"),
    ];
    let searches = filters.into_iter().flat_map(|(filter, condition)| {
        let found = format!("{VISIBLE} and model_id <> {{anchor}} {condition}");
        let layers = format!(
            "select {} from layer join layer_vector using (layer_id) join {found} and part = 0",
            global_id("Layer", "layer_id")
        )
        .replace("join version\n", "join version using (version_id)\n");
        let versions = format!("select {} from {found}", global_id("Version", "version_id"));
        [(LAYERS, layers), (VERSIONS, versions)].map(|(document, expected)| Question {
            document,
            filter: filter.clone(),
            expected,
        })
    });
    let others = [
        (
            MODELS,
            format!(
                "select {} from model where deleted_at is null and ($1::bigint is null or private_to is null or private_to = $1)",
                global_id("Model", "model_id")
            ),
        ),
        (
            ORIGINAL,
            format!(
                "select {} from {VISIBLE} and version_id = {{other}}",
                global_id("Version", "version_id")
            ),
        ),
        (
            MATRIX,
            format!(
                "select {} from {VISIBLE} and version_id = {{other}}",
                global_id("Version", "version_id")
            ),
        ),
    ];
    let others = others.map(|(document, expected)| Question {
        document,
        filter: Value::Null,
        expected,
    });
    searches.chain(others).collect()
}

/// The global ids in an answer. What a viewer may not see is not found.
fn found(document: &str, response: &Value, other: &str) -> Vec<String> {
    if document == MATRIX {
        return match response["errors"][0]["extensions"]["code"].as_str() {
            None => vec![other.to_owned()],
            Some("NOT_FOUND") => Vec::new(),
            Some(_) => panic!("{response:#}"),
        };
    }
    assert!(response.get("errors").is_none(), "{response:#}");
    let data = &response["data"];
    if document == ORIGINAL {
        let original = &data["version"]["duplicateOf"]["id"];
        return original.as_str().map(str::to_owned).into_iter().collect();
    }
    let list = match document {
        LAYERS => &data["layer"]["similar"],
        VERSIONS => &data["version"]["similarVersions"],
        _ => &data["models"],
    };
    let mut ids: Vec<_> = list["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| text(&node["id"]))
        .collect();
    assert_eq!(list["totalCount"], ids.len(), "{response:#}");
    ids.sort_unstable();
    ids
}

/// What all viewers ask about.
struct Library {
    first: Server,
    second: Server,
    /// A model that does not change, a version of it with a duplicate among the others, and a layer of that.
    anchor: i64,
    version: String,
    layer: String,
    /// The models that change, the first of which has the original of the duplicate.
    models: Vec<String>,
    original: String,
}

async fn connect(server: &Server) -> PgConnection {
    PgConnection::connect(server.config.database_url.as_deref().unwrap())
        .await
        .unwrap()
}

impl Library {
    async fn create() -> Self {
        let first = Server::start().await;
        let second = Server::with(|config| {
            config.database_url.clone_from(&first.config.database_url);
            config.data_dir.clone_from(&first.config.data_dir);
        })
        .await;
        let api = &first.api;
        let owner = api.as_account("owner", "WRITE").await;
        let (mut models, mut original) = (Vec::new(), String::new());
        let evaluate = "mutation($id: ID!) { evaluateVersion(input: { versionId: $id }) { job { id } } }";
        for index in 0..5 {
            let model = owner.model(&format!("model {index}")).await;
            let version = owner
                .push_and_wait(&model, perceptron(), initial_weights(&perceptron(), index))
                .await;
            let evaluated = owner.data(evaluate, json!({ "id": version })).await;
            owner
                .wait_for_success(&text(&evaluated["evaluateVersion"]["job"]["id"]))
                .await;
            if index == 0 {
                original = version;
            }
            models.push(model);
        }
        let anchor = api.model("anchor").await;
        let version = api
            .push_and_wait(&anchor, perceptron(), initial_weights(&perceptron(), 0))
            .await;
        let layer = first_layer(api, &version).await;
        let anchor = "select model_id from model where name = 'anchor'";
        let anchor = sqlx::query_scalar(anchor)
            .fetch_one(&mut connect(&first).await)
            .await
            .unwrap();
        Self {
            first,
            second,
            anchor,
            version,
            layer,
            models,
            original,
        }
    }

    /// A change of a model at one of the servers, or in SQL as commands make it.
    async fn change(&self, database: &mut PgConnection, random: &mut ChaCha8Rng) {
        let index = random.random_range(0..self.models.len());
        let server = if random.random() { &self.first } else { &self.second };
        let coin: bool = random.random();
        let mutate = async |mutation: &str, mut input: Value| {
            input["id"] = self.models[index].as_str().into();
            let kind = format!("{}{}", mutation[..1].to_uppercase(), &mutation[1..]);
            let document = format!("mutation($input: {kind}Input!) {{ {mutation}(input: $input) {{ __typename }} }}");
            // A deleted model cannot be changed, and one that is not deleted cannot be restored.
            server.api.execute(&document, json!({ "input": input })).await.unwrap();
        };
        match random.random_range(0..6) {
            0 | 1 => {
                mutate(
                    "updateModel",
                    json!({ "visibility": if coin { "PUBLIC" } else { "PRIVATE" } }),
                )
                .await
            }
            2 => {
                mutate(
                    "updateModel",
                    json!({ "tags": if coin { vec!["red"] } else { vec![] } }),
                )
                .await
            }
            3 => mutate(if coin { "deleteModel" } else { "restoreModel" }, json!({})).await,
            4 => {
                let owner = ["'owner'", "'other'", "null"][random.random_range(0..3)];
                let set = format!(
                    "update model set owner_id = (select account_id from account where account.name = {owner}) where name = 'model {index}';
                     update layer_sketch set private_to = model.private_to, changed = pg_current_xact_id()
                       from model where model.model_id = layer_sketch.model_id and name = 'model {index}'"
                );
                in_transaction(database, set).await;
            }
            _ => {
                let accuracy = if coin { 0.9 } else { 0.1 };
                let set = format!(
                    "update evaluation set accuracy = {accuracy}
                       from version join model using (model_id)
                      where version.version_id = evaluation.version_id and name = 'model {index}';
                     update layer_sketch set accuracy = {accuracy}, changed = pg_current_xact_id()
                       from model where model.model_id = layer_sketch.model_id and name = 'model {index}'"
                );
                in_transaction(database, set).await;
            }
        }
    }
}

async fn in_transaction(database: &mut PgConnection, statements: String) {
    let change = format!(
        "begin; select pg_advisory_xact_lock_shared(hashtext('scv sketches')); {statements};
         update catalogue set generation = generation + 1;
         select pg_notify('scv_catalogue', generation::text) from catalogue; commit"
    );
    sqlx::raw_sql(AssertSqlSafe(change)).execute(database).await.unwrap();
}

/// A viewer, and what it has seen.
struct Viewer {
    name: &'static str,
    apis: [Client; 2],
    /// The account that they are in SQL; null if they see everything.
    account: Option<i64>,
    random: ChaCha8Rng,
    database: PgConnection,
}

/// What the viewers have done so far.
#[derive(Default)]
struct Progress {
    is_over: AtomicBool,
    held: AtomicUsize,
    overtaken: AtomicUsize,
}

impl Viewer {
    async fn new(library: &Library, name: &'static str, scope: Option<&str>) -> Self {
        let (first, second) = (&library.first.api, &library.second.api);
        let apis = match scope {
            Some(scope) => {
                let api = first.as_account(name, scope).await;
                [api.clone(), second.with_token(api.token.as_ref().unwrap())]
            }
            None => [first.clone(), second.clone()],
        };
        let mut database = connect(&library.first).await;
        let account = match scope {
            Some("WRITE") => {
                let account = sqlx::query_scalar("select account_id from account where name = $1").bind(name);
                Some(account.fetch_one(&mut database).await.unwrap())
            }
            _ => None,
        };
        Self {
            name,
            apis,
            account,
            random: ChaCha8Rng::seed_from_u64(name.len() as u64),
            database,
        }
    }

    /// Asks a question and compares the answer, unless the library has changed meanwhile.
    async fn ask(&mut self, library: &Library, question: &Question) -> ControlFlow<()> {
        let generation = "select generation from catalogue";
        let before: i64 = sqlx::query_scalar(generation)
            .fetch_one(&mut self.database)
            .await
            .unwrap();
        let api = &self.apis[self.random.random_range(0..2)];
        let variables = json!({ "layer": library.layer, "version": library.version, "other": library.original,
                                "filter": question.filter });
        let used = |name: &str| question.document.contains(&format!("${name}:"));
        let variables = variables
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .filter(|(name, _)| used(name));
        let response = api.execute(question.document, variables.collect()).await.unwrap();
        let expected = question
            .expected
            .replace("{anchor}", &library.anchor.to_string())
            .replace(
                "{other}",
                "(select version_id from version join model using (model_id) where name = 'model 0')",
            );
        // One statement, so one moment.
        let expected = format!("select (select generation from catalogue), array({expected} order by 1)");
        let (after, expected): (i64, Vec<String>) = sqlx::query_as(AssertSqlSafe(expected))
            .bind(self.account)
            .fetch_one(&mut self.database)
            .await
            .unwrap();
        if before != after {
            // Its parts may be of either moment, but it is not a failure of the server.
            assert!(
                !response.to_string().contains("\"INTERNAL\""),
                "{}: {response:#}",
                question.document
            );
            return ControlFlow::Continue(());
        }
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(
            found(question.document, &response, &library.original),
            expected,
            "{} at generation {before}: {} {}",
            self.name,
            question.document,
            question.filter
        );
        ControlFlow::Break(())
    }
}

#[expect(clippy::print_stdout, reason = "the figures of a soak are for people")]
fn report(figures: &str) {
    println!("{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_viewer_sees_what_sql_says_while_models_change_at_two_servers() {
    let library = Arc::new(Library::create().await);
    let progress = Arc::new(Progress::default());
    let mut asking = Vec::new();
    for (name, scope) in [
        ("owner", Some("WRITE")),
        ("other", Some("WRITE")),
        ("administrator", Some("ADMIN")),
        ("anonymous", None),
    ] {
        let mut viewer = Viewer::new(&library, name, scope).await;
        let (library, progress) = (Arc::clone(&library), Arc::clone(&progress));
        asking.push(tokio::spawn(async move {
            let questions = questions();
            while !progress.is_over.load(Ordering::Relaxed) {
                let question = &questions[viewer.random.random_range(0..questions.len())];
                let count = match viewer.ask(&library, question).await {
                    ControlFlow::Break(()) => &progress.held,
                    ControlFlow::Continue(()) => &progress.overtaken,
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let soak = std::env::var_os("SCV_SOAK_SECONDS").map(|seconds| seconds.to_str().unwrap().parse().unwrap());
    let until = Instant::now() + Duration::from_secs(soak.unwrap_or(0));
    let (mut changes, mut random) = (0, ChaCha8Rng::seed_from_u64(7));
    let mut database = connect(&library.first).await;
    while (soak.is_none() && changes < CHANGES) || Instant::now() < until {
        // Some changes follow one another at once, and some leave time for answers.
        if changes % 3 == 0 {
            let (held, end) = (progress.held.load(Ordering::Relaxed), Instant::now() + TIMEOUT);
            while progress.held.load(Ordering::Relaxed) < held + 8 {
                assert!(asking.iter().all(|asking| !asking.is_finished()), "a viewer has failed");
                assert!(Instant::now() < end, "the viewers get no answers");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        library.change(&mut database, &mut random).await;
        changes += 1;
    }
    progress.is_over.store(true, Ordering::Relaxed);
    for asking in asking {
        asking.await.unwrap();
    }
    let (held, overtaken) = (
        progress.held.load(Ordering::Relaxed),
        progress.overtaken.load(Ordering::Relaxed),
    );
    report(&format!(
        "{changes} changes, {held} answers compared, {overtaken} overtaken by a change"
    ));
    assert!(held >= changes, "{held} of {}", held + overtaken);
    let library = Arc::into_inner(library).unwrap();
    library.second.stop().await.unwrap();
    library.first.stop().await.unwrap();
}
