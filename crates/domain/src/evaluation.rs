//! The evaluation of a network on labelled images: accuracy, loss, confusion matrix and calibration.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{DatasetId, VersionId};

/// Number of calibration bins of equal width over the confidences from 0 to 1 (Guo et al., On Calibration of Modern
/// Neural Networks, 2017).
pub const CALIBRATION_BINS: usize = 15;

/// Number of misclassified images that are stored, those with the highest confidence.
pub const MAX_MISTAKES: usize = 100;

/// Maximum number of classes for which a whole confusion matrix is shown.
pub const MAX_DENSE_CLASSES: usize = 1_000;

/// Maximum number of classes that a network can predict to be evaluated.
pub const MAX_CLASSES: usize = 1 << 16;

/// The top-5 accuracy counts labels among this many most probable classes.
const TOP_CLASSES: usize = 5;

/// An evaluation to write.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvaluation {
    /// The version.
    pub version_id: VersionId,
    /// The data set.
    pub dataset_id: DatasetId,
    /// The result.
    pub report: Report,
}

/// How well a version does on the test split of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The version.
    pub version_id: VersionId,
    /// The data set.
    pub dataset_id: DatasetId,
    /// Share of images classified correctly, 0 to 1.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Images in the split.
    pub image_count: i32,
    /// Further results; `None` for an evaluation by an older release that did not store them.
    pub details: Option<EvaluationDetails>,
    /// When it was computed.
    pub created_at: DateTime<Utc>,
}

/// Results of an evaluation except its confusion matrix and misclassified images, which are read separately.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationDetails {
    /// See [`Report::top_five_accuracy`].
    pub top_five_accuracy: f64,
    /// See [`Report::calibration`].
    pub calibration: Vec<CalibrationBin>,
    /// Whether the images of each cell of the confusion matrix were kept, which an older release did not do.
    pub has_images: bool,
}

/// The class probabilities of logits, which must be finite.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponential = |logit: &f32| (f64::from(*logit) - f64::from(max)).exp();
    let sum: f64 = logits.iter().map(exponential).sum();
    logits.iter().map(|logit| exponential(logit) / sum).collect()
}

/// The prediction of a network for one labelled image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Classification {
    /// The most probable class; the first one if classes tie.
    pub predicted: u16,
    /// Its probability.
    pub confidence: f64,
    /// Rank of the label among the classes by probability, from 0. Classes that tie are ranked by index.
    pub label_rank: usize,
    /// -log of the label's probability, in nats.
    pub loss: f64,
}

impl Classification {
    /// Classifies an image by its logits, whose softmax gives the probabilities.
    pub fn from_logits(logits: &[f32], label: u16) -> Self {
        let label = usize::from(label);
        let mut predicted = 0;
        for (class, logit) in logits.iter().enumerate() {
            if *logit > logits[predicted] {
                predicted = class;
            }
        }
        let max = f64::from(logits[predicted]);
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - max).exp()).sum();
        let is_ahead =
            |(class, logit): (usize, &f32)| *logit > logits[label] || (*logit == logits[label] && class < label);
        Self {
            predicted: predicted as u16,
            confidence: 1.0 / sum,
            label_rank: logits.iter().enumerate().filter(|pair| is_ahead(*pair)).count(),
            loss: sum.ln() + max - f64::from(logits[label]),
        }
    }
}

/// The result of evaluating a network on a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Number of images.
    pub image_count: usize,
    /// Share of images classified correctly, 0 to 1.
    pub accuracy: f64,
    /// Share of images whose label is among the five most probable classes, 0 to 1.
    pub top_five_accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// The non-empty cells of the confusion matrix, ordered by true and predicted class.
    pub cells: Vec<ConfusionCell>,
    /// [`CALIBRATION_BINS`] bins of equal width, from confidence 0 to 1.
    pub calibration: Vec<CalibrationBin>,
    /// The images misclassified with the highest confidence, at most [`MAX_MISTAKES`]; ties keep the order of the
    /// split.
    pub mistakes: Vec<Mistake>,
    /// What each image of the split was taken for, in the order of the split.
    pub predictions: Vec<Prediction>,
}

