//! Mirrors: the sketches of a probe set in memory, where a search compares all of them in less time than PostgreSQL takes for one
//! statement.
//!
//! A mirror is a copy and never the source. Before each search it is brought up to the generation of the catalogue at that
//! moment, by the rows that have changed since it was read. While it is not there (it is being read for the first time, its
//! basis has been replaced, or memory is short), searches go through the database.

mod read;
mod rounded;
mod scan;
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
use uuid::Uuid;

use self::read::{Changes, Moment};
pub(super) use self::scan::{Reached, Target, take_most_promising};
use self::table::Table;
use crate::vector_cache::{KeyedLayer, VectorCache};
use crate::{CacheStatistics, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::vector::RoundedVector;

/// How long a search waits for a mirror, in all. After that it goes through the database.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// How long a mirror that is not used keeps its memory if another one needs it.
const MIN_IDLE: Duration = Duration::from_secs(60);

/// How long a probe set stays without a mirror that was too large, and a mirror without vectors that are missing.
const RETRY_DELAY: Duration = Duration::from_secs(60);

/// How long a probe set stays without a mirror that could not be read.
const FAILURE_DELAY: Duration = Duration::from_secs(5);

/// Numbers of vectors that are read in one statement: 4 MB.
const VECTOR_NUMBERS: usize = 1_000_000;

/// The part of the memory that rounded vectors leave free, for the sketches of new layers.
const SPARE: u64 = 16;

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
    /// Gets the vectors of the layers that are read.
    vectors: VectorCache,
    mirrors: Mutex<HashMap<ProbeSetId, Arc<Mirror>>>,
    /// Held while all layers of a probe set are read, which is done for one at a time.
    reading_all: tokio::sync::Mutex<()>,
    /// Held while vectors are read, which is done for one at a time.
    reading_vectors: tokio::sync::Mutex<()>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The mirror of a probe set.
#[derive(Debug)]
struct Mirror {
    /// What it shows.
    shown: Arc<RwLock<Option<Shown>>>,
    /// The generation that it shows, or [`NEVER`].
    generation: AtomicI64,
    bytes: AtomicU64,
    /// Held while it is being read.
    turn: tokio::sync::Mutex<()>,
    times: Mutex<Times>,
}

#[derive(Debug)]
struct Times {
    used: Instant,
    /// When the reading began that is under way.
    reading_since: Option<Instant>,
    /// Until when it is not read.
    refused_until: Option<Instant>,
    /// Since when some of its vectors are missing, for which there was no room, or which could not be read.
    short_since: Option<Instant>,
}

/// What a mirror shows.
#[derive(Debug)]
pub(crate) struct Shown {
    moment: Moment,
    pub(crate) table: Table,
}

impl Shown {
    /// The key of the basis of its sketches.
    pub(crate) fn basis(&self) -> i64 {
        self.moment.basis_id
    }
}

/// A mirror that does not change as long as this is held.
pub(super) type View = OwnedRwLockReadGuard<Option<Shown>, Shown>;

impl Mirrors {
    pub(super) fn new(pool: PgPool, work: PgPool, byte_limit: u64, vectors: VectorCache) -> Self {
        Self(Arc::new(Inner {
            pool,
            work,
            runtime: Handle::current(),
            byte_limit,
            vectors,
            mirrors: Mutex::default(),
            reading_all: tokio::sync::Mutex::default(),
            reading_vectors: tokio::sync::Mutex::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }))
    }

    /// How their memory is used.
    pub(super) fn statistics(&self) -> CacheStatistics {
        let mirrors = self.mirrors();
        CacheStatistics {
            name: "sketches",
            bytes: total_bytes(mirrors.values()),
            byte_limit: self.0.byte_limit,
            entries: mirrors
                .values()
                .filter(|mirror| mirror.bytes.load(Ordering::Relaxed) > 0)
                .count() as u64,
            hits: self.0.hits.load(Ordering::Relaxed),
            misses: self.0.misses.load(Ordering::Relaxed),
        }
    }

    /// The layers of a probe set at a generation or a later one. `None` if they are not in memory.
    pub(super) async fn view(&self, probe_set: ProbeSetId, generation: i64) -> Option<View> {
        let view = self.fresh_view(probe_set, generation).await;
        let count = if view.is_some() { &self.0.hits } else { &self.0.misses };
        count.fetch_add(1, Ordering::Relaxed);
        view
    }

    async fn fresh_view(&self, probe_set: ProbeSetId, generation: i64) -> Option<View> {
        if self.0.byte_limit == 0 {
            return None;
        }
        let mirror = self.mirror(probe_set);
        let view = async {
            if mirror.generation.load(Ordering::Acquire) < generation {
                if !mirror.is_worth_waiting_for() {
                    return None;
                }
                // A task of its own, so that it goes on when the search no longer waits for it.
                let refreshing = self.clone().refresh(probe_set, Arc::clone(&mirror), generation);
                self.0.runtime.spawn(refreshing).await.ok()?;
            }
            let shown = Arc::clone(&mirror.shown).read_owned().await;
            // It may have been given up meanwhile.
            let view = OwnedRwLockReadGuard::try_map(shown, Option::as_ref).ok()?;
            (view.moment.generation >= generation).then_some(view)
        };
        tokio::time::timeout(MAX_WAIT, view).await.ok()?
    }

    /// Brings a mirror up to a generation, if it can be read.
    async fn refresh(self, probe_set: ProbeSetId, mirror: Arc<Mirror>, generation: i64) {
        let _turn = mirror.turn.lock().await;
        if mirror.generation.load(Ordering::Acquire) >= generation || !mirror.may_be_read() {
            return;
        }
        let reading = Reading::begin(&mirror);
        let read = match self.read_changes(probe_set, &mirror).await {
            Ok(false) => self.read_all(probe_set, &mirror).await,
            read => read.map(|_| ()),
        };
        drop(reading);
        if let Err(error) = read {
            tracing::warn!(%probe_set, error = format!("{error:#}"), "the sketches could not be read into memory");
            mirror.clear().await;
            mirror.refuse_for(FAILURE_DELAY);
        }
    }

    /// Takes over what has changed. Returns false if everything has to be read.
    async fn read_changes(&self, probe_set: ProbeSetId, mirror: &Arc<Mirror>) -> Result<bool, StoreError> {
        let since = match &*mirror.shown.read().await {
            Some(shown) if !shown.table.is_wasteful() => shown.moment.clone(),
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
        // Searches that hold the mirror may wait for a connection.
        drop(connection);
        let mut shown = mirror.shown.write().await;
        let Some(Shown { moment: then, table }) = &mut *shown else {
            return Ok(false);
        };
        let mut unread: Vec<_> = layers.iter().map(|layer| (layer.sketch_id, layer.layer_id)).collect();
        for layer in layers {
            table.put(layer);
        }
        if let Some(remaining) = remaining {
            table.retain(&remaining);
        }
        unread.retain(|layer| table.is_unread(layer));
        if mirror.may_read_the_rest() {
            unread = table.unread();
        }
        *then = moment;
        // Rounded vectors are given up before any sketches are.
        let mut fits = self.bytes_of_others(probe_set) + table.byte_count() <= self.0.byte_limit;
        if !fits {
            table.clear_rounded();
            unread = table.unread();
            fits = self.make_room(probe_set, table.byte_count());
        }
        mirror.bytes.store(table.byte_count(), Ordering::Relaxed);
        mirror.generation.store(then.generation, Ordering::Release);
        drop(shown);
        if fits {
            self.start_reading(probe_set, mirror, unread);
        } else {
            mirror.clear().await;
            mirror.refuse_for(RETRY_DELAY);
        }
        Ok(true)
    }

    async fn read_all(&self, probe_set: ProbeSetId, mirror: &Arc<Mirror>) -> Result<(), StoreError> {
        mirror.clear().await;
        let _alone = self.0.reading_all.lock().await;
        let mut connection = self.0.work.acquire().await?;
        let layers = read::count(&mut connection, probe_set).await?;
        let bytes = (layers * Table::LAYER_BYTES) as u64;
        if !self.make_room(probe_set, bytes) {
            mirror.refuse_for(RETRY_DELAY);
            return Ok(());
        }
        mirror.bytes.store(bytes, Ordering::Relaxed);
        let (moment, table) = read::all(&mut connection, probe_set, layers).await?;
        drop(connection);
        let unread = table.unread();
        let mut shown = mirror.shown.write().await;
        mirror.bytes.store(table.byte_count(), Ordering::Relaxed);
        mirror.generation.store(moment.generation, Ordering::Release);
        *shown = Some(Shown { moment, table });
        drop(shown);
        self.start_reading(probe_set, mirror, unread);
        Ok(())
    }

    /// Reads the vectors of layers into memory, beside everything else.
    fn start_reading(&self, probe_set: ProbeSetId, mirror: &Arc<Mirror>, layers: Vec<KeyedLayer>) {
        if layers.is_empty() {
            return;
        }
        let (mirrors, mirror) = (self.clone(), Arc::clone(mirror));
        self.0.runtime.spawn(async move {
            let read = mirrors.read_vectors(probe_set, &mirror, layers).await;
            if read.is_err() {
                mirror.times().short_since = Some(Instant::now());
            }
            // A server that stops closes its connections, which needs no line in the log.
            if let Err(error) = read
                && !mirrors.0.work.is_closed()
            {
                tracing::info!(%probe_set, error = format!("{error:#}"), "the vectors could not be read into memory");
            }
        });
    }

    /// Reads vectors as long as there is room for them in 8 bits.
    async fn read_vectors(
        &self,
        probe_set: ProbeSetId,
        mirror: &Mirror,
        mut layers: Vec<KeyedLayer>,
    ) -> Result<(), StoreError> {
        let _alone = self.0.reading_vectors.lock().await;
        // Others may have been read meanwhile.
        match &*mirror.shown.read().await {
            Some(Shown { table, .. }) => layers.retain(|layer| table.is_unread(layer)),
            None => return Ok(()),
        }
        // The first one tells how long they are.
        let (mut count, mut rest) = (1, layers.as_slice());
        while !rest.is_empty() {
            let (next, others) = rest.split_at(count.min(rest.len()));
            rest = others;
            let vectors = self.0.vectors.read_ahead(&self.0.work, probe_set, next).await?;
            if let Some(vector) = vectors.values().next() {
                count = (VECTOR_NUMBERS / vector.len()).max(1);
            }
            let mut sharing: HashMap<Uuid, Vec<KeyedLayer>> = HashMap::new();
            for layer in next {
                sharing.entry(layer.0).or_default().push(*layer);
            }
            let rounded = vectors
                .iter()
                .filter_map(|(key, vector)| Some((sharing.remove(key)?, RoundedVector::new(vector))));
            if !self.keep_rounded(mirror, rounded.collect()).await {
                mirror.times().short_since = Some(Instant::now());
                break;
            }
        }
        Ok(())
    }

    /// Keeps rounded vectors in a mirror, each with the layers that have it. Returns false if not all of them fit, or the mirror
    /// has been given up.
    async fn keep_rounded(&self, mirror: &Mirror, vectors: Vec<(Vec<KeyedLayer>, RoundedVector)>) -> bool {
        let shown = mirror.shown.read().await;
        let Some(Shown { table, .. }) = &*shown else {
            return false;
        };
        let limit = self.0.byte_limit - self.0.byte_limit / SPARE;
        let mut room = limit.saturating_sub(total_bytes(self.mirrors().values()));
        let all = vectors.len();
        let fitting = vectors.into_iter().take_while(|(_, vector)| {
            let bytes = vector.byte_count() as u64;
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        });
        let mut kept = 0;
        for (layers, vector) in fitting {
            table.put_rounded(&layers, vector);
            kept += 1;
        }
        mirror.bytes.store(table.byte_count(), Ordering::Relaxed);
        kept == all
    }

    /// Bytes that all mirrors but one take.
    fn bytes_of_others(&self, probe_set: ProbeSetId) -> u64 {
        let mirrors = self.mirrors();
        let others = mirrors.iter().filter(|(other, _)| **other != probe_set);
        total_bytes(others.map(|(_, mirror)| mirror))
    }

    /// Makes room for the bytes of one mirror: others give up their rounded vectors, and if that is not enough, those that are idle
    /// are given up. Returns false if it does not fit.
    fn make_room(&self, probe_set: ProbeSetId, bytes: u64) -> bool {
        let mut others: Vec<_> = self
            .mirrors()
            .iter()
            .filter(|(other, _)| **other != probe_set)
            .map(|(_, mirror)| Arc::clone(mirror))
            .collect();
        others.sort_by_cached_key(|mirror| mirror.times().used);
        let fits = || total_bytes(&others) + bytes <= self.0.byte_limit;
        // Those that are in use at this moment are left alone.
        for mirror in &others {
            if !fits()
                && let Ok(mut shown) = mirror.shown.try_write()
                && let Some(Shown { table, .. }) = &mut *shown
            {
                table.clear_rounded();
                mirror.bytes.store(table.byte_count(), Ordering::Relaxed);
                mirror.times().short_since = Some(Instant::now());
            }
        }
        for mirror in &others {
            let idle = mirror.times().used.elapsed() >= MIN_IDLE;
            if !fits()
                && idle
                && let Ok(mut shown) = mirror.shown.try_write()
            {
                mirror.bytes.store(0, Ordering::Relaxed);
                mirror.generation.store(NEVER, Ordering::Release);
                *shown = None;
            }
        }
        fits()
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

/// Bytes that mirrors take.
fn total_bytes<'a>(mirrors: impl IntoIterator<Item = &'a Arc<Mirror>>) -> u64 {
    let bytes = mirrors.into_iter().map(|mirror| mirror.bytes.load(Ordering::Relaxed));
    bytes.sum()
}

impl Default for Mirror {
    fn default() -> Self {
        Self {
            shown: Arc::default(),
            generation: AtomicI64::new(NEVER),
            bytes: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            times: Mutex::new(Times {
                used: Instant::now(),
                reading_since: None,
                refused_until: None,
                short_since: None,
            }),
        }
    }
}

impl Mirror {
    /// Whether it will be there in time: a reading that has taken long takes longer.
    fn is_worth_waiting_for(&self) -> bool {
        let reading_since = self.times().reading_since;
        self.may_be_read() && reading_since.is_none_or(|since| since.elapsed() < MAX_WAIT)
    }

    fn may_be_read(&self) -> bool {
        self.times().refused_until.is_none_or(|until| until <= Instant::now())
    }

    fn refuse_for(&self, delay: Duration) {
        self.times().refused_until = Some(Instant::now() + delay);
    }

    /// Whether it is time to try again to read the vectors that are missing.
    fn may_read_the_rest(&self) -> bool {
        self.times()
            .short_since
            .take_if(|since| since.elapsed() >= RETRY_DELAY)
            .is_some()
    }

    /// Gives up what it shows.
    async fn clear(&self) {
        let mut shown = self.shown.write().await;
        self.generation.store(NEVER, Ordering::Release);
        self.bytes.store(0, Ordering::Relaxed);
        *shown = None;
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mirror is being read. Dropping it says that this has ended, however it did.
struct Reading<'a>(&'a Mirror);

impl<'a> Reading<'a> {
    fn begin(mirror: &'a Mirror) -> Self {
        mirror.times().reading_since = Some(Instant::now());
        Self(mirror)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.times().reading_since = None;
    }
}
