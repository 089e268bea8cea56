//! The candidates of a search and what is known of them.

use std::collections::HashMap;

use uuid::Uuid;

use super::{SearchTarget, SearchWindow};
use crate::vector_cache::{KeyedLayer, Verdict};
use scv_domain::id::LayerId;
use scv_domain::similarity::{LayerMatch, Matches};
use scv_domain::vector::{CkaScores, Measure};

/// A sketch that was listed, for all layers that have it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Candidate {
    pub(super) sketch: Uuid,
    /// The first of its layers.
    pub(super) layer: i64,
    /// Number of its layers in the scope.
    pub(super) layers: usize,
    /// What it was listed by: the negative inner product of its short sketch with the ordering vector.
    pub(super) distance: f64,
    /// What its layers can be expected to score, by their long sketches.
    pub(super) estimate: f64,
    /// Its layers do not score higher.
    pub(super) bound: f64,
    pub(super) scores: Option<CkaScores>,
    /// Its other layers in the scope, if they are known.
    pub(super) copies: Vec<i64>,
}

impl Candidate {
    /// The candidate of one layer.
    pub(crate) fn single(sketch: Uuid, layer: i64, estimate: f64, bound: f64) -> Self {
        Self {
            sketch,
            layer,
            layers: 1,
            distance: -bound,
            estimate,
            bound,
            scores: None,
            copies: Vec::new(),
        }
    }

    /// The first of its layers.
    #[cfg(test)]
    pub(crate) fn layer(&self) -> i64 {
        self.layer
    }

    /// Its layers do not score higher.
    #[cfg(test)]
    pub(crate) fn bound(&self) -> f64 {
        self.bound
    }

    /// Number of its layers.
    #[cfg(test)]
    pub(crate) fn layer_count(&self) -> usize {
        self.layers
    }

    /// Adds another layer of the same sketch.
    pub(crate) fn add_copy(&mut self, layer: i64) {
        self.layers += 1;
        self.copies.push(layer);
    }

    /// Takes over the layers of a later listing of the same sketch, if it has more.
    fn absorb(&mut self, later: Self) {
        if later.layers > self.layers {
            self.layers = later.layers;
            self.copies = later.copies.into_iter().chain([later.layer]).collect();
            self.copies.retain(|layer| *layer != self.layer);
        }
    }
}

/// The greatest score that a layer can have that was not scored. `None`: all layers that can be hits have been scored.
pub(super) type Unproven = Option<f64>;

/// All candidates of a search, those first that can be expected to score highest.
pub(super) struct Pool<'a> {
    window: &'a SearchWindow,
    candidates: Vec<Candidate>,
    /// The highest scores, best first, with the numbers of layers that have them: no more than make up the page and the hit after
    /// it.
    best: Vec<(f64, usize)>,
    /// Number of layers that have them.
    best_layers: usize,
}

/// Candidates whose scores are wanted. They stay valid until the pool gets more.
pub(super) struct Wanted {
    places: Vec<usize>,
    /// One layer of each.
    pub(super) layers: Vec<KeyedLayer>,
}

/// A layer with its scores, and what orders layers of equal scores.
struct Hit {
    layer: i64,
    tie_break: i64,
    scores: CkaScores,
}

impl<'a> Pool<'a> {
    pub(super) fn new(window: &'a SearchWindow) -> Self {
        Self {
            window,
            candidates: Vec::new(),
            best: Vec::new(),
            best_layers: 0,
        }
    }

    /// Adds the candidates that are new, and the layers that are new of those that are known.
    pub(super) fn add(&mut self, listed: Vec<Candidate>) {
        let mut listed: HashMap<Uuid, Candidate> = listed.into_iter().map(|found| (found.sketch, found)).collect();
        for known in &mut self.candidates {
            if let Some(found) = listed.remove(&known.sketch) {
                known.absorb(found);
            }
        }
        self.candidates.extend(listed.into_values());
        self.candidates
            .sort_unstable_by(|a, b| b.estimate.total_cmp(&a.estimate).then(a.layer.cmp(&b.layer)));
        // A known one may have more layers now.
        (self.best, self.best_layers) = (Vec::new(), 0);
        for place in 0..self.candidates.len() {
            self.rank(place);
        }
    }

    /// Takes the score of a candidate among the best, if it has one and it is.
    fn rank(&mut self, place: usize) {
        let candidate = &self.candidates[place];
        if candidate.scores.is_none() {
            return;
        }
        let (score, layers) = (self.score(candidate), candidate.layers);
        // A score that is not a number is none.
        if score.is_nan() {
            return;
        }
        let depth = self.window.depth();
        if self.best_layers >= depth && self.best.last().is_some_and(|(least, _)| score <= *least) {
            return;
        }
        let rank = self.best.partition_point(|(better, _)| *better >= score);
        self.best.insert(rank, (score, layers));
        self.best_layers += layers;
        while let Some(&(_, layers)) = self.best.last()
            && self.best_layers - layers >= depth
        {
            self.best.pop();
            self.best_layers -= layers;
        }
    }

    /// The score that a further layer must reach to change the page: that of the hit after the page, or the minimum score.
    pub(super) fn threshold(&self) -> f64 {
        let least = self.window.min_score.unwrap_or(f64::NEG_INFINITY);
        match self.best.last() {
            Some((score, _)) if self.best_layers >= self.window.depth() => score.max(least),
            _ => least,
        }
    }

