//! The comparison of a target with all layers of a mirror.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;
use std::thread;

use uuid::Uuid;

use super::table::Table;
use crate::search::{Candidate, SearchScope};
use scv_domain::sketch::{FixedSketch, LANES, NarrowProspects, Prospect, RestCosines, SketchColumns};
use scv_domain::vector::Measure;

/// Minimum number of layers that a thread is worth.
pub(super) const PART_LAYERS: usize = 65_536;

/// Maximum number of threads of one scan.
const MAX_PARTS: usize = 8;

/// Layers that are listed by their narrow sketches for each that is wanted.
const NARROW_FACTOR: usize = 16;

/// A scan of all layers for one target.
pub(crate) struct Scan<'a> {
    table: &'a Table,
    target: FixedSketch,
    columns: &'a SketchColumns,
    rest_cosines: RestCosines,
    parts: Vec<Part>,
}

/// Some layers, with what their narrow sketches tell of those that the scope admits. They are compared in a thread of their own.
struct Part {
    first_slot: usize,
    narrow: NarrowProspects,
}

/// A layer whose bounds reach a score.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    slot: usize,
    prospect: Prospect,
}

impl<'a> Scan<'a> {
    /// Compares a target with all layers, by their narrow sketches. Each thread gets at least `part_layers` of them.
    pub(super) fn new(
        table: &'a Table,
        measure: Measure,
        target: FixedSketch,
        rest_cosines: RestCosines,
        scope: &SearchScope,
        part_layers: usize,
    ) -> Self {
        let columns = table.columns(measure);
        let parts = in_threads(&ranges(table.slot_count(), part_layers), |slots| {
            let admitted = table.admitted(slots.clone(), scope);
            let narrow = columns.narrow_prospects(slots.start / LANES, &admitted, &target, rest_cosines);
            Part {
                first_slot: slots.start,
                narrow,
            }
        });
        Self {
            table,
            target,
            columns,
            rest_cosines,
            parts,
        }
    }

    /// The admitted layers with the greatest estimates, as far as narrow sketches tell: as many as are wanted, or more that tie.
    pub(crate) fn nearest(&self, count: usize) -> Vec<Candidate> {
        let listed = NARROW_FACTOR * count;
        let nearest = in_threads(&self.parts, |part| part.nearest(listed));
        let mut nearest = nearest.concat();
        keep_greatest(&mut nearest, listed, |found| found.0);
        let slots = nearest.into_iter().map(|(_, slot)| slot);
        let mut nearest = self.reaching_of(slots, f64::NEG_INFINITY);
        keep_greatest(&mut nearest, count, |reached| reached.prospect.estimate);
        self.candidates(nearest)
    }

    /// The admitted layers whose bounds reach a score.
    pub(crate) fn reaching(&self, score: f64) -> Vec<Reached> {
        let reaching = in_threads(&self.parts, |part| {
            let bounds = part.narrow.bounds.iter().zip(part.first_slot..);
            // Not those whose bound is not a number.
            let reaching = bounds.filter(|(bound, _)| f64::from(**bound) >= score);
            self.reaching_of(reaching.map(|(_, slot)| slot), score)
        });
        reaching.concat()
    }

    fn reaching_of(&self, slots: impl Iterator<Item = usize>, score: f64) -> Vec<Reached> {
        let reaching = self.columns.reaching(slots, &self.target, self.rest_cosines, score);
        let reaching = reaching.into_iter();
        reaching.map(|(slot, prospect)| Reached { slot, prospect }).collect()
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
        (self.candidates(reached), left_out)
    }

    /// The candidates of layers, one for all that share a vector.
    fn candidates(&self, reached: Vec<Reached>) -> Vec<Candidate> {
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for Reached { slot, prospect } in reached {
            let (vector, layer) = self.table.layer(slot);
            let place = *places.entry(vector).or_insert(candidates.len());
            match candidates.get_mut(place) {
                Some(candidate) => candidate.add_copy(layer),
                None => {
                    let (estimate, bound) = (prospect.estimate.into(), prospect.bound.into());
                    candidates.push(Candidate::single(vector, layer, estimate, bound));
                }
            }
        }
        candidates
    }
}

impl Part {
    /// The estimates and slots of the layers with the greatest estimates.
    fn nearest(&self, count: usize) -> Vec<(f32, usize)> {
        let mut nearest: Vec<(f32, usize)> = Vec::new();
        let (mut least, mut room) = (f32::NEG_INFINITY, 4 * count);
        for (&estimate, slot) in self.narrow.estimates.iter().zip(self.first_slot..) {
            // Not those whose estimate is not a number.
            if estimate >= least {
                nearest.push((estimate, slot));
                if nearest.len() >= room {
                    least = keep_greatest(&mut nearest, count, |found| found.0);
                    // Many may tie, and must not be looked at again for each one that follows.
                    room = 4 * count.max(nearest.len());
                }
            }
        }
        keep_greatest(&mut nearest, count, |found| found.0);
        nearest
    }
}

/// Ranges of so many slots, one for each thread that is worth its cost. Each begins with a block.
fn ranges(slots: usize, part_layers: usize) -> Vec<Range<usize>> {
    static PROCESSORS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    let parts = (slots / part_layers).clamp(1, MAX_PARTS.min(*PROCESSORS));
    let blocks = slots.div_ceil(LANES);
    (0..parts)
        .map(|part| part * blocks / parts * LANES..((part + 1) * blocks / parts * LANES).min(slots))
        .collect()
}

/// Does something with each part, in a thread of its own beside that of the first. Where the system has no thread left, the
/// part is done here.
fn in_threads<T: Sync, R: Send>(parts: &[T], run: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let Some((first, others)) = parts.split_first() else {
        return Vec::new();
    };
    let run = &run;
    thread::scope(|scope| {
        let start = |part| thread::Builder::new().spawn_scoped(scope, move || run(part));
        let others: Vec<_> = others.iter().map(|part| (part, start(part))).collect();
        let first = run(first);
        let others = others.into_iter().map(|(part, thread)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => run(part),
        });
        std::iter::once(first).chain(others).collect()
    })
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
