//! The role of analysts: it reads the schema `analytics` and nothing else.
//!
//! PostgreSQL itself quotes the names in these statements, which take no parameters.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use super::{Store, StoreError};

/// Said of each role that was made here, so that no other one is ever changed.
const MARK: &str = "Analysts of SCV, made by scv analyst-role";

/// What the role may do, and how its sessions begin. `%1$I` is the role, `%2$I` the owner of the schema, who will add to
/// it, `%3$I` the schema of pgvector, whose operators stand in queries, `%4$I` the database.
const RIGHTS: [&str; 11] = [
    "grant connect on database %4$I to %1$I",
    "grant usage on schema analytics to %1$I",
    "grant usage on schema %3$I to %1$I",
    "grant select on all tables in schema analytics to %1$I",
    "grant execute on all functions in schema analytics to %1$I",
    "alter default privileges for role %2$I in schema analytics grant select on tables to %1$I",
    "alter default privileges for role %2$I in schema analytics grant execute on functions to %1$I",
    "alter role %1$I set default_transaction_read_only = on",
    "alter role %1$I set statement_timeout = '5min'",
    "alter role %1$I set idle_in_transaction_session_timeout = '5min'",
    "alter role %1$I set search_path = analytics, %3$I",
];

/// PostgreSQL's codes for rights that are missing, and for rights elsewhere that keep a role from being dropped.
const MISSING_RIGHTS: &str = "42501";
const RIGHTS_ELSEWHERE: &str = "2BP01";

