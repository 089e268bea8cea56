//! The similarity search: candidates by their sketches, exact scores of those that can be hits, and a proof that none is
//! missing.
//!
//! 1. *Candidates.* The layers are listed whose short sketches come nearest to the target's, each vector once, however many
//!    layers have it.
//! 2. *Scores.* Exact scores are computed in rounds, for those that can be expected to score highest first. A layer whose long
//!    bound is below the last hit's score cannot be a hit, and is left out.
//! 3. *Proof.* All other layers are listed whose bounds reach the last hit's score. Once none is left that has not been scored, the
//!    hits are proven.
//!
//! In scopes of up to [`PROVEN_LAYERS`] layers, and on request, the proof is always completed. In larger ones it ends after
//! some hundred or thousand scores, and the result says how far it came.

mod in_database;
mod in_memory;
mod pool;
mod scope;
mod scoring;
mod statement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use pool::Candidate;
pub use scope::SearchScope;
pub(super) use scope::push_condition;
pub(super) use scoring::FIRST_ROUND;
pub(super) use statement::{Statements, Visited, active_basis};

use super::sketch_basis::StoredBasis;
use super::{Store, StoreError};
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::similarity::{MatchCursor, Matches};
use scv_domain::sketch::{BOUND_SLACK, MeasureBasis, Surroundings};
use scv_domain::vector::{LayerVector, Measure};

/// In scopes of up to this many layers, every result is proven.
pub const PROVEN_LAYERS: usize = 20_000;

/// Scopes of up to this many layers are visited as a whole by the search in SQL.
pub(super) const SCANNED_LAYERS: usize = 12_000;

/// Layers in the cells that are visited for candidates.
pub(super) const VISITED_LAYERS: usize = 4_000;

/// Maximum number of layers in the cells that are visited where a filter admits few of them.
pub(super) const MAX_VISITED_LAYERS: usize = 30_000;

/// Minimum number of sketches that are listed as candidates.
pub(super) const MIN_LISTED: usize = 256;

/// Number of hits, counted from the first, after which a search is always completed.
const MAX_UNPROVEN_HITS: usize = 1_000;

/// Targets with a longer rest order candidates by their estimates in place of their bounds, which say little about them.
const MAX_BOUNDED_REST: f32 = 0.3;

/// How often a search begins again because what it was reading has been replaced or deleted.
const MAX_RESTARTS: usize = 3;

/// PostgreSQL's code for a table that does not exist.
const UNDEFINED_TABLE: &str = "42P01";

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub enum SearchTarget<'a> {
    /// A layer of the library.
    Layer(LayerId),
    /// A vector that is not stored.
    Vector(&'a LayerVector),
}

/// Which hits of a scope are requested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchWindow {
    /// The measure that ranks the hits.
    pub measure: Measure,
    /// Whether to complete the proof, whatever it takes.
    pub exact: bool,
    /// Minimum score of a hit.
    pub min_score: Option<f64>,
    /// Only hits after this one.
    pub after: Option<MatchCursor>,
    /// Maximum number of hits.
    pub limit: usize,
}

impl SearchWindow {
    /// Number of hits from the first of all to the one after the page, which tells whether more follow.
    fn depth(&self) -> usize {
        // A forged cursor may hold a rank that no hit ever had; it must not overflow.
        self.after.map_or(0, |after| after.rank.min(u32::MAX / 2) as usize) + self.limit + 1
    }
}

impl Store {
    /// Counts the layers of a scope.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_scope", skip_all)]
    pub async fn count_scope(&self, probe_set: ProbeSetId, scope: &SearchScope) -> Result<usize, StoreError> {
        restarting(|_| async move {
            if let Some(view) = self.mirrors.view(probe_set, self.generation().await?).await {
                return Ok(view.table.count(scope));
            }
            let (_, mut statements) = self.statements(probe_set, scope).await?;
            statements.count().await
        })
        .await
    }

    /// The hits of a window at a generation of the catalogue or a later one, best first. Equal scores are ordered by layer key,
    /// with the target itself first. A target without a vector has no hits.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.search", skip_all)]
    pub async fn search(
        &self,
        target: SearchTarget<'_>,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        window: &SearchWindow,
        generation: i64,
    ) -> Result<Matches, StoreError> {
        restarting(|attempt| async move {
            // What was overtaken is looked for in the catalogue as it is now.
            let generation = if attempt == 0 {
                generation
            } else {
                self.generation().await?
            };
            match self.mirrors.view(probe_set, generation).await {
                Some(view) => self.search_in_memory(view, target, probe_set, scope, window).await,
                None => self.search_in_database(target, probe_set, scope, window).await,
            }
        })
        .await
    }

    /// The active basis of a probe set, and the statements on it.
    pub(super) async fn statements<'a>(
        &self,
        probe_set: ProbeSetId,
        scope: &'a SearchScope,
    ) -> Result<(Arc<StoredBasis>, Statements<'a>), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let id = active_basis(&mut connection, probe_set).await?;
        let basis = self.basis(&mut connection, id).await?;
        let statements = Statements::new(connection, basis.id, probe_set, scope);
        Ok((basis, statements))
    }
}

/// Runs a search, and again if what it reads has been replaced or deleted meanwhile. Gives it the number of earlier attempts.
pub(super) async fn restarting<T, F>(run: impl Fn(usize) -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for attempt in 0..MAX_RESTARTS {
        match run(attempt).await {
            Err(error) if is_overtaken(&error) => {}
            ran => return ran,
        }
    }
    match run(MAX_RESTARTS).await {
        Err(error) if is_overtaken(&error) => Err(StoreError::Overtaken),
        ran => ran,
    }
}

/// The partition of a basis is dropped with it.
pub(super) fn is_overtaken(error: &StoreError) -> bool {
    match error.innermost() {
        StoreError::Overtaken => true,
        StoreError::Database(error) => {
            error.as_database_error().and_then(|e| e.code()).as_deref() == Some(UNDEFINED_TABLE)
        }
        _ => false,
    }
}

/// The vector whose inner product orders candidates for a target: by their bounds, or by estimates if a long rest makes bounds
/// say little.
pub(super) fn ordering(basis: &MeasureBasis, sketch: &[f32]) -> Vec<f32> {
    match sketch.last() {
        Some(rest) if *rest > MAX_BOUNDED_REST => basis.estimating(sketch),
        _ => sketch.to_vec(),
    }
}

/// The cells around a target that hold so many layers of those that are admitted, of all layers.
pub(super) fn nearest_cells(
    basis: &MeasureBasis,
    surroundings: &[Surroundings],
    layers: usize,
    admitted: usize,
    of_all: usize,
) -> Vec<i32> {
    let of_all = of_all.max(1) as f64;
    let share = (admitted.max(1) as f64 / of_all).min(1.0);
    let visited = (layers as f64 / share).min(MAX_VISITED_LAYERS as f64);
    basis.nearest_cells(surroundings, visited / of_all)
}

/// What rounding can add to a bound that PostgreSQL computes from stored sketches.
fn widened(inner_product: f64) -> f64 {
    inner_product + BOUND_SLACK
}
