//! What the two networks achieve, and at what cost.

use super::super::{Facts, Side};
use super::{counted, list, network, percent};

pub(super) fn paragraphs(facts: &Facts) -> Vec<String> {
    if facts.is_one_network() {
        return vec![list([figures(&facts.one)])];
    }
    let mut said = vec![list([figures(&facts.one), figures(&facts.other)])];
    said.push(comparison(facts));
    said
}

fn figures(side: &Side) -> String {
    let accuracy = match side.accuracy {
        Some(accuracy) => format!("{} of the test images right", percent(accuracy)),
        None => "not evaluated".to_owned(),
    };
    format!(
        "{}: {accuracy}, {}, {}",
        network(side),
        counted(count(side.version.parameter_count), "parameter"),
        counted(count(side.version.multiply_accumulates), "multiply-accumulate"),
    )
}

fn count(number: i64) -> usize {
    number.try_into().unwrap_or(0)
}

fn comparison(facts: &Facts) -> String {
    let (one, other) = (&facts.one, &facts.other);
    if one.version.dataset_id != other.version.dataset_id {
        return "They are made for different data sets, so their accuracies say nothing about each other.".to_owned();
    }
    let (Some(accuracy), Some(of_other)) = (one.accuracy, other.accuracy) else {
        return "Which is more accurate is not known.".to_owned();
    };
    let (better, worse) = match accuracy >= of_other {
        true => (one, other),
        false => (other, one),
    };
    let points = 100.0 * (accuracy - of_other).abs();
    if points < 0.05 {
        return format!("Both are equally accurate. {}", cost(one, other));
    }
    format!(
        "{} is more accurate than {} by {points:.1} percentage points. {}",
        network(better),
        network(worse),
        cost(better, worse)
    )
}

/// What the first network costs beside the second.
fn cost(side: &Side, beside: &Side) -> String {
    let (parameters, of_beside) = (side.version.parameter_count, beside.version.parameter_count);
    if parameters == of_beside || of_beside == 0 || parameters == 0 {
        return match parameters == of_beside {
            true => "They have equally many parameters.".to_owned(),
            false => "The parameters of only one of them are known.".to_owned(),
        };
    }
    let ratio = parameters as f64 / of_beside as f64;
    format!(
        "{} has {ratio:.2} times as many parameters as {}.",
        network(side),
        network(beside)
    )
}

/// The network that is at least as accurate with fewer parameters, if one is, and the other.
pub(super) fn thriftier(facts: &Facts) -> Option<(&Side, &Side)> {
    let (one, other) = (&facts.one, &facts.other);
    let (accuracy, of_other) = (one.accuracy?, other.accuracy?);
    let comparable = one.version.dataset_id == other.version.dataset_id && !facts.is_one_network();
    let (parameters, of_beside) = (one.version.parameter_count, other.version.parameter_count);
    if !comparable || parameters == 0 || of_beside == 0 {
        return None;
    }
    if accuracy >= of_other && parameters < of_beside {
        return Some((one, other));
    }
    (of_other >= accuracy && of_beside < parameters).then_some((other, one))
}
