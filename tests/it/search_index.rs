//! Replacing the sketches of a probe set while they are used.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::client::text;
use crate::support::networks::{initial_weights, small_cnn};
use crate::support::server::Server;

const REBUILD: &str = "mutation($id: ID!) { rebuildSearchIndex(input: { probeSetId: $id }) { probeSet { id } } }";

async fn probe_set(server: &Server) -> String {
    let data = server
        .api
        .data("{ dataset(name: \"digits\") { probeSets { id } } }", json!({}))
        .await;
    text(&data["dataset"]["probeSets"][0]["id"])
}

async fn connection(server: &Server) -> PgConnection {
    let url = server.config.database_url.as_deref().unwrap();
    PgConnection::connect(url).await.unwrap()
}

/// The keys of all bases, and those of the partitions with their sketches.
async fn bases(database: &mut PgConnection) -> (Vec<i64>, Vec<i64>) {
    let keys = "select basis_id from sketch_basis order by basis_id";
    let keys = sqlx::query_scalar(keys).fetch_all(&mut *database).await.unwrap();
    let partitions = "select substring(relname from '[0-9]+$')::bigint as key
                        from pg_class
                       where relkind = 'r'
                         and relname ~ ('^' || $1 || '_sketch_[0-9]+$')
                       order by key";
    let [short, long] = ["layer", "long"].map(|length| sqlx::query_scalar::<_, i64>(partitions).bind(length));
    let short = short.fetch_all(&mut *database).await.unwrap();
    assert_eq!(short, long.fetch_all(database).await.unwrap());
    (keys, short)
}

async fn push(server: &Server, name: &str, seed: u64) {
    let model = server.api.model(name).await;
    server
        .api
        .push_and_wait(&model, small_cnn(), initial_weights(&small_cnn(), seed))
        .await;
}

