//! The layers of a probe set in memory, as they were at a generation of the catalogue.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use pgvector::HalfVector;
use uuid::Uuid;

use super::rounded::RoundedColumn;
use super::scan::{PART_LAYERS, Scan, Target};
use crate::search::SearchScope;
use crate::vector_cache::KeyedLayer;
use scv_domain::sketch::{FixedSketch, LANES, SketchColumns};
use scv_domain::vector::{Measure, RoundedVector};

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

/// What no account has as its key, nor a private model without an owner.
const PUBLIC: i64 = i64::MIN;

/// What filters look at, by slot. A filter reads only what it asks for.
#[derive(Debug, Default)]
struct Facts {
    is_searchable: Vec<bool>,
    models: Vec<i64>,
    versions: Vec<i64>,
    datasets: Vec<i64>,
    /// [`PUBLIC`] for public models, 0 for private ones without an owner.
    private_to: Vec<i64>,
    /// NaN if there is none.
    accuracies: Vec<f64>,
    kinds: Vec<u32>,
    tags: Vec<u32>,
}

impl Facts {
    /// Size of those of a layer in bytes.
    const LAYER_BYTES: usize = size_of::<bool>() + 4 * size_of::<i64>() + size_of::<f64>() + 2 * size_of::<u32>();

    fn with_capacity(layers: usize) -> Self {
        Self {
            is_searchable: Vec::with_capacity(layers),
            models: Vec::with_capacity(layers),
            versions: Vec::with_capacity(layers),
            datasets: Vec::with_capacity(layers),
            private_to: Vec::with_capacity(layers),
            accuracies: Vec::with_capacity(layers),
            kinds: Vec::with_capacity(layers),
            tags: Vec::with_capacity(layers),
        }
    }

    /// Sets those of a slot, which may be the next one.
    fn put(&mut self, slot: usize, stored: &StoredLayer, kind: u32, tags: u32) {
        put(&mut self.is_searchable, slot, stored.searchable);
        put(&mut self.models, slot, stored.model_id);
        put(&mut self.versions, slot, stored.version_id);
        put(&mut self.datasets, slot, stored.dataset_id);
        put(&mut self.private_to, slot, stored.private_to.unwrap_or(PUBLIC));
        put(&mut self.accuracies, slot, stored.accuracy.unwrap_or(f64::NAN));
        put(&mut self.kinds, slot, kind);
        put(&mut self.tags, slot, tags);
    }
}

fn put<T>(column: &mut Vec<T>, slot: usize, value: T) {
    match column.get_mut(slot) {
        Some(known) => *known = value,
        None => column.push(value),
    }
}

/// The layers of a probe set, with their sketches by one basis.
#[derive(Debug)]
pub(crate) struct Table {
    /// The layer in each slot, with the key of its vector.
    layers: Vec<KeyedLayer>,
    facts: Facts,
    /// Where each layer stands.
    slots: HashMap<i64, u32>,
    debiased: SketchColumns,
    cka: SketchColumns,
    rounded: RoundedColumn,
    kinds: Names<String>,
    tags: Names<Vec<String>>,
}

impl Table {
    /// Size of a layer in bytes without its vector: its keys, what filters look at, the entry of its slot, and its sketches.
    pub(super) const LAYER_BYTES: usize = size_of::<KeyedLayer>()
        + Facts::LAYER_BYTES
        + 2 * size_of::<(i64, u32)>()
        + 2 * SketchColumns::SKETCH_BYTES
        + RoundedColumn::SLOT_BYTES;

    /// An empty table with room for layers.
    pub(super) fn with_capacity(layers: usize) -> Self {
        Self {
            layers: Vec::with_capacity(layers),
            facts: Facts::with_capacity(layers),
            slots: HashMap::with_capacity(layers),
            debiased: SketchColumns::default(),
            cka: SketchColumns::default(),
            rounded: RoundedColumn::with_capacity(layers),
            kinds: Names::default(),
            tags: Names::default(),
        }
    }

    pub(crate) fn byte_count(&self) -> u64 {
        (self.layers.len() * Self::LAYER_BYTES) as u64 + self.rounded.byte_count()
    }

