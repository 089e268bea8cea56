//! Limits how much of a shared resource each client may hold at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Clients that are remembered before those without permits are forgotten.
const MIN_REMEMBERED: usize = 64;

/// The permits that each client holds, up to a limit per client.
#[derive(Debug, Clone)]
pub struct ClientQuota<Client> {
    limit: u32,
    clients: Arc<Mutex<Clients<Client>>>,
}

#[derive(Debug)]
struct Clients<Client> {
    permits: HashMap<Client, Weak<Semaphore>>,
    /// How many clients there may be before those without permits are forgotten.
    remembered: usize,
}

impl<Client: Copy + Eq + Hash> ClientQuota<Client> {
    /// Allows each client `limit` permits at a time.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            clients: Arc::new(Mutex::new(Clients {
                permits: HashMap::new(),
                remembered: MIN_REMEMBERED,
            })),
        }
    }

    /// The limit per client.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The permits of a client. They are the same ones for as long as anybody holds them or one of them.
    pub fn of(&self, client: Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(permits) = clients.permits.get(&client).and_then(Weak::upgrade) {
            return permits;
        }
        if clients.permits.len() >= clients.remembered {
            clients.permits.retain(|_, permits| permits.strong_count() > 0);
            clients.remembered = MIN_REMEMBERED.max(2 * clients.permits.len());
        }
        let permits = Arc::new(Semaphore::new(self.limit as usize));
        clients.permits.insert(client, Arc::downgrade(&permits));
        permits
    }

    /// Takes a permit for a client, unless it already holds as many as are allowed.
    pub fn try_acquire(&self, client: Client) -> Option<OwnedSemaphorePermit> {
        self.of(client).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn each_client_has_its_own_permits_and_can_take_returned_ones_again() {
        let quota = ClientQuota::new(2);
        let first = quota.try_acquire(1).unwrap();
        let _second = quota.try_acquire(1).unwrap();
        assert!(quota.try_acquire(1).is_none());
        assert!(quota.try_acquire(2).is_some());
        drop(first);
        assert!(quota.try_acquire(1).is_some(), "one permit was returned");
    }

    #[test]
    fn clients_without_permits_are_forgotten() {
        let quota = ClientQuota::new(1);
        let held = quota.try_acquire(0).unwrap();
        for client in 1..10 * MIN_REMEMBERED {
            assert!(quota.try_acquire(client).is_some());
        }
        assert!(quota.clients.lock().unwrap().permits.len() <= MIN_REMEMBERED);
        assert!(quota.try_acquire(0).is_none(), "that one still holds its permit");
        drop(held);
        assert!(quota.try_acquire(0).is_some());
    }
}