#[tokio::test]
async fn sketches_are_replaced_and_what_an_interrupted_replacement_left_is_removed() {
    let server = Server::start().await;
    push(&server, "a", 1).await;
    let (id, mut database) = (probe_set(&server).await, connection(&server).await);
    // What a server leaves that was killed while it wrote sketches, and one that was killed before it dropped the old ones.
    for statement in [
        "insert into sketch_basis (probe_set_id, state, layer_count, debiased_directions, cka_directions, debiased_rest,
                                   cka_rest, debiased_short_rest_cosine, cka_short_rest_cosine,
                                   debiased_long_rest_cosine, cka_long_rest_cosine)
              select probe_set_id, 'BUILDING', 0, '', '', 1, 1, 1, 1, 1, 1 from sketch_basis",
        "select create_sketch_partition(basis_id) from sketch_basis where state = 'BUILDING'",
        "select create_sketch_partition(999)",
    ] {
        sqlx::query(statement).execute(&mut database).await.unwrap();
    }
    // Layers that are written meanwhile get sketches of both.
    push(&server, "between", 3).await;
    for sketches in [
        "select count(*) from layer_sketch group by basis_id order by basis_id",
        "select count(*) from long_sketch group by basis_id order by basis_id",
    ] {
        let sketches: Vec<i64> = sqlx::query_scalar(sketches).fetch_all(&mut database).await.unwrap();
        assert_eq!(sketches, [14, 7]);
    }

    let rebuilt = server.api.rebuild_search_index(&id).await;

    assert_eq!(rebuilt["layerCount"], 14);
    let (keys, partitions) = bases(&mut database).await;
    assert_eq!((keys.len(), &partitions), (1, &keys));
    push(&server, "b", 2).await;
    let query = "{ model(name: \"a\") { version(alias: \"latest\") { layers(first: 1) { nodes { similar { totalCount } } } } } }";
    let found = server.api.data(query, json!({})).await;
    assert_eq!(
        found["model"]["version"]["layers"]["nodes"][0]["similar"]["totalCount"],
        14
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn sketches_are_replaced_by_one_caller_at_a_time() {
    let server = Server::start().await;
    let (id, mut database) = (probe_set(&server).await, connection(&server).await);
    sqlx::query("select pg_advisory_lock(hashtext('scv sketch basis'))")
        .execute(&mut database)
        .await
        .unwrap();

    let (code, message) = server.api.error(REBUILD, json!({ "id": id })).await;

    assert_eq!(code, "CONFLICT");
    assert!(message.contains("being rebuilt already"), "{message}");
    database.close().await.unwrap();
    let (code, _) = server.api.error(REBUILD, json!({ "id": missing_probe_set() })).await;
    assert_eq!(code, "NOT_FOUND");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn any_server_says_that_an_index_is_being_rebuilt_until_it_is_complete() {
    let (one, other) = two_servers().await;
    let (id, mut database) = (probe_set(&one).await, connection(&one).await);
    let reader = other.api.as_account("reader", "READ").await;
    let before = reader.search_index(&id).await;
    assert_eq!(before["rebuilding"], false);
    // A rebuild waits for this lock before it writes sketches.
    let lock = "select pg_advisory_lock(hashtext('scv sketches'))";
    sqlx::query(lock).execute(&mut database).await.unwrap();
    one.api.data(REBUILD, json!({ "id": id })).await;
    let during = reader.search_index(&id).await;
    assert_eq!(
        (&during["fittedAt"], &during["rebuilding"]),
        (&before["fittedAt"], &json!(true))
    );
    assert_eq!(other.api.error(REBUILD, json!({ "id": id })).await.0, "CONFLICT");
    let unlock = "select pg_advisory_unlock_all()";
    sqlx::query(unlock).execute(&mut database).await.unwrap();
    reader.wait_for_rebuild(&id, &before).await;
    other.stop().await.unwrap();
    one.stop().await.unwrap();
}

/// Two servers on one library.
async fn two_servers() -> (Server, Server) {
    let one = Server::start().await;
    let other = Server::with(|config| {
        config.database_url.clone_from(&one.config.database_url);
        config.data_dir.clone_from(&one.config.data_dir);
    })
    .await;
    (one, other)
}

/// The names of the models among the hits of the first layer of a model, and whether they are proven.
async fn hits(server: &Server, model: &str) -> (Vec<String>, bool) {
    let query = "query($name: String!) { model(name: $name) { version(alias: \"latest\") { layers(first: 1) { nodes {
        similar(first: 100) { exact edges { node { version { model { name } } } } } } } } } }";
    let data = server.api.data(query, json!({ "name": model })).await;
    let found = &data["model"]["version"]["layers"]["nodes"][0]["similar"];
    let edges = found["edges"].as_array().unwrap();
    let names = edges
        .iter()
        .map(|edge| text(&edge["node"]["version"]["model"]["name"]))
        .collect();
    (names, found["exact"] == true)
}

