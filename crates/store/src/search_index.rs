//! Rebuilds the indexes over the sketches of a probe set (pgvector's HNSW) while searches and writes go on.
//!
//! The indexes are created with the probe set. Every layer whose sketch is new adds an entry.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{Store, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::similarity::SearchIndex;

/// Takes the lock for rebuilding an index of any probe set: only one rebuild at a time may use that much memory.
const LOCK: &str = "select pg_try_advisory_lock(hashtext('scv search index'))";

/// Memory for the graph while it is built: about 400,000 layers. Larger graphs go to disk and take longer.
const MEMORY: &str = "set maintenance_work_mem = '1GB'";

impl Store {
    /// Rebuilds the indexes of a probe set. `None` if another rebuild is running.
    ///
    /// Concurrent searches and writes do not wait. An interrupted rebuild leaves the old index in use, and the next rebuild
    /// removes its unfinished index.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.rebuild_search_index", skip_all)]
    pub async fn rebuild_search_index(&self, probe_set: ProbeSetId) -> Result<Option<SearchIndex>, StoreError> {
        // Detached, so that its settings and its lock do not return to the pool.
        let mut connection = self.work.acquire().await?.detach();
        let locked: bool = sqlx::query_scalar(LOCK).fetch_one(&mut connection).await?;
        let index = if locked {
            Some(rebuild(&mut connection, probe_set).await?)
        } else {
            None
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
    for unfinished in indexes(connection, &sketches, false).await? {
        run(connection, &format!("drop index concurrently {unfinished}")).await?;
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

/// The names of a partition's sketch indexes: the valid ones, or those that an interrupted rebuild left.
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