impl Report {
    /// All images in the order of the cells of the confusion matrix, and in each by descending confidence. Images that tie keep
    /// the order of the split.
    pub fn images_by_cell(&self) -> Vec<Exemplar> {
        let mut order: Vec<usize> = (0..self.predictions.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&self.predictions[a], &self.predictions[b]);
            let cells = (a.actual, a.predicted).cmp(&(b.actual, b.predicted));
            cells.then_with(|| b.confidence.total_cmp(&a.confidence))
        });
        let image = |index: usize| Exemplar {
            index,
            confidence: self.predictions[index].confidence,
        };
        order.into_iter().map(image).collect()
    }
}

/// What an image was taken for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Index of the true class.
    pub actual: u16,
    /// Index of the predicted class.
    pub predicted: u16,
    /// The probability of the predicted class.
    pub confidence: f64,
}

/// A cell of the confusion matrix: the images of one true class and one predicted class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfusionCell {
    /// Index of the true class.
    pub actual: u16,
    /// Index of the predicted class.
    pub predicted: u16,
    /// Number of images.
    pub image_count: usize,
    /// The image with the highest confidence; the first one if images tie.
    pub exemplar: Exemplar,
}

/// An image of a split and the confidence of its prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// Its index in the split.
    pub index: usize,
    /// The probability of the predicted class.
    pub confidence: f64,
}

/// A misclassified image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake {
    /// Index of the true class.
    pub actual: u16,
    /// Index of the predicted class.
    pub predicted: u16,
    /// The image.
    pub image: Exemplar,
}

/// The images whose confidence falls into one range.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Number of images.
    pub image_count: usize,
    /// Mean confidence; 0 for an empty bin.
    pub confidence: f64,
    /// Share classified correctly; 0 for an empty bin.
    pub accuracy: f64,
}

/// The expected calibration error: the mean of |accuracy − confidence| over the bins, weighted by their share of
/// images.
pub fn expected_calibration_error(bins: &[CalibrationBin]) -> f64 {
    let images: usize = bins.iter().map(|bin| bin.image_count).sum();
    let weighted = bins
        .iter()
        .map(|bin| bin.image_count as f64 * (bin.accuracy - bin.confidence).abs());
    weighted.sum::<f64>() / images.max(1) as f64
}

/// Precision, recall and F1 of one class. A ratio whose denominator is zero is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassReport {
    /// Index of the class.
    pub class: u16,
    /// Number of images of the class.
    pub image_count: usize,
    /// Number of images predicted as the class.
    pub predicted_count: usize,
    /// Share of images predicted as the class that are of the class.
    pub precision: Option<f64>,
    /// Share of images of the class that are predicted as it.
    pub recall: Option<f64>,
    /// The harmonic mean of precision and recall: 2 × correct ÷ (images of the class + images predicted as it).
    pub f1: Option<f64>,
}

/// The name of a class, or `class N` for an index that the data set does not have.
pub fn class_name(names: &[String], index: u16) -> String {
    let name = names.get(usize::from(index)).cloned();
    name.unwrap_or_else(|| format!("class {index}"))
}

/// Formats a loss with its significant digits, also if training has diverged.
pub fn format_loss(loss: f64) -> String {
    if loss.abs() < 1e4 {
        format!("{loss:.4}")
    } else {
        format!("{loss:.3e}")
    }
}

/// The number of classes of a confusion matrix: those of the data set, and any others that were predicted.
pub fn class_count(cells: &[ConfusionCell], named: usize) -> usize {
    let max = cells
        .iter()
        .map(|cell| usize::from(cell.actual.max(cell.predicted)) + 1)
        .max();
    named.max(max.unwrap_or_default())
}

