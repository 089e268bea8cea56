//! The similarity search: candidates by their sketches, exact scores of those that can be hits, and a proof that none is
//! missing.
//!
//! 1. *Candidates.* The cells around the target are visited, as many as hold some thousand layers, or the whole scope if it is
//!    small. The short sketches that come nearest to the target's are listed, each once, however many layers have it.
//! 2. *Scores.* Exact scores are computed in rounds, for those that can be expected to score highest first. A sketch whose
//!    long bound is below the last hit's score cannot have a hit, and is left out.
//! 3. *Proof.* The cells that have not been visited, and whose bound reaches the last hit's score, are visited for short
//!    sketches whose own bound does. Once none is left that has not been scored, the hits are proven.
//!
//! In scopes of up to [`PROVEN_LAYERS`] layers, and on request, the proof is always completed. In larger ones it ends after
//! [`PROOF_LAYERS`] further layers, and the result says how far it came.

mod pool;
mod scope;
mod statement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use pool::Pool;
pub use scope::SearchScope;
pub(super) use scope::push_condition;
use sqlx::PgConnection;
use statement::{Ask, Listing};
pub(super) use statement::{Statements, Visited, active_basis};

use super::sketch_basis::StoredBasis;
use super::{Store, StoreError};
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::similarity::{MatchCursor, Matches};
use scv_domain::sketch::{BOUND_SLACK, MeasureBasis, ReachingCell, Sketch, Surroundings};
use scv_domain::vector::{LayerVector, Measure};

/// In scopes of up to this many layers, every result is proven.
pub const PROVEN_LAYERS: usize = 20_000;

/// Scopes of up to this many layers are visited as a whole by the search in SQL.
pub(super) const SCANNED_LAYERS: usize = 12_000;

/// Layers in the cells that are visited for candidates.
pub(super) const VISITED_LAYERS: usize = 4_000;

/// Layers in the cells that are visited for candidates if a proof follows.
const PROVEN_VISITED_LAYERS: usize = 1_000;

/// Maximum number of layers in the cells that are visited where a filter admits few of them.
pub(super) const MAX_VISITED_LAYERS: usize = 30_000;

/// Further layers in the cells that are visited for the proof, unless it has to be completed.
const PROOF_LAYERS: usize = 8_000;

/// Minimum number of sketches that are listed as candidates.
pub(super) const MIN_LISTED: usize = 256;

/// Minimum number of sketches that are listed if a proof follows, which lists what can have a hit.
const MIN_PROVEN_LISTED: usize = 64;

/// Sketches that are listed at a time for the proof.
const PROOF_LISTED: usize = 2_000;

/// Exact scores of the first round. Each later one may have four times as many.
pub(super) const FIRST_ROUND: usize = 24;

/// Maximum number of exact scores, unless the proof has to be completed: for a page, and for each hit down to its end.
const MAX_SCORES: (usize, usize) = (400, 4);

/// Maximum number of exact scores in one statement.
const MAX_ROUND: usize = 2_000;

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
        restarting(|| async move {
            let (_, mut statements) = self.statements(probe_set, scope).await?;
            statements.count().await
        })
        .await
    }

    /// The hits of a window, best first. Equal scores are ordered by layer key, with the target itself first. A target
    /// without a vector has no hits.
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
    ) -> Result<Matches, StoreError> {
        restarting(|| self.search_once(target, probe_set, scope, window)).await
    }

    async fn search_once(
        &self,
        target: SearchTarget<'_>,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        window: &SearchWindow,
    ) -> Result<Matches, StoreError> {
        // One connection for all statements: the pool tests it before it lends it and when it returns, which takes as long as two
        // small statements.
        let mut connection = self.pool.acquire().await?;
        let Some((basis, sketch)) = self
            .target_sketch(&mut connection, target, probe_set, window.measure)
            .await?
        else {
            return Ok(Matches::none());
        };
        let search = Search {
            statements: Statements::new(connection, basis.id, probe_set, scope),
            basis: basis.basis.of(window.measure),
            layer_count: basis.layer_count,
            sketch,
            target,
            scope,
            window,
        };
        search.run().await
    }

    /// The active basis of a probe set, and the sketch of a target. `None` for a layer without a vector.
    async fn target_sketch(
        &self,
        connection: &mut PgConnection,
        target: SearchTarget<'_>,
        probe_set: ProbeSetId,
        measure: Measure,
    ) -> Result<Option<(Arc<StoredBasis>, Sketch)>, StoreError> {
        let (id, stored) = match target {
            SearchTarget::Layer(layer) => statement::stored_sketch(connection, probe_set, layer, measure).await?,
            SearchTarget::Vector(_) => (statement::active_basis(connection, probe_set).await?, None),
        };
        let basis = self.basis(connection, id).await?;
        let sketch = match target {
            SearchTarget::Layer(_) => stored,
            SearchTarget::Vector(vector) => Some(basis.basis.sketch(vector).of(measure).clone()),
        };
        Ok(sketch.map(|sketch| (basis, sketch)))
    }

    /// The active basis of a probe set, and the statements on it.
    pub(super) async fn statements<'a>(
        &self,
        probe_set: ProbeSetId,
        scope: &'a SearchScope,
    ) -> Result<(Arc<StoredBasis>, Statements<'a>), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let id = statement::active_basis(&mut connection, probe_set).await?;
        let basis = self.basis(&mut connection, id).await?;
        let statements = Statements::new(connection, basis.id, probe_set, scope);
        Ok((basis, statements))
    }
}

