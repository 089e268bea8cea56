//! Limits the size of a response while it is computed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_graphql::Value;
use tokio_util::sync::CancellationToken;

/// Bytes that a value takes in addition to its text.
const VALUE_BYTES: usize = 24;

/// Bytes that the response to one request may still take. The executor gives the request up once they are used up,
/// before the response grows further.
#[derive(Debug, Clone)]
pub struct ResponseBudget {
    /// Negative once it is exceeded.
    remaining: Arc<AtomicI64>,
    exceeded: CancellationToken,
}

impl ResponseBudget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            remaining: Arc::new(AtomicI64::new(number(bytes))),
            exceeded: CancellationToken::new(),
        }
    }

    /// Completes once the response has exceeded the budget.
    pub async fn exceeded(&self) {
        self.exceeded.cancelled().await;
    }

    /// Whether the response has exceeded the budget.
    pub fn is_exceeded(&self) -> bool {
        self.remaining.load(Ordering::Relaxed) < 0
    }

    /// Counts values that have no fields of their own.
    pub fn count<'v>(&self, values: impl IntoIterator<Item = &'v Value>) {
        let bytes = number(values.into_iter().map(bytes).sum());
        if self.remaining.fetch_sub(bytes, Ordering::Relaxed) < bytes {
            self.exceeded.cancel();
        }
    }
}

fn number(bytes: usize) -> i64 {
    bytes.try_into().unwrap_or(i64::MAX)
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
