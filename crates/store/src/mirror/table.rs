//! The layers of a probe set in memory, as they were at a generation of the catalogue.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroI64;

use pgvector::HalfVector;
use uuid::Uuid;

use crate::search::{Candidate, SearchScope};
use scv_domain::sketch::{FixedSketch, Prospect, SketchColumns};
use scv_domain::vector::Measure;

/// A layer as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct StoredLayer {
    pub(super) layer_id: i64,
    pub(super) sketch_id: Uuid,
    pub(super) model_id: i64,
    pub(super) version_id: i64,
    pub(super) dataset_id: i64,
    pub(super) searchable: bool,
    pub(super) layer_kind: String,
    pub(super) tags: Vec<String>,
    pub(super) private_to: Option<i64>,
    pub(super) accuracy: Option<f64>,
    pub(super) debiased_short: HalfVector,
    pub(super) debiased_long: HalfVector,
    pub(super) cka_short: HalfVector,
    pub(super) cka_long: HalfVector,
}

/// What filters look at, beside the keys of a layer and its vector.
#[derive(Debug)]
struct Facts {
    layer: i64,
    sketch: Uuid,
    model: i64,
    version: i64,
    dataset: i64,
    private_to: Option<NonZeroI64>,
    /// NaN if there is none.
    accuracy: f64,
    kind: u32,
    tags: u32,
    is_searchable: bool,
}

/// The layers of a probe set, with their sketches by one basis.
#[derive(Debug)]
pub(crate) struct Table {
    facts: Vec<Facts>,
    /// Where each layer stands.
    slots: HashMap<i64, u32>,
    debiased: SketchColumns,
    cka: SketchColumns,
    kinds: Names<String>,
    tags: Names<Vec<String>>,
}

/// The rest cosines of a basis: in short sketches and in long ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RestCosines {
    pub(crate) short: f64,
    pub(crate) long: f64,
}

/// A scan of all layers for one target.
pub(crate) struct Scan<'a> {
    table: &'a Table,
    sketch: FixedSketch,
    columns: &'a SketchColumns,
    rest_cosines: RestCosines,
    slots: Slots<'a>,
    /// What the short sketches in these slots tell.
    prospects: Vec<Prospect>,
}

/// The slots that a scan compares.
enum Slots<'a> {
    /// All of them. The scope admits most, so it is asked only for those that come near.
    All(Admission<'a>),
    /// Those of the layers that the scope admits.
    Admitted(Vec<u32>),
}

impl Slots<'_> {
    fn slot(&self, index: usize) -> usize {
        match self {
            Self::All(_) => index,
            Self::Admitted(slots) => slots[index] as usize,
        }
    }
}

/// A layer whose bounds reach a score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    slot: usize,
    prospect: Prospect,
}

impl Table {
    /// Size of a layer in bytes: what filters look at, the entry of its slot, and its sketches.
    pub(super) const LAYER_BYTES: usize =
        size_of::<Facts>() + 2 * size_of::<(i64, u32)>() + 2 * SketchColumns::SKETCH_BYTES;

    /// An empty table with room for layers.
    pub(super) fn with_capacity(layers: usize) -> Self {
        Self {
            facts: Vec::with_capacity(layers),
            slots: HashMap::with_capacity(layers),
            debiased: SketchColumns::with_capacity(layers),
            cka: SketchColumns::with_capacity(layers),
            kinds: Names::default(),
            tags: Names::default(),
        }
    }

    pub(crate) fn byte_count(&self) -> u64 {
        (self.facts.len() * Self::LAYER_BYTES) as u64
    }

    /// Adds a layer, or replaces what is known of it.
    pub(super) fn put(&mut self, stored: StoredLayer) {
        let facts = Facts {
            layer: stored.layer_id,
            sketch: stored.sketch_id,
            model: stored.model_id,
            version: stored.version_id,
            dataset: stored.dataset_id,
            private_to: stored.private_to.and_then(NonZeroI64::new),
            accuracy: stored.accuracy.unwrap_or(f64::NAN),
            kind: self.kinds.number(stored.layer_kind),
            tags: self.tags.number(stored.tags),
            is_searchable: stored.searchable,
        };
        let debiased = fixed(&stored.debiased_short, &stored.debiased_long);
        let cka = fixed(&stored.cka_short, &stored.cka_long);
        match self.slots.get(&stored.layer_id) {
            Some(&slot) => {
                let slot = slot as usize;
                self.facts[slot] = facts;
                self.debiased.set(slot, &debiased);
                self.cka.set(slot, &cka);
            }
            None => {
                self.slots.insert(stored.layer_id, self.facts.len() as u32);
                self.facts.push(facts);
                self.debiased.push(&debiased);
                self.cka.push(&cka);
            }
        }
    }

