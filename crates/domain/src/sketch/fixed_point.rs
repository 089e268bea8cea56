//! Sketches in fixed point: as exact as in half precision, and multiplied by whole registers on any processor.

use std::array;

use multiversion::multiversion;

use super::{BOUND_SLACK, MAX_DIRECTIONS, SHORT_DIRECTIONS};

/// Number of leading directions that narrow sketches have coordinates in.
const NARROW_DIRECTIONS: usize = 16;

/// Number of directions that only long sketches have coordinates in.
const OTHER_DIRECTIONS: usize = MAX_DIRECTIONS - SHORT_DIRECTIONS;

/// Number of slots in a block of [`SketchColumns`].
pub const LANES: usize = 16;

/// The number that stands for 1.
const ONE: f64 = 32_767.0;

/// How far rounding can take a score beyond a short bound.
///
/// A coordinate is rounded by half a step at most, a sketch of k coordinates by √k half steps, and both sketches of a product
/// are. That comes on top of what half precision did to them when they were stored. The last tenth of a step covers bounds in
/// single precision. A narrow sketch is made of the coordinates of a short one, so its bound needs the same.
const SHORT_SLACK: f64 = BOUND_SLACK + 8.1 / ONE;

/// The same for a long bound.
const LONG_SLACK: f64 = BOUND_SLACK + 16.1 / ONE;

/// The sketches of one vector by one measure.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedSketch {
    /// The coordinates of the short sketch.
    leading: [i16; SHORT_DIRECTIONS],
    /// The further coordinates of the long one.
    other: [i16; OTHER_DIRECTIONS],
    rests: Rests,
}

/// The lengths of what the directions miss of a vector.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rests {
    short: f32,
    long: f32,
}

/// The first coordinates of a sketch, and the length of the rest.
#[derive(Debug, Clone, PartialEq)]
struct NarrowSketch {
    coordinates: [i16; NARROW_DIRECTIONS],
    rest: f32,
}

/// The narrow sketches in consecutive slots. Each has a lane of the registers that they are multiplied in.
#[derive(Debug, Clone)]
struct NarrowBlock {
    /// By coordinate, then by lane.
    coordinates: [[i16; LANES]; NARROW_DIRECTIONS],
    rests: [f32; LANES],
}

/// The rest cosines that a basis expects: in short sketches and in long ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestCosines {
    /// In short sketches, and for want of a better number in narrow ones.
    pub short: f64,
    /// In long sketches.
    pub long: f64,
}

/// The sketches of many layers by one measure. Scans read the narrow ones, and the others where those leave a layer in question.
///
/// They lie in chunks, so that they can grow without being moved. Allocators also serve chunks of this size from the large pages
/// of the system, which a scan reads in half the time.
#[derive(Debug, Default)]
pub struct SketchColumns {
    chunks: Vec<Chunk>,
}

/// Number of slots in a chunk.
const CHUNK: usize = 4_096;

/// The sketches in consecutive slots.
#[derive(Debug)]
struct Chunk {
    narrow: Vec<NarrowBlock>,
    leading: Vec<[i16; SHORT_DIRECTIONS]>,
    other: Vec<[i16; OTHER_DIRECTIONS]>,
    rests: Vec<Rests>,
}

/// What is known of the score of two vectors before it is computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prospect {
    /// What the score can be expected to be.
    pub estimate: f32,
    /// The score is not below this.
    pub lower: f32,
    /// The score is not above this.
    pub upper: f32,
}

impl FixedSketch {
    /// From the numbers of a short and a long sketch.
    pub fn new(short: &[f32], long: &[f32]) -> Self {
        let mut fixed = Self {
            leading: [0; SHORT_DIRECTIONS],
            other: [0; OTHER_DIRECTIONS],
            rests: Rests { short: 1.0, long: 1.0 },
        };
        if let (Some((&short_rest, leading)), Some((&long_rest, all))) = (short.split_last(), long.split_last()) {
            let other = all.get(SHORT_DIRECTIONS..).unwrap_or_default();
            for (to, from) in fixed.leading.iter_mut().zip(leading) {
                *to = fixed_point(*from);
            }
            for (to, from) in fixed.other.iter_mut().zip(other) {
                *to = fixed_point(*from);
            }
            fixed.rests = Rests {
                short: short_rest,
                long: long_rest,
            };
        }
        fixed
    }

