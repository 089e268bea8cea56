//! The comparison of a target with all layers of a mirror.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;
use std::thread;

use uuid::Uuid;

use super::table::Table;
use crate::search::{Candidate, SearchScope};
use scv_domain::sketch::{FixedSketch, LANES, Prospect, RestCosines, SketchColumns};
use scv_domain::vector::{Bounds, Measure, TargetVector};

/// Minimum number of layers that a thread is worth.
pub(super) const PART_LAYERS: usize = 65_536;

/// Minimum number of rounded vectors that a thread is worth.
const PART_VECTORS: usize = 256;

/// Maximum number of threads of one scan.
const MAX_PARTS: usize = 8;

/// Layers that are listed by their narrow sketches for each that is wanted.
const NARROW_FACTOR: usize = 16;

/// What layers are compared with.
#[derive(Debug, Clone)]
pub(crate) struct Target<'a> {
    /// The measure that they are compared by.
    pub(crate) measure: Measure,
    pub(crate) sketch: FixedSketch,
    pub(crate) rest_cosines: RestCosines,
    pub(crate) vector: &'a TargetVector,
}

/// A scan of all layers for one target.
pub(crate) struct Scan<'a> {
    table: &'a Table,
    columns: &'a SketchColumns,
    target: Target<'a>,
    /// Number of layers that are listed before there are scores.
    count: usize,
    parts: Vec<Part>,
}

/// Some layers, with what their narrow sketches tell of those that the scope admits. They are compared in a thread of their own.
struct Part {
    first_slot: usize,
    /// By block and lane. NaN for layers that the scope does not admit.
    bounds: Vec<[f32; LANES]>,
    nearest: Nearest,
}

/// The layers with the greatest estimates.
struct Nearest {
    count: usize,
    /// Their estimates and slots, with some that are no longer among them.
    found: Vec<(f32, usize)>,
    /// What a further layer has to reach.
    least: f32,
    /// How many may be found before those that are no longer among them have to go.
    room: usize,
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
        target: Target<'a>,
        scope: &SearchScope,
        count: usize,
        part_layers: usize,
    ) -> Self {
        let columns = table.columns(target.measure);
        let parts = in_threads(&ranges(table.slot_count(), part_layers), |slots| {
            let admitted = table.admitted(slots.clone(), scope);
            let mut nearest = Nearest::new(NARROW_FACTOR * count);
            let mut first_slots = slots.clone().step_by(LANES);
            let bounds = columns.narrow_bounds(
                slots.start / LANES,
                &admitted,
                &target.sketch,
                target.rest_cosines,
                |estimates| nearest.take(estimates, first_slots.next().unwrap_or(slots.end)),
            );
            nearest.keep_greatest();
            Part {
                first_slot: slots.start,
                bounds,
                nearest,
            }
        });
        Self {
            table,
            columns,
            target,
            count,
            parts,
        }
    }

    /// The admitted layers with the greatest estimates, as far as narrow sketches tell: as many as are wanted, or more that tie.
    pub(crate) fn nearest(&self) -> Vec<Candidate> {
        let nearest = self.parts.iter().flat_map(|part| &part.nearest.found);
        let mut nearest: Vec<_> = nearest.copied().collect();
        keep_greatest(&mut nearest, NARROW_FACTOR * self.count, |found| found.0);
        let slots = nearest.into_iter().map(|(_, slot)| slot);
        let mut nearest = self.reaching_of(slots, f64::NEG_INFINITY);
        keep_greatest(&mut nearest, self.count, |reached| reached.prospect.estimate);
        self.candidates(&nearest, f64::NEG_INFINITY)
    }

    /// The admitted layers whose sketches leave it possible that they reach a score.
    pub(crate) fn reaching(&self, score: f64) -> Vec<Reached> {
        let reaching = in_threads(&self.parts, |part| {
            // No greater than the score, so that none is missed.
            let least = (score as f32).next_down();
            let blocks = part.bounds.iter().zip((part.first_slot..).step_by(LANES));
            let reaching = blocks.filter(|(bounds, _)| reaches(bounds, least));
            let lanes = reaching.flat_map(|(bounds, first)| bounds.iter().zip(first..));
            let slots = lanes.filter(|(bound, _)| **bound >= least).map(|(_, slot)| slot);
            self.reaching_of(slots, score)
        });
        reaching.concat()
    }

    fn reaching_of(&self, slots: impl Iterator<Item = usize>, score: f64) -> Vec<Reached> {
        let reaching = self
            .columns
            .reaching(slots, &self.target.sketch, self.target.rest_cosines, score);
        let reaching = reaching.into_iter();
        reaching.map(|(slot, prospect)| Reached { slot, prospect }).collect()
    }

    /// The candidates among layers that were reached: one for all that share a vector, if their rounded vectors leave it
    /// possible that they reach a score.
    pub(crate) fn candidates(&self, reached: &[Reached], score: f64) -> Vec<Candidate> {
        let part_vectors = reached.len().div_ceil(part_count(reached.len(), PART_VECTORS)).max(1);
        let parts: Vec<_> = reached.chunks(part_vectors).collect();
        let reaching = in_threads(&parts, |part| {
            let reaching = part.iter().filter(|reached| reached.bound() >= score);
            let refined = reaching.map(|reached| self.refined(*reached));
            refined.filter(|reached| reached.bound() >= score).collect::<Vec<_>>()
        });
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        let mut candidates: Vec<Candidate> = Vec::new();
        for Reached { slot, prospect } in reaching.into_iter().flatten() {
            let (vector, layer) = self.table.layer(slot);
            let place = *places.entry(vector).or_insert(candidates.len());
            match candidates.get_mut(place) {
                Some(candidate) => candidate.add_copy(layer, prospect),
                None => candidates.push(Candidate::single(vector, layer, prospect)),
            }
        }
        candidates
    }

    /// With what the rounded vector of a layer tells, if it has been read.
    fn refined(&self, mut reached: Reached) -> Reached {
        if let Some(vector) = self.table.rounded(reached.slot) {
            let Bounds { lower, upper } = self.target.vector.bounds(vector, self.target.measure);
            let prospect = &mut reached.prospect;
            // Single precision must not narrow them. What is not a number changes nothing.
            prospect.lower = prospect.lower.max((lower as f32).next_down());
            prospect.upper = prospect.upper.min((upper as f32).next_up());
            prospect.estimate = prospect.estimate.max(prospect.lower).min(prospect.upper);
        }
        reached
    }
}

