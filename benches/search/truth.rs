//! The scores of all layers, computed in memory.

use candle_core::{Device, Tensor};
use scv_domain::vector::{LayerVector, Measure};
use serde_json::Value;

use crate::library::{LAYERS_PER_VERSION, TAG, VERSIONS_PER_MODEL, accuracy};

/// Vectors that are compared at a time.
const BATCH: usize = 4_000;

/// All vectors of a library, in the order in which they were written.
pub(crate) struct Truth {
    lead_length: usize,
    leads: Vec<f32>,
    tails: Vec<f32>,
    tail_length: usize,
}

impl Truth {
    /// The truth about a library whose vectors have `images` numbers in their tails.
    pub(crate) fn new(images: usize) -> Self {
        Self {
            lead_length: images * (images - 3) / 2,
            leads: Vec::new(),
            tails: Vec::new(),
            tail_length: images,
        }
    }

    pub(crate) fn add(&mut self, vector: &LayerVector) {
        self.leads.extend_from_slice(&vector.lead);
        self.tails.extend_from_slice(&vector.tail);
    }

    fn count(&self) -> usize {
        self.tails.len() / self.tail_length
    }

    /// The `count` highest scores with each of some layers, of the layers of other models that a filter admits, best first.
    pub(crate) fn best(
        &self,
        targets: &[usize],
        measure: Measure,
        filter: &Value,
        count: usize,
    ) -> anyhow::Result<Vec<Vec<f32>>> {
        let lead_products = self.products(&self.leads, self.lead_length, targets)?;
        let tail_products = self.products(&self.tails, self.tail_length, targets)?;
        let norms: Vec<f32> = self.leads.chunks_exact(self.lead_length).map(norm).collect();
        let mut best = Vec::new();
        for ((&target, leads), tails) in targets.iter().zip(&lead_products).zip(&tail_products) {
            let score = |row: usize| match measure {
                Measure::DebiasedCka => (leads[row] / (norms[row] * norms[target])).min(1.0),
                Measure::Cka => (leads[row] + tails[row]).min(1.0),
            };
            let others = (0..self.count()).filter(|&row| model(row) != model(target) && admits(row, filter));
            let mut scores: Vec<f32> = others.map(score).collect();
            scores.sort_by(|a, b| b.total_cmp(a));
            scores.truncate(count);
            best.push(scores);
        }
        Ok(best)
    }

    /// The inner products of some rows with all rows.
    fn products(&self, numbers: &[f32], length: usize, targets: &[usize]) -> anyhow::Result<Vec<Vec<f32>>> {
        let chosen: Vec<f32> = targets
            .iter()
            .flat_map(|&row| numbers[row * length..][..length].iter().copied())
            .collect();
        let chosen = Tensor::from_vec(chosen, (targets.len(), length), &Device::Cpu)?;
        let mut products = vec![Vec::with_capacity(self.count()); targets.len()];
        for batch in numbers.chunks(BATCH * length) {
            let batch = Tensor::from_slice(batch, (batch.len() / length, length), &Device::Cpu)?;
            let of_batch: Vec<Vec<f32>> = chosen.matmul(&batch.t()?)?.to_vec2()?;
            for (all, some) in products.iter_mut().zip(of_batch) {
                all.extend(some);
            }
        }
        Ok(products)
    }
}

fn norm(numbers: &[f32]) -> f32 {
    numbers.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt() as f32
}

fn model(row: usize) -> usize {
    row / LAYERS_PER_VERSION / VERSIONS_PER_MODEL as usize
}

/// Whether a filter of the benchmark admits the layer in a row.
fn admits(row: usize, filter: &Value) -> bool {
    let has_accuracy = filter["minAccuracy"]
        .as_f64()
        .is_none_or(|least| accuracy((row / LAYERS_PER_VERSION) as u32) >= least);
    let has_tag = filter["tags"].is_null() || (filter["tags"][0] == TAG && model(row).is_multiple_of(50));
    has_accuracy && has_tag
}
