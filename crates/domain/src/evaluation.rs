//! What a network's answers on labelled images come to.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{DatasetId, VersionId};

/// Bins of the calibration, each a fifteenth of the confidences from 0 to 1 (Guo et al., On Calibration of Modern Neural
/// Networks, 2017).
pub const CALIBRATION_BINS: usize = 15;

/// The most confident mistakes that are kept.
pub const MAX_MISTAKES: usize = 100;

/// Classes that a whole confusion matrix is shown of.
pub const MAX_DENSE_CLASSES: usize = 1_000;

/// Classes that a network may answer with to be evaluated.
pub const MAX_CLASSES: usize = 1 << 16;

/// A label among so many likeliest classes is right for the top-5 accuracy.
const TOP: usize = 5;

/// What an evaluation came to, to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvaluation {
    /// The version.
    pub version_id: VersionId,
    /// The data set.
    pub dataset_id: DatasetId,
    /// What its answers came to.
    pub report: Report,
}

/// How well a version does on the test split of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The version.
    pub version_id: VersionId,
    /// The data set.
    pub dataset_id: DatasetId,
    /// Share of the images classified right, 0 to 1.
    pub accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Images in the split.
    pub image_count: i32,
    /// What else is known; none for an evaluation by a release that kept no more.
    pub details: Option<EvaluationDetails>,
    /// When it was computed.
    pub created_at: DateTime<Utc>,
}

/// What is known of an evaluation beside its confusion matrix and its mistakes, which are read for themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationDetails {
    /// See [`Report::top_five_accuracy`].
    pub top_five_accuracy: f64,
    /// See [`Report::calibration`].
    pub calibration: Vec<CalibrationBin>,
}

/// The probabilities of classes by their logits. They must be finite.
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let raised = |logit: &f32| (f64::from(*logit) - f64::from(greatest)).exp();
    let sum: f64 = logits.iter().map(raised).sum();
    logits.iter().map(|logit| raised(logit) / sum).collect()
}

/// What a network says about one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// The likeliest class, the first of equals.
    pub predicted: u16,
    /// Its probability.
    pub confidence: f64,
    /// How many classes are likelier than the label, or as likely and before it.
    pub before_label: usize,
    /// -log of the label's probability, in nats.
    pub loss: f64,
}

impl Answer {
    /// From the logits of one image: their softmax are the probabilities.
    pub fn of(logits: &[f32], label: u16) -> Self {
        let label = usize::from(label);
        let mut predicted = 0;
        for (class, logit) in logits.iter().enumerate() {
            if *logit > logits[predicted] {
                predicted = class;
            }
        }
        let greatest = f64::from(logits[predicted]);
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - greatest).exp()).sum();
        let is_before =
            |(class, logit): (usize, &f32)| *logit > logits[label] || (*logit == logits[label] && class < label);
        Self {
            predicted: predicted as u16,
            confidence: 1.0 / sum,
            before_label: logits.iter().enumerate().filter(|pair| is_before(*pair)).count(),
            loss: sum.ln() + greatest - f64::from(logits[label]),
        }
    }
}

/// What all answers came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Images.
    pub image_count: usize,
    /// Share of the images classified right, 0 to 1.
    pub accuracy: f64,
    /// Share of the images whose label is among the five likeliest classes, 0 to 1.
    pub top_five_accuracy: f64,
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// The confusion matrix: its cells with images, by actual and predicted class.
    pub cells: Vec<ConfusionCell>,
    /// [`CALIBRATION_BINS`] bins of equal width, from confidence 0 to 1.
    pub calibration: Vec<CalibrationBin>,
    /// The mistakes of the highest confidence, at most [`MAX_MISTAKES`]; of equals the first.
    pub mistakes: Vec<Mistake>,
}

/// The images of one class that were taken for another, or for what they are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfusionCell {
    /// Index of the class that they are of.
    pub actual: u16,
    /// Index of the class that they were taken for.
    pub predicted: u16,
    /// How many.
    pub image_count: usize,
    /// The one that the network was most sure of; the first of equals.
    pub exemplar: Exemplar,
}

/// An image of a split and how sure the network was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exemplar {
    /// Its index in the split.
    pub index: usize,
    /// The probability of the class that it was taken for.
    pub confidence: f64,
}

/// An image that was taken for something else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mistake {
    /// Index of the class that it is of.
    pub actual: u16,
    /// Index of the class that it was taken for.
    pub predicted: u16,
    /// The image.
    pub image: Exemplar,
}

/// The images that the network was about equally sure of.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// How many.
    pub image_count: usize,
    /// Mean confidence; 0 if there are none.
    pub confidence: f64,
    /// Share classified right; 0 if there are none.
    pub accuracy: f64,
}

/// The mean distance of confidence and accuracy, each bin by its share of the images.
pub fn expected_calibration_error(bins: &[CalibrationBin]) -> f64 {
    let images: usize = bins.iter().map(|bin| bin.image_count).sum();
    let weighted = bins
        .iter()
        .map(|bin| bin.image_count as f64 * (bin.accuracy - bin.confidence).abs());
    weighted.sum::<f64>() / images.max(1) as f64
}

