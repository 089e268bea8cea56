//! Mirrors: the sketches of a probe set in memory, where a search compares all of them in less time than PostgreSQL takes for one
//! statement.
//!
//! A mirror is a copy and never the source. Before each search it is brought up to the generation of the catalogue at that
//! moment, by the rows that have changed since it was read. While it is not there (it is being read for the first time, its
//! basis has been replaced, or memory is short), searches go through the database and find the same.

mod read;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use self::read::{Changes, Moment};
pub(super) use self::table::{RestCosines, Table};
use crate::{CacheStatistics, StoreError};
use scv_domain::id::ProbeSetId;

/// How long a search waits for a mirror. After that it goes through the database.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// How long a mirror that is not used keeps its memory if another one needs it.
const MIN_IDLE: Duration = Duration::from_secs(60);

/// How long a probe set that was too large stays without a mirror.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// The generation of a mirror that has not been read.
const NEVER: i64 = i64::MIN;

/// The mirrors of all probe sets.
#[derive(Debug, Clone)]
pub(super) struct Mirrors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Connections for changes.
    pool: PgPool,
    /// Connections without a timeout, for whole probe sets.
    work: PgPool,
    runtime: Handle,
    byte_limit: u64,
    mirrors: Mutex<HashMap<ProbeSetId, Arc<Mirror>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The mirror of a probe set.
#[derive(Debug)]
struct Mirror {
    /// What it shows.
    copy: Arc<RwLock<Option<Shown>>>,
    /// The generation that it shows, or [`NEVER`].
    generation: AtomicI64,
    bytes: AtomicU64,
    /// Held while it is being read.
    reading: tokio::sync::Mutex<()>,
    times: Mutex<Times>,
}

#[derive(Debug)]
struct Times {
    used: Instant,
    /// When the reading of all layers began that is under way.
    reading_since: Option<Instant>,
    refused: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Shown {
    moment: Moment,
    table: Table,
}

/// A mirror that does not change as long as this is held.
pub(super) type View = OwnedRwLockReadGuard<Option<Shown>, Table>;

impl Mirrors {
    pub(super) fn new(pool: PgPool, work: PgPool, byte_limit: u64) -> Self {
        Self(Arc::new(Inner {
            pool,
            work,
            runtime: Handle::current(),
            byte_limit,
            mirrors: Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }))
    }

    /// How their memory is used.
    pub(super) fn statistics(&self) -> CacheStatistics {
        let mirrors = self.mirrors();
        CacheStatistics {
            name: "sketches",
            bytes: mirrors
                .values()
                .map(|mirror| mirror.bytes.load(Ordering::Relaxed))
                .sum(),
            byte_limit: self.0.byte_limit,
            entries: mirrors
                .values()
                .filter(|mirror| mirror.bytes.load(Ordering::Relaxed) > 0)
                .count() as u64,
            hits: self.0.hits.load(Ordering::Relaxed),
            misses: self.0.misses.load(Ordering::Relaxed),
        }
    }

    /// The layers of a probe set at a generation or a later one, with the key of their basis. `None` if they are not in memory.
    pub(super) async fn view(&self, probe_set: ProbeSetId, generation: i64) -> Option<(i64, View)> {
        let view = self.fresh_view(probe_set, generation).await;
        let count = if view.is_some() { &self.0.hits } else { &self.0.misses };
        count.fetch_add(1, Ordering::Relaxed);
        view
    }

    async fn fresh_view(&self, probe_set: ProbeSetId, generation: i64) -> Option<(i64, View)> {
        if self.0.byte_limit == 0 {
            return None;
        }
        let mirror = self.mirror(probe_set);
        if mirror.generation.load(Ordering::Acquire) < generation {
            if !mirror.is_worth_waiting_for() {
                return None;
            }
            // A task of its own, so that it goes on when the search no longer waits for it.
            let refreshing = self.clone().refresh(probe_set, Arc::clone(&mirror), generation);
            let refreshed = tokio::time::timeout(MAX_WAIT, self.0.runtime.spawn(refreshing)).await;
            match refreshed {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => {
                    tracing::warn!(%probe_set, error = format!("{error:#}"), "the sketches could not be read into memory");
                    return None;
                }
                // It takes longer, or the server is stopping.
                _ => return None,
            }
        }
        let copy = Arc::clone(&mirror.copy).read_owned().await;
        let basis = copy.as_ref()?.moment.basis_id;
        let view = OwnedRwLockReadGuard::try_map(copy, |copy| copy.as_ref().map(|copy| &copy.table)).ok()?;
        Some((basis, view))
    }

    /// Brings a mirror up to a generation.
    async fn refresh(self, probe_set: ProbeSetId, mirror: Arc<Mirror>, generation: i64) -> Result<(), StoreError> {
        let _reading = mirror.reading.lock().await;
        if mirror.generation.load(Ordering::Acquire) >= generation {
            return Ok(());
        }
        if self.read_changes(probe_set, &mirror).await? {
            return Ok(());
        }
        mirror.times().reading_since = Some(Instant::now());
        let read = self.read_all(probe_set, &mirror).await;
        mirror.times().reading_since = None;
        read
    }

