//! Exact scores, round by round.

use sqlx::PgExecutor;

use super::SearchWindow;
use super::pool::Pool;
use crate::StoreError;
use crate::vector_cache::VectorCache;
use scv_domain::id::ProbeSetId;
use scv_domain::vector::TargetVector;

/// Candidates that are scored in the first round. Each later one may have four times as many.
pub(crate) const FIRST_ROUND: usize = 24;

/// Maximum number of candidates that are scored in one round, after which other requests have their turn.
const MAX_ROUND: usize = 500;

/// Maximum number of numbers of the vectors in one round: 32 MB.
const MAX_ROUND_NUMBERS: usize = 8_000_000;

/// What the candidates that a search scores may cost unless its proof has to be completed: for any page, and for each hit down to its
/// end. One whose vector is in memory costs 1.
const MAX_COST: (usize, usize) = (2_000, 20);

/// What a candidate costs whose vector is read in the database.
const READ_COST: usize = 5;

/// Scores candidates with a target.
pub(super) struct Scoring<'a> {
    vectors: &'a VectorCache,
    probe_set: ProbeSetId,
    target: &'a TargetVector,
    round: usize,
    max_round: usize,
    budget: usize,
    spent: usize,
}

impl<'a> Scoring<'a> {
    pub(super) fn new(
        vectors: &'a VectorCache,
        probe_set: ProbeSetId,
        target: &'a TargetVector,
        window: &SearchWindow,
    ) -> Self {
        Self {
            vectors,
            probe_set,
            max_round: (MAX_ROUND_NUMBERS / target.len().max(1)).clamp(1, MAX_ROUND),
            target,
            round: FIRST_ROUND.max(window.depth() + window.depth() / 2),
            budget: MAX_COST.0 + MAX_COST.1 * window.depth(),
            spent: 0,
        }
    }

    /// Scores as many as the proof takes.
    pub(super) fn lift_budget(&mut self) {
        self.budget = usize::MAX;
    }

    /// How many more may be scored, if their vectors are in memory.
    pub(super) fn remaining(&self) -> usize {
        self.budget.saturating_sub(self.spent)
    }

    /// Whether it may not be possible to score so many more: none of their vectors may be in memory.
    pub(super) fn may_not_suffice(&self, count: usize) -> bool {
        count.saturating_mul(READ_COST) > self.remaining()
    }

    /// Scores the next candidates that can have a hit. Returns false if there are none, or the budget is spent.
    pub(super) async fn round(
        &mut self,
        database: impl PgExecutor<'_>,
        pool: &mut Pool<'_>,
    ) -> Result<bool, StoreError> {
        let next = pool.next(self.round.min(self.max_round).min(self.remaining()));
        if next.layers.is_empty() {
            return Ok(false);
        }
        self.round = 4 * self.round.min(self.max_round);
        let (scores, read) = self
            .vectors
            .scores(database, self.probe_set, self.target, &next.layers)
            .await?;
        self.spent = self.spent.saturating_add(scores.len() + (READ_COST - 1) * read);
        pool.put(&next, &scores);
        tokio::task::yield_now().await;
        Ok(true)
    }
}
