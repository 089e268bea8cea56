//! How large an answer may become.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::Value;
use tokio_util::sync::CancellationToken;

/// Bytes that a value takes beside its text.
const VALUE_BYTES: usize = 24;

/// Bytes that the answer to one request may still take. Whoever executes the request gives it up once they are spent, before
/// there is more.
#[derive(Debug, Clone)]
pub struct AnswerSize {
    left: Arc<AtomicUsize>,
    spent: CancellationToken,
}

impl AnswerSize {
    /// So many.
    pub fn of(bytes: usize) -> Self {
        Self {
            left: Arc::new(AtomicUsize::new(bytes)),
            spent: CancellationToken::new(),
        }
    }

    /// Ends once the answer has become larger.
    pub async fn exceeded(&self) {
        self.spent.cancelled().await;
    }

    /// Whether it has.
    pub fn is_exceeded(&self) -> bool {
        self.spent.is_cancelled()
    }

    /// Counts a value without fields of its own.
    pub(super) fn count(&self, value: &Value) {
        self.take(bytes(value));
    }

    fn take(&self, bytes: usize) {
        let taken = self
            .left
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if taken.is_err() {
            self.spent.cancel();
        }
    }
}

/// Bytes that a value takes, roughly.
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

#[cfg(test)]
mod tests {
    use async_graphql::value;

    use super::*;

    #[test]
    fn what_is_just_large_enough_is_not_too_large() {
        let size = AnswerSize::of(bytes(&value!({ "a": ["text", 1] })));
        size.take(3 * VALUE_BYTES + "text".len());
        assert!(!size.is_exceeded(), "{size:?}");
        size.take(VALUE_BYTES + "a".len());
        assert!(!size.is_exceeded(), "{size:?}");
        size.take(1);
        assert!(size.is_exceeded());
    }
}
