//! Vectors in 8 bits, by slot.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use scv_domain::vector::RoundedVector;

/// The vectors of the layers in consecutive slots, as far as they have been read.
#[derive(Debug, Default)]
pub(super) struct RoundedColumn {
    vectors: Vec<OnceLock<RoundedVector>>,
    /// Bytes that they take beside their slots.
    bytes: AtomicU64,
}

impl RoundedColumn {
    /// Size of a slot in bytes.
    pub(super) const SLOT_BYTES: usize = size_of::<OnceLock<RoundedVector>>();

    /// Nothing, with room for slots.
    pub(super) fn with_capacity(slots: usize) -> Self {
        Self {
            vectors: Vec::with_capacity(slots),
            bytes: AtomicU64::new(0),
        }
    }

    /// Adds an empty slot.
    pub(super) fn push(&mut self) {
        self.vectors.push(OnceLock::new());
    }

    /// The vector in a slot.
    #[inline]
    pub(super) fn get(&self, slot: usize) -> Option<&RoundedVector> {
        self.vectors[slot].get()
    }

    /// Fills a slot, if it is empty.
    pub(super) fn set(&self, slot: usize, vector: RoundedVector) {
        let bytes = vector.byte_count() as u64;
        if self.vectors[slot].set(vector).is_ok() {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Empties a slot.
    pub(super) fn clear(&mut self, slot: usize) {
        if let Some(vector) = self.vectors[slot].take() {
            *self.bytes.get_mut() -= vector.byte_count() as u64;
        }
    }

    /// Empties all slots.
    pub(super) fn clear_all(&mut self) {
        for slot in 0..self.vectors.len() {
            self.clear(slot);
        }
    }

    /// Bytes that the vectors take beside their slots.
    pub(super) fn byte_count(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