/// Why the role of analysts could not be made or dropped.
#[derive(Debug, thiserror::Error)]
pub enum AnalystError {
    /// Somebody else's role.
    #[error("the role {0:?} was not made by scv analyst-role and is left alone: choose another one with --name")]
    Foreign(String),
    /// There is no such role.
    #[error("there is no role {0:?}")]
    Unknown(String),
    /// The user of the database may not do that.
    #[error(
        "the database refuses ({0}): the user of DATABASE_URL must own the schema analytics and may make roles \
         (alter role ... createrole), or be a superuser"
    )]
    MissingRights(String),
    /// The role has rights in another database of the server.
    #[error(
        "the role {0:?} also has rights in another database of this server: run this with the DATABASE_URL of that \
         one, which drops it there"
    )]
    RightsElsewhere(String),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Makes the role, or renews its rights and, if one is given, its password.
    ///
    /// # Errors
    /// Each case of [`AnalystError`] but those of dropping; nothing was changed.
    #[tracing::instrument(name = "store.make_analyst", skip_all)]
    pub async fn make_analyst(&self, role: &str, password: Option<&str>) -> Result<(), AnalystError> {
        // The statement that sets a password holds it: it must not stand in our log.
        let options = self.pool.connect_options().as_ref().clone().disable_statement_logging();
        let mut connection = options.connect().await.map_err(StoreError::from)?;
        let mut tx = connection.begin().await.map_err(StoreError::from)?;
        let made = make(&mut tx, role, password).await;
        made.map_err(|error| refusal(error, role))?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// Takes the role's rights in this database and drops it.
    ///
    /// # Errors
    /// Each case of [`AnalystError`]; nothing was changed.
    #[tracing::instrument(name = "store.drop_analyst", skip_all)]
    pub async fn drop_analyst(&self, role: &str) -> Result<(), AnalystError> {
        let mut tx = self.pool.begin().await.map_err(StoreError::from)?;
        let dropped = drop_role(&mut tx, role).await;
        dropped.map_err(|error| refusal(error, role))?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// How clients of libpq, such as psql, connect to this database as a role.
    pub fn connection_string(&self, role: &str) -> String {
        connection_string(&self.pool.connect_options(), role)
    }
}

/// Either what the database says or what we say ourselves.
enum Refused {
    Foreign,
    Unknown,
    Database(sqlx::Error),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

fn refusal(error: Refused, role: &str) -> AnalystError {
    let error = match error {
        Refused::Foreign => return AnalystError::Foreign(role.to_owned()),
        Refused::Unknown => return AnalystError::Unknown(role.to_owned()),
        Refused::Database(error) => error,
    };
    let said = error.as_database_error();
    match said.and_then(|said| said.code()).as_deref() {
        Some(MISSING_RIGHTS) => AnalystError::MissingRights(said.map(ToString::to_string).unwrap_or_default()),
        Some(RIGHTS_ELSEWHERE) => AnalystError::RightsElsewhere(role.to_owned()),
        _ => StoreError::from(error).into(),
    }
}

async fn make(connection: &mut PgConnection, role: &str, password: Option<&str>) -> Result<(), Refused> {
    match is_ours(connection, role).await? {
        Some(true) => {}
        Some(false) => return Err(Refused::Foreign),
        None => {
            run(connection, "create role %1$I login", &[role]).await?;
            run(connection, "comment on role %1$I is %2$L", &[role, MARK]).await?;
        }
    }
    if let Some(password) = password {
        run(connection, "alter role %1$I password %2$L", &[role, password]).await?;
    }
    let (owner, operators, database): (String, String, String) = sqlx::query_as(
        "select pg_get_userbyid(ours.nspowner)::text, theirs.nspname::text, current_database()::text
           from pg_namespace as ours
          cross join pg_extension
           join pg_namespace as theirs on theirs.oid = extnamespace
          where ours.nspname = 'analytics'
            and extname = 'vector'",
    )
    .fetch_one(&mut *connection)
    .await?;
    for right in RIGHTS {
        run(connection, right, &[role, &owner, &operators, &database]).await?;
    }
    Ok(())
}

async fn drop_role(connection: &mut PgConnection, role: &str) -> Result<(), Refused> {
    match is_ours(connection, role).await? {
        Some(true) => {}
        Some(false) => return Err(Refused::Foreign),
        None => return Err(Refused::Unknown),
    }
    // Only members of a role may take its rights; whoever has made it may become one.
    run(connection, "grant %1$I to current_user", &[role]).await?;
    run(connection, "drop owned by %1$I", &[role]).await?;
    run(connection, "drop role %1$I", &[role]).await?;
    Ok(())
}

/// Whether a role was made here; `None` if there is no such role.
async fn is_ours(connection: &mut PgConnection, role: &str) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar(
        "select shobj_description(oid, 'pg_authid') is not distinct from $2
           from pg_roles
          where rolname = $1",
    )
    .bind(role)
    .bind(MARK)
    .fetch_optional(connection)
    .await
}

async fn run(connection: &mut PgConnection, template: &str, words: &[&str]) -> sqlx::Result<()> {
    let statement: String = sqlx::query_scalar("select format($1, variadic $2::text[])")
        .bind(template)
        .bind(words)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

fn connection_string(options: &PgConnectOptions, role: &str) -> String {
    let host = match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => options.get_host().to_owned(),
    };
    // Without a name, a database is called as its user is.
    let database = options.get_database().unwrap_or(options.get_username());
    let mut words = vec![
        format!("host={}", quoted(&host)),
        format!("port={}", options.get_port()),
        format!("dbname={}", quoted(database)),
        format!("user={}", quoted(role)),
    ];
    let ssl_mode = match options.get_ssl_mode() {
        PgSslMode::Prefer => None,
        PgSslMode::Disable => Some("disable"),
        PgSslMode::Allow => Some("allow"),
        PgSslMode::Require => Some("require"),
        PgSslMode::VerifyCa => Some("verify-ca"),
        PgSslMode::VerifyFull => Some("verify-full"),
    };
    words.extend(ssl_mode.map(|mode| format!("sslmode={mode}")));
    words.join(" ")
}

/// A value of a connection string: in quotes if it is not made of harmless characters alone.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-:".contains(c);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_names_everything_that_differs_from_the_defaults() {
        let options = PgConnectOptions::new_without_pgpass()
            .host("db.example")
            .port(6543)
            .username("owner");
        let options = options.ssl_mode(PgSslMode::VerifyFull);
        assert_eq!(
            connection_string(&options, "it's"),
            r"host=db.example port=6543 dbname=owner user='it\'s' sslmode=verify-full"
        );
        let options = options
            .database("scv")
            .ssl_mode(PgSslMode::Prefer)
            .socket("/a b/socket");
        assert_eq!(
            connection_string(&options, "scv_analyst"),
            "host='/a b/socket' port=6543 dbname=scv user=scv_analyst"
        );
    }
}