/// Reports on each class of a confusion matrix.
pub fn class_reports(cells: &[ConfusionCell], named: usize) -> Vec<ClassReport> {
    // Images of the class, images predicted as it, and images that are both.
    let mut counts = vec![[0usize; 3]; class_count(cells, named)];
    for cell in cells {
        counts[usize::from(cell.actual)][0] += cell.image_count;
        counts[usize::from(cell.predicted)][1] += cell.image_count;
        if cell.actual == cell.predicted {
            counts[usize::from(cell.actual)][2] += cell.image_count;
        }
    }
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let report = |(class, [image_count, predicted_count, correct]): (usize, [usize; 3])| ClassReport {
        class: class as u16,
        image_count,
        predicted_count,
        precision: share(correct, predicted_count),
        recall: share(correct, image_count),
        f1: share(2 * correct, image_count + predicted_count),
    };
    counts.into_iter().enumerate().map(report).collect()
}

/// Accumulates classifications into a [`Report`].
#[derive(Debug, Default)]
pub struct Tally {
    predictions: Vec<Prediction>,
    correct: usize,
    in_top: usize,
    loss: f64,
    cells: std::collections::BTreeMap<(u16, u16), (usize, Exemplar)>,
    bins: [(usize, f64, usize); CALIBRATION_BINS],
    mistakes: Vec<Mistake>,
}

impl Tally {
    /// Counts the next image of the split.
    pub fn add(&mut self, label: u16, classification: &Classification) {
        let image = Exemplar {
            index: self.predictions.len(),
            confidence: classification.confidence,
        };
        let is_correct = classification.predicted == label;
        self.predictions.push(Prediction {
            actual: label,
            predicted: classification.predicted,
            confidence: classification.confidence,
        });
        self.correct += usize::from(is_correct);
        self.in_top += usize::from(classification.label_rank < TOP_CLASSES);
        self.loss += classification.loss;

        let cell = self
            .cells
            .entry((label, classification.predicted))
            .or_insert((0, image));
        cell.0 += 1;
        if image.confidence > cell.1.confidence {
            cell.1 = image;
        }
        // Bins are open below and closed above; a confidence is always above 0.
        let bin = (classification.confidence * CALIBRATION_BINS as f64).ceil() as usize;
        let bin = &mut self.bins[bin.clamp(1, CALIBRATION_BINS) - 1];
        *bin = (
            bin.0 + 1,
            bin.1 + classification.confidence,
            bin.2 + usize::from(is_correct),
        );
        if !is_correct {
            self.mistakes.push(Mistake {
                actual: label,
                predicted: classification.predicted,
                image,
            });
            if self.mistakes.len() >= 2 * MAX_MISTAKES {
                self.drop_less_confident_mistakes();
            }
        }
    }

    /// The report of all images added so far.
    pub fn report(mut self) -> Report {
        self.drop_less_confident_mistakes();
        let images = self.predictions.len().max(1) as f64;
        let bins = self
            .bins
            .iter()
            .map(|&(image_count, confidence, correct)| CalibrationBin {
                image_count,
                confidence: confidence / image_count.max(1) as f64,
                accuracy: correct as f64 / image_count.max(1) as f64,
            });
        let cells = self
            .cells
            .iter()
            .map(|(&(actual, predicted), &(image_count, exemplar))| ConfusionCell {
                actual,
                predicted,
                image_count,
                exemplar,
            });
        Report {
            image_count: self.predictions.len(),
            accuracy: self.correct as f64 / images,
            top_five_accuracy: self.in_top as f64 / images,
            loss: self.loss / images,
            cells: cells.collect(),
            calibration: bins.collect(),
            mistakes: self.mistakes,
            predictions: self.predictions,
        }
    }

    fn drop_less_confident_mistakes(&mut self) {
        // The sort is stable, so ties keep the order of the split.
        self.mistakes
            .sort_by(|a, b| b.image.confidence.total_cmp(&a.image.confidence));
        self.mistakes.truncate(MAX_MISTAKES);
    }
}

#[cfg(test)]
mod tests;
