//! Limits the size of a response while it is computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::Value;
use tokio_util::sync::CancellationToken;

/// Bytes that a value takes in addition to its text.
const VALUE_BYTES: usize = 24;

/// Bytes that the response to one request may still take. The executor gives the request up once they are used up,
/// before the response grows further.
#[derive(Debug, Clone)]
pub struct ResponseBudget {
    remaining: Arc<AtomicUsize>,
    exceeded: CancellationToken,
}

impl ResponseBudget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            remaining: Arc::new(AtomicUsize::new(bytes)),
            exceeded: CancellationToken::new(),
        }
    }

    /// Completes once the response has exceeded the budget.
    pub async fn exceeded(&self) {
        self.exceeded.cancelled().await;
    }

    /// Whether the response has exceeded the budget.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.is_cancelled()
    }

    /// Counts a value that has no fields of its own.
    pub fn count(&self, value: &Value) {
        self.take(bytes(value));
    }

    fn take(&self, bytes: usize) {
        let taken = self
            .remaining
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |remaining| {
                remaining.checked_sub(bytes)
            });
        if taken.is_err() {
            self.exceeded.cancel();
        }
    }
}

/// The approximate size of a value in bytes.
fn bytes(value: &Value) -> usize {
    VALUE_BYTES
        + match value {
            Value::Null | Value::Number(_) | Value::Boolean(_) => 0,
            Value::String(text) => text.len(),
            Value::Enum(name) => name.len(),
            Value::Binary(binary) => binary.len(),
            Value::List(entries) => entries.iter().map(bytes).sum(),
            Value::Object(members) => members.iter().map(|(name, value)| name.len() + bytes(value)).sum(),
        }
}
