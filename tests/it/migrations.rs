//! Migrations of the databases of earlier releases.

use scv_store::{Store, StoreSettings};
use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions as _, Executor as _, PgConnection};

use crate::support::cluster;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Applies the migrations of a range of numbers, each in a transaction, as the program does.
async fn apply(database: &mut PgConnection, numbers: std::ops::RangeInclusive<i64>) {
    for migration in MIGRATIONS.iter().filter(|one| numbers.contains(&one.version)) {
        let sql = format!("begin;\n{}\n;commit", migration.sql.as_str());
        database.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
    }
}

#[tokio::test]
async fn sketches_of_earlier_releases_are_replaced_and_equal_vectors_share_a_key() {
    let mut database = cluster::database().await.connect().await.unwrap();
    apply(&mut database, 1..=7).await;
    // Four layers: two have equal vectors, and one was measured on another probe set.
    database
        .execute(sqlx::raw_sql(
            "insert into dataset (name, channels, height, width, class_names, mean, std)
                  values ('a', 1, 8, 8, '{x,y}', '{0}', '{1}');
             insert into probe_set (dataset_id, split, image_indices, seed, content_hash, is_default)
                  values (1, 'TRAIN', '{}', 1, 'first', true), (1, 'TRAIN', '{}', 2, 'second', false);
             insert into model (name) values ('m');
             insert into version (model_id, number, format, dataset_id, parameter_count, multiply_accumulates)
                  values (1, 1, 'BLOCKS', 1, 0, 0);
             insert into layer (version_id, index, name, kind, parameters, input_shape, output_shape, parameter_count,
                                multiply_accumulates)
                  select 1, index, index::text, 'ReLU', '{}', '{1}', '{1}', 0, 0 from generate_series(0, 3) as index;
             select create_sketch_partition(1), create_sketch_partition(2);
             insert into layer_sketch
                  select probe_set, layer, 1, 1, 1, 'ReLU', 0.5, '{tag}', layer <> 3,
                         array_fill(sketch, array[512])::halfvec, array_fill(sketch + 1, array[512])::halfvec
                    from (values (1, 1, 0.25), (1, 2, 0.25), (1, 3, 0.5), (2, 4, 0.25)) as layer (probe_set, layer, sketch);
             insert into layer_vector
                  select probe_set_id, layer_id, part,
                         (select array_agg(part + (debiased_sketch::vector::real[])[1] + number order by number)
                            from generate_series(1, case part when 0 then 16000 else 300 end) as number)::vector,
                         case part when 0 then (select array_agg(number) from generate_series(1, 250) as number)::vector end, 1
                    from layer_sketch cross join (values (0), (1)) as parts (part)",
        ))
        .await
        .unwrap();
    let rows =
        "select layer_id, version_id, model_id, dataset_id, layer_kind, accuracy, tags, searchable from layer_sketch";
    let all = |from: &str| {
        let query = format!("select jsonb_agg(found order by layer_id) from ({from}) as found");
        sqlx::query_scalar::<_, serde_json::Value>(sqlx::AssertSqlSafe(query))
    };
    let before = all(rows).fetch_one(&mut database).await.unwrap();
    let numbers = "select layer_id, md5(string_agg(substring(vector_send(lead) from 5), '' order by part)) as lead,
                          md5(string_agg(substring(vector_send(tail) from 5), '' order by part)) as tail
                     from layer_vector
                    group by layer_id";
    let numbers_before = all(numbers).fetch_one(&mut database).await.unwrap();

    apply(&mut database, 8..=i64::MAX).await;

    assert_eq!(all(rows).fetch_one(&mut database).await.unwrap(), before);
    assert_eq!(all(numbers).fetch_one(&mut database).await.unwrap(), numbers_before);
    let lengths = "select array_agg(vector_dims(lead) order by part) from layer_vector where layer_id = 1";
    let lengths: Vec<i32> = sqlx::query_scalar(lengths).fetch_one(&mut database).await.unwrap();
    assert_eq!(lengths, [vec![1_750; 9], vec![550]].concat());
    // A server that reads the sketches for the first time takes those that were there before rows named their transaction.
    let unseen = "select count(*) from layer_sketch
                   where changed is null or not pg_visible_in_snapshot(changed, pg_current_snapshot())";
    let unseen: i64 = sqlx::query_scalar(unseen).fetch_one(&mut database).await.unwrap();
    assert_eq!(unseen, 0);
    let counts = "select array_agg(count order by probe_set_id)
                    from (select probe_set_id, count(distinct sketch_id)
                            from layer_sketch
                            join sketch_basis using (basis_id)
                           group by probe_set_id) as counted";
    let counts: Vec<i64> = sqlx::query_scalar(counts).fetch_one(&mut database).await.unwrap();
    assert_eq!(counts, [2, 1]);
}