    /// Up to `count` candidates that have no score and can have a hit.
    pub(super) fn next(&self, count: usize) -> Wanted {
        let (places, layers) = self
            .unscored()
            .take(count)
            .map(|(place, candidate)| (place, (candidate.sketch, candidate.layer)))
            .unzip();
        Wanted { places, layers }
    }

    /// Takes what is known now of candidates that were wanted, in the same order.
    pub(super) fn put(&mut self, wanted: &Wanted, verdicts: &[Verdict]) {
        for (&place, verdict) in wanted.places.iter().zip(verdicts) {
            let candidate = &mut self.candidates[place];
            match *verdict {
                Verdict::Scored(scores) => {
                    candidate.scores = Some(scores);
                    self.rank(place);
                }
                Verdict::Below(bound) => candidate.bound = candidate.bound.min(bound),
            }
        }
    }

    fn unscored(&self) -> impl Iterator<Item = (usize, &Candidate)> {
        let threshold = self.threshold();
        let candidates = self.candidates.iter().enumerate();
        candidates.filter(move |(_, candidate)| candidate.scores.is_none() && candidate.bound >= threshold)
    }

    /// The greatest bound of a candidate that can have a hit and was not scored.
    pub(super) fn unscored_bound(&self) -> Unproven {
        self.unscored().map(|(_, candidate)| candidate.bound).reduce(f64::max)
    }

    /// The candidates that the page and the hit after it can come from, best first.
    pub(super) fn top(&self) -> Vec<&Candidate> {
        let threshold = self.threshold();
        let end = self.window.after.map_or(f64::INFINITY, |after| after.score);
        let mut top: Vec<_> = self
            .candidates
            .iter()
            .filter(|candidate| candidate.scores.is_some())
            .filter(|candidate| (threshold..=end).contains(&self.score(candidate)))
            .collect();
        top.sort_by(|a, b| self.score(b).total_cmp(&self.score(a)));
        top
    }

    /// The page, from the top candidates and the layers of those that have several.
    pub(super) fn page(
        &self,
        top: &[&Candidate],
        copies: &[(Uuid, i64)],
        target: SearchTarget<'_>,
        unproven: Unproven,
    ) -> Matches {
        let (measure, after) = (self.window.measure, self.window.after);
        let mut layers: HashMap<Uuid, Vec<i64>> = HashMap::new();
        for &(sketch, layer) in copies {
            layers.entry(sketch).or_default().push(layer);
        }
        let mut hits: Vec<Hit> = Vec::new();
        for candidate in top {
            let Some(scores) = candidate.scores else { continue };
            let own = match candidate.layers {
                1 => vec![candidate.layer],
                _ if !candidate.copies.is_empty() => [&[candidate.layer], candidate.copies.as_slice()].concat(),
                _ => layers.remove(&candidate.sketch).unwrap_or_default(),
            };
            hits.extend(own.into_iter().map(|layer| Hit {
                layer,
                tie_break: tie_break(target, layer),
                scores,
            }));
        }
        if let Some(after) = after {
            let end = (after.score, tie_break(target, after.layer.0));
            hits.retain(|hit| {
                let score = of(hit.scores, measure);
                score < end.0 || (score == end.0 && hit.tie_break > end.1)
            });
        }
        hits.sort_by(|a, b| {
            of(b.scores, measure)
                .total_cmp(&of(a.scores, measure))
                .then(a.tie_break.cmp(&b.tie_break))
        });
        let has_next = hits.len() > self.window.limit;
        hits.truncate(self.window.limit);
        let skipped = after.map_or(0, |after| after.rank.min(u32::MAX / 2));
        let hits: Vec<LayerMatch> = hits
            .into_iter()
            .zip(skipped + 1..)
            .map(|(hit, rank)| LayerMatch {
                layer: LayerId(hit.layer),
                rank,
                cka: hit.scores.cka,
                debiased_cka: hit.scores.debiased_cka,
            })
            .collect();
        let last = hits.last().map(|hit| hit.score(measure));
        let is_proven = match (unproven, last) {
            (None, _) => true,
            (Some(bound), Some(last)) => hits.len() == self.window.limit && last > bound,
            (Some(_), None) => false,
        };
        let complete_above = match (is_proven, unproven, last) {
            (true, _, Some(last)) if has_next || unproven.is_some() => Some(last),
            (true, ..) => Some(self.window.min_score.unwrap_or(-1.0)),
            (false, bound, _) => bound.filter(|bound| *bound < 1.0),
        };
        Matches {
            hits,
            has_next: has_next || (is_proven && unproven.is_some()),
            exact: is_proven,
            complete_above,
        }
    }

    fn score(&self, candidate: &Candidate) -> f64 {
        candidate
            .scores
            .map_or(f64::NEG_INFINITY, |scores| of(scores, self.window.measure))
    }
}

fn of(scores: CkaScores, measure: Measure) -> f64 {
    match measure {
        Measure::DebiasedCka => scores.debiased_cka,
        Measure::Cka => scores.cka,
    }
}

/// What orders layers of equal scores: the key, or 0 for the target itself, which precedes all keys.
pub(super) fn tie_break(target: SearchTarget<'_>, layer: i64) -> i64 {
    match target {
        SearchTarget::Layer(own) if own.0 == layer => 0,
        _ => layer,
    }
}
