//! Short random projections of layer vectors, for finding candidates in an index.
//!
//! A sketch is the vector times a fixed matrix of [`SKETCH_LENGTH`] columns, scaled to a unit vector. For
//! unit vectors the inner product of two sketches differs from the exact one by about `1/√512` (Johnson
//! and Lindenstrauss 1984): good enough to choose candidates, too coarse to report.
//!
//! Stored sketches are compared for years, so the matrix is **defined**, not just seeded. Row r comes
//! from stream r of the ChaCha generator with 8 rounds, key [`KEY`]: its c-th 64-bit word, with
//! b ones, gives the entry `(b - 32) / 4`. That is a binomial of 64 fair draws with mean 0 and
//! variance 1 whose fourth moment is within 1/32 of the normal one, a sum of random signs (which keep
//! distances no worse than normal entries: Achlioptas 2003). It takes no logarithm or cosine, whose
//! last digit differs between machines: every entry is a multiple of a quarter, the same everywhere.
//! A row depends only on its index, so the matrix is generated in blocks of rows and never exists
//! as a whole.

use std::ops::Range;
use std::sync::OnceLock;

use candle_core::{Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::error::ComputeError;
use scv_domain::vector::{LayerVector, SKETCH_LENGTH, SketchedVector};

/// The generator's key. Changing it, or anything else above, invalidates all stored sketches.
const KEY: [u8; 32] = *b"SCV layer vector sketches, no. 1";

/// Rows generated at a time. The first block is kept (16 MiB): up to 128 probe images need no other.
const BLOCK_ROWS: usize = 8_192;

/// Computes the sketches of layer vectors on one device.
#[derive(Debug)]
pub struct Sketcher {
    device: Device,
    first_block: OnceLock<Tensor>,
}

impl Sketcher {
    /// A sketcher that multiplies on `device`.
    pub fn new(device: Device) -> Self {
        Self {
            device,
            first_block: OnceLock::new(),
        }
    }

    /// Adds both sketches to each vector. All must be of the same probe set.
    ///
    /// Coordinate r of a vector, leading part first, is multiplied with row r of the matrix. The sketch for
    /// debiased CKA is that of the leading part alone.
    ///
    /// # Errors
    /// A failure of the device, or vectors of different lengths.
    pub fn sketch(&self, vectors: Vec<LayerVector>) -> Result<Vec<SketchedVector>, ComputeError> {
        let leads: Vec<&[f32]> = vectors.iter().map(|vector| vector.lead.as_slice()).collect();
        let tails: Vec<&[f32]> = vectors.iter().map(|vector| vector.tail.as_slice()).collect();
        let lead_length = leads.first().map_or(0, |lead| lead.len());
        let of_leads = self.project(&leads, 0)?;
        let of_tails = self.project(&tails, lead_length)?;

        let sketched = vectors.into_iter().zip(of_leads).zip(of_tails);
        Ok(sketched
            .map(|((vector, lead), tail)| SketchedVector {
                vector,
                cka_sketch: unit(lead.iter().zip(&tail).map(|(lead, tail)| lead + tail).collect()),
                debiased_sketch: unit(lead),
            })
            .collect())
    }

    /// The products of equally long parts with the rows from `first_row` on.
    fn project(&self, parts: &[&[f32]], first_row: usize) -> Result<Vec<Vec<f32>>, candle_core::Error> {
        let Some(length) = parts.first().map(|part| part.len()) else {
            return Ok(Vec::new());
        };
        if parts.iter().any(|part| part.len() != length) {
            return Err(candle_core::Error::msg(
                "the layer vectors of a batch must be of one probe set",
            ));
        }
        let mut sum = Tensor::zeros((parts.len(), SKETCH_LENGTH), candle_core::DType::F32, &self.device)?;
        let end = first_row + length;
        let mut start = first_row;
        while start < end {
            // Blocks start at multiples of their size, so that the kept block is used as a whole.
            let stop = end.min((start / BLOCK_ROWS + 1) * BLOCK_ROWS);
            let columns = start - first_row..stop - first_row;
            let numbers: Vec<f32> = parts
                .iter()
                .flat_map(|part| part[columns.clone()].iter().copied())
                .collect();
            let numbers = Tensor::from_vec(numbers, (parts.len(), columns.len()), &self.device)?;
            sum = (sum + numbers.matmul(&self.rows(start..stop)?)?)?;
            start = stop;
        }
        sum.to_vec2()
    }

    fn rows(&self, rows: Range<usize>) -> Result<Tensor, candle_core::Error> {
        if rows.end > BLOCK_ROWS {
            return generate_rows(rows, &self.device);
        }
        let block = match self.first_block.get() {
            Some(block) => block,
            None => {
                let block = generate_rows(0..BLOCK_ROWS, &self.device)?;
                self.first_block.get_or_init(|| block)
            }
        };
        block.narrow(0, rows.start, rows.len())
    }
}

fn generate_rows(rows: Range<usize>, device: &Device) -> Result<Tensor, candle_core::Error> {
    let mut entries = vec![0.0; rows.len() * SKETCH_LENGTH];
    entries
        .par_chunks_mut(SKETCH_LENGTH)
        .zip(rows.clone())
        .for_each(|(entries, row)| fill_row(row as u64, entries));
    Tensor::from_vec(entries, (rows.len(), SKETCH_LENGTH), device)
}

fn fill_row(row: u64, entries: &mut [f32]) {
    let mut generator = ChaCha8Rng::from_seed(KEY);
    generator.set_stream(row);
    for entry in entries {
        *entry = (generator.next_u64().count_ones() as f32 - 32.0) / 4.0;
    }
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let norm = values
        .iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum::<f64>()
        .sqrt();
    for value in &mut values {
        *value = (f64::from(*value) / norm) as f32;
    }
    values
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::gram::CentredGram;
    use crate::vector::layer_vector;
    use crate::vector::reference::Activations;

    fn vector(images: usize, seed: u64) -> LayerVector {
        let activations = Activations::rectified(images, 8, 50, seed);
        layer_vector(&CentredGram::of(&activations.tensor()).unwrap()).unwrap()
    }

    fn sketched(vectors: Vec<LayerVector>) -> Vec<SketchedVector> {
        Sketcher::new(Device::Cpu).sketch(vectors).unwrap()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    #[test]
    fn the_matrix_is_the_one_of_all_stored_sketches() {
        // From an independent implementation of ChaCha with 8 rounds.
        let pinned = [
            (0, [0.25, 0.25, 0.75, 0.75, -0.25, -0.5], -0.5),
            (1, [-0.25, -1.0, 0.5, -1.5, 0.5, 1.0], -1.25),
            (4_849, [0.0, 0.75, 0.25, 1.25, -1.75, -2.25], 0.25),
            (499_499, [-0.75, 0.75, -1.25, 2.0, 0.75, 0.0], -1.0),
        ];
        for (row, first, last) in pinned {
            let mut entries = [0.0; SKETCH_LENGTH];
            fill_row(row, &mut entries);
            assert_eq!(
                (&entries[..6], entries[SKETCH_LENGTH - 1]),
                (&first[..], last),
                "row {row}"
            );
        }
    }

    #[test]
    fn entries_are_distributed_like_a_standard_normal_to_the_fourth_moment() {
        let rows = generate_rows(0..1_000, &Device::Cpu)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let count = rows.len() as f64;
        let moment = |power| rows.iter().map(|&entry| f64::from(entry).powi(power)).sum::<f64>() / count;
        // Five standard deviations of each mean over the entries.
        assert!(moment(1).abs() < 5.0 / count.sqrt());
        assert!((moment(2) - 1.0).abs() < 5.0 * (2.0 / count).sqrt());
        assert!((moment(4) - (3.0 - 1.0 / 32.0)).abs() < 5.0 * (96.0 / count).sqrt());
    }

    #[test]
    fn a_sketch_is_the_unit_vector_along_the_product_with_the_matrix() {
        // 130 images need more rows than the kept block has, and their leading part ends after it.
        for images in [4, 60, 130] {
            let vectors = vec![vector(images, 1), vector(images, 2)];
            for sketched in sketched(vectors) {
                let coordinates = sketched.vector.lead.iter().chain(&sketched.vector.tail);
                let (mut lead, mut whole) = (vec![0.0_f32; SKETCH_LENGTH], vec![0.0_f32; SKETCH_LENGTH]);
                let mut entries = [0.0; SKETCH_LENGTH];
                for (row, &coordinate) in coordinates.enumerate() {
                    fill_row(row as u64, &mut entries);
                    for (column, entry) in entries.iter().enumerate() {
                        whole[column] += coordinate * entry;
                        if row < sketched.vector.lead.len() {
                            lead[column] += coordinate * entry;
                        }
                    }
                }
                let close = |a: Vec<f32>, b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
                assert!(close(unit(lead), &sketched.debiased_sketch), "{images} images");
                assert!(close(unit(whole), &sketched.cka_sketch), "{images} images");
            }
        }
    }

    #[test]
    #[expect(clippy::print_stdout, reason = "the error is worth quoting")]
    fn inner_products_of_sketches_scatter_around_the_exact_ones_as_theory_predicts() {
        let pairs = 200;
        let sketched = sketched((0..2 * pairs).map(|seed| vector(60, 10 * seed)).collect());
        let [mut debiased, mut cka] = [0.0, 0.0];
        for pair in sketched.chunks(2) {
            // The cosine of two projections to 512 numbers has the standard deviation (1 - cos²) / √512.
            let error = |sketch: f64, exact: f64| (sketch - exact) / (1.0 - exact * exact) * 512.0_f64.sqrt();
            let [a, b] = pair else { unreachable!("chunks of two") };
            let a_debiased = error(
                dot(&a.debiased_sketch, &b.debiased_sketch),
                a.vector.debiased_cka(&b.vector),
            );
            let a_cka = error(dot(&a.cka_sketch, &b.cka_sketch), a.vector.cka(&b.vector));
            assert!(a_debiased.abs() < 5.0 && a_cka.abs() < 5.0, "{a_debiased} {a_cka}");
            debiased += a_debiased * a_debiased / pairs as f64;
            cka += a_cka * a_cka / pairs as f64;
        }
        println!("mean square of the sketch's errors, 1 in theory: {debiased:.2} (debiased CKA), {cka:.2} (CKA)");
        // The mean of 200 squared normal numbers has the standard deviation √(2 / 200) = 0.1.
        assert!((debiased - 1.0).abs() < 0.5);
        // Whole vectors share a direction, so their errors are not independent; none is systematic.
        assert!(cka < 2.0);
    }

    #[test]
    fn a_vector_is_its_own_nearest_neighbour() {
        let sketched = sketched((0..20).map(|seed| vector(30, seed * 10)).collect());
        for a in &sketched {
            assert!((dot(&a.cka_sketch, &a.cka_sketch) - 1.0).abs() < 1e-6);
            assert!((dot(&a.debiased_sketch, &a.debiased_sketch) - 1.0).abs() < 1e-6);
            for b in &sketched {
                assert!(a == b || dot(&a.debiased_sketch, &b.debiased_sketch) < 0.99);
            }
        }
    }

    #[test]
    fn vectors_of_two_probe_sets_are_refused_and_no_vectors_give_no_sketches() {
        assert!(
            Sketcher::new(Device::Cpu)
                .sketch(vec![vector(10, 1), vector(11, 1)])
                .is_err()
        );
        assert!(sketched(Vec::new()).is_empty());
    }
}
