//! Fits a [`SketchBasis`] to the layers of a library.
//!
//! The directions are the leading eigenvectors of `Σ x xᵀ` over a sample of vectors, found by orthogonal iteration (Golub and
//! Van Loan, Matrix Computations, 8.2): the sum is applied to k directions at once and they are made orthonormal again. No
//! decision depends on how far they have converged: any orthonormal directions bound the scores. The centres of the cells are
//! means of a k-means clustering (Lloyd 1982) of sketches.

use candle_core::{D, Device, Tensor};
use tracing::Span;

use super::control::Control;
use super::error::ComputeError;
use super::task::{DeviceContext, Task};
use scv_domain::sketch::{
    MAX_DIRECTION_BYTES, MAX_DIRECTIONS, MeasureBasis, SHORT_DIRECTIONS, SHORT_LENGTH, SketchBasis,
};
use scv_domain::vector::LayerVector;

/// Times that the sum is applied. Fewer leave the last directions rough, which makes bounds a little less tight.
const ITERATIONS: usize = 4;

/// Times that centres are moved to the means of their sketches.
const CENTRE_ITERATIONS: usize = 8;

/// Sketches that are compared with all centres at a time.
const BATCH: usize = 8_192;

/// A direction that keeps less than this share of its length depends on those before it.
const MIN_INDEPENDENT: f64 = 1e-3;

/// Vectors of the sample whose nearest neighbours tell how similar the rests of near neighbours are.
const NEIGHBOUR_TARGETS: usize = 256;

/// Neighbours of each of them.
const NEIGHBOURS: usize = 10;

/// Finds the directions in which a sample of layer vectors varies most. The basis has no cells yet.
#[derive(Debug)]
pub struct FitDirections {
    /// The sample, of one probe set.
    pub sample: Vec<LayerVector>,
}

impl Task for FitDirections {
    type Output = SketchBasis;

    fn span(&self) -> Span {
        tracing::info_span!("compute.fit_directions", vectors = self.sample.len())
    }

    /// # Errors
    /// A failure of the device, or cancellation.
    fn run(self, context: &DeviceContext, control: &Control) -> Result<SketchBasis, ComputeError> {
        let leads = self.sample.iter().map(|vector| unit(&[&vector.lead]));
        let debiased = directions(leads, &context.device, control)?;
        let wholes = self.sample.iter().map(|vector| unit(&[&vector.lead, &vector.tail]));
        let cka = directions(wholes, &context.device, control)?;
        Ok(SketchBasis { debiased, cka })
    }
}

/// Divides short sketches of one measure into cells.
#[derive(Debug)]
pub struct FitCentres {
    /// The basis of the sketches.
    pub basis: MeasureBasis,
    /// The sketches, one after the other.
    pub sketches: Vec<f32>,
    /// The number of centres. None are made for 0.
    pub centres: usize,
}

impl Task for FitCentres {
    /// The basis with its centres.
    type Output = MeasureBasis;

    fn span(&self) -> Span {
        tracing::info_span!("compute.fit_centres", centres = self.centres)
    }

    /// # Errors
    /// A failure of the device, or cancellation.
    fn run(self, context: &DeviceContext, control: &Control) -> Result<MeasureBasis, ComputeError> {
        let count = self.sketches.len() / SHORT_LENGTH;
        let centres = self.centres.min(count);
        if centres == 0 {
            return Ok(self.basis);
        }
        let given = self.sketches;
        let mut means: Vec<f32> = (0..centres)
            .flat_map(|index| given[index * count / centres * SHORT_LENGTH..][..SHORT_LENGTH].to_vec())
            .collect();
        let leading = Tensor::from_vec(leading(&given), (count, SHORT_DIRECTIONS), &context.device)?;
        for _ in 0..CENTRE_ITERATIONS {
            control.between_steps()?;
            means = moved(&leading, &given, means, &context.device)?;
        }
        let basis = MeasureBasis {
            centres: means,
            ..self.basis
        };
        Ok(basis.with_shares_of(&given))
    }
}

/// The means of the sketches that are nearest to each centre. A centre without sketches stays.
fn moved(sketches: &Tensor, numbers: &[f32], centres: Vec<f32>, device: &Device) -> Result<Vec<f32>, ComputeError> {
    let count = centres.len() / SHORT_LENGTH;
    let of_centres = Tensor::from_vec(leading(&centres), (count, SHORT_DIRECTIONS), device)?;
    let half_squares = (of_centres.sqr()?.sum(D::Minus1)? * 0.5)?;
    let transposed = of_centres.t()?.contiguous()?;
    let mut nearest = Vec::new();
    for start in (0..sketches.dim(0)?).step_by(BATCH) {
        let batch = sketches.narrow(0, start, BATCH.min(sketches.dim(0)? - start))?;
        // The nearest one has the greatest ⟨s, c⟩ - |c|² / 2.
        let closeness = batch.matmul(&transposed)?.broadcast_sub(&half_squares)?;
        nearest.extend(closeness.argmax(D::Minus1)?.to_vec1::<u32>()?);
    }
    let (mut sums, mut members) = (vec![0.0_f64; centres.len()], vec![0_u32; count]);
    for (sketch, &centre) in numbers.chunks_exact(SHORT_LENGTH).zip(&nearest) {
        members[centre as usize] += 1;
        for (sum, &number) in sums[centre as usize * SHORT_LENGTH..].iter_mut().zip(sketch) {
            *sum += f64::from(number);
        }
    }
    Ok(centres
        .chunks_exact(SHORT_LENGTH)
        .zip(sums.chunks_exact(SHORT_LENGTH))
        .zip(members)
        .flat_map(|((centre, sums), members)| {
            centre.iter().zip(sums).map(move |(&old, &sum)| match members {
                0 => old,
                _ => (sum / f64::from(members)) as f32,
            })
        })
        .collect())
}

