//! Reports compared with scikit-learn's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn numbers(value: &Value) -> Vec<Option<f64>> {
    value.as_array().unwrap().iter().map(Value::as_f64).collect()
}

fn assert_near(found: Option<f64>, expected: Option<f64>, what: &str) {
    let near = match (found, expected) {
        (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
        (found, expected) => found == expected,
    };
    assert!(near, "{what}: {found:?} is not {expected:?}");
}

#[test]
fn a_report_agrees_with_scikit_learn_on_the_same_logits() {
    let golden: Value = serde_json::from_str(include_str!("../../../../tests/golden/evaluation.json")).unwrap();
    let mut tally = Tally::default();
    let rows = golden["logits"].as_array().unwrap();
    for (row, label) in rows.iter().zip(golden["labels"].as_array().unwrap()) {
        let logits: Vec<f32> = numbers(row).into_iter().map(|logit| logit.unwrap() as f32).collect();
        let label = label.as_u64().unwrap() as u16;
        tally.add(label, &Classification::from_logits(&logits, label));
    }
    let report = tally.report();

    assert_eq!(report.image_count, rows.len());
    for (found, name) in [
        (report.accuracy, "accuracy"),
        (report.top_five_accuracy, "top_five_accuracy"),
        (report.loss, "loss"),
        (
            expected_calibration_error(&report.calibration),
            "expected_calibration_error",
        ),
    ] {
        assert_near(Some(found), golden[name].as_f64(), name);
    }
    let matrix = golden["confusion_matrix"].as_array().unwrap();
    for (actual, row) in matrix.iter().enumerate() {
        for (predicted, count) in row.as_array().unwrap().iter().enumerate() {
            let cell =
                |cell: &&ConfusionCell| usize::from(cell.actual) == actual && usize::from(cell.predicted) == predicted;
            let found = report.cells.iter().find(cell).map_or(0, |cell| cell.image_count);
            assert_eq!(
                found as u64,
                count.as_u64().unwrap(),
                "true class {actual}, predicted {predicted}"
            );
        }
    }
    let classes = class_reports(&report.cells, matrix.len());
    for (name, share) in [
        (
            "precision",
            (|class| class.precision) as fn(&ClassReport) -> Option<f64>,
        ),
        ("recall", |class| class.recall),
        ("f1", |class| class.f1),
        ("support", |class| Some(class.image_count as f64)),
    ] {
        let expected = numbers(&golden[name]);
        assert_eq!(classes.len(), expected.len());
        for (class, expected) in classes.iter().zip(expected) {
            assert_near(share(class), expected, &format!("{name} of class {}", class.class));
        }
    }
    let filled: Vec<_> = report.calibration.iter().filter(|bin| bin.image_count > 0).collect();
    for (name, value) in [
        (
            "calibration_accuracy",
            (|bin| bin.accuracy) as fn(&CalibrationBin) -> f64,
        ),
        ("calibration_confidence", |bin| bin.confidence),
    ] {
        let expected = numbers(&golden[name]);
        assert_eq!(filled.len(), expected.len());
        for (bin, expected) in filled.iter().zip(expected) {
            assert_near(Some(value(bin)), expected, name);
        }
    }
}

fn report_of(predictions: &[(u16, u16, f64)]) -> Report {
    let mut tally = Tally::default();
    for &(label, predicted, confidence) in predictions {
        let classification = Classification {
            predicted,
            confidence,
            label_rank: 0,
            loss: 0.0,
        };
        tally.add(label, &classification);
    }
    tally.report()
}

#[test]
fn the_exemplar_of_a_cell_is_its_most_confident_image_and_the_first_of_ties() {
    let report = report_of(&[(0, 1, 0.5), (0, 1, 0.9), (0, 0, 0.7), (0, 1, 0.9)]);
    let cells: Vec<_> = report
        .cells
        .iter()
        .map(|cell| (cell.actual, cell.predicted, cell.image_count, cell.exemplar.index))
        .collect();
    assert_eq!(cells, [(0, 0, 1, 2), (0, 1, 3, 1)]);
}

#[test]
fn the_mistakes_with_the_highest_confidence_are_kept() {
    let predictions: Vec<_> = (0..1000)
        .map(|image| (0, 1, f64::from(image * 7 % 1000) / 1000.0 + 1e-4))
        .collect();
    let report = report_of(&predictions);
    let mut expected: Vec<_> = predictions.iter().map(|prediction| prediction.2).enumerate().collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    let kept: Vec<_> = report
        .mistakes
        .iter()
        .map(|mistake| (mistake.image.index, mistake.image.confidence))
        .collect();
    assert_eq!(kept, expected[..MAX_MISTAKES]);
}

#[test]
fn ratios_without_images_are_none() {
    let report = report_of(&[(0, 0, 1.0)]);
    let classes = class_reports(&report.cells, 2);
    assert_eq!(
        (classes[0].precision, classes[0].recall, classes[0].f1),
        (Some(1.0), Some(1.0), Some(1.0))
    );
    assert_eq!(
        (classes[1].precision, classes[1].recall, classes[1].f1),
        (None, None, None)
    );
    assert_eq!(expected_calibration_error(&[]), 0.0);
}

proptest! {
    #[test]
    fn a_classification_is_the_softmax_of_its_logits(
        logits in prop::collection::vec(-30f32..30.0, 2..12),
        label in 0u16..2,
    ) {
        let classification = Classification::from_logits(&logits, label);
        let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
        let share = |class: u16| f64::from(logits[usize::from(class)]).exp() / sum;
        prop_assert!((classification.confidence - share(classification.predicted)).abs() < 1e-12);
        prop_assert!((classification.loss + share(label).ln()).abs() < 1e-9);
        prop_assert_eq!(classification.label_rank == 0, classification.predicted == label);
    }

    #[test]
    fn every_image_is_in_one_cell_and_one_bin(
        predictions in prop::collection::vec((0u16..4, 0u16..4, 0.01f64..=1.0), 0..60),
    ) {
        let report = report_of(&predictions);
        prop_assert_eq!(report.cells.iter().map(|cell| cell.image_count).sum::<usize>(), predictions.len());
        prop_assert_eq!(report.calibration.iter().map(|bin| bin.image_count).sum::<usize>(), predictions.len());
        let wrong = predictions.iter().filter(|prediction| prediction.0 != prediction.1).count();
        prop_assert_eq!(report.mistakes.len(), wrong);
    }
}