#[tokio::test]
async fn a_probe_set_without_layers_is_fitted_and_searched_like_any_other() {
    let server = Server::start().await;
    let id = probe_set(&server).await;
    let fitted = server.api.rebuild_search_index(&id).await;
    assert_eq!(fitted["layerCount"], 0);
    push(&server, "only", 1).await;
    assert_eq!(hits(&server, "only").await, (Vec::new(), true));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_probe_set_whose_sketches_are_gone_is_an_error_and_not_an_empty_result() {
    let server = Server::start().await;
    push(&server, "a", 1).await;
    push(&server, "b", 2).await;
    let mut database = connection(&server).await;
    let (keys, _) = bases(&mut database).await;
    for statement in [
        format!("drop table layer_sketch_{0}, long_sketch_{0}", keys[0]),
        format!("delete from sketch_basis where basis_id = {}", keys[0]),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut database)
            .await
            .unwrap();
        let generation = "update catalogue set generation = generation + 1";
        sqlx::query(generation).execute(&mut database).await.unwrap();
        let query =
            "{ model(name: \"a\") { version(number: 1) { layers(first: 1) { nodes { similar { exact } } } } } }";
        let (code, message) = server.api.error(query, json!({})).await;
        assert_eq!(
            (code.as_str(), message.contains("are missing")),
            ("CONFLICT", true),
            "{message}"
        );
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_answers_right_while_another_one_replaces_the_sketches_that_it_knows() {
    let (one, other) = two_servers().await;
    push(&one, "a", 1).await;
    push(&one, "b", 2).await;
    let id = probe_set(&one).await;
    let before = hits(&other, "a").await;
    assert_eq!(before.0.len(), 7);
    for _ in 0..3 {
        one.api.rebuild_search_index(&id).await;
        assert_eq!(hits(&other, "a").await, before);
    }
    // Layers that the other server writes are found with the new sketches.
    push(&other, "c", 3).await;
    assert_eq!(hits(&one, "a").await.0.len(), 14);
    other.stop().await.unwrap();
    one.stop().await.unwrap();
}

#[tokio::test]
async fn sketches_are_replaced_while_layers_are_written_and_none_is_lost() {
    let server = Server::start().await;
    push(&server, "first", 1).await;
    let id = probe_set(&server).await;
    let replace = async {
        for _ in 0..6 {
            server.api.rebuild_search_index(&id).await;
        }
    };
    let write = async {
        for seed in 2..8 {
            push(&server, &format!("written-{seed}"), seed).await;
        }
    };
    tokio::join!(replace, write);
    assert_eq!(hits(&server, "first").await.0.len(), 6 * 7);
    let mut database = connection(&server).await;
    crate::support::rows::assert_nothing_is_half_done(&mut database).await;
    server.stop().await.unwrap();
}

/// Adds 50,000 layers that are alike to the last bit, on vectors of four images.
const ALIKE: &str = "
    do $$
    declare
        basis bigint := (select basis_id from sketch_basis where state = 'ACTIVE');
        digits bigint := (select dataset_id from dataset where name = 'digits');
    begin
        insert into model (name) select 'alike ' || number from generate_series(1, 500) as number;
        insert into version (model_id, number, status, format, dataset_id, parameter_count, multiply_accumulates)
             select model_id, 1, 'READY', 'BLOCKS', digits, 0, 0 from model where name like 'alike %';
        insert into layer (version_id, index, name, kind, parameters, input_shape, output_shape, parameter_count,
                           multiply_accumulates)
             select version_id, index, index::text, 'ReLU', '{}', '{1}', '{1}', 0, 0
               from version
               join model using (model_id)
              cross join generate_series(0, 99) as index
              where model.name like 'alike %';
        insert into layer_vector (probe_set_id, layer_id, part, lead, tail, lead_norm)
             select probe_set_id, layer_id, 0, '[0.6,0]', '[0.8,0,0,0]', 0.6
               from layer
               join version using (version_id)
               join model using (model_id)
              cross join sketch_basis
              where model.name like 'alike %';
        insert into layer_sketch
             select basis, layer_id, model_id, version_id, digits,
                    encode(substring(sha256(substring(vector_send(lead) from 5) || substring(vector_send(tail) from 5)) for 16),
                           'hex')::uuid,
                    0, 0, true, none.sketch, none.sketch, 'ReLU', '{}', null, null,
                    pg_current_xact_id()
               from layer_vector
               join layer using (layer_id)
               join version using (version_id)
              cross join (select ('[' || repeat('0,', 64) || '1]')::halfvec(65) as sketch) as none;
        insert into long_sketch
             select basis, layer_id, none.sketch, none.sketch
               from layer_vector
              cross join (select ('[' || repeat('0,', 256) || '1]')::halfvec(257) as sketch) as none;
        update catalogue set generation = generation + 1;
    end $$";

#[tokio::test]
async fn fifty_thousand_layers_that_are_alike_to_the_last_bit_are_found_page_by_page() {
    let server = Server::start().await;
    let mut database = connection(&server).await;
    sqlx::query(ALIKE).execute(&mut database).await.unwrap();
    let query =
        "query($after: String) { model(name: \"alike 1\") { version(alias: \"latest\") { layers(first: 1) { nodes {
        similar(first: 100, after: $after) {
          exact completeAbove totalCount pageInfo { endCursor } edges { debiasedCka node { id } } } } } } } }";
    for is_fitted in [false, true] {
        if is_fitted {
            let id = probe_set(&server).await;
            server.api.rebuild_search_index(&id).await;
        }
        let (mut after, mut seen) = (Value::Null, std::collections::HashSet::new());
        for _ in 0..3 {
            let data = server.api.data(query, json!({ "after": after })).await;
            let found = &data["model"]["version"]["layers"]["nodes"][0]["similar"];
            assert_eq!((&found["exact"], &found["totalCount"]), (&json!(true), &json!(49_900)));
            for edge in found["edges"].as_array().unwrap() {
                assert!(edge["debiasedCka"].as_f64().unwrap() > 0.999_999, "{edge:#}");
                assert!(seen.insert(text(&edge["node"]["id"])), "{edge:#}");
            }
            after = found["pageInfo"]["endCursor"].clone();
        }
        assert_eq!(seen.len(), 300);
    }
    server.stop().await.unwrap();
}

