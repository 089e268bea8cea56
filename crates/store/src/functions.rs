//! SQL functions that are part of the program and not of a migration.

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::search::{FIRST_ROUND, MAX_VISITED_LAYERS, MIN_LISTED, SCANNED_LAYERS, VISITED_LAYERS};
use super::{SEARCH_SETTINGS, StoreError};
use scv_domain::sketch::{BOUND_SLACK, RING_EDGES, RINGS, SHORT_DIRECTIONS};

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

/// The text of `analytics.nearest_layers`, with the settings of our connections.
fn nearest_layers() -> String {
    let settings = SEARCH_SETTINGS.map(|(name, value)| format!("    set {name} = {value}"));
    let numbers = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    let inner_edges: Vec<f64> = std::iter::once(0.0).chain(RING_EDGES).take(RINGS).collect();
    let constants = [
        ("session_settings", settings.join("\n")),
        ("scanned_layers", SCANNED_LAYERS.to_string()),
        ("visited_layers", VISITED_LAYERS.to_string()),
        ("max_visited_layers", MAX_VISITED_LAYERS.to_string()),
        ("first_round", FIRST_ROUND.to_string()),
        ("min_listed", MIN_LISTED.to_string()),
        ("bound_slack", BOUND_SLACK.to_string()),
        ("directions", SHORT_DIRECTIONS.to_string()),
        ("rings", RINGS.to_string()),
        ("inner_edges", numbers(&inner_edges)),
        ("outer_edges", numbers(&RING_EDGES)),
    ];
    constants.iter().fold(NEAREST_LAYERS.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn analysts_search_in_sql_uses_the_constants_of_the_api() {
        let sql = nearest_layers();
        for (name, number) in [
            ("scanned_layers    ", SCANNED_LAYERS),
            ("visited_layers    ", VISITED_LAYERS),
            ("max_visited_layers", MAX_VISITED_LAYERS),
            ("first_round       ", FIRST_ROUND),
            ("second_round      ", MIN_LISTED),
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