impl Reached {
    /// Its score is not above this.
    pub(crate) fn bound(&self) -> f64 {
        self.prospect.upper.into()
    }

    /// What its score can be expected to be.
    #[cfg(test)]
    pub(crate) fn estimate(&self) -> f32 {
        self.prospect.estimate
    }
}

/// Takes the layers with the greatest estimates out of those that were reached: as many as are wanted, or more that tie.
pub(crate) fn take_most_promising(reached: &mut Vec<Reached>, count: usize) -> Vec<Reached> {
    let estimate = |reached: &Reached| reached.prospect.estimate;
    let mut promising = reached.clone();
    let least = keep_greatest(&mut promising, count, estimate);
    reached.retain(|reached| estimate(reached) < least);
    promising
}

impl Nearest {
    fn new(count: usize) -> Self {
        Self {
            count,
            found: Vec::new(),
            least: f32::NEG_INFINITY,
            room: 4 * count,
        }
    }

    /// Takes those of a block that are among them so far. Not those whose estimate is not a number.
    #[inline(always)]
    fn take(&mut self, estimates: &[f32; LANES], first_slot: usize) {
        if reaches(estimates, self.least) {
            self.insert(estimates, first_slot);
        }
    }

    fn insert(&mut self, estimates: &[f32; LANES], first_slot: usize) {
        let found = estimates.iter().copied().zip(first_slot..);
        self.found.extend(found.filter(|(estimate, _)| *estimate >= self.least));
        if self.found.len() >= self.room {
            self.keep_greatest();
            // Many may tie, and must not be looked at again for each one that follows.
            self.room = 4 * self.count.max(self.found.len());
        }
    }

    fn keep_greatest(&mut self) {
        if self.found.len() > self.count {
            self.least = keep_greatest(&mut self.found, self.count, |found| found.0);
        }
    }
}

/// Whether a number of a block is at least so great. One that is not a number is not. It looks at all of them, which takes less time
/// than to stop at the first.
#[inline(always)]
fn reaches(block: &[f32; LANES], least: f32) -> bool {
    block.iter().fold(false, |reaches, number| reaches | (*number >= least))
}

/// Number of threads for so many of something, of which each thread gets at least some.
fn part_count(count: usize, least: usize) -> usize {
    static PROCESSORS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));
    (count / least).clamp(1, MAX_PARTS.min(*PROCESSORS))
}

/// Ranges of so many slots, one for each thread that is worth its cost. Each begins with a block.
fn ranges(slots: usize, part_layers: usize) -> Vec<Range<usize>> {
    let parts = part_count(slots, part_layers);
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