    fn narrow(&self) -> NarrowSketch {
        let (first, others) = self.leading.split_at(NARROW_DIRECTIONS);
        let mut coordinates = [0; NARROW_DIRECTIONS];
        coordinates.copy_from_slice(first);
        let squared: f64 = others.iter().map(|&x| (f64::from(x) / ONE).powi(2)).sum();
        let rest = (squared + f64::from(self.rests.short).powi(2)).sqrt() as f32;
        NarrowSketch { coordinates, rest }
    }
}

impl SketchColumns {
    /// Bytes that each sketch takes.
    pub const SKETCH_BYTES: usize = size_of::<NarrowBlock>() / LANES
        + size_of::<[i16; SHORT_DIRECTIONS]>()
        + size_of::<[i16; OTHER_DIRECTIONS]>()
        + size_of::<Rests>();

    /// Adds a sketch in the next slot.
    pub fn push(&mut self, sketch: &FixedSketch) {
        match self.chunks.last_mut() {
            Some(last) if last.rests.len() < CHUNK => last.push(sketch),
            _ => {
                // The first one grows, because most probe sets have few layers.
                let mut next = Chunk::with_capacity(if self.chunks.is_empty() { 0 } else { CHUNK });
                next.push(sketch);
                self.chunks.push(next);
            }
        }
    }

    /// Replaces the sketch in a slot.
    pub fn set(&mut self, slot: usize, sketch: &FixedSketch) {
        self.chunks[slot / CHUNK].set(slot % CHUNK, sketch);
    }

    /// The sketch in a slot.
    pub fn get(&self, slot: usize) -> FixedSketch {
        let (chunk, slot) = (&self.chunks[slot / CHUNK], slot % CHUNK);
        FixedSketch {
            leading: chunk.leading[slot],
            other: chunk.other[slot],
            rests: chunk.rests[slot],
        }
    }

    /// What the scores of the sketches in consecutive blocks do not exceed, by their narrow sketches, block by block. `visit` sees
    /// what they can be expected to be. Lanes that are not wanted have NaN.
    pub fn narrow_bounds(
        &self,
        first_block: usize,
        wanted: &[[bool; LANES]],
        target: &FixedSketch,
        rest_cosines: RestCosines,
        mut visit: impl FnMut(&[f32; LANES]),
    ) -> Vec<[f32; LANES]> {
        const BLOCKS: usize = CHUNK / LANES;
        let (target, rest_cosine) = (target.narrow(), rest_cosines.short as f32);
        let mut bounds = Vec::with_capacity(wanted.len());
        let mut first = first_block % BLOCKS;
        for chunk in self.chunks.iter().skip(first_block / BLOCKS) {
            let wanted = &wanted[bounds.len()..];
            narrow_bounds(
                &chunk.narrow[first..],
                wanted,
                &target,
                rest_cosine,
                &mut bounds,
                &mut visit,
            );
            first = 0;
        }
        bounds
    }

    /// The slots, of those given, whose short and long bounds reach a score, with what their sketches tell.
    pub fn reaching(
        &self,
        slots: impl Iterator<Item = usize>,
        target: &FixedSketch,
        rest_cosines: RestCosines,
        score: f64,
    ) -> Vec<(usize, Prospect)> {
        reaching(self, slots, target, rest_cosines, score)
    }
}

#[multiversion(targets("x86_64+avx512bw+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn reaching(
    columns: &SketchColumns,
    slots: impl Iterator<Item = usize>,
    target: &FixedSketch,
    rest_cosines: RestCosines,
    score: f64,
) -> Vec<(usize, Prospect)> {
    let mut reaching = Vec::new();
    // A loop, because the compiler does not inline the steps of a collected iterator.
    for slot in slots {
        let (chunk, place) = (&columns.chunks[slot / CHUNK], slot % CHUNK);
        let rests = chunk.rests[place];
        let leading = product(&chunk.leading[place], &target.leading);
        let rest = f64::from(rests.short) * f64::from(target.rests.short);
        let short = prospect(leading, rest, rest_cosines.short, SHORT_SLACK);
        if f64::from(short.upper) < score {
            continue;
        }
        let other = product(&chunk.other[place], &target.other);
        let rest = f64::from(rests.long) * f64::from(target.rests.long);
        let long = prospect(leading + other, rest, rest_cosines.long, LONG_SLACK);
        let prospect = Prospect {
            estimate: long.estimate,
            lower: long.lower.max(short.lower),
            upper: long.upper.min(short.upper),
        };
        if f64::from(prospect.upper) >= score {
            reaching.push((slot, prospect));
        }
    }
    reaching
}

