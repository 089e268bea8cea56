//! Libraries of earlier releases, brought up to date.

use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions as _, Executor as _, PgConnection};

use crate::support::cluster;

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Applies the migrations of a range of numbers, each in a transaction as it is done in earnest.
async fn apply(database: &mut PgConnection, numbers: std::ops::RangeInclusive<i64>) {
    for migration in MIGRATIONS.iter().filter(|one| numbers.contains(&one.version)) {
        let sql = format!("begin;\n{}\n;commit", migration.sql.as_str());
        database.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
    }
}

#[tokio::test]
async fn sketches_that_stood_beside_their_layers_are_kept_each_once() {
    let mut database = cluster::database().await.connect().await.unwrap();
    apply(&mut database, 1..=7).await;
    // Of four layers two are alike to the last bit, and one was measured on another probe set.
    database
        .execute(sqlx::raw_sql(
            "insert into dataset (name, channels, height, width, class_names, mean, std)
                  values ('a', 1, 8, 8, '{x,y}', '{0}', '{1}');
             insert into probe_set (dataset_id, split, image_indices, seed, content_hash, is_default)
                  values (1, 'TRAIN', '{}', 1, 'first', true), (1, 'TRAIN', '{}', 2, 'second', false);
             select create_sketch_partition(1), create_sketch_partition(2);
             insert into layer_sketch
                  select probe_set, layer, 7, 8, 1, 'ReLU', 0.5, '{tag}', layer <> 3,
                         array_fill(sketch, array[512])::halfvec, array_fill(sketch + 1, array[512])::halfvec
                    from (values (1, 1, 0.25), (1, 2, 0.25), (1, 3, 0.5), (2, 4, 0.25)) as layer (probe_set, layer, sketch)",
        ))
        .await
        .unwrap();
    let rows =
        "select probe_set_id, layer_id, version_id, model_id, dataset_id, layer_kind, accuracy, tags, searchable,
                       debiased_sketch::text, cka_sketch::text
                  from layer_sketch";
    let all = |from: &str| {
        let query = format!("select jsonb_agg(found order by layer_id) from ({from}) as found");
        sqlx::query_scalar::<_, serde_json::Value>(sqlx::AssertSqlSafe(query))
    };
    let before = all(rows).fetch_one(&mut database).await.unwrap();

    apply(&mut database, 8..=i64::MAX).await;

    let after = all(&format!("{rows} join sketch using (probe_set_id, sketch_id)"));
    assert_eq!(after.fetch_one(&mut database).await.unwrap(), before);
    let count = "select array_agg(count order by probe_set_id)
                   from (select probe_set_id, count(*) from sketch group by probe_set_id) as counted";
    let counts: Vec<i64> = sqlx::query_scalar(count).fetch_one(&mut database).await.unwrap();
    assert_eq!(counts, [2, 1]);
    let indexes = "select count(*) from pg_index join pg_class on pg_class.oid = indexrelid
                     join pg_am on pg_am.oid = relam and amname = 'hnsw'
                     join pg_inherits on inhrelid = indrelid and inhparent = 'sketch'::regclass";
    let indexes: i64 = sqlx::query_scalar(indexes).fetch_one(&mut database).await.unwrap();
    assert_eq!(indexes, 4, "two for each probe set");
}
