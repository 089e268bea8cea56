//! What a mirror reads in the database.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::table::{StoredLayer, Table};
use crate::StoreError;
use crate::sketch_basis::{long_partition, partition};
use scv_domain::id::ProbeSetId;

/// The moment at which a mirror was read.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub(super) struct Moment {
    pub(super) basis_id: i64,
    pub(super) generation: i64,
    /// How often layers have been deleted.
    pub(super) deletions: i64,
    /// The transactions that were visible, as PostgreSQL writes a snapshot.
    snapshot: String,
}

/// Maximum number of changed layers. To read all layers takes less time and memory than to read more changes.
const MAX_CHANGES: usize = 5_000;

/// What has changed since another moment.
pub(super) struct Changes {
    pub(super) moment: Moment,
    pub(super) layers: Vec<StoredLayer>,
}

const MOMENT: &str = "select basis_id, generation, deletions, pg_current_snapshot()::text as snapshot
                        from catalogue
                       cross join sketch_basis
                       where probe_set_id = $1
                         and state = 'ACTIVE'";

/// The number of layers of the active basis.
pub(super) async fn count(connection: &mut PgConnection, probe_set: ProbeSetId) -> Result<usize, StoreError> {
    let basis = crate::search::active_basis(connection, probe_set).await?;
    let count = format!("select count(*) from {}", partition(basis));
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(connection).await?;
    Ok(count as usize)
}

/// Reads all layers of a probe set, of which there are about so many.
pub(super) async fn all(
    connection: &mut PgConnection,
    probe_set: ProbeSetId,
    count: usize,
) -> Result<(Moment, Table), StoreError> {
    let mut tx = connection.begin().await?;
    sqlx::query("set transaction isolation level repeatable read read only")
        .execute(&mut *tx)
        .await?;
    let moment: Moment = sqlx::query_as(MOMENT).bind(probe_set.0).fetch_one(&mut *tx).await?;
    let mut table = Table::with_capacity(count);
    {
        let mut layers =
            sqlx::query_as::<_, StoredLayer>(AssertSqlSafe(select_layers(moment.basis_id))).fetch(&mut *tx);
        while let Some(layer) = layers.try_next().await? {
            table.put(layer);
        }
    }
    tx.commit().await?;
    Ok((moment, table))
}

/// Reads what has changed since another moment. `None` if the basis has been replaced or too much has changed.
///
/// A restored database may name transactions that are still to come. Their rows were all there when the mirror was read.
pub(super) async fn changes(
    connection: &mut PgConnection,
    probe_set: ProbeSetId,
    since: &Moment,
) -> Result<Option<Changes>, StoreError> {
    let partition = partition(since.basis_id);
    let statement = format!(
        "with moment as ({MOMENT})
         select moment.*,
                array(select layer_id
                        from {partition}
                       where changed >= pg_snapshot_xmin($2::text::pg_snapshot)
                         and changed < pg_snapshot_xmax(pg_current_snapshot())
                         and not pg_visible_in_snapshot(changed, $2::text::pg_snapshot)
                       limit {MAX_CHANGES} + 1) as changed
           from moment"
    );
    let (basis_id, generation, deletions, snapshot, changed): (i64, i64, i64, String, Vec<i64>) =
        sqlx::query_as(AssertSqlSafe(statement))
            .bind(probe_set.0)
            .bind(&since.snapshot)
            .fetch_one(&mut *connection)
            .await?;
    let moment = Moment {
        basis_id,
        generation,
        deletions,
        snapshot,
    };
    if moment.basis_id != since.basis_id || changed.len() > MAX_CHANGES {
        return Ok(None);
    }
    let layers = match changed.is_empty() {
        true => Vec::new(),
        false => {
            // Each table by a list of keys: for a join, PostgreSQL might read all of them.
            let all = select_layers(moment.basis_id);
            let statement = format!("{all} and short.layer_id = any($1) and long.layer_id = any($1)");
            sqlx::query_as(AssertSqlSafe(statement))
                .bind(&changed)
                .fetch_all(connection)
                .await?
        }
    };
    Ok(Some(Changes { moment, layers }))
}

fn select_layers(basis: i64) -> String {
    let (partition, long_partition) = (partition(basis), long_partition(basis));
    format!(
        "select layer_id, sketch_id, model_id, version_id, dataset_id, searchable, layer_kind, tags, private_to, accuracy,
                short.debiased_sketch as debiased_short, short.cka_sketch as cka_short,
                long.debiased_sketch as debiased_long, long.cka_sketch as cka_long
           from {partition} as short
           join {long_partition} as long using (layer_id)
          where short.basis_id = {basis}
            and long.basis_id = {basis}"
    )
}

/// The keys of all layers of a basis.
pub(super) async fn keys(connection: &mut PgConnection, basis: i64) -> Result<HashSet<i64>, StoreError> {
    let keys = format!("select layer_id from {}", partition(basis));
    let keys: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(keys)).fetch_all(connection).await?;
    Ok(keys.into_iter().collect())
}
