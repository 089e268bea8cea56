//! The search through the database, for what is not in memory.
//!
//! The cells around the target are visited for candidates, as many as hold some thousand layers, or the whole scope if it is
//! small. Once there are scores, the cells that have not been visited and whose bound reaches the last hit's score are visited
//! for short sketches whose own bound does.

use std::collections::HashSet;
use std::sync::Arc;

use scv_domain::id::ProbeSetId;
use scv_domain::similarity::Matches;
use scv_domain::sketch::{MeasureBasis, ReachingCell, Surroundings};
use scv_domain::vector::{ScoredVector, TargetVector};

use super::pool::{Pool, Unproven};
use super::scoring::Scoring;
use super::statement::{Ask, Listing, Sought, Statements, Visited, active_basis, stored_sketch};
use super::{
    MAX_UNPROVEN_HITS, MIN_LISTED, PROVEN_LAYERS, SearchScope, SearchTarget, SearchWindow, VISITED_LAYERS,
    nearest_cells, ordering, widened,
};
use crate::{Store, StoreError};

/// Layers in the cells that are visited for candidates if a proof follows.
const PROVEN_VISITED_LAYERS: usize = 1_000;

/// Further layers in the cells that are visited for the proof, unless it has to be completed.
const PROOF_LAYERS: usize = 8_000;

/// Minimum number of sketches that are listed if a proof follows, which lists what can have a hit.
const MIN_PROVEN_LISTED: usize = 64;

/// Sketches that are listed at a time for the proof.
const PROOF_LISTED: usize = 2_000;

/// A search on one basis.
pub(super) struct DatabaseSearch<'a> {
    statements: Statements<'a>,
    basis: &'a MeasureBasis,
    /// Number of layers of the probe set when the basis was fitted.
    layer_count: usize,
    sought: Sought,
    target: SearchTarget<'a>,
    scope: &'a SearchScope,
    window: &'a SearchWindow,
    scoring: Scoring<'a>,
}

impl Store {
    /// Searches through the database. A target without a vector has no hits.
    pub(super) async fn search_in_database(
        &self,
        target: SearchTarget<'_>,
        probe_set: ProbeSetId,
        scope: &SearchScope,
        window: &SearchWindow,
    ) -> Result<Matches, StoreError> {
        // One connection for all statements: the pool tests it before it lends it and when it returns, which takes as long as two
        // small statements.
        let mut connection = self.pool.acquire().await?;
        let measure = window.measure;
        let (basis, sketch, vector) = match target {
            SearchTarget::Layer(layer) => {
                let (id, Some(stored)) = stored_sketch(&mut connection, probe_set, layer, measure).await? else {
                    return Ok(Matches::none());
                };
                let vector = self
                    .vectors
                    .vector(&mut *connection, probe_set, (stored.key, layer.0))
                    .await?;
                (self.basis(&mut connection, id).await?, stored.sketch, vector)
            }
            SearchTarget::Vector(vector) => {
                let id = active_basis(&mut connection, probe_set).await?;
                let basis = self.basis(&mut connection, id).await?;
                let sketch = basis.basis.sketch(vector).of(measure).clone();
                (basis, sketch, Arc::new(ScoredVector::new(vector.clone())))
            }
        };
        let vector = TargetVector::new(vector);
        let search = DatabaseSearch {
            statements: Statements::new(connection, basis.id, probe_set, scope),
            basis: basis.basis.of(measure),
            layer_count: basis.layer_count,
            sought: Sought {
                measure,
                estimating: basis.basis.of(measure).estimating(&sketch.long),
                sketch,
            },
            target,
            scope,
            window,
            scoring: Scoring::new(&self.vectors, probe_set, &vector, window),
        };
        search.run().await
    }
}

impl DatabaseSearch<'_> {
    async fn run(mut self) -> Result<Matches, StoreError> {
        let admitted = self.admitted().await?;
        let must_prove = self.window.exact || admitted <= PROVEN_LAYERS || self.window.depth() > MAX_UNPROVEN_HITS;
        let mut pool = Pool::new(self.window);
        let surroundings = match self.basis.has_cells() {
            true => self.basis.surroundings(&self.sought.sketch.short),
            false => Vec::new(),
        };
        // So few layers are found by the filter as fast as by cells.
        let visited = match self.basis.has_cells() && admitted > PROVEN_VISITED_LAYERS {
            true => Visited::Cells(self.nearest_cells(&surroundings, admitted, must_prove)),
            false => Visited::All,
        };
        let left_out = self.list_candidates(&visited, &mut pool, must_prove).await?;
        if must_prove {
            self.scoring.lift_budget();
        }
        self.score(&mut pool).await?;
        // Fewer hits than requested: the scope may be far smaller than estimated.
        let must_prove = must_prove || pool.threshold() == f64::NEG_INFINITY;
        let listed = Listed { visited, left_out };
        let unvisited = self.prove(listed, &surroundings, &mut pool, must_prove).await?;
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
        let ordering = ordering(self.basis, &self.sought.sketch.short);
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
            .candidates(
                &self.sought,
                &Ask {
                    ordering: &ordering,
                    visited,
                    reaching: None,
                    beyond: None,
                    count: least.max(2 * self.window.depth()),
                },
            )
            .await?;
        let farthest = candidates.iter().map(|candidate| candidate.distance).reduce(f64::max);
        pool.add(candidates);
        Ok(match (is_complete, ordering == self.sought.sketch.short) {
            (true, _) => None,
            (false, true) => farthest.map(|distance| widened(-distance)),
            (false, false) => Some(1.0),
        })
    }

    /// Computes exact scores until no listed sketch is left that can have a hit or the budget is spent.
    async fn score(&mut self, pool: &mut Pool<'_>) -> Result<(), StoreError> {
        while self.scoring.round(self.statements.connection(), pool).await? {}
        Ok(())
    }

    /// Visits what can still have hits. Returns the greatest bound of a layer that was not visited, if there may be one.
    async fn prove(
        &mut self,
        listed: Listed,
        surroundings: &[Surroundings],
        pool: &mut Pool<'_>,
        must_prove: bool,
    ) -> Result<Unproven, StoreError> {
        let threshold = pool.threshold();
        let known: HashSet<i32> = match (&listed.visited, listed.left_out) {
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
                .candidates(
                    &self.sought,
                    &Ask {
                        ordering: &self.sought.sketch.short,
                        visited: &visited,
                        reaching: Some(pool.threshold()),
                        beyond,
                        count: PROOF_LISTED,
                    },
                )
                .await?;
            let edge = candidates.iter().map(|candidate| candidate.distance).reduce(f64::max);
            pool.add(candidates);
            self.score(pool).await?;
            let Some(edge) = edge.filter(|edge| !is_complete && widened(-edge) >= pool.threshold()) else {
                break;
            };
            if self.scoring.remaining() == 0 {
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

/// What the search for candidates has seen.
struct Listed {
    visited: Visited,
    /// The greatest bound of a visited layer that is not listed, if there may be one.
    left_out: Option<f64>,
}
