//! The accuracy of the two networks, and its cost.

use super::super::quote::code;
use super::super::{Facts, LayerFacts};
use super::{counted, list, network, percent};
use crate::version::ModelFormat;

/// Difference in accuracy, in percentage points, below which two networks count as equally accurate.
const ACCURACY_TOLERANCE: f64 = 0.05;

/// Relative difference below which two parameter counts count as about the same.
const SIZE_TOLERANCE: f64 = 0.005;

pub(super) fn paragraphs(facts: &Facts) -> Vec<String> {
    if facts.is_one_network() {
        return vec![list([figures(&facts.one)])];
    }
    vec![list([figures(&facts.one), figures(&facts.other)]), comparison(facts)]
}

fn figures(facts: &LayerFacts) -> String {
    let version = &facts.version;
    if version.format == ModelFormat::Activations {
        return format!(
            "{}: activations only, so its accuracy and cost are unknown",
            network(facts)
        );
    }
    let accuracy = match facts.accuracy {
        Some(accuracy) => format!("{} test accuracy", percent(accuracy)),
        None => format!("no accuracy on {}", code(&facts.dataset)),
    };
    format!(
        "{}: {accuracy}, {}, {}",
        network(facts),
        counted(count(version.parameter_count), "parameter"),
        counted(count(version.multiply_accumulates), "multiply-accumulate"),
    )
}

fn count(number: i64) -> usize {
    number.try_into().unwrap_or(0)
}

fn comparison(facts: &Facts) -> String {
    let (one, other) = (&facts.one, &facts.other);
    if one.version.dataset_id != other.version.dataset_id {
        return "They are for different data sets, so their accuracies cannot be compared.".to_owned();
    }
    let (Some(accuracy), Some(other_accuracy)) = (one.accuracy, other.accuracy) else {
        return "Their accuracies cannot be compared, because they are not both known.".to_owned();
    };
    let (better, worse) = if accuracy >= other_accuracy {
        (one, other)
    } else {
        (other, one)
    };
    let points = 100.0 * (accuracy - other_accuracy).abs();
    if points < ACCURACY_TOLERANCE {
        return format!("Both are equally accurate. {}", cost(one, other));
    }
    format!(
        "{} is more accurate than {} by {points:.1} percentage points. {}",
        network(better),
        network(worse),
        cost(better, worse)
    )
}

/// Compares the parameter counts of two networks.
fn cost(one: &LayerFacts, other: &LayerFacts) -> String {
    let (parameters, other_parameters) = (one.version.parameter_count, other.version.parameter_count);
    if parameters == other_parameters {
        return "They have the same number of parameters.".to_owned();
    }
    if parameters == 0 || other_parameters == 0 {
        return "The number of parameters is known for only one of them.".to_owned();
    }
    let (larger, smaller) = if parameters > other_parameters {
        (one, other)
    } else {
        (other, one)
    };
    let ratio = larger.version.parameter_count as f64 / smaller.version.parameter_count as f64;
    let [larger, smaller] = [network(larger), network(smaller)];
    if ratio < 1.0 + SIZE_TOLERANCE {
        "They have about the same number of parameters.".to_owned()
    } else if ratio < 1.95 {
        format!(
            "{larger} has {:.0}% more parameters than {smaller}.",
            100.0 * (ratio - 1.0)
        )
    } else if ratio < 9.95 {
        format!("{larger} has {ratio:.1} times as many parameters as {smaller}.")
    } else {
        format!("{larger} has {ratio:.0} times as many parameters as {smaller}.")
    }
}

/// The network that is at least as accurate with fewer parameters, if there is one, and the other network.
pub(super) fn more_efficient(facts: &Facts) -> Option<(&LayerFacts, &LayerFacts)> {
    let (one, other) = (&facts.one, &facts.other);
    let (accuracy, other_accuracy) = (one.accuracy?, other.accuracy?);
    let are_comparable = one.version.dataset_id == other.version.dataset_id && !facts.is_one_network();
    let (parameters, other_parameters) = (one.version.parameter_count, other.version.parameter_count);
    if !are_comparable || parameters == 0 || other_parameters == 0 {
        return None;
    }
    if accuracy >= other_accuracy && parameters < other_parameters {
        return Some((one, other));
    }
    (other_accuracy >= accuracy && other_parameters < parameters).then_some((other, one))
}