/// The coordinates of sketches that decide between centres.
fn leading(sketches: &[f32]) -> Vec<f32> {
    let sketches = sketches.chunks_exact(SHORT_LENGTH);
    sketches
        .flat_map(|sketch| &sketch[..SHORT_DIRECTIONS])
        .copied()
        .collect()
}

fn unit(parts: &[&[f32]]) -> Vec<f32> {
    let numbers: Vec<f32> = parts.concat();
    let norm = numbers.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    numbers.iter().map(|&x| (f64::from(x) / norm) as f32).collect()
}

/// The leading directions of unit vectors.
fn directions(
    vectors: impl ExactSizeIterator<Item = Vec<f32>>,
    device: &Device,
    control: &Control,
) -> Result<MeasureBasis, ComputeError> {
    let count = vectors.len();
    let numbers: Vec<f32> = vectors.flatten().collect();
    let length = numbers.len() / count.max(1);
    let most = (MAX_DIRECTION_BYTES / size_of::<f32>() / length.max(1)).clamp(1, MAX_DIRECTIONS);
    let wanted = most.min(count).min(length);
    if wanted == 0 {
        return Ok(SketchBasis::empty().debiased);
    }
    let start = (0..wanted).map(|index| index * count / wanted);
    let start = start.map(|row| numbers[row * length..][..length].to_vec());
    let mut rows = orthonormal(start.collect(), 1);
    let sample = Tensor::from_vec(numbers, (count, length), device)?;
    for remaining in (0..ITERATIONS).rev() {
        control.between_steps()?;
        let directions = Tensor::from_vec(rows.concat(), (rows.len(), length), device)?;
        let products = directions.matmul(&sample.t()?)?;
        rows = orthonormal(products.matmul(&sample)?.to_vec2()?, if remaining == 0 { 2 } else { 1 });
    }
    let short_rest_cosine = rest_cosine(&sample, &rows[..SHORT_DIRECTIONS.min(rows.len())], device)?;
    let long_rest_cosine = rest_cosine(&sample, &rows, device)?;
    Ok(MeasureBasis {
        directions: rows.concat(),
        short_rest_cosine,
        long_rest_cosine,
        ..SketchBasis::empty().debiased
    })
}

/// Rows made orthonormal by the Gram-Schmidt process in double precision. Rows that depend on earlier ones are left out. Where
/// little is left of a row, once is not enough: the second time removes what rounding has put back.
fn orthonormal(rows: Vec<Vec<f32>>, times: usize) -> Vec<Vec<f32>> {
    let mut done: Vec<Vec<f64>> = Vec::with_capacity(rows.len());
    for row in rows {
        let mut row: Vec<f64> = row.into_iter().map(f64::from).collect();
        let before = norm(&row);
        for _ in 0..times {
            for other in &done {
                let product = product(&row, other);
                row.iter_mut().zip(other).for_each(|(a, b)| *a -= product * b);
            }
        }
        let after = norm(&row);
        if after > MIN_INDEPENDENT * before && after > 0.0 {
            row.iter_mut().for_each(|x| *x /= after);
            done.push(row);
        }
    }
    done.into_iter()
        .map(|row| row.into_iter().map(|x| x as f32).collect())
        .collect()
}

fn norm(row: &[f64]) -> f64 {
    product(row, row).sqrt()
}

/// The inner product. Its sums are independent of one another, so that the processor need not wait for each.
fn product(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 16];
    let (a_blocks, b_blocks) = (a.chunks_exact(16), b.chunks_exact(16));
    let (a_rest, b_rest) = (a_blocks.remainder(), b_blocks.remainder());
    for (a, b) in a_blocks.zip(b_blocks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// The mean cosine between the rests of near neighbours in the sample, each pair with the weight of its lengths.
fn rest_cosine(sample: &Tensor, directions: &[Vec<f32>], device: &Device) -> Result<f32, ComputeError> {
    let (count, length) = sample.dims2()?;
    let targets = NEIGHBOUR_TARGETS.min(count);
    let rows: Vec<u32> = (0..targets).map(|index| (index * count / targets) as u32).collect();
    let of_targets = sample.index_select(&Tensor::new(rows.as_slice(), device)?, 0)?;
    let scores: Vec<Vec<f32>> = of_targets.matmul(&sample.t()?)?.to_vec2()?;
    let directions = Tensor::from_vec(directions.concat(), (directions.len(), length), device)?.t()?;
    // Row by row, the products with the directions: what they know of a score is the product of these.
    let known: Vec<Vec<f32>> = sample.matmul(&directions)?.to_vec2()?;
    let rest = |row: usize| (1.0 - known[row].iter().map(|x| x * x).sum::<f32>()).max(0.0).sqrt();
    let (mut products, mut lengths) = (0.0, 0.0);
    for (&target, scores) in rows.iter().zip(&scores) {
        let target = target as usize;
        let mut others: Vec<usize> = (0..count).filter(|&other| other != target).collect();
        let near = NEIGHBOURS.min(others.len());
        if near == 0 {
            continue;
        }
        others.select_nth_unstable_by(near - 1, |&a, &b| scores[b].total_cmp(&scores[a]));
        for &other in &others[..near] {
            let of_directions: f32 = known[target].iter().zip(&known[other]).map(|(a, b)| a * b).sum();
            products += f64::from(scores[other] - of_directions);
            lengths += f64::from(rest(target) * rest(other));
        }
    }
    Ok(if lengths > 1e-6 {
        (products / lengths).clamp(0.0, 1.0) as f32
    } else {
        1.0
    })
}

#[cfg(test)]
mod tests;
