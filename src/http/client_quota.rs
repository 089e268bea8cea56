//! Limits how much of a shared resource each client may hold at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of permits that each client holds, up to a limit per client.
#[derive(Debug, Clone)]
pub struct ClientQuota<Client> {
    limit: u32,
    held: Arc<Mutex<HashMap<Client, u32>>>,
}

/// A permit that a client holds until it is dropped.
#[derive(Debug)]
pub struct QuotaPermit<Client: Copy + Eq + Hash> {
    client: Client,
    held: Arc<Mutex<HashMap<Client, u32>>>,
}

impl<Client: Copy + Eq + Hash> ClientQuota<Client> {
    /// Allows each client `limit` permits at a time.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            held: Arc::default(),
        }
    }

    /// Takes a permit for a client, unless it already holds as many as are allowed.
    pub fn try_acquire(&self, client: Client) -> Option<QuotaPermit<Client>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&client).copied().unwrap_or_default();
        if count >= self.limit {
            return None;
        }
        held.insert(client, count + 1);
        Some(QuotaPermit {
            client,
            held: Arc::clone(&self.held),
        })
    }
}

impl<Client: Copy + Eq + Hash> Drop for QuotaPermit<Client> {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Clients without permits are removed, so that the map does not grow for ever.
        match held.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => _ = held.remove(&self.client),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn each_client_has_its_own_permits_and_can_take_returned_ones_again() {
        let quota = ClientQuota::new(2);
        let first = quota.try_acquire("a").unwrap();
        let _second = quota.try_acquire("a").unwrap();
        assert!(quota.try_acquire("a").is_none());
        let of_another = quota.try_acquire("b");
        assert!(of_another.is_some());
        drop(first);
        assert!(quota.try_acquire("a").is_some(), "one permit was returned");
        drop(of_another);
        let known: Vec<_> = quota.held.lock().unwrap().keys().copied().collect();
        assert_eq!(known, ["a"], "clients without permits are removed");
    }
}
