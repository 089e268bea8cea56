//! The layers of a probe set in memory, as they were at a generation of the catalogue.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroI64;

use pgvector::HalfVector;
use uuid::Uuid;

use super::scan::{PART_LAYERS, Scan};
use crate::search::SearchScope;
use crate::vector_cache::KeyedLayer;
use scv_domain::sketch::{FixedSketch, RestCosines, SketchColumns};
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

    /// The vectors of all searchable layers, each with one of those that have it, in the order of the layers.
    pub(super) fn vectors(&self) -> Vec<KeyedLayer> {
        let searchable = self.facts.iter().filter(|facts| facts.is_searchable);
        let vectors: HashMap<Uuid, i64> = searchable.map(|facts| (facts.sketch, facts.layer)).collect();
        let mut vectors: Vec<KeyedLayer> = vectors.into_iter().collect();
        vectors.sort_by_key(|(_, layer)| *layer);
        vectors
    }

    /// The sketch of a layer, and the key of its vector.
    pub(crate) fn sketch(&self, layer: i64, measure: Measure) -> Option<(Uuid, FixedSketch)> {
        let slot = *self.slots.get(&layer)? as usize;
        Some((self.facts[slot].sketch, self.columns(measure).get(slot)))
    }

    /// Compares a target with all layers.
    pub(crate) fn scan<'a>(
        &'a self,
        measure: Measure,
        target: FixedSketch,
        rest_cosines: RestCosines,
        scope: &'a SearchScope,
    ) -> Scan<'a> {
        Scan::new(self, measure, target, rest_cosines, scope, PART_LAYERS)
    }

    /// Number of slots, with those of layers that have been removed.
    pub(super) fn slot_count(&self) -> usize {
        self.facts.len()
    }

    /// The key of the vector of the layer in a slot, and that of the layer.
    pub(super) fn vector(&self, slot: usize) -> KeyedLayer {
        let facts = &self.facts[slot];
        (facts.sketch, facts.layer)
    }

    /// Whether a scope admits the layer in a slot.
    pub(super) fn admits(&self, admission: &Admission<'_>, slot: usize) -> bool {
        admission.admits(&self.facts[slot])
    }

    pub(super) fn columns(&self, measure: Measure) -> &SketchColumns {
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

/// A scope, with its names as numbers of the table. It admits what the condition of the scope in SQL admits.
pub(super) struct Admission<'a> {
    scope: &'a SearchScope,
    /// By number of a kind.
    kinds: Vec<bool>,
    /// By number of a set of tags.
    tags: Vec<bool>,
}

impl<'a> Admission<'a> {
    pub(super) fn new(table: &Table, scope: &'a SearchScope) -> Self {
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