#[tokio::test]
async fn jobs_and_synthetic_images_of_earlier_releases_get_the_new_names() {
    let mut database = cluster::database().await.connect().await.unwrap();
    apply(&mut database, 1..=14).await;
    database
        .execute(sqlx::raw_sql(
            "insert into dataset (name, channels, height, width, class_names, mean, std)
                  values ('a', 1, 8, 8, '{x,y}', '{0}', '{1}');
             insert into model (name) values ('m');
             insert into version (model_id, number, format, dataset_id, parameter_count, multiply_accumulates)
                  values (1, 1, 'BLOCKS', 1, 0, 0);
             insert into job (kind, version_id, phase) values ('EXEMPLIFY', 1, 'EXEMPLIFYING'), ('TRAIN', 1, 'TRAINING');
             insert into synthesis (version_id, job_id, target, settings, image_hash, image_width, image_height, activation,
                                    course, exemplars)
                  values (1, 2, '{}', '{}', 'hash', 8, 8, 0.5, '{0.25,0.5}', '[]')",
        ))
        .await
        .unwrap();

    apply(&mut database, 15..=i64::MAX).await;

    let jobs = "select kind, phase from job order by job_id";
    let jobs: Vec<(String, String)> = sqlx::query_as(jobs).fetch_all(&mut database).await.unwrap();
    let expected = [("FIND_EXEMPLARS", "FINDING_EXEMPLARS"), ("TRAIN", "TRAINING")];
    assert_eq!(jobs, expected.map(|(kind, phase)| (kind.to_owned(), phase.to_owned())));
    let history = "select activation_history from synthesis";
    let history: Vec<f64> = sqlx::query_scalar(history).fetch_one(&mut database).await.unwrap();
    assert_eq!(history, [0.25, 0.5]);
}

#[tokio::test]
async fn the_search_function_in_sql_is_replaced_once_and_keeps_its_privileges() {
    let options = cluster::database().await;
    let mut database = options.connect().await.unwrap();
    MIGRATIONS.run_to(14, &mut database).await.unwrap();
    let role = format!("Analyst of {}", options.get_database().unwrap());
    let grant = format!("create role \"{role}\"; grant execute on function analytics.nearest_layers to \"{role}\"");
    database
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(grant)))
        .await
        .unwrap();
    let function = "select xmin::text, prosrc,
                           array_to_string(proconfig, ' ') like '%jit=off%search_path=pg_catalog, public, %',
                           has_function_privilege($1, oid, 'execute'), has_function_privilege('pg_monitor', oid, 'execute')
                      from pg_proc
                     where oid = 'analytics.nearest_layers'::regproc";
    let mut states: Vec<(String, String, bool, bool, bool)> = Vec::new();
    for is_migrated in [false, true, true] {
        if is_migrated {
            let store = Store::connect(options.clone(), StoreSettings::for_writing(1))
                .await
                .unwrap();
            store.migrate().await.unwrap();
            store.close().await;
        }
        let state = sqlx::query_as(function).bind(&role).fetch_one(&mut database).await;
        states.push(state.unwrap());
    }
    assert_ne!(states[0].1, states[1].1, "the function has the text of the program");
    assert_eq!(states[1], states[2], "the function is not replaced again");
    for (_, _, has_settings, is_granted, is_public) in states {
        assert!(has_settings && is_granted && !is_public);
    }
    let drop = format!("drop owned by \"{role}\"; drop role \"{role}\"");
    database
        .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(drop)))
        .await
        .unwrap();
}

#[tokio::test]
async fn models_of_earlier_releases_have_changed_when_their_latest_version_was_registered() {
    let mut database = cluster::database().await.connect().await.unwrap();
    apply(&mut database, 1..=20).await;
    database
        .execute(sqlx::raw_sql(
            "insert into dataset (name, channels, height, width, class_names, mean, std)
                  values ('a', 1, 8, 8, '{x,y}', '{0}', '{1}');
             insert into model (name, created_at) values ('with', '2026-01-01Z'), ('without', '2026-01-02Z');
             insert into version (model_id, number, format, dataset_id, parameter_count, multiply_accumulates, created_at)
                  values (1, 1, 'BLOCKS', 1, 0, 0, '2026-02-01Z'), (1, 2, 'BLOCKS', 1, 0, 0, '2026-03-01Z')",
        ))
        .await
        .unwrap();

    apply(&mut database, 21..=i64::MAX).await;

    let changes = "select array_agg(to_char(updated_at at time zone 'UTC', 'YYYY-MM-DD') order by model_id) from model";
    let changes: Vec<String> = sqlx::query_scalar(changes).fetch_one(&mut database).await.unwrap();
    assert_eq!(changes, ["2026-03-01", "2026-01-02"]);
}

#[tokio::test]
async fn the_indexes_of_other_programs_stay_as_they_are() {
    let mut database = cluster::database().await.connect().await.unwrap();
    let foreign = "create extension if not exists vector;
                   create table foreign_table (place vector(3));
                   create index foreign_index on foreign_table using hnsw (place vector_l2_ops) with (m = 8)";
    database.execute(sqlx::raw_sql(foreign)).await.unwrap();
    let state =
        "select relfilenode::bigint, array_to_string(reloptions, ',') from pg_class where relname = 'foreign_index'";
    let before: (i64, String) = sqlx::query_as(state).fetch_one(&mut database).await.unwrap();

    MIGRATIONS.run(&mut database).await.unwrap();

    let after: (i64, String) = sqlx::query_as(state).fetch_one(&mut database).await.unwrap();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_database_with_the_earlier_text_of_a_corrected_migration_is_migrated() {
    let options = cluster::database().await;
    let mut database = options.connect().await.unwrap();
    MIGRATIONS.run_to(23, &mut database).await.unwrap();
    // The checksum of the text before it was corrected.
    let earlier = "9d252d26c3b554a2e68ddbf5d161bf723eb8614a431a60d06cb9f138f61538463906487b8f7e37b237317eeaff30d3ca";
    let is_earlier = "update _sqlx_migrations set checksum = decode($1, 'hex') where version = 4";
    sqlx::query(is_earlier)
        .bind(earlier)
        .execute(&mut database)
        .await
        .unwrap();

    let store = Store::connect(options, StoreSettings::for_writing(1)).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
    let latest: i64 = sqlx::query_scalar("select max(version) from _sqlx_migrations")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(Some(latest), MIGRATIONS.iter().map(|migration| migration.version).max());
}
