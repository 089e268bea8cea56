//! SQL functions that are part of the program and not of a migration.

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::search::{
    CANDIDATES_PER_HIT, MAX_EXACT_ROWS, MAX_SKETCHED_HITS, MIN_CANDIDATES, MIN_CANDIDATES_OF_PART, SORTED_ROWS_PER_ROOT,
};
use super::{SEARCH_SETTINGS, StoreError};

const NEAREST_LAYERS: &str = include_str!("../sql/nearest_layers.sql");

/// Replaces the functions whose text has changed since they were installed. The migrations must have run, and the caller
/// holds their lock: of two servers that start together, only one may replace a function at a time.
pub(super) async fn install(connection: &mut PgConnection) -> Result<(), StoreError> {
    let (name, sql) = ("analytics.nearest_layers", nearest_layers());
    let digest = Sha256::digest(sql.as_bytes()).to_vec();
    let mut tx = connection.begin().await?;
    let installed = sqlx::query_scalar!("select digest from installed_function where name = $1", name)
        .fetch_optional(&mut *tx)
        .await?;
    if installed.as_ref() != Some(&digest) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
        sqlx::query!(
            "insert into installed_function (name, digest)
             values ($1, $2)
             on conflict (name) do update set digest = excluded.digest",
            name,
            digest,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(tx.commit().await?)
}

/// The text of `analytics.nearest_layers`, with the constants of the search filled in.
fn nearest_layers() -> String {
    let settings = SEARCH_SETTINGS.map(|(name, value)| format!("    set {name} = {value}"));
    let constants = [
        ("max_exact_rows", MAX_EXACT_ROWS),
        ("sorted_rows_per_root", SORTED_ROWS_PER_ROOT),
        ("max_sketched_hits", MAX_SKETCHED_HITS),
        ("min_candidates", MIN_CANDIDATES),
        ("min_candidates_of_part", MIN_CANDIDATES_OF_PART),
        ("candidates_per_hit", CANDIDATES_PER_HIT),
    ];
    let text = NEAREST_LAYERS.replace("{session_settings}", &settings.join("\n"));
    constants.iter().fold(text, |text, (name, number)| {
        text.replace(&format!("{{{name}}}"), &number.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn analysts_search_in_sql_uses_the_constants_of_the_api() {
        let sql = nearest_layers();
        for (name, number) in [
            ("max_exact_rows        ", MAX_EXACT_ROWS),
            ("max_sketched_hits     ", MAX_SKETCHED_HITS),
            ("min_candidates        ", MIN_CANDIDATES),
            ("min_candidates_of_part", MIN_CANDIDATES_OF_PART),
            ("candidates_per_hit    ", CANDIDATES_PER_HIT),
            ("sorted_rows_per_root  ", SORTED_ROWS_PER_ROOT),
        ] {
            let line = format!("{name} constant integer := {number};");
            assert!(sql.contains(&line), "{line}");
        }
        assert!(!sql.contains(['{', '}']), "{sql}");
    }

    #[test]
    fn analysts_search_in_sql_with_the_settings_of_our_connections() {
        let sql = nearest_layers();
        for (name, value) in SEARCH_SETTINGS {
            assert!(sql.contains(&format!("    set {name} = {value}\n")), "{name}");
        }
    }
}
