//! The shared PostgreSQL of the tests themselves.

use sqlx::{ConnectOptions, PgConnection, query, query_scalar};

use crate::support::cluster;

#[tokio::test]
async fn every_test_has_an_empty_database_of_its_own() {
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
async fn pgvector_can_be_had_in_it() {
    let options = cluster::database().await;
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    scv_store::embedded::check_pgvector(&pool).await.unwrap();
}
