//! How similar the two layers are, whether that may be chance, and what supports it.

use super::super::quote::code;
use super::super::{Facts, LayerFacts, MIN_P_VALUE, SIGNIFICANCE_LEVEL};
use super::{DEPTH_TOLERANCE, HIGH_SIMILARITY, LOW_SIMILARITY, WIDTH_GAP, layer, list, network, shape};
use crate::vector::CkaScores;

pub(super) fn paragraphs(facts: &Facts) -> Vec<String> {
    let scores = match &facts.scores {
        Ok(scores) => scores,
        Err(reason) => {
            let mut paragraphs = vec![format!("The two layers have not been compared: {reason}.")];
            paragraphs.extend(reasons(facts, None));
            return paragraphs;
        }
    };
    let mut paragraphs = vec![score(scores, facts)];
    paragraphs.extend(doubts(scores, facts));
    paragraphs.extend(reasons(facts, Some(scores)));
    paragraphs.extend(ranks(facts));
    paragraphs
}

fn score(scores: &CkaScores, facts: &Facts) -> String {
    let judgement = match scores.debiased_cka {
        score if score >= HIGH_SIMILARITY => "the layers arrange the images in much the same way",
        score if score >= LOW_SIMILARITY => "the layers arrange the images in partly the same way",
        _ => "the layers arrange the images in different ways",
    };
    let images = facts.images.map(|images| format!(" on {images} probe images"));
    format!(
        "Debiased CKA is {:.3} and CKA is {:.3}{}: {judgement}.",
        scores.debiased_cka,
        scores.cka,
        images.unwrap_or_default(),
    )
}

fn doubts(scores: &CkaScores, facts: &Facts) -> Vec<String> {
    let mut doubts = Vec::new();
    match facts.p_value {
        Some(p_value) if p_value > SIGNIFICANCE_LEVEL => doubts.push(format!(
            "**This may be chance** (p = {p_value:.2}): randomly relabelling the images of one layer often gives a score \
             as high."
        )),
        Some(p_value) => doubts.push(format!(
            "This is unlikely to be chance ({}, by randomly relabelling the images of one layer). The p-value holds for \
             one pair chosen in advance; the best of many pairs scores high by chance more often.",
            p_value_text(p_value)
        )),
        None => {}
    }
    if scores.cka - scores.debiased_cka > WIDTH_GAP {
        doubts.push(
            "CKA is much higher than debiased CKA. Wide layers have a high CKA whatever they compute, so the \
             difference reflects their width and not what they have learned."
                .to_owned(),
        );
    }
    doubts
}

fn p_value_text(p_value: f64) -> String {
    if p_value < MIN_P_VALUE {
        format!("p < {MIN_P_VALUE:.0e}")
    } else if p_value < 1e-4 {
        format!("p = {p_value:.0e}")
    } else {
        format!("p = {p_value:.4}")
    }
}

/// What supports the similarity; for layers that are not similar, what they have in common all the same.
fn reasons(facts: &Facts, scores: Option<&CkaScores>) -> Vec<String> {
    let (one, other, common) = (&facts.one, &facts.other, facts.common());
    let mut reasons = Vec::new();
    if facts.is_one_network() {
        let distance = (one.layer.index - other.layer.index).abs();
        reasons.push(match distance {
            1 => "One directly follows the other in the same network.".to_owned(),
            _ => format!(
                "They are {distance} layers apart in the same network, so the later one may depend on the earlier."
            ),
        });
    } else if common.same_model {
        reasons.push("They belong to two versions of the same model.".to_owned());
    }
    if common.same_settings {
        reasons.push("They have the same kind, parameters and shapes.".to_owned());
    } else if common.same_kind {
        reasons.push(format!(
            "Both are {} layers, with different parameters or shapes.",
            code(&one.layer.kind)
        ));
    }
    if common.same_output_shape && !common.same_settings {
        reasons.push(format!(
            "Both have the output shape {}.",
            shape(&one.layer.output_shape)
        ));
    }
    if common.aligned {
        reasons.push("The alignment of the two networks pairs them.".to_owned());
    }
    if (common.depth - common.other_depth).abs() <= DEPTH_TOLERANCE && !facts.is_one_network() {
        reasons.push(format!(
            "They are at about the same depth: {} and {} of the way through their networks.",
            depth(common.depth),
            depth(common.other_depth)
        ));
    }
    if !facts.is_one_network() && common.same_dataset {
        if one.layer.index == 0 && other.layer.index == 0 {
            reasons.push("Both are the first layer, so both read the input pixels directly.".to_owned());
        }
        if one.is_last() && other.is_last() {
            reasons.push(
                "Both are the last layer: networks that classify the same images well must agree here, whatever \
                 comes before."
                    .to_owned(),
            );
        }
    }
    if reasons.is_empty() {
        return vec!["Nothing in their structure suggests that they are similar.".to_owned()];
    }
    let head = match scores {
        Some(scores) if scores.debiased_cka >= LOW_SIMILARITY => "What supports it:",
        _ => "What they have in common:",
    };
    vec![format!("{head}\n\n{}", list(reasons))]
}

fn depth(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

fn ranks(facts: &Facts) -> Vec<String> {
    let (one, other) = (&facts.one, &facts.other);
    let (Some(best_of_other), Some(best_of_one)) = (&other.best, &one.best) else {
        return Vec::new();
    };
    if best_of_other.rank == 1 && best_of_one.rank == 1 {
        return vec![format!(
            "Each is the best match for the other: no layer of {} is more similar to {}, and no layer of {} is more \
             similar to {}.",
            network(other),
            layer(one),
            network(one),
            layer(other)
        )];
    }
    let better = |ranked: &LayerFacts, target: &LayerFacts| {
        let best = ranked.best.as_ref().filter(|best| best.rank > 1)?;
        Some(format!(
            "Among the layers of {}, {} ranks number {} by similarity to {}; {} is the most similar (debiased CKA \
             {:.3}).",
            network(ranked),
            code(&ranked.layer.name),
            best.rank,
            layer(target),
            code(&best.name),
            best.debiased_cka
        ))
    };
    better(other, one).into_iter().chain(better(one, other)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_have_no_more_precision_than_they_support() {
        assert_eq!(p_value_text(2e-145), "p < 1e-15");
        assert_eq!(p_value_text(1e-9), "p = 1e-9");
        assert_eq!(p_value_text(0.0099), "p = 0.0099");
    }
}
