//! Limits the size of a response while it is computed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_graphql::Value;
use tokio::sync::Notify;

use scv_memory::{MemoryBudget, MemoryError, Reservation};

/// Bytes that a value takes in addition to its text.
const VALUE_BYTES: usize = 24;

/// How many times a response is in memory at the same time: as values, as text, and compressed.
const COPIES: u64 = 3;

/// Bytes of a response for which memory is taken together.
const STEP_BYTES: i64 = 256 << 10;

/// Bytes that a response may still take, and the memory that it takes. The request is given up once either is used up, before the
/// response grows further.
#[derive(Debug, Clone)]
pub struct ResponseBudget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: i64,
    /// Bytes of the response so far.
    used: AtomicI64,
    memory: Arc<Reservation>,
    reason: Mutex<Option<Exceeded>>,
    exceeded: Notify,
}

/// Why a response is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// It has more bytes than a response may have.
    Size,
    /// The server has no memory for it.
    Memory(MemoryError),
}

impl ResponseBudget {
    /// A budget of this many bytes, whose memory comes from `memory`.
    pub fn new(bytes: usize, memory: &MemoryBudget) -> Self {
        Self(Arc::new(Inner {
            limit: number(bytes),
            used: AtomicI64::new(0),
            memory: Arc::new(memory.empty()),
            reason: Mutex::new(None),
            exceeded: Notify::new(),
        }))
    }

    /// Starts again, for the next of several responses.
    pub fn renew(&self) {
        self.0.used.store(0, Ordering::Relaxed);
        self.0.memory.shrink_to(0);
        *self.0.reason.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The output of a future that computes a response.
    ///
    /// # Errors
    /// The response exceeds the budget.
    pub async fn keep<T>(&self, computing: impl Future<Output = T>) -> Result<T, Exceeded> {
        tokio::select! {
            // First: anything computed after it is exceeded would be thrown away.
            biased;
            reason = self.exceeded() => Err(reason),
            // A response whose fields never wait is finished before the branch above is polled.
            response = computing => self.reason().map_or(Ok(response), Err),
        }
    }

    async fn exceeded(&self) -> Exceeded {
        // Stored, if it comes before somebody waits for it; an earlier response may have left one.
        loop {
            if let Some(reason) = self.reason() {
                return reason;
            }
            self.0.exceeded.notified().await;
        }
    }

    /// Why the response has exceeded the budget, if it has.
    pub fn reason(&self) -> Option<Exceeded> {
        *self.0.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory of the response. It is given back with the last handle.
    pub fn memory(&self) -> Arc<Reservation> {
        Arc::clone(&self.0.memory)
    }

    /// Counts values that have no fields of their own.
    pub fn count<'v>(&self, values: impl IntoIterator<Item = &'v Value>) {
        let bytes = number(values.into_iter().map(bytes).sum());
        let before = self.0.used.fetch_add(bytes, Ordering::Relaxed);
        let used = before.saturating_add(bytes);
        if used > self.0.limit {
            self.exceed(Exceeded::Size);
            return;
        }
        let steps = used / STEP_BYTES - before / STEP_BYTES;
        if steps > 0
            && let Err(error) = self.0.memory.grow(COPIES * (steps * STEP_BYTES) as u64)
        {
            self.exceed(Exceeded::Memory(error));
        }
    }

    fn exceed(&self, reason: Exceeded) {
        // The first reason counts.
        self.0
            .reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(reason);
        self.0.exceeded.notify_one();
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
