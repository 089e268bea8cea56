//! The migrations, which this crate contains.

use sqlx::PgConnection;
use sqlx::migrate::Migrator;

/// In the order in which they are applied.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// A migration whose text was corrected: its number, and the SHA-384 of the text before. Databases that have applied that are right as
/// they are; it did too much only beside another program's tables.
const CORRECTED: (i64, &str) = (
    4,
    "9d252d26c3b554a2e68ddbf5d161bf723eb8614a431a60d06cb9f138f61538463906487b8f7e37b237317eeaff30d3ca",
);

/// Lets the migrations run on a database that has applied the earlier text of one that was corrected.
pub(super) async fn accept_earlier_text(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let (version, earlier) = CORRECTED;
    let Some(migration) = MIGRATIONS.iter().find(|migration| migration.version == version) else {
        return Ok(());
    };
    // Unchecked: the table is the migrator's own, and a new database does not have it.
    let is_new = "select to_regclass('_sqlx_migrations') is null";
    if sqlx::query_scalar(is_new).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    sqlx::query("update _sqlx_migrations set checksum = $1 where version = $2 and checksum = decode($3, 'hex')")
        .bind(&*migration.checksum)
        .bind(version)
        .bind(earlier)
        .execute(connection)
        .await?;
    Ok(())
}
