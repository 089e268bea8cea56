//! Connections for the statements of requests and jobs.
//!
//! Each client has a share of the pool, so that the statements of one client cannot keep all others waiting. A statement that
//! nobody waits for any more, because the request has timed out or its client has left, is cancelled: its connection is closed,
//! which PostgreSQL notices (`client_connection_check_interval`).

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Execute, Executor, PgConnection, PgTransaction, Postgres, SqlStr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a caller waits for a connection.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that comes back may take to respond. One that takes longer still executes a statement.
const RETURN_TIMEOUT: Duration = Duration::from_millis(500);

/// Rows that may wait while a caller looks at the ones before.
const ROWS_AHEAD: usize = 16;

/// The connections that a request or a job may use.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    pool: PgPool,
    /// The share of a client in the pool; `None` without a limit.
    share: Option<Arc<Semaphore>>,
}

/// A connection that returns to its pool when dropped. If it still executes a statement then, it is closed.
pub(super) struct Lease {
    /// `None` once it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    /// Kept until the connection has returned, so that a client cannot start more statements than its share by leaving.
    permit: Option<OwnedSemaphorePermit>,
}

impl Connections {
    /// All connections of a pool.
    pub(super) fn of(pool: PgPool) -> Self {
        Self { pool, share: None }
    }

    /// The same connections for a client with a share of them.
    pub(super) fn shared(&self, share: Arc<Semaphore>) -> Self {
        Self {
            pool: self.pool.clone(),
            share: Some(share),
        }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Waits for a connection.
    pub(super) async fn acquire(&self) -> sqlx::Result<Lease> {
        let permit = match &self.share {
            Some(share) => {
                let permit = timeout(ACQUIRE_TIMEOUT, Arc::clone(share).acquire_owned()).await;
                // The semaphore is never closed.
                permit.map_err(|_| sqlx::Error::PoolTimedOut)?.ok()
            }
            None => None,
        };
        Ok(Lease {
            connection: Some(self.pool.acquire().await?),
            permit,
        })
    }

    /// Begins a transaction. It is not a part of the share: within it, callers may wait for other connections.
    pub(super) async fn begin(&self) -> sqlx::Result<PgTransaction<'static>> {
        self.pool.begin().await
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_deref().expect("it is taken only on drop")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_deref_mut().expect("it is taken only on drop")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let permit = self.permit.take();
        tokio::spawn(async move {
            let _permit = permit;
            if timeout(RETURN_TIMEOUT, connection.return_to_pool()).await.is_err() {
                tracing::debug!("closed a connection whose statement nobody waits for");
            }
        });
    }
}

impl<'c> Executor<'c> for &Connections {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let connections = self.clone();
        let (mut rows, received) = mpsc::channel(ROWS_AHEAD);
        // It runs in the caller's task, so it ends when the caller stops to read.
        let executing = async move {
            match connections.acquire().await {
                Ok(mut lease) => {
                    let found = lease.fetch_many(query).map(Ok);
                    let _ = found.forward(rows).await;
                }
                Err(error) => _ = rows.send(Err(error)).await,
            }
        };
        let nothing = executing.into_stream().filter_map(async |()| None);
        stream::select(nothing, received).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let connections = self.clone();
        async move { connections.acquire().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        let connections = self.clone();
        async move { connections.acquire().await?.prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        let connections = self.clone();
        async move { connections.acquire().await?.describe(sql).await }.boxed()
    }
}
