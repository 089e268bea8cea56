//! Permits for concurrent requests: of all clients together, and of each one.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::caller::Client;
use super::client_quota::ClientQuota;

/// The permits for requests. A task that does the work of a request holds one until it ends, whether or not the client has left.
#[derive(Debug, Clone)]
pub struct RequestPermits {
    all: Arc<Semaphore>,
    clients: ClientQuota<Client>,
    connections: ClientQuota<Client>,
}

/// A permit for a request. Dropping it returns it.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not read")]
pub struct RequestPermit(OwnedSemaphorePermit, OwnedSemaphorePermit);

/// Why a request gets no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPermit {
    /// The client has as many requests in progress as one client may have.
    OfClient(u32),
    /// All clients together have.
    OfAll,
}

impl NoPermit {
    /// What the client can do about it.
    pub fn message(self) -> String {
        match self {
            Self::OfClient(limit) => format!(
                "you have {limit} requests in progress, which is the limit for one client: wait for the response to one of them \
                 (`scv serve --max-client-requests` sets the limit)"
            ),
            Self::OfAll => "the server is busy: try again in a moment".to_owned(),
        }
    }
}

impl RequestPermits {
    /// So many permits for all clients and for each one; and so many connections to the database, of which each client may use
    /// a half at a time.
    pub fn new(all: u32, per_client: u32, connections: u32) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all as usize)),
            clients: ClientQuota::new(per_client),
            connections: ClientQuota::new((connections / 2).max(1)),
        }
    }

    /// The same limits with permits of their own.
    pub fn separate(&self, all: u32) -> Self {
        Self::new(all, self.clients.limit(), 2 * self.connections.limit())
    }

    /// A permit for a request of a client.
    ///
    /// # Errors
    /// None is free. A queue would only add load: a client that is refused immediately can try another server, or retry later.
    pub fn try_acquire(&self, client: Client) -> Result<RequestPermit, NoPermit> {
        let limit = self.clients.limit();
        let of_client = self.clients.try_acquire(client).ok_or(NoPermit::OfClient(limit))?;
        match Arc::clone(&self.all).try_acquire_owned() {
            Ok(of_all) => Ok(RequestPermit(of_client, of_all)),
            Err(_) => Err(NoPermit::OfAll),
        }
    }

    /// Waits for a permit for an event of a client's subscription. `None` once there are no more permits, which never happens.
    pub async fn acquire(self, client: Client) -> Option<RequestPermit> {
        let of_client = self.clients.of(client).acquire_owned().await.ok()?;
        Some(RequestPermit(of_client, self.all.acquire_owned().await.ok()?))
    }

    /// The connections to the database that a client may use at a time.
    pub fn connections(&self, client: Client) -> Arc<Semaphore> {
        self.connections.of(client)
    }
}