    /// Takes over what has changed. Returns false if everything has to be read.
    async fn read_changes(&self, probe_set: ProbeSetId, mirror: &Mirror) -> Result<bool, StoreError> {
        let since = match &*mirror.copy.read().await {
            Some(copy) if !copy.table.is_wasteful() => copy.moment.clone(),
            _ => return Ok(false),
        };
        let mut connection = self.0.pool.acquire().await?;
        let changes = match read::changes(&mut connection, probe_set, &since).await {
            Err(error) if crate::search::is_overtaken(&error) => return Ok(false),
            changes => changes?,
        };
        let Some(Changes { moment, layers }) = changes else {
            return Ok(false);
        };
        let remaining = match moment.deletions == since.deletions {
            true => None,
            false => Some(read::keys(&mut connection, moment.basis_id).await?),
        };
        let mut copy = mirror.copy.write().await;
        let Some(Shown { moment: shown, table }) = &mut *copy else {
            return Ok(false);
        };
        for layer in layers {
            table.put(layer);
        }
        if let Some(remaining) = remaining {
            table.retain(&remaining);
        }
        *shown = moment;
        if !self.make_room(probe_set, table.byte_count()) {
            drop(copy);
            mirror.clear().await;
            return Ok(true);
        }
        mirror.bytes.store(table.byte_count(), Ordering::Relaxed);
        mirror.generation.store(shown.generation, Ordering::Release);
        Ok(true)
    }

    async fn read_all(&self, probe_set: ProbeSetId, mirror: &Mirror) -> Result<(), StoreError> {
        mirror.clear().await;
        let mut connection = self.0.work.acquire().await?;
        let layers = read::count(&mut connection, probe_set).await?;
        if !self.make_room(probe_set, layers * Table::LAYER_BYTES as u64) {
            mirror.times().refused = Some(Instant::now());
            return Ok(());
        }
        let (moment, table) = read::all(&mut connection, probe_set).await?;
        let generation = moment.generation;
        mirror.bytes.store(table.byte_count(), Ordering::Relaxed);
        *mirror.copy.write().await = Some(Shown { moment, table });
        mirror.generation.store(generation, Ordering::Release);
        Ok(())
    }

    /// Makes room for the bytes of one mirror by giving up others that are idle. Returns false if it does not fit.
    fn make_room(&self, probe_set: ProbeSetId, bytes: u64) -> bool {
        let mut others: Vec<_> = self
            .mirrors()
            .iter()
            .filter(|(other, _)| **other != probe_set)
            .map(|(_, mirror)| Arc::clone(mirror))
            .collect();
        others.sort_by_key(|mirror| mirror.times().used);
        let mut taken: u64 = others.iter().map(|mirror| mirror.bytes.load(Ordering::Relaxed)).sum();
        for mirror in others {
            if taken + bytes <= self.0.byte_limit {
                break;
            }
            // One that is in use at this moment is left alone.
            let idle = mirror.times().used.elapsed() >= MIN_IDLE;
            if idle && let Ok(mut copy) = mirror.copy.try_write() {
                taken -= mirror.bytes.swap(0, Ordering::Relaxed);
                mirror.generation.store(NEVER, Ordering::Release);
                *copy = None;
            }
        }
        taken + bytes <= self.0.byte_limit
    }

    fn mirror(&self, probe_set: ProbeSetId) -> Arc<Mirror> {
        let mirror = Arc::clone(self.mirrors().entry(probe_set).or_default());
        mirror.times().used = Instant::now();
        mirror
    }

    fn mirrors(&self) -> std::sync::MutexGuard<'_, HashMap<ProbeSetId, Arc<Mirror>>> {
        self.0.mirrors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            copy: Arc::default(),
            generation: AtomicI64::new(NEVER),
            bytes: AtomicU64::new(0),
            reading: tokio::sync::Mutex::default(),
            times: Mutex::new(Times {
                used: Instant::now(),
                reading_since: None,
                refused: None,
            }),
        }
    }
}

impl Mirror {
    /// Not while all of its layers are being read, which takes longer, or if they were too many a short time ago.
    fn is_worth_waiting_for(&self) -> bool {
        let times = self.times();
        times.reading_since.is_none_or(|since| since.elapsed() < MAX_WAIT)
            && times.refused.is_none_or(|refused| refused.elapsed() >= RETRY_DELAY)
    }

    /// Gives up what it shows.
    async fn clear(&self) {
        let mut copy = self.copy.write().await;
        self.generation.store(NEVER, Ordering::Release);
        self.bytes.store(0, Ordering::Relaxed);
        *copy = None;
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
