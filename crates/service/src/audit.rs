//! The audit log: its entries, and how long they are kept.

use std::time::Duration;

use super::Library;
use scv_domain::access::{AuditRetention, NewAuditEntry};
use scv_store::CurrentChange;

/// How often entries are removed that need not be kept.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);

impl Library {
    /// The same library for a request whose changes are recorded, each in the transaction that makes it.
    pub fn recording(self, change: CurrentChange) -> Self {
        Self {
            store: self.store.recording(change),
            ..self
        }
    }

    /// Records mutations that failed.
    pub async fn record_failure(&self, entry: NewAuditEntry) {
        if let Err(error) = self.store.put_audit_entry(&entry).await {
            tracing::error!(%error, ?entry, "an audit entry could not be written");
        }
    }

    /// Removes the entries of the audit log that need not be kept, and other counts of the past, for as long as it is awaited.
    pub async fn trim_audit_log(self, retention: AuditRetention) {
        let mut interval = tokio::time::interval(TRIM_INTERVAL);
        loop {
            interval.tick().await;
            match self.store.trim_audit_log(retention).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "removed old entries of the audit log"),
                Err(error) => tracing::warn!(%error, "old entries of the audit log could not be removed"),
            }
            if let Err(error) = self.store.forget_explanation_use().await {
                tracing::warn!(%error, "the explanations of earlier days are still counted");
            }
        }
    }
}
