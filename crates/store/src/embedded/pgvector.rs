//! Checks that a database has a pgvector that SCV works with.

use sqlx::PgPool;

use super::version::Version;

/// Why a database cannot be used. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PgvectorError {
    /// The server does not have the extension.
    #[error(
        "this PostgreSQL server has no pgvector; install pgvector {} or newer on the server (the extension `vector`)",
        Version::OLDEST_PGVECTOR
    )]
    Missing,

    /// The server has only an older release.
    #[error(
        "this PostgreSQL server has pgvector {found}, and SCV needs {} or newer; upgrade it on the server",
        Version::OLDEST_PGVECTOR
    )]
    TooOld {
        /// The release that the server offers.
        found: String,
    },

    /// The server has a recent release, but the database uses an older one.
    #[error(
        "this database uses pgvector {found}, and SCV needs {} or newer; the server has {available}, so run \
         `ALTER EXTENSION vector UPDATE` in the database",
        Version::OLDEST_PGVECTOR
    )]
    NotUpdated {
        /// The release that the database uses.
        found: String,
        /// The release that the server offers.
        available: String,
    },

    /// The query failed.
    #[error("could not query the version of pgvector from the database")]
    Database(#[from] sqlx::Error),
}

/// Checks that the database has, or can install, a release of pgvector that SCV works with.
pub async fn check_pgvector(pool: &PgPool) -> Result<(), PgvectorError> {
    let found: Option<(Option<String>, Option<String>)> =
        sqlx::query_as("SELECT default_version, installed_version FROM pg_available_extensions WHERE name = 'vector'")
            .fetch_optional(pool)
            .await?;
    let (available, used) = found.unwrap_or_default();
    check_versions(available, used)
}

fn check_versions(available: Option<String>, used: Option<String>) -> Result<(), PgvectorError> {
    let Some(available) = available else {
        return Err(PgvectorError::Missing);
    };
    let found = used.unwrap_or_else(|| available.clone());
    if is_recent(&found) {
        Ok(())
    } else if is_recent(&available) {
        Err(PgvectorError::NotUpdated { found, available })
    } else {
        Err(PgvectorError::TooOld { found: available })
    }
}

fn is_recent(version: &str) -> bool {
    version
        .parse::<Version>()
        .is_ok_and(|version| version >= Version::OLDEST_PGVECTOR)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn error(available: Option<&str>, used: Option<&str>) -> String {
        check_versions(available.map(str::to_owned), used.map(str::to_owned))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_recent_pgvector_is_accepted_whether_or_not_it_is_in_use_yet() {
        check_versions(Some("0.8.4".to_owned()), None).unwrap();
        check_versions(Some("0.8.6".to_owned()), Some("0.8.5".to_owned())).unwrap();
    }

    #[test]
    fn every_error_says_what_to_do() {
        assert!(error(None, None).contains("install pgvector 0.8.4"));
        assert!(error(Some("0.8.1"), None).contains("has pgvector 0.8.1, and SCV needs 0.8.4"));
        assert!(error(Some("0.8.6"), Some("0.8.0")).contains("ALTER EXTENSION vector UPDATE"));
        assert!(error(Some("0.8.2"), Some("0.8.0")).contains("has pgvector 0.8.2"));
    }
}