    /// Adds a layer, or replaces what is known of it.
    pub(super) fn put(&mut self, stored: StoredLayer) {
        let (kind, tags) = (self.kinds.number(&stored.layer_kind), self.tags.number(&stored.tags));
        let debiased = fixed(&stored.debiased_short, &stored.debiased_long);
        let cka = fixed(&stored.cka_short, &stored.cka_long);
        let next = self.layers.len();
        let slot = *self.slots.entry(stored.layer_id).or_insert(next as u32) as usize;
        let keyed = (stored.sketch_id, stored.layer_id);
        if self.layers.get(slot).is_some_and(|known| *known != keyed) {
            self.rounded.clear(slot);
        }
        put(&mut self.layers, slot, keyed);
        self.facts.put(slot, &stored, kind, tags);
        if slot < next {
            self.debiased.set(slot, &debiased);
            self.cka.set(slot, &cka);
        } else {
            self.debiased.push(&debiased);
            self.cka.push(&cka);
            self.rounded.push();
        }
    }

    /// Takes the rounded vector of some layers. Not for those that are gone, or have another vector by now.
    pub(super) fn put_rounded(&self, layers: &[KeyedLayer], vector: RoundedVector) {
        let vector = Arc::new(vector);
        let slots = layers.iter().filter_map(|layer| self.slot(layer));
        slots.for_each(|slot| self.rounded.set(slot, &vector));
    }

    /// Where a layer stands, if it still has this vector.
    fn slot(&self, layer: &KeyedLayer) -> Option<usize> {
        let slot = *self.slots.get(&layer.1)? as usize;
        (self.layers[slot] == *layer).then_some(slot)
    }

    /// Whether the vector of a layer is still to be read.
    pub(super) fn is_unread(&self, layer: &KeyedLayer) -> bool {
        self.slot(layer).is_some_and(|slot| self.rounded(slot).is_none())
    }

    /// Gives up all rounded vectors.
    pub(super) fn clear_rounded(&mut self) {
        self.rounded.clear_all();
    }

    /// The rounded vector of the layer in a slot, if it has been read.
    #[inline]
    pub(super) fn rounded(&self, slot: usize) -> Option<&RoundedVector> {
        self.rounded.get(slot).map(Arc::as_ref)
    }

    /// Removes the layers that are not among those given. Their slots stay, and nothing finds them.
    pub(super) fn retain(&mut self, layers: &std::collections::HashSet<i64>) {
        self.slots.retain(|layer, slot| {
            let stays = layers.contains(layer);
            if !stays {
                self.facts.is_searchable[*slot as usize] = false;
                self.rounded.clear(*slot as usize);
            }
            stays
        });
    }

    /// Whether most slots are those of layers that have been removed.
    pub(super) fn is_wasteful(&self) -> bool {
        self.layers.len() > 2 * self.slots.len() + 1_000
    }

    /// Number of layers that a scope admits.
    pub(crate) fn count(&self, scope: &SearchScope) -> usize {
        let admitted = self.admitted(0..self.layers.len(), scope);
        admitted.iter().flatten().filter(|is_admitted| **is_admitted).count()
    }

    /// All searchable layers whose vectors are still to be read, in order.
    pub(super) fn unread(&self) -> Vec<KeyedLayer> {
        let layers = self.layers.iter().zip(&self.facts.is_searchable).enumerate();
        let unread = layers.filter(|(slot, (_, is_searchable))| **is_searchable && self.rounded(*slot).is_none());
        let mut unread: Vec<KeyedLayer> = unread.map(|(_, (layer, _))| *layer).collect();
        unread.sort_unstable_by_key(|(_, layer)| *layer);
        unread
    }

    /// The sketch of a layer, and the key of its vector.
    pub(crate) fn sketch(&self, layer: i64, measure: Measure) -> Option<(Uuid, FixedSketch)> {
        let slot = *self.slots.get(&layer)? as usize;
        Some((self.layers[slot].0, self.columns(measure).get(slot)))
    }