/// Runs statements on a basis, and again if what they read has been replaced or deleted meanwhile.
pub(super) async fn restarting<T, F>(run: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    for _ in 0..MAX_RESTARTS {
        match run().await {
            Err(error) if is_overtaken(&error) => {}
            ran => return ran,
        }
    }
    match run().await {
        Err(error) if is_overtaken(&error) => Err(StoreError::Overtaken),
        ran => ran,
    }
}

/// The partition of a basis is dropped with it.
fn is_overtaken(error: &StoreError) -> bool {
    match error.innermost() {
        StoreError::Overtaken => true,
        StoreError::Database(error) => {
            error.as_database_error().and_then(|e| e.code()).as_deref() == Some(UNDEFINED_TABLE)
        }
        _ => false,
    }
}

/// A search on one basis.
struct Search<'a> {
    statements: Statements<'a>,
    basis: &'a MeasureBasis,
    /// Number of layers of the probe set when the basis was fitted.
    layer_count: usize,
    sketch: Sketch,
    target: SearchTarget<'a>,
    scope: &'a SearchScope,
    window: &'a SearchWindow,
}

/// The greatest score that a layer can have that was not scored. `None`: all layers that can be hits have been scored.
type Unproven = Option<f64>;

impl Search<'_> {
    async fn run(mut self) -> Result<Matches, StoreError> {
        let admitted = self.admitted().await?;
        let must_prove = self.window.exact || admitted <= PROVEN_LAYERS || self.window.depth() > MAX_UNPROVEN_HITS;
        let mut pool = Pool::new(self.window);
        let surroundings = match self.basis.has_cells() {
            true => self.basis.surroundings(&self.sketch.short),
            false => Vec::new(),
        };
        // So few layers are found by the filter as fast as by cells.
        let visited = match self.basis.has_cells() && admitted > PROVEN_VISITED_LAYERS {
            true => Visited::Cells(self.nearest_cells(&surroundings, admitted, must_prove)),
            false => Visited::All,
        };
        let left_out = self.list_candidates(&visited, &mut pool, must_prove).await?;
        let budget = match must_prove {
            true => usize::MAX,
            false => MAX_SCORES.0 + MAX_SCORES.1 * self.window.depth(),
        };
        self.score(&mut pool, budget).await?;
        // Fewer hits than requested: the scope may be far smaller than estimated.
        let must_prove = must_prove || pool.threshold() == f64::NEG_INFINITY;
        let listed = Listed { visited, left_out };
        let unvisited = self.prove(listed, &surroundings, &mut pool, must_prove, budget).await?;
        let unproven = pool.unscored_bound().into_iter().chain(unvisited).reduce(f64::max);
        self.page(&pool, unproven).await
    }

    /// The number of layers in the scope, as estimated by PostgreSQL if that matters.
    async fn admitted(&mut self) -> Result<usize, StoreError> {
        if !self.basis.has_cells() || !self.scope.is_narrow() {
            return Ok(self.layer_count);
        }
        self.statements.estimate().await
    }

    /// The cells to visit for candidates. If a proof follows, it finds what they miss.
    fn nearest_cells(&self, surroundings: &[Surroundings], admitted: usize, must_prove: bool) -> Vec<i32> {
        let layers = if must_prove {
            PROVEN_VISITED_LAYERS
        } else {
            VISITED_LAYERS
        };
        nearest_cells(self.basis, surroundings, layers, admitted, self.layer_count)
    }

    /// Lists the sketches that come nearest to the target's. Returns the greatest bound of a visited layer that is not listed,
    /// if there may be one.
    async fn list_candidates(
        &mut self,
        visited: &Visited,
        pool: &mut Pool<'_>,
        must_prove: bool,
    ) -> Result<Option<f64>, StoreError> {
        let ordering = ordering(self.basis, &self.sketch.short);
        // Cells are visited once more for the proof, and a scope that was visited as a whole need not be.
        let least = match visited {
            Visited::Cells(_) if must_prove => MIN_PROVEN_LISTED,
            _ => MIN_LISTED,
        };
        let Listing {
            candidates,
            is_complete,
        } = self
            .statements
            .candidates(&Ask {
                measure: self.window.measure,
                target: &self.sketch,
                ordering: &ordering,
                estimating: &self.basis.estimating(&self.sketch.long),
                visited,
                reaching: None,
                beyond: None,
                count: least.max(2 * self.window.depth()),
            })
            .await?;
        let farthest = candidates.iter().map(|candidate| candidate.distance).reduce(f64::max);
        pool.add(candidates);
        Ok(match (is_complete, ordering == self.sketch.short) {
            (true, _) => None,
            (false, true) => farthest.map(|distance| widened(-distance)),
            (false, false) => Some(1.0),
        })
    }

    /// Computes exact scores, round by round, until no listed sketch is left that can have a hit or the budget is spent.
    async fn score(&mut self, pool: &mut Pool<'_>, budget: usize) -> Result<(), StoreError> {
        let mut round = FIRST_ROUND.max(self.window.depth() + self.window.depth() / 2);
        loop {
            let next = pool.next(round.min(MAX_ROUND).min(budget.saturating_sub(pool.scored())));
            if next.is_empty() {
                return Ok(());
            }
            let scores = self.statements.scores(self.target, &next).await?;
            pool.put_scores(&next, &scores)?;
            round *= 4;
        }
    }

    /// Visits what can still have hits. Returns the greatest bound of a layer that was not visited, if there may be one.
    async fn prove(
        &mut self,
        listed: Listed,
        surroundings: &[Surroundings],
        pool: &mut Pool<'_>,
        must_prove: bool,
        budget: usize,
    ) -> Result<Unproven, StoreError> {
        let threshold = pool.threshold();
        let known: std::collections::HashSet<i32> = match (&listed.visited, listed.left_out) {
            (Visited::All, None) => return Ok(None),
            (Visited::All, Some(bound)) if bound < threshold => return Ok(None),
            (Visited::Cells(visited), None) => visited.iter().copied().collect(),
            (Visited::Cells(visited), Some(bound)) if bound < threshold => visited.iter().copied().collect(),
            _ => Default::default(),
        };
        let (visited, mut unvisited) = match listed.visited {
            Visited::All => (Visited::All, None),
            Visited::Cells(_) => {
                let mut cells = self.basis.reaching_cells(surroundings, threshold);
                cells.retain(|cell| !known.contains(&cell.cell));
                self.cells_to_prove(cells, must_prove)
            }
        };
        if visited.is_empty() {
            return Ok(unvisited);
        }
        let mut beyond = None;
        loop {
            let Listing {
                candidates,
                is_complete,
            } = self
                .statements
                .candidates(&Ask {
                    measure: self.window.measure,
                    target: &self.sketch,
                    ordering: &self.sketch.short,
                    estimating: &self.basis.estimating(&self.sketch.long),
                    visited: &visited,
                    reaching: Some(pool.threshold()),
                    beyond,
                    count: PROOF_LISTED,
                })
                .await?;
            let edge = candidates.iter().map(|candidate| candidate.distance).reduce(f64::max);
            pool.add(candidates);
            self.score(pool, budget).await?;
            let Some(edge) = edge.filter(|edge| !is_complete && widened(-edge) >= pool.threshold()) else {
                break;
            };
            if pool.scored() >= budget {
                unvisited = unvisited.into_iter().chain([widened(-edge)]).reduce(f64::max);
                break;
            }
            beyond = Some(edge);
        }
        Ok(unvisited.filter(|bound| *bound >= pool.threshold()))
    }

    /// The cells to visit for the proof, and the greatest bound of those that it would take too long to visit.
    fn cells_to_prove(&self, mut cells: Vec<ReachingCell>, must_prove: bool) -> (Visited, Unproven) {
        if must_prove {
            // Most of the library is read faster as a whole than cell by cell.
            if cells.iter().map(|cell| cell.share).sum::<f64>() > 0.5 {
                return (Visited::All, None);
            }
            return (Visited::Cells(cells.iter().map(|cell| cell.cell).collect()), None);
        }
        cells.sort_by(|a, b| b.bound.total_cmp(&a.bound));
        let most = PROOF_LAYERS as f64 / self.layer_count.max(1) as f64;
        let (mut visited, mut reached, mut unvisited) = (Vec::new(), 0.0, None);
        for cell in cells {
            // One cell may hold very many copies of a layer, and cells that were empty cost next to nothing.
            if visited.is_empty() || cell.share == 0.0 || reached + cell.share <= most {
                visited.push(cell.cell);
                reached += cell.share;
            } else {
                unvisited.get_or_insert(cell.bound);
            }
        }
        (Visited::Cells(visited), unvisited)
    }

    /// The page that is requested.
    async fn page(&mut self, pool: &Pool<'_>, unproven: Unproven) -> Result<Matches, StoreError> {
        let top = pool.top();
        let copied: Vec<_> = top.iter().filter(|candidate| candidate.layers > 1).collect();
        let copies = match copied.as_slice() {
            [] => Vec::new(),
            copied => self.statements.copies(self.target, self.window, copied).await?,
        };
        Ok(pool.page(&top, &copies, self.target, unproven))
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

/// What the search for candidates has seen.
struct Listed {
    visited: Visited,
    /// The greatest bound of a visited layer that is not listed, if there may be one.
    left_out: Option<f64>,
}

/// What rounding can add to a bound that PostgreSQL computes from stored sketches.
fn widened(inner_product: f64) -> f64 {
    inner_product + BOUND_SLACK
}
