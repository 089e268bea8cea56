//! The generation: a count of the changes of the catalogue. Whatever was read at a generation is true until the next one.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{PgConnection, PgPool};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Store, StoreError};

/// Greater than every generation, so that it stays when a later one is published.
const UNKNOWN: i64 = i64::MAX;

/// The generation as this process learns it.
///
/// Where other processes change the catalogue too, it is read in the database. One read serves all callers that had asked
/// before it began; those that ask later wait for the next one, because a change may have been committed in between. Where all
/// changes are made by this process, it knows the generation from its own commits. Only while one is under way, which others may
/// see before its reply arrives, does it ask the database.
#[derive(Debug, Clone)]
pub(super) struct Generations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    runtime: Handle,
    /// The generation after the last own commit; [`UNKNOWN`] if others change the catalogue.
    own: AtomicI64,
    /// Own commits that are under way.
    committing: AtomicUsize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    callers: Vec<oneshot::Sender<Result<i64, StoreError>>>,
    is_reading: bool,
}

impl Generations {
    /// Reads with connections of a pool, on the current runtime.
    pub(super) fn new(pool: PgPool) -> Self {
        Self(Arc::new(Inner {
            pool,
            runtime: Handle::current(),
            own: AtomicI64::new(UNKNOWN),
            committing: AtomicUsize::new(0),
            waiting: Mutex::default(),
        }))
    }

    /// From now on, no other process changes the catalogue.
    pub(super) async fn own(&self) -> Result<(), StoreError> {
        self.0.own.store(self.read().await?, Ordering::SeqCst);
        Ok(())
    }

    /// The generation at some moment after the call.
    async fn current(&self) -> Result<i64, StoreError> {
        // In this order: a commit is published before it stops counting.
        let is_settled = self.0.committing.load(Ordering::SeqCst) == 0;
        let own = self.0.own.load(Ordering::SeqCst);
        if own != UNKNOWN && is_settled {
            return Ok(own);
        }
        let (answer, read) = oneshot::channel();
        let begins = {
            let mut waiting = self.waiting();
            waiting.callers.push(answer);
            !std::mem::replace(&mut waiting.is_reading, true)
        };
        if begins {
            self.0.runtime.spawn(self.clone().read_for_all());
        }
        // The sender is dropped without an answer only if the runtime ends.
        read.await.unwrap_or(Err(StoreError::Busy))
    }

    async fn read_for_all(self) {
        let mut reading = Reading {
            generations: &self,
            is_done: false,
        };
        loop {
            let callers = {
                let mut waiting = self.waiting();
                if waiting.callers.is_empty() {
                    // Here and not only at the end, so that a caller who comes now begins another read.
                    waiting.is_reading = false;
                    reading.is_done = true;
                    return;
                }
                std::mem::take(&mut waiting.callers)
            };
            let read = self.read().await.map_err(Arc::new);
            for caller in callers {
                // The caller may have stopped waiting.
                let _ = caller.send(read.clone().map_err(StoreError::Shared));
            }
        }
    }

    async fn read(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("select generation from catalogue")
            .fetch_one(&self.0.pool)
            .await?)
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit begins. Unless its success is reported, whether the catalogue has changed is not known, and from then on the
    /// generation is read in the database.
    pub(super) fn committing(&self) -> Commit<'_> {
        self.0.committing.fetch_add(1, Ordering::SeqCst);
        Commit {
            generations: self,
            generation: None,
        }
    }

    /// A generation that a commit has reached.
    pub(super) fn publish(&self, generation: i64) {
        self.0.own.fetch_max(generation, Ordering::SeqCst);
    }
}

/// Reads are under way. If they end before all callers have their answer, because the runtime does, nobody waits for ever.
struct Reading<'a> {
    generations: &'a Generations,
    is_done: bool,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut waiting = self.generations.waiting();
            waiting.callers.clear();
            waiting.is_reading = false;
        }
    }
}

/// A commit whose outcome is not known yet.
pub(super) struct Commit<'a> {
    generations: &'a Generations,
    generation: Option<i64>,
}

impl Commit<'_> {
    /// The commit has reached a generation.
    pub(super) fn succeeded(mut self, generation: i64) {
        self.generation = Some(generation);
    }
}

impl Drop for Commit<'_> {
    fn drop(&mut self) {
        self.generations.publish(self.generation.unwrap_or(UNKNOWN));
        self.generations.0.committing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Store {
    /// How often the catalogue has changed. What is read afterwards is true until the next change.
    ///
    /// # Errors
    /// The database fails.
    pub async fn generation(&self) -> Result<i64, StoreError> {
        self.generations.current().await
    }
}

/// Counts a change in a transaction, and whether layers lose their vectors by it, and notifies every server when it commits.
/// Returns the new generation. Other changes wait until the transaction ends, so this comes last in it.
pub(super) async fn bump_generation(connection: &mut PgConnection, deletes: bool) -> Result<i64, StoreError> {
    let bumped = sqlx::query!(
        r#"with bumped as (
                update catalogue set generation = generation + 1, deletions = deletions + $1::boolean::integer returning generation
           )
           select generation, pg_notify('scv_catalogue', generation::text)::text as notified from bumped"#,
        deletes,
    )
    .fetch_one(connection)
    .await?;
    Ok(bumped.generation)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

    use super::*;

    /// The generation of a catalogue that no other process changes, and whose database cannot be reached.
    fn owned(generation: i64) -> Generations {
        let nowhere = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(1);
        let pool = PgPoolOptions::new().acquire_timeout(Duration::from_millis(100));
        let generations = Generations::new(pool.connect_lazy_with(nowhere));
        generations.0.own.store(generation, Ordering::SeqCst);
        generations
    }

    #[tokio::test]
    async fn own_commits_make_the_generation_known_without_a_read() {
        let generations = owned(5);
        assert_eq!(generations.current().await.unwrap(), 5);
        let (first, second) = (generations.committing(), generations.committing());
        second.succeeded(7);
        first.succeeded(6);
        assert_eq!(
            generations.current().await.unwrap(),
            7,
            "the later one was reported first"
        );
    }

    #[tokio::test]
    async fn while_a_commit_is_under_way_the_database_is_asked() {
        let generations = owned(5);
        let commit = generations.committing();
        assert!(generations.current().await.is_err(), "others may see it already");
        commit.succeeded(6);
        assert_eq!(generations.current().await.unwrap(), 6);
    }

    #[tokio::test]
    async fn after_a_commit_with_an_unknown_outcome_the_database_is_asked_for_ever() {
        let generations = owned(5);
        drop(generations.committing());
        generations.committing().succeeded(7);
        assert!(generations.current().await.is_err(), "the database cannot be reached");
    }
}
