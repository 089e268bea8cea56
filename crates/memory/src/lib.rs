//! One budget of memory for what a server does.
//!
//! Whatever reads, unpacks, converts or answers takes its bytes from the budget before it allocates them, and gives them back when
//! its data is dropped. Requests and jobs share the budget. Neither can take all of it, so a long job never keeps requests from
//! working, nor the other way round. Caches and the device have limits of their own, which are taken off before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

#[cfg(test)]
mod tests;

/// Bytes of one permit: sizes are rounded up to multiples of it.
const UNIT: u64 = 64 << 10;

/// How long a reservation waits for others to end.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// Of four quarters of a budget, those that requests or jobs may take alone.
const QUARTERS: u64 = 3;

/// A budget of memory, as requests or jobs see it. A clone is another handle to the same budget.
#[derive(Debug, Clone)]
pub struct MemoryBudget {
    /// Bytes that may be reserved through this handle and its clones together.
    limit: u64,
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Default for MemoryBudget {
    /// A budget without a limit, for commands that work for a single user.
    fn default() -> Self {
        Self {
            limit: u64::MAX,
            own: permits(u64::MAX),
            all: permits(u64::MAX),
        }
    }
}

impl MemoryBudget {
    /// The two views of a budget of this many bytes: that of requests, and that of jobs. Each may take three quarters.
    pub fn shared(bytes: u64) -> [Self; 2] {
        let all = permits(bytes);
        // In whole permits: bytes within the limit can be granted.
        let limit = bytes / 4 * QUARTERS / UNIT * UNIT;
        [(), ()].map(|()| Self {
            limit,
            own: permits(limit),
            all: Arc::clone(&all),
        })
    }

    /// Bytes that may be reserved at most.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are reserved through this handle and its clones.
    pub fn reserved(&self) -> u64 {
        let units = (self.limit / UNIT).min(Semaphore::MAX_PERMITS as u64);
        units.saturating_sub(self.own.available_permits() as u64) * UNIT
    }

    /// A reservation of nothing yet, which grows.
    pub fn empty(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            units: AtomicU32::new(0),
        }
    }

    /// Takes bytes, waiting some seconds for others to give theirs back. The caller must hold nothing of the budget: two that
    /// wait for each other would both be refused.
    ///
    /// # Errors
    /// More bytes than the limit, or still none free.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, MemoryError> {
        let units = self.units(bytes)?;
        let take = async {
            let own = self.own.acquire_many(units).await;
            let all = self.all.acquire_many(units).await;
            // The semaphores are never closed.
            own.ok().zip(all.ok())
        };
        let taken = timeout(MAX_WAIT, take).await.ok().flatten();
        let held = taken.ok_or(MemoryError::Busy { bytes })?;
        Ok(self.empty().with(units, held))
    }

    /// Takes bytes if they are free.
    ///
    /// # Errors
    /// As [`MemoryBudget::reserve`].
    pub fn try_reserve(&self, bytes: u64) -> Result<Reservation, MemoryError> {
        let held = self.empty();
        held.grow(bytes)?;
        Ok(held)
    }

    /// How many permits these bytes take.
    fn units(&self, bytes: u64) -> Result<u32, MemoryError> {
        let limit = self.limit;
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok();
        units
            .filter(|_| bytes <= limit)
            .ok_or(MemoryError::TooLarge { bytes, limit })
    }
}

/// Bytes that were taken from a budget. They are given back when it is dropped, so it lives as long as the data that it is for.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    units: AtomicU32,
}

impl Reservation {
    /// Takes more bytes, if they are free.
    ///
    /// # Errors
    /// More bytes than the limit, with those that are held already, or none free.
    pub fn grow(&self, bytes: u64) -> Result<(), MemoryError> {
        let MemoryBudget { own, all, .. } = &self.budget;
        // What can never be granted is told as that.
        self.budget.units(self.bytes().saturating_add(bytes))?;
        let units = self.budget.units(bytes)?;
        let held = own.try_acquire_many(units).ok().zip(all.try_acquire_many(units).ok());
        self.add(units, held.ok_or(MemoryError::Busy { bytes })?);
        Ok(())
    }

    /// Gives back all but so many bytes.
    pub fn shrink_to(&self, bytes: u64) {
        let kept = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let before = self.units.fetch_min(kept, Ordering::Relaxed);
        self.give_back(before.saturating_sub(kept));
    }

    /// The bytes that it holds, a multiple of 64 KiB.
    pub fn bytes(&self) -> u64 {
        u64::from(self.units.load(Ordering::Relaxed)) * UNIT
    }

    fn with(self, units: u32, held: Held<'_>) -> Self {
        self.add(units, held);
        self
    }

    fn add(&self, units: u32, (own, all): Held<'_>) {
        own.forget();
        all.forget();
        self.units.fetch_add(units, Ordering::Relaxed);
    }

    fn give_back(&self, units: u32) {
        self.budget.own.add_permits(units as usize);
        self.budget.all.add_permits(units as usize);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Permits of a view, and as many of the whole budget.
type Held<'a> = (SemaphorePermit<'a>, SemaphorePermit<'a>);

/// Why bytes could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// They will never be free.
    #[error(
        "it needs {} MiB of memory, and the server allows {} MiB: make it smaller, or start the server with more (--memory)",
        mib(.bytes),
        mib(.limit)
    )]
    TooLarge {
        /// Bytes that are needed.
        bytes: u64,
        /// Bytes that can be taken at most.
        limit: u64,
    },
    /// Others have them.
    #[error("it needs {} MiB of memory, which the server does not have free now: try again in a moment", mib(.bytes))]
    Busy {
        /// Bytes that are needed.
        bytes: u64,
    },
}

fn mib(bytes: &u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn permits(bytes: u64) -> Arc<Semaphore> {
    let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
    Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
}