#[multiversion(targets("x86_64+avx512bw+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn narrow_bounds(
    blocks: &[NarrowBlock],
    wanted: &[[bool; LANES]],
    target: &NarrowSketch,
    rest_cosine: f32,
    bounds: &mut Vec<[f32; LANES]>,
    visit: &mut impl FnMut(&[f32; LANES]),
) {
    for (block, wanted) in blocks.iter().zip(wanted) {
        let (products, rests) = block.products(target);
        let only_wanted = |value: f32, lane: usize| if wanted[lane] { value } else { f32::NAN };
        visit(&array::from_fn(|lane| {
            only_wanted(products[lane] + rests[lane] * rest_cosine, lane)
        }));
        bounds.push(array::from_fn(|lane| {
            only_wanted(products[lane] + rests[lane] + SHORT_SLACK as f32, lane)
        }));
    }
}

impl Chunk {
    fn with_capacity(slots: usize) -> Self {
        Self {
            narrow: Vec::with_capacity(slots / LANES),
            leading: Vec::with_capacity(slots),
            other: Vec::with_capacity(slots),
            rests: Vec::with_capacity(slots),
        }
    }

    fn push(&mut self, sketch: &FixedSketch) {
        let slot = self.rests.len();
        if slot.is_multiple_of(LANES) {
            self.narrow.push(NarrowBlock::EMPTY);
        }
        self.narrow[slot / LANES].set(slot % LANES, &sketch.narrow());
        self.leading.push(sketch.leading);
        self.other.push(sketch.other);
        self.rests.push(sketch.rests);
    }

    fn set(&mut self, slot: usize, sketch: &FixedSketch) {
        self.narrow[slot / LANES].set(slot % LANES, &sketch.narrow());
        self.leading[slot] = sketch.leading;
        self.other[slot] = sketch.other;
        self.rests[slot] = sketch.rests;
    }
}

impl NarrowBlock {
    const EMPTY: Self = Self {
        coordinates: [[0; LANES]; NARROW_DIRECTIONS],
        rests: [0.0; LANES],
    };

    fn set(&mut self, lane: usize, sketch: &NarrowSketch) {
        for (lanes, coordinate) in self.coordinates.iter_mut().zip(sketch.coordinates) {
            lanes[lane] = coordinate;
        }
        self.rests[lane] = sketch.rest;
    }

    /// The inner products with the coordinates of a target in all lanes, and the products of the rests.
    #[inline(always)]
    fn products(&self, target: &NarrowSketch) -> ([f32; LANES], [f32; LANES]) {
        let mut sums = [0_i32; LANES];
        for (lanes, &of_target) in self.coordinates.iter().zip(&target.coordinates) {
            // Arrays as values: the compiler takes loops over them apart into single lanes.
            sums = array::from_fn(|lane| sums[lane] + i32::from(lanes[lane]) * i32::from(of_target));
        }
        let products = sums.map(|sum| sum as f32 * (1.0 / (ONE * ONE)) as f32);
        (products, self.rests.map(|rest| rest * target.rest))
    }
}

#[inline(always)]
fn prospect(product: f64, rest: f64, rest_cosine: f64, slack: f64) -> Prospect {
    Prospect {
        estimate: (product + rest * rest_cosine) as f32,
        // The rests are two vectors whose inner product is between plus and minus the product of their lengths.
        lower: (product - rest - slack) as f32,
        upper: (product + rest + slack) as f32,
    }
}

fn fixed_point(coordinate: f32) -> i16 {
    // The conversion saturates.
    (f64::from(coordinate) * ONE).round() as i16
}

/// The inner product of coordinates. The sum cannot overflow, because neither sketch is longer than 1.
#[inline(always)]
fn product<const LENGTH: usize>(a: &[i16; LENGTH], b: &[i16; LENGTH]) -> f64 {
    let sum: i32 = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
    f64::from(sum) / (ONE * ONE)
}