/// What tables whose rows may be spread over several servers must not have.
#[tokio::test]
async fn vectors_and_sketches_have_no_sequences_and_no_foreign_keys_and_can_be_distributed_by_their_keys() {
    let server = Server::start().await;
    let mut database = connection(&server).await;
    let mut strings = async |query: &'static str| -> Vec<String> {
        sqlx::query_scalar(query).fetch_all(&mut database).await.unwrap()
    };
    let none: Vec<String> = Vec::new();
    let references = "select conname::text from pg_constraint
                       where contype = 'f'
                         and (conrelid = any(array['layer_sketch', 'long_sketch', 'layer_vector']::regclass[])
                              or confrelid = any(array['layer_sketch', 'long_sketch', 'layer_vector']::regclass[]))";
    assert_eq!(strings(references).await, none);
    let generated = "select column_name::text from information_schema.columns
                      where table_name in ('layer_sketch', 'long_sketch', 'layer_vector')
                        and (column_default is not null or is_identity = 'YES')";
    assert_eq!(strings(generated).await, none);
    let keys = "select pg_get_constraintdef(oid) from pg_constraint
                 where contype = 'p' and conrelid = any(array['layer_sketch', 'long_sketch', 'layer_vector']::regclass[]) order by 1";
    let expected = [
        "PRIMARY KEY (basis_id, layer_id)",
        "PRIMARY KEY (basis_id, layer_id, sketch_id)",
        "PRIMARY KEY (probe_set_id, layer_id, part)",
    ];
    assert_eq!(strings(keys).await, expected);
    server.stop().await.unwrap();
}

fn missing_probe_set() -> Value {
    use scv_api::id::GlobalId as _;
    json!(scv_domain::id::ProbeSetId(999).encode().0)
}

#[tokio::test]
async fn a_probe_set_is_added_while_other_transactions_read_and_write_sketches() {
    let server = Server::start().await;
    push(&server, "a", 1).await;
    let mut database = connection(&server).await;
    // As a job holds them that stores many layers, and a search that takes long.
    let mut storing = database.begin().await.unwrap();
    for statement in [
        "lock table layer_sketch, long_sketch in row exclusive mode",
        "select from layer_sketch join long_sketch using (basis_id, layer_id)",
    ] {
        sqlx::query(statement).execute(&mut *storing).await.unwrap();
    }
    let create = "mutation { createProbeSet(input: { dataset: \"digits\", imageCount: 20, seed: 5 }) {
        jobs { id } } }";
    let created = server.api.data(create, json!({})).await["createProbeSet"].take();
    storing.commit().await.unwrap();
    let job = created["jobs"][0]["id"].as_str().unwrap();
    server.api.wait_for_success(job).await;
    server.stop().await.unwrap();
}
