//! Cross-entropy and predictions from logits.

use candle_core::{DType, Result, Tensor};

/// Mean of -log softmax(logits) at the labels over a batch, in nats: a scalar.
///
/// `logits` are `[batch, classes]`, with one label per image, each below the number of classes.
pub(crate) fn cross_entropy(logits: &Tensor, labels: &[u16]) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(1)?)?;
    let normaliser = shifted.exp()?.sum_keepdim(1)?.log()?;
    let labels: Vec<u32> = labels.iter().map(|&label| u32::from(label)).collect();
    let count = labels.len();
    let labels = Tensor::from_vec(labels, (count, 1), logits.device())?;
    (normaliser - shifted.gather(&labels, 1)?)?.mean_all()
}

/// The class with the largest logit of each image; the first of equals.
pub(crate) fn predictions(logits: &Tensor) -> Result<Vec<usize>> {
    let rows = logits.detach().to_dtype(DType::F32)?.to_vec2::<f32>()?;
    let best = |row: &Vec<f32>| {
        let mut best = 0;
        for (class, logit) in row.iter().enumerate() {
            if *logit > row[best] {
                best = class;
            }
        }
        best
    };
    Ok(rows.iter().map(best).collect())
}
