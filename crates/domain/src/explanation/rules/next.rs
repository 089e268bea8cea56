//! What the facts suggest to do.

use super::super::quote::code;
use super::super::{Facts, SIGNIFICANCE_LEVEL, Side};
use super::performance::thriftier;
use super::{LITTLE, MUCH, layer, list, network};
use crate::version::ModelFormat;

pub(super) fn paragraphs(facts: &Facts) -> Vec<String> {
    let (one, other, common) = (&facts.one, &facts.other, facts.common());
    let mut said = Vec::new();
    if let Some((better, beside)) = thriftier(facts) {
        said.push(format!(
            "Try {} in the place of {}: it is at least as accurate with fewer parameters.",
            network(better),
            network(beside)
        ));
    }
    for side in unevaluated(facts) {
        said.push(format!(
            "Evaluate {} (`evaluateVersion`), so that its accuracy is known.",
            network(side)
        ));
    }
    match &facts.likeness {
        Err(_) if !common.dataset => said.push(
            "Bring one of the two networks as a version on the other's data set as well: only layers that saw the same images \
             can be compared."
                .to_owned(),
        ),
        Err(_) => said.push("Compare two other layers, or come again when both versions are measured.".to_owned()),
        Ok(likeness) => {
            let significant = facts.p_value.is_none_or(|p_value| p_value <= SIGNIFICANCE_LEVEL);
            if !significant {
                said.push(match [one, other].iter().any(|side| side.version.format == ModelFormat::Activations) {
                    true => "Bring activations on more probe images and compare again before building on it.".to_owned(),
                    false => "Draw a larger probe set (`createProbeSet`) and compare again before building on it.".to_owned(),
                });
            } else if likeness.debiased_cka >= MUCH && common.settings && common.dataset && has_weights(facts) {
                said.push(format!(
                    "Start a training with the weights of {} in {}, or freeze it there: the two are interchangeable in shape, \
                     and arrange the images alike. What follows may have to be trained anew: the measure does not see whether \
                     the features of one are a rotation of the other's.",
                    layer(one),
                    layer(other)
                ));
            } else if likeness.debiased_cka >= MUCH && common.output_shape && !facts.is_one_network() {
                said.push(format!(
                    "Join the first part of {}, up to its layer, with the second part of {}: both layers make values of one \
                     shape and arrange the images alike.",
                    network(one),
                    network(other)
                ));
            } else if likeness.debiased_cka < LITTLE {
                said.push(format!(
                    "Look elsewhere: the layers most like {} are found by `Layer.similar`.",
                    layer(one)
                ));
            }
            let are_apart = one.layer.index.abs_diff(other.layer.index) > 1;
            if likeness.debiased_cka >= MUCH && facts.is_one_network() && are_apart && significant {
                said.push(
                    "Try the network without the layers between the two: they change little in how the images are arranged."
                        .to_owned(),
                );
            }
        }
    }
    for (side, beside) in [(other, one), (one, other)] {
        if let Some(best) = side.best.as_ref().filter(|best| best.rank > 1) {
            said.push(format!(
                "Look at {} of {} too, which is more like {}.",
                code(&best.name),
                network(side),
                layer(beside)
            ));
        }
    }
    if said.is_empty() {
        said.push(format!(
            "Compare the networks layer by layer (`Version.diff`), and look for others like {} (`Layer.similar`).",
            layer(one)
        ));
    }
    vec![list(said)]
}

fn unevaluated(facts: &Facts) -> impl Iterator<Item = &Side> {
    let second = (!facts.is_one_network()).then_some(&facts.other);
    [&facts.one]
        .into_iter()
        .chain(second)
        .filter(|side| side.accuracy.is_none() && side.version.format != ModelFormat::Activations)
}

/// Whether there is anything to be carried over.
fn has_weights(facts: &Facts) -> bool {
    facts.one.layer.parameter_count > 0 && !facts.is_one_network()
}
