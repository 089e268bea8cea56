//! The indexes over the sketches of a probe set (pgvector's HNSW), made anew while searches and writes go on.
//!
//! They are made with the probe set and grow with every layer that is not like another to the last bit.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Store, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::similarity::SearchIndex;

/// Takes the lock that whoever makes an index holds, of any probe set: one at a time takes as much memory as it may.
const LOCK: &str = "select pg_try_advisory_lock(hashtext('scv search index'))";

/// Memory for the graph while it is made: some 400,000 layers. Whatever is beyond it goes to disk and takes longer.
const MEMORY: &str = "set maintenance_work_mem = '1GB'";

impl Store {
    /// Makes the indexes of a probe set anew. `None`: somebody else is at it.
    ///
    /// A search or a write that runs beside it waits for nothing. Cut off, it leaves the old index in use; what it left
    /// half made is cleared away by the next one.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.rebuild_search_index", skip_all)]
    pub async fn rebuild_search_index(&self, probe_set: ProbeSetId) -> Result<Option<SearchIndex>, StoreError> {
        // Its settings and its lock must not come back to the pool.
        let mut connection = self.work.acquire().await?.detach();
        let locked: bool = sqlx::query_scalar(LOCK).fetch_one(&mut connection).await?;
        let index = match locked {
            true => Some(rebuild(&mut connection, probe_set).await?),
            false => None,
        };
        connection.close().await?;
        Ok(index)
    }
}

async fn rebuild(connection: &mut PgConnection, probe_set: ProbeSetId) -> Result<SearchIndex, StoreError> {
    let (sketches, layers) = (
        format!("sketch_{}", probe_set.0),
        format!("layer_sketch_{}", probe_set.0),
    );
    for half_made in indexes(connection, &sketches, false).await? {
        run(connection, &format!("drop index concurrently {half_made}")).await?;
    }
    run(connection, MEMORY).await?;
    for index in indexes(connection, &sketches, true).await? {
        run(connection, &format!("reindex index concurrently {index}")).await?;
    }
    run(connection, &format!("analyze {sketches}, {layers}")).await?;
    let facts = format!("select count(*) filter (where searchable), pg_indexes_size('{sketches}') from {layers}");
    let (layers, bytes) = sqlx::query_as(AssertSqlSafe(facts)).fetch_one(connection).await?;
    Ok(SearchIndex { layers, bytes })
}

/// The names of a partition's sketch indexes: those in use, or those that were left half made.
async fn indexes(connection: &mut PgConnection, partition: &str, valid: bool) -> Result<Vec<String>, StoreError> {
    let query = format!(
        "select relname
           from pg_index
           join pg_class on pg_class.oid = indexrelid
           join pg_am on pg_am.oid = relam and amname = 'hnsw'
          where indrelid = '{partition}'::regclass
            and indisvalid = {valid}"
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(connection).await?)
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), StoreError> {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