    /// Compares a target with all layers. So many are listed before there are scores.
    pub(crate) fn scan<'a>(&'a self, target: Target<'a>, scope: &'a SearchScope, count: usize) -> Scan<'a> {
        Scan::new(self, target, scope, count, PART_LAYERS)
    }

    /// Number of slots, with those of layers that have been removed.
    pub(super) fn slot_count(&self) -> usize {
        self.layers.len()
    }

    /// The layer in a slot.
    pub(super) fn layer(&self, slot: usize) -> KeyedLayer {
        self.layers[slot]
    }

    /// Whether a scope admits the layers in some slots, in blocks. It admits what the condition of the scope in SQL admits.
    pub(super) fn admitted(&self, slots: Range<usize>, scope: &SearchScope) -> Vec<[bool; LANES]> {
        let facts = &self.facts;
        let mut admitted = Admitted::all(slots.len());
        admitted.keep(&facts.is_searchable[slots.clone()], |is_searchable| *is_searchable);
        if let Some(own) = scope.own_model {
            admitted.keep(&facts.models[slots.clone()], |model| *model != own.0);
        }
        if let Some(except) = scope.except_version {
            admitted.keep(&facts.versions[slots.clone()], |version| *version != except.0);
        }
        if let Some(least) = scope.min_accuracy {
            admitted.keep(&facts.accuracies[slots.clone()], |accuracy| *accuracy >= least);
        }
        if let Some(bound) = scope.better_than {
            admitted.keep(&facts.accuracies[slots.clone()], |accuracy| *accuracy > bound);
        }
        if let Some(ids) = &scope.datasets {
            let is_named = |dataset: &i64| ids.iter().any(|id| id.0 == *dataset);
            admitted.keep(&facts.datasets[slots.clone()], is_named);
        }
        if !scope.layer_kinds.is_empty() {
            let admits = self.kinds.each(|kind| scope.layer_kinds.contains(kind));
            admitted.keep(&facts.kinds[slots.clone()], |kind| admits[*kind as usize]);
        }
        if !scope.models.is_empty() {
            let is_named = |model: &i64| scope.models.iter().any(|id| id.0 == *model);
            admitted.keep(&facts.models[slots.clone()], is_named);
        }
        if !scope.exclude_models.is_empty() {
            let is_named = |model: &i64| scope.exclude_models.iter().any(|id| id.0 == *model);
            admitted.keep(&facts.models[slots.clone()], |model| !is_named(model));
        }
        if !scope.tags.is_empty() {
            let admits = self.tags.each(|tags| scope.tags.iter().all(|tag| tags.contains(tag)));
            admitted.keep(&facts.tags[slots.clone()], |tags| admits[*tags as usize]);
        }
        if let Some(viewer) = scope.viewer {
            let may_see = |owner: &i64| *owner == PUBLIC || *owner == viewer.0;
            admitted.keep(&facts.private_to[slots], may_see);
        }
        admitted.0
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

/// The slots that are admitted by the conditions so far, in blocks.
struct Admitted(Vec<[bool; LANES]>);

impl Admitted {
    fn all(slots: usize) -> Self {
        let mut blocks = vec![[true; LANES]; slots.div_ceil(LANES)];
        if let Some(last) = blocks.last_mut()
            && !slots.is_multiple_of(LANES)
        {
            last[slots % LANES..].fill(false);
        }
        Self(blocks)
    }

    /// Adds a condition on a column.
    fn keep<T>(&mut self, column: &[T], admits: impl Fn(&T) -> bool) {
        for (block, values) in self.0.iter_mut().zip(column.chunks(LANES)) {
            // Without a branch, so that the compiler can look at several at a time.
            for (is_admitted, value) in block.iter_mut().zip(values) {
                *is_admitted &= admits(value);
            }
        }
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
    fn number(&mut self, value: &T) -> u32 {
        if let Some(&number) = self.numbers.get(value) {
            return number;
        }
        let number = self.by_number.len() as u32;
        self.by_number.push(value.clone());
        self.numbers.insert(value.clone(), number);
        number
    }

    /// Whether something holds of each value, by number.
    fn each(&self, holds: impl Fn(&T) -> bool) -> Vec<bool> {
        self.by_number.iter().map(holds).collect()
    }
}
