//! The candidates of a search and what is known of them.

use std::collections::HashMap;

use uuid::Uuid;

use super::{SearchTarget, SearchWindow};
use crate::vector_cache::KeyedLayer;
use scv_domain::id::LayerId;
use scv_domain::similarity::{LayerMatch, Matches};
use scv_domain::sketch::Prospect;
use scv_domain::vector::CkaScores;

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
    /// What its layers can be expected to score.
    pub(super) estimate: f64,
    /// Its layers do not score less.
    pub(super) lower: f64,
    /// Its layers do not score more.
    pub(super) upper: f64,
    pub(super) scores: Option<CkaScores>,
    /// Its other layers in the scope, if they are known.
    pub(super) copies: Vec<i64>,
}

impl Candidate {
    /// The candidate of one layer.
    pub(crate) fn single(sketch: Uuid, layer: i64, prospect: Prospect) -> Self {
        let Prospect { estimate, lower, upper } = prospect;
        Self {
            sketch,
            layer,
            layers: 1,
            distance: -f64::from(upper),
            estimate: estimate.into(),
            lower: lower.into(),
            upper: upper.into(),
            scores: None,
            copies: Vec::new(),
        }
    }

    /// The first of its layers.
    #[cfg(test)]
    pub(crate) fn layer(&self) -> i64 {
        self.layer
    }

    /// What its layers score no less and no more than.
    #[cfg(test)]
    pub(crate) fn bounds(&self) -> (f64, f64) {
        (self.lower, self.upper)
    }

    /// Number of its layers.
    #[cfg(test)]
    pub(crate) fn layer_count(&self) -> usize {
        self.layers
    }

    /// Adds another layer of the same sketch, and what is known of its score, which is the same.
    pub(crate) fn add_copy(&mut self, layer: i64, prospect: Prospect) {
        self.layers += 1;
        self.copies.push(layer);
        self.narrow(prospect.lower.into(), prospect.upper.into());
    }

    fn narrow(&mut self, lower: f64, upper: f64) {
        self.lower = self.lower.max(lower);
        self.upper = self.upper.min(upper);
    }

    /// Takes over what a later listing of the same sketch tells, and its layers, if it has more. Every listing has all layers of a
    /// sketch, except those that cannot be hits.
    fn absorb(&mut self, later: Self) {
        if self.scores.is_none() {
            self.narrow(later.lower, later.upper);
        }
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
    /// The score that a further layer must reach to change the page: at most that of the hit after the page, and no less than the
    /// minimum score.
    threshold: f64,
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
            threshold: window.min_score.unwrap_or(f64::NEG_INFINITY),
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
        self.raise_threshold();
    }

    /// Takes account of what has become known of candidates: so many layers score no less than the hit after the page.
    fn raise_threshold(&mut self) {
        let candidates = self.candidates.iter();
        // A score that is not a number is none.
        let reaching = candidates.filter(|candidate| candidate.lower >= self.threshold);
        let mut lower: Vec<_> = reaching.map(|candidate| (candidate.lower, candidate.layers)).collect();
        lower.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut layers = 0;
        let of_depth = lower.into_iter().find(|(_, of_candidate)| {
            layers += of_candidate;
            layers >= self.window.depth()
        });
        if let Some((least, _)) = of_depth {
            self.threshold = least;
        }
    }

    /// The score that a further layer must reach to change the page.
    pub(super) fn threshold(&self) -> f64 {
        self.threshold
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

    /// Takes the scores of candidates that were wanted, in the same order.
    pub(super) fn put(&mut self, wanted: &Wanted, scores: &[CkaScores]) {
        for (&place, &scores) in wanted.places.iter().zip(scores) {
            let candidate = &mut self.candidates[place];
            candidate.scores = Some(scores);
            candidate.lower = scores.of(self.window.measure);
        }
        self.raise_threshold();
    }

    fn unscored(&self) -> impl Iterator<Item = (usize, &Candidate)> {
        let candidates = self.candidates.iter().enumerate();
        candidates.filter(|(_, candidate)| candidate.scores.is_none() && candidate.upper >= self.threshold)
    }

    /// Number of candidates that have no score and can have a hit.
    pub(super) fn unscored_count(&self) -> usize {
        self.unscored().count()
    }

    /// The greatest bound of a candidate that has no score and can have a hit.
    pub(super) fn unscored_bound(&self) -> Unproven {
        self.unscored().map(|(_, candidate)| candidate.upper).reduce(f64::max)
    }

    /// The candidates that the page and the hit after it can come from, best first.
    pub(super) fn top(&self) -> Vec<&Candidate> {
        let end = self.window.after.map_or(f64::INFINITY, |after| after.score);
        let mut top: Vec<_> = self
            .candidates
            .iter()
            .filter(|candidate| candidate.scores.is_some())
            .filter(|candidate| (self.threshold..=end).contains(&self.score(candidate)))
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
                let score = hit.scores.of(measure);
                score < end.0 || (score == end.0 && hit.tie_break > end.1)
            });
        }
        hits.sort_by(|a, b| {
            b.scores
                .of(measure)
                .total_cmp(&a.scores.of(measure))
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
            .map_or(f64::NEG_INFINITY, |scores| scores.of(self.window.measure))
    }
}

/// What orders layers of equal scores: the key, or 0 for the target itself, which precedes all keys.
pub(super) fn tie_break(target: SearchTarget<'_>, layer: i64) -> i64 {
    match target {
        SearchTarget::Layer(own) if own.0 == layer => 0,
        _ => layer,
    }
}