    /// Removes the layers that are not among those given. Their slots stay, and nothing finds them.
    pub(super) fn retain(&mut self, layers: &std::collections::HashSet<i64>) {
        self.slots.retain(|layer, slot| {
            let stays = layers.contains(layer);
            self.facts[*slot as usize].is_searchable &= stays;
            stays
        });
    }

    /// Whether most slots are those of layers that have been removed.
    pub(super) fn is_wasteful(&self) -> bool {
        self.facts.len() > 2 * self.slots.len() + 1_000
    }

    /// Number of layers that a scope admits.
    pub(crate) fn count(&self, scope: &SearchScope) -> usize {
        let admission = Admission::new(self, scope);
        self.facts.iter().filter(|facts| admission.admits(facts)).count()
    }

    /// The sketch of a layer, and the key of its vector.
    pub(crate) fn sketch(&self, layer: i64, measure: Measure) -> Option<(Uuid, FixedSketch)> {
        let slot = *self.slots.get(&layer)? as usize;
        Some((self.facts[slot].sketch, self.columns(measure).get(slot)))
    }

    /// Compares a target with all layers, by their short sketches.
    pub(crate) fn scan<'a>(
        &'a self,
        measure: Measure,
        sketch: FixedSketch,
        rest_cosines: RestCosines,
        scope: &'a SearchScope,
    ) -> Scan<'a> {
        let columns = self.columns(measure);
        let admission = Admission::new(self, scope);
        let (slots, prospects) = if scope.is_narrow() {
            let slots: Vec<u32> = (0..self.facts.len() as u32)
                .filter(|slot| admission.admits(&self.facts[*slot as usize]))
                .collect();
            let admitted = slots.iter().map(|slot| *slot as usize);
            let prospects = columns.short_prospects(admitted, &sketch, rest_cosines.short);
            (Slots::Admitted(slots), prospects)
        } else {
            let prospects = columns.short_prospects(0..self.facts.len(), &sketch, rest_cosines.short);
            (Slots::All(admission), prospects)
        };
        Scan {
            table: self,
            sketch,
            columns,
            rest_cosines,
            slots,
            prospects,
        }
    }

    fn columns(&self, measure: Measure) -> &SketchColumns {
        match measure {
            Measure::DebiasedCka => &self.debiased,
            Measure::Cka => &self.cka,
        }
    }
}

fn fixed(short: &HalfVector, long: &HalfVector) -> FixedSketch {
    let numbers = |sketch: &HalfVector| sketch.to_vec().into_iter().map(f32::from).collect::<Vec<_>>();
    FixedSketch::new(&numbers(short), &numbers(long))
}

