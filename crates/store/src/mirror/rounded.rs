//! Vectors in 8 bits, by slot.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use scv_domain::vector::RoundedVector;

/// The vectors of the layers in consecutive slots, as far as they have been read. Slots may share one.
#[derive(Debug, Default)]
pub(super) struct RoundedColumn {
    vectors: Vec<OnceLock<Arc<RoundedVector>>>,
    /// Bytes that they take beside their slots.
    bytes: AtomicU64,
}

impl RoundedColumn {
    /// Size of a slot in bytes.
    pub(super) const SLOT_BYTES: usize = size_of::<OnceLock<Arc<RoundedVector>>>();

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
    pub(super) fn get(&self, slot: usize) -> Option<&Arc<RoundedVector>> {
        self.vectors[slot].get()
    }

    /// Fills a slot, if it is empty.
    pub(super) fn set(&self, slot: usize, vector: &Arc<RoundedVector>) {
        let is_set = self.vectors[slot].set(Arc::clone(vector)).is_ok();
        // The caller has the other reference.
        if is_set && Arc::strong_count(vector) == 2 {
            self.bytes.fetch_add(vector.byte_count() as u64, Ordering::Relaxed);
        }
    }

    /// Empties a slot.
    pub(super) fn clear(&mut self, slot: usize) {
        if let Some(vector) = self.vectors[slot].take().and_then(Arc::into_inner) {
            *self.bytes.get_mut() -= vector.byte_count() as u64;
        }
    }

    /// Empties all slots.
    pub(super) fn clear_all(&mut self) {
        self.vectors.iter_mut().for_each(|slot| *slot = OnceLock::new());
        *self.bytes.get_mut() = 0;
    }

    /// Bytes that the vectors take beside their slots.
    pub(super) fn byte_count(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}
