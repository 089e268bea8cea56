//! Limits the size of a response while it is computed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use async_graphql::Value;
use tokio_util::sync::CancellationToken;

use scv_memory::{MemoryBudget, MemoryError, Reservation};

/// Bytes that a value takes in addition to its text.
const VALUE_BYTES: usize = 24;

/// How many times a response is in memory at the same time: as values, as text, and compressed.
const COPIES: u64 = 3;

/// Bytes of a response for which memory is taken together.
const STEP_BYTES: i64 = 256 << 10;

/// Bytes that the response to one request may still take, and the memory that it takes. The executor gives the request up once
/// either is used up, before the response grows further.
#[derive(Debug, Clone)]
pub struct ResponseBudget {
    limit: i64,
    /// Bytes of the response so far.
    used: Arc<AtomicI64>,
    memory: Arc<Reservation>,
    exceeded: Arc<OnceLock<Exceeded>>,
    ended: CancellationToken,
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
        Self {
            limit: number(bytes),
            used: Arc::default(),
            memory: Arc::new(memory.empty()),
            exceeded: Arc::default(),
            ended: CancellationToken::new(),
        }
    }

    /// Completes once the response has exceeded the budget, with the reason.
    pub async fn exceeded(&self) -> Exceeded {
        self.ended.cancelled().await;
        self.reason().unwrap_or(Exceeded::Size)
    }

    /// Why the response has exceeded the budget, if it has.
    pub fn reason(&self) -> Option<Exceeded> {
        self.exceeded.get().copied()
    }

    /// The memory of the response. It is given back with the last handle.
    pub fn memory(&self) -> Arc<Reservation> {
        Arc::clone(&self.memory)
    }

    /// Counts values that have no fields of their own.
    pub fn count<'v>(&self, values: impl IntoIterator<Item = &'v Value>) {
        let bytes = number(values.into_iter().map(bytes).sum());
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let used = before.saturating_add(bytes);
        if used > self.limit {
            self.exceed(Exceeded::Size);
            return;
        }
        let steps = used / STEP_BYTES - before / STEP_BYTES;
        if steps > 0
            && let Err(error) = self.memory.grow(COPIES * (steps * STEP_BYTES) as u64)
        {
            self.exceed(Exceeded::Memory(error));
        }
    }

    fn exceed(&self, reason: Exceeded) {
        // The first reason counts.
        let _ = self.exceeded.set(reason);
        self.ended.cancel();
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