impl Scan<'_> {
    /// The admitted layers with the greatest estimates by their short sketches: as many as are wanted, or more that tie.
    pub(crate) fn nearest(&self, count: usize) -> Vec<Candidate> {
        let mut nearest: Vec<(f32, usize)> = Vec::new();
        let (mut least, mut room) = (f32::NEG_INFINITY, 4 * count);
        for (index, Prospect { estimate, .. }) in self.prospects.iter().copied().enumerate() {
            if estimate >= least && self.admits(index) {
                nearest.push((estimate, index));
                if nearest.len() >= room {
                    least = keep_greatest(&mut nearest, count, |found| found.0);
                    // Many may tie, and must not be looked at again for each one that follows.
                    room = 4 * count.max(nearest.len());
                }
            }
        }
        keep_greatest(&mut nearest, count, |found| found.0);
        self.candidates(nearest.into_iter().map(|(_, index)| self.reached(index)))
    }

    /// The admitted layers whose bounds reach a score.
    pub(crate) fn reaching(&self, score: f64) -> Vec<Reached> {
        let reaching = self.prospects.iter().enumerate();
        let reaching = reaching.filter(|(_, prospect)| f64::from(prospect.bound) >= score);
        let admitted = reaching.map(|(index, _)| index).filter(|index| self.admits(*index));
        admitted
            .map(|index| self.reached(index))
            .filter(|reached| f64::from(reached.prospect.bound) >= score)
            .collect()
    }

    /// The candidates of layers that were reached. If there are more than are wanted, those with the greatest estimates, and
    /// the greatest bound of the others.
    pub(crate) fn most_promising(&self, mut reached: Vec<Reached>, count: usize) -> (Vec<Candidate>, Option<f64>) {
        let mut left_out = None;
        if reached.len() > count {
            let estimate = |reached: &Reached| reached.prospect.estimate;
            let all = reached.clone();
            let least = keep_greatest(&mut reached, count.max(1), estimate);
            let others = all.iter().filter(|reached| estimate(reached) < least);
            left_out = others
                .map(|reached| reached.prospect.bound)
                .reduce(f32::max)
                .map(f64::from);
        }
        (self.candidates(reached.into_iter()), left_out)
    }

    fn admits(&self, index: usize) -> bool {
        match &self.slots {
            Slots::All(admission) => admission.admits(&self.table.facts[index]),
            Slots::Admitted(_) => true,
        }
    }

    /// What both sketches of a layer tell.
    fn reached(&self, index: usize) -> Reached {
        let slot = self.slots.slot(index);
        let prospect = self.columns.long_prospect(slot, &self.sketch, self.rest_cosines.long);
        let bound = prospect.bound.min(self.prospects[index].bound);
        Reached {
            slot,
            prospect: Prospect { bound, ..prospect },
        }
    }

    /// The candidates of layers, one for all that share a vector.
    fn candidates(&self, reached: impl Iterator<Item = Reached>) -> Vec<Candidate> {
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for Reached { slot, prospect } in reached {
            let facts = &self.table.facts[slot];
            let place = *places.entry(facts.sketch).or_insert(candidates.len());
            match candidates.get_mut(place) {
                Some(candidate) => candidate.add_copy(facts.layer),
                None => {
                    let (estimate, bound) = (prospect.estimate.into(), prospect.bound.into());
                    candidates.push(Candidate::single(facts.sketch, facts.layer, estimate, bound));
                }
            }
        }
        candidates
    }
}

/// Keeps the greatest, and what ties with the last of them. Returns the least that is kept, if any had to go.
fn keep_greatest<T>(found: &mut Vec<T>, count: usize, estimate: impl Fn(&T) -> f32) -> f32 {
    if found.len() <= count {
        return f32::NEG_INFINITY;
    }
    let (_, last, _) = found.select_nth_unstable_by(count - 1, |a, b| estimate(b).total_cmp(&estimate(a)));
    let least = estimate(last);
    found.retain(|found| estimate(found) >= least);
    least
}

/// A scope, with its names as numbers of the table. It admits what the condition of the scope in SQL admits.
struct Admission<'a> {
    scope: &'a SearchScope,
    /// By number of a kind.
    kinds: Vec<bool>,
    /// By number of a set of tags.
    tags: Vec<bool>,
}

impl<'a> Admission<'a> {
    fn new(table: &Table, scope: &'a SearchScope) -> Self {
        let admits_kind = |kind: &String| scope.layer_kinds.is_empty() || scope.layer_kinds.contains(kind);
        let admits_tags = |tags: &Vec<String>| scope.tags.iter().all(|tag| tags.contains(tag));
        Self {
            scope,
            kinds: table.kinds.by_number.iter().map(admits_kind).collect(),
            tags: table.tags.by_number.iter().map(admits_tags).collect(),
        }
    }

    fn admits(&self, facts: &Facts) -> bool {
        let scope = self.scope;
        facts.is_searchable
            && scope.own_model.is_none_or(|own| facts.model != own.0)
            && scope.except_version.is_none_or(|version| facts.version != version.0)
            && scope.min_accuracy.is_none_or(|least| facts.accuracy >= least)
            && scope.better_than.is_none_or(|bound| facts.accuracy > bound)
            && scope
                .datasets
                .as_ref()
                .is_none_or(|ids| ids.iter().any(|id| id.0 == facts.dataset))
            && self.kinds[facts.kind as usize]
            && (scope.models.is_empty() || scope.models.iter().any(|id| id.0 == facts.model))
            && !scope.exclude_models.iter().any(|id| id.0 == facts.model)
            && self.tags[facts.tags as usize]
            && scope
                .viewer
                .is_none_or(|viewer| facts.private_to.is_none_or(|owner| owner.get() == viewer.0))
    }
}

/// Values that many layers share, by number.
#[derive(Debug)]
struct Names<T> {
    by_number: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            by_number: Vec::new(),
            numbers: HashMap::new(),
        }
    }
}

impl<T: Clone + Eq + Hash> Names<T> {
    fn number(&mut self, value: T) -> u32 {
        if let Some(&number) = self.numbers.get(&value) {
            return number;
        }
        let number = self.by_number.len() as u32;
        self.by_number.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}
