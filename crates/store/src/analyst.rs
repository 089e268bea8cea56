//! The role of analysts: it reads the schema `analytics` and nothing else.
//!
//! These statements take no parameters, so PostgreSQL itself quotes the names in them.

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use super::scram::{ITERATIONS, ScramKeys};
use super::{Store, StoreError};

/// The comment on every role that SCV creates. Roles without it are never changed.
const MARK: &str = "Analysts of SCV, made by scv analyst-role";

/// The rights of the role and the settings of its sessions. `%1$I` is the role, `%2$I` the owner of the schema, who also adds
/// to it later, `%3$I` the schema of pgvector, whose operators queries use, and `%4$I` the database.
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

/// PostgreSQL's codes for missing rights, and for rights in other databases that prevent dropping a role.
const MISSING_RIGHTS: &str = "42501";
const RIGHTS_ELSEWHERE: &str = "2BP01";

/// Why the role of analysts could not be created or dropped.
#[derive(Debug, thiserror::Error)]
pub enum AnalystError {
    /// Another program created the role.
    #[error("the role {0:?} was not made by scv analyst-role and is not changed: choose another name with --name")]
    Foreign(String),
    /// There is no such role.
    #[error("there is no role {0:?}")]
    Unknown(String),
    /// Analysts may create objects where functions look for operators.
    #[error(
        "the role may create objects in the schema {0:?}, and could replace what functions with the owner's rights use: `revoke \
         create on schema {0} from public`, as new databases have it, and run this command again"
    )]
    OpenSchema(String),
    /// The user of the database lacks the rights.
    #[error(
        "the database refuses ({0}): the user of DATABASE_URL must own the schema analytics and have the right to create \
         roles (alter role ... createrole), or be a superuser"
    )]
    MissingRights(String),
    /// The role has rights in another database of the server.
    #[error(
        "the role {0:?} also has rights in another database of this server: run this command with the DATABASE_URL of \
         that database, which drops the role"
    )]
    RightsElsewhere(String),
    /// The database fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Creates the role. If it exists, this renews its rights and sets its password if one is given.
    ///
    /// # Errors
    /// Each case of [`AnalystError`] except those of dropping; nothing was changed.
    #[tracing::instrument(name = "store.make_analyst", skip_all)]
    pub async fn make_analyst(&self, role: &str, password: Option<&str>) -> Result<(), AnalystError> {
        // The statement that sets a password contains its verifier, which need not be logged.
        let options = self
            .pool
            .pool()
            .connect_options()
            .as_ref()
            .clone()
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(StoreError::from)?;
        let mut tx = connection.begin().await.map_err(StoreError::from)?;
        let outcome = make(&mut tx, role, password).await;
        outcome.map_err(|error| analyst_error(error, role))?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// Revokes the rights of the role in this database and drops it.
    ///
    /// # Errors
    /// Each case of [`AnalystError`]; nothing was changed.
    #[tracing::instrument(name = "store.drop_analyst", skip_all)]
    pub async fn drop_analyst(&self, role: &str) -> Result<(), AnalystError> {
        let mut tx = self.pool.begin().await.map_err(StoreError::from)?;
        let dropped = drop_role(&mut tx, role).await;
        dropped.map_err(|error| analyst_error(error, role))?;
        Ok(tx.commit().await.map_err(StoreError::from)?)
    }

    /// The connection string with which clients of libpq, such as psql, connect to this database as a role.
    pub fn connection_string(&self, role: &str) -> String {
        connection_string(&self.pool.pool().connect_options(), role)
    }
}

/// Why a step failed: an error of the database, or a role that must not be changed.
enum RoleError {
    Foreign,
    Unknown,
    OpenSchema(String),
    Database(sqlx::Error),
}

impl From<sqlx::Error> for RoleError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

fn analyst_error(error: RoleError, role: &str) -> AnalystError {
    let error = match error {
        RoleError::Foreign => return AnalystError::Foreign(role.to_owned()),
        RoleError::Unknown => return AnalystError::Unknown(role.to_owned()),
        RoleError::OpenSchema(schema) => return AnalystError::OpenSchema(schema),
        RoleError::Database(error) => error,
    };
    let details = error.as_database_error();
    match details.and_then(|details| details.code()).as_deref() {
        Some(MISSING_RIGHTS) => AnalystError::MissingRights(details.map(ToString::to_string).unwrap_or_default()),
        Some(RIGHTS_ELSEWHERE) => AnalystError::RightsElsewhere(role.to_owned()),
        _ => StoreError::from(error).into(),
    }
}

async fn make(connection: &mut PgConnection, role: &str, password: Option<&str>) -> Result<(), RoleError> {
    match is_ours(connection, role).await? {
        Some(true) => {}
        Some(false) => return Err(RoleError::Foreign),
        None => {
            run(connection, "create role %1$I login", &[role]).await?;
            run(connection, "comment on role %1$I is %2$L", &[role, MARK]).await?;
        }
    }
    if let Some(password) = password {
        let verifier = verifier(connection, password).await?;
        run(connection, "alter role %1$I password %2$L", &[role, &verifier]).await?;
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
    // Functions of the schema run with its owner's rights, and look for operators in these two.
    let open: Option<String> = sqlx::query_scalar(
        "select nspname::text
           from pg_namespace
          where (oid = (select relnamespace from pg_class where oid = 'model'::regclass) or nspname = $1)
            and has_schema_privilege($2, oid, 'create')",
    )
    .bind(&operators)
    .bind(role)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(schema) = open {
        return Err(RoleError::OpenSchema(schema));
    }
    Ok(())
}

async fn drop_role(connection: &mut PgConnection, role: &str) -> Result<(), RoleError> {
    match is_ours(connection, role).await? {
        Some(true) => {}
        Some(false) => return Err(RoleError::Foreign),
        None => return Err(RoleError::Unknown),
    }
    // Only members of a role may revoke its rights, and the creator of a role may become a member.
    run(connection, "grant %1$I to current_user", &[role]).await?;
    run(connection, "drop owned by %1$I", &[role]).await?;
    run(connection, "drop role %1$I", &[role]).await?;
    Ok(())
}

/// Whether SCV created a role. `None` if there is no such role.
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

/// What PostgreSQL keeps of a password. It takes the place of the password, which the server may log.
async fn verifier(connection: &mut PgConnection, password: &str) -> sqlx::Result<String> {
    let salt: Vec<u8> = sqlx::query_scalar("select uuid_send(gen_random_uuid())")
        .fetch_one(&mut *connection)
        .await?;
    let keys = ScramKeys::new(password, &salt);
    sqlx::query_scalar(
        "select format('SCRAM-SHA-256$%s:%s$%s:%s', $1::integer, encode($2, 'base64'), encode($3, 'base64'), encode($4, 'base64'))",
    )
    .bind(ITERATIONS as i32)
    .bind(salt)
    .bind(keys.stored.as_slice())
    .bind(keys.server.as_slice())
    .fetch_one(connection)
    .await
}

async fn run(connection: &mut PgConnection, template: &str, names: &[&str]) -> sqlx::Result<()> {
    let statement: String = sqlx::query_scalar("select format($1, variadic $2::text[])")
        .bind(template)
        .bind(names)
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
    // By default, a database has the name of its user.
    let database = options.get_database().unwrap_or(options.get_username());
    let mut parameters = vec![
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
    parameters.extend(ssl_mode.map(|mode| format!("sslmode={mode}")));
    parameters.join(" ")
}

/// A value of a connection string, in quotes if it contains special characters.
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
