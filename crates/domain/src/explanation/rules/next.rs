//! What the facts suggest trying next.

use super::super::quote::code;
use super::super::{Facts, SIGNIFICANCE_LEVEL};
use super::performance::more_efficient;
use super::{HIGH_SIMILARITY, LOW_SIMILARITY, layer, list, network};
use crate::version::ModelFormat;

pub(super) fn paragraphs(facts: &Facts) -> Vec<String> {
    let (one, other, common) = (&facts.one, &facts.other, facts.common());
    let mut advice = Vec::new();
    if let Some((better, worse)) = more_efficient(facts) {
        advice.push(format!(
            "Try {} in place of {}: it is at least as accurate with fewer parameters.",
            network(better),
            network(worse)
        ));
    }
    match &facts.scores {
        Err(_) if !common.same_dataset => advice.push(
            "Add one of the two networks as a version on the other's data set as well: only layers measured on the \
             same images can be compared."
                .to_owned(),
        ),
        Err(_) => {
            advice.push("Compare two other layers, or try again when both versions have been measured.".to_owned());
        }
        Ok(scores) => {
            let is_significant = facts.p_value.is_none_or(|p_value| p_value <= SIGNIFICANCE_LEVEL);
            let is_similar = scores.debiased_cka >= HIGH_SIMILARITY;
            if !is_significant {
                let has_activations = [one, other]
                    .iter()
                    .any(|facts| facts.version.format == ModelFormat::Activations);
                let sentence = if has_activations {
                    "Upload activations on more probe images and compare again before relying on this result."
                } else {
                    "Create a larger probe set (`createProbeSet`) and compare again before relying on this result."
                };
                advice.push(sentence.to_owned());
            } else if is_similar && common.same_settings && common.same_dataset && has_weights(facts) {
                advice.push(format!(
                    "Initialise {} with the weights of {} before training, or freeze them there: the layers have \
                     the same shapes and arrange the images alike. The layers after it may have to be retrained, \
                     because CKA ignores rotations of the features.",
                    layer(other),
                    layer(one)
                ));
            } else if is_similar && common.same_output_shape && !facts.is_one_network() {
                advice.push(format!(
                    "Join the first part of {}, up to its layer, with the second part of {}: both layers have the \
                     same output shape and arrange the images alike.",
                    network(one),
                    network(other)
                ));
            } else if scores.debiased_cka < LOW_SIMILARITY {
                advice.push(format!("Search for layers more similar to {}.", layer(one)));
            }
            let are_apart = one.layer.index.abs_diff(other.layer.index) > 1;
            if is_similar && facts.is_one_network() && are_apart && is_significant {
                advice.push(
                    "Try the network without the layers between the two: they hardly change how the images are \
                     arranged."
                        .to_owned(),
                );
            }
        }
    }
    for (ranked, target) in [(other, one), (one, other)] {
        if let Some(best) = ranked.best.as_ref().filter(|best| best.rank > 1) {
            advice.push(format!(
                "Look at {} of {} too, which is more similar to {}.",
                code(&best.name),
                network(ranked),
                layer(target)
            ));
        }
    }
    if advice.is_empty() {
        advice.push(format!(
            "Compare the networks layer by layer with a diff of their versions, and search for other layers similar \
             to {}.",
            layer(one)
        ));
    }
    vec![list(advice)]
}

/// Whether there are weights to transfer between the two networks.
fn has_weights(facts: &Facts) -> bool {
    facts.one.layer.parameter_count > 0 && !facts.is_one_network()
}
