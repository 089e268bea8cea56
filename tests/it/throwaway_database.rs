//! The shared PostgreSQL of the tests.

use sqlx::{ConnectOptions, PgConnection, query, query_scalar};

use crate::support::cluster;

#[tokio::test]
async fn every_test_has_its_own_empty_database() {
    let mut one: PgConnection = cluster::database().await.connect().await.unwrap();
    let mut other: PgConnection = cluster::database().await.connect().await.unwrap();
    query("CREATE TABLE mine (number int)").execute(&mut one).await.unwrap();
    let found: Option<String> = query_scalar("SELECT to_regclass('mine')::text")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(found, None);
}

#[tokio::test]
async fn the_database_has_pgvector() {
    let options = cluster::database().await;
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    scv_store::embedded::check_pgvector(&pool).await.unwrap();
}