/// How well one class is told from the others. What would be a share of nothing is none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassReport {
    /// Index of the class.
    pub class: u16,
    /// Images of it.
    pub image_count: usize,
    /// Images taken for it.
    pub predicted_count: usize,
    /// Of the images taken for it, the share that are.
    pub precision: Option<f64>,
    /// Of the images of it, the share taken for it.
    pub recall: Option<f64>,
    /// The harmonic mean of precision and recall: twice the right ones over the images of it and those taken for it.
    pub f1: Option<f64>,
}

/// The name of a class; its index in words for one that the data set does not have.
pub fn class_name(names: &[String], index: u16) -> String {
    let name = names.get(usize::from(index)).cloned();
    name.unwrap_or_else(|| format!("class {index}"))
}

/// A loss with as many digits as say something, also of a network that has gone astray.
pub fn loss_in_words(loss: f64) -> String {
    match loss.abs() < 1e4 {
        true => format!("{loss:.4}"),
        false => format!("{loss:.3e}"),
    }
}

/// How many classes a confusion matrix is of: those of the data set, and others that images were taken for.
pub fn class_count(cells: &[ConfusionCell], named: usize) -> usize {
    let greatest = cells
        .iter()
        .map(|cell| usize::from(cell.actual.max(cell.predicted)) + 1)
        .max();
    named.max(greatest.unwrap_or_default())
}

/// A report on each class of a confusion matrix.
pub fn class_reports(cells: &[ConfusionCell], named: usize) -> Vec<ClassReport> {
    // Images of the class, images taken for it, and those that are both.
    let mut counts = vec![[0usize; 3]; class_count(cells, named)];
    for cell in cells {
        counts[usize::from(cell.actual)][0] += cell.image_count;
        counts[usize::from(cell.predicted)][1] += cell.image_count;
        if cell.actual == cell.predicted {
            counts[usize::from(cell.actual)][2] += cell.image_count;
        }
    }
    let share = |part: usize, whole: usize| (whole > 0).then(|| part as f64 / whole as f64);
    let report = |(class, [image_count, predicted_count, right]): (usize, [usize; 3])| ClassReport {
        class: class as u16,
        image_count,
        predicted_count,
        precision: share(right, predicted_count),
        recall: share(right, image_count),
        f1: share(2 * right, image_count + predicted_count),
    };
    counts.into_iter().enumerate().map(report).collect()
}

/// Adds answers up.
#[derive(Debug, Default)]
pub struct Tally {
    image_count: usize,
    right: usize,
    in_top: usize,
    loss: f64,
    cells: std::collections::BTreeMap<(u16, u16), (usize, Exemplar)>,
    bins: [(usize, f64, usize); CALIBRATION_BINS],
    mistakes: Vec<Mistake>,
}

impl Tally {
    /// Counts the next image of the split.
    pub fn add(&mut self, label: u16, answer: &Answer) {
        let image = Exemplar {
            index: self.image_count,
            confidence: answer.confidence,
        };
        let is_right = answer.predicted == label;
        self.image_count += 1;
        self.right += usize::from(is_right);
        self.in_top += usize::from(answer.before_label < TOP);
        self.loss += answer.loss;

        let cell = self.cells.entry((label, answer.predicted)).or_insert((0, image));
        cell.0 += 1;
        if image.confidence > cell.1.confidence {
            cell.1 = image;
        }
        // Bins are open below and closed above; a confidence is above 0.
        let bin = (answer.confidence * CALIBRATION_BINS as f64).ceil() as usize;
        let bin = &mut self.bins[bin.clamp(1, CALIBRATION_BINS) - 1];
        *bin = (bin.0 + 1, bin.1 + answer.confidence, bin.2 + usize::from(is_right));
        if !is_right {
            self.mistakes.push(Mistake {
                actual: label,
                predicted: answer.predicted,
                image,
            });
            if self.mistakes.len() >= 2 * MAX_MISTAKES {
                self.drop_lesser_mistakes();
            }
        }
    }

    /// What they came to.
    pub fn report(mut self) -> Report {
        self.drop_lesser_mistakes();
        let images = self.image_count.max(1) as f64;
        let bins = self
            .bins
            .iter()
            .map(|&(image_count, confidence, right)| CalibrationBin {
                image_count,
                confidence: confidence / image_count.max(1) as f64,
                accuracy: right as f64 / image_count.max(1) as f64,
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
            image_count: self.image_count,
            accuracy: self.right as f64 / images,
            top_five_accuracy: self.in_top as f64 / images,
            loss: self.loss / images,
            cells: cells.collect(),
            calibration: bins.collect(),
            mistakes: self.mistakes,
        }
    }

    fn drop_lesser_mistakes(&mut self) {
        // Stable: of equals the first come first.
        self.mistakes
            .sort_by(|a, b| b.image.confidence.total_cmp(&a.image.confidence));
        self.mistakes.truncate(MAX_MISTAKES);
    }
}

#[cfg(test)]
mod tests;
