//! How like the two layers are, whether that can be chance, and what speaks for it.

use super::super::quote::code;
use super::super::{Facts, SIGNIFICANCE_LEVEL, Side};
use super::{LITTLE, MUCH, NEAR, WIDE, layer, list, network, shape};
use crate::vector::Likeness;

pub(super) fn paragraphs(facts: &Facts) -> Vec<String> {
    let likeness = match &facts.likeness {
        Ok(likeness) => likeness,
        Err(reason) => {
            let mut said = vec![format!("The two have not been compared: {reason}.")];
            said.extend(reasons(facts, None));
            return said;
        }
    };
    let mut said = vec![score(likeness, facts)];
    said.extend(doubts(likeness, facts));
    said.extend(reasons(facts, Some(likeness)));
    said.extend(ranks(facts));
    said
}

fn score(likeness: &Likeness, facts: &Facts) -> String {
    let judgement = match likeness.debiased_cka {
        score if score >= MUCH => "they arrange the images in much the same way",
        score if score >= LITTLE => "they arrange the images in partly the same way",
        _ => "they hardly arrange the images in the same way",
    };
    let images = facts.images.map(|images| format!(" on {images} probe images"));
    format!(
        "Debiased CKA is {:.3} and CKA {:.3}{}: {judgement}.",
        likeness.debiased_cka,
        likeness.cka,
        images.unwrap_or_default(),
    )
}

fn doubts(likeness: &Likeness, facts: &Facts) -> Vec<String> {
    let mut said = Vec::new();
    match facts.p_value {
        Some(p_value) if p_value > SIGNIFICANCE_LEVEL => said.push(format!(
            "**This may be chance**: layers whose images are relabelled at random are as much alike with a probability of \
             {p_value:.2}."
        )),
        Some(p_value) => said.push(format!(
            "It is hardly chance: layers whose images are relabelled at random are as much alike with a probability of {}. \
             That holds for one pair chosen beforehand; the best of many is more often high by chance.",
            probability(p_value)
        )),
        None => {}
    }
    if likeness.cka - likeness.debiased_cka > WIDE {
        said.push(
            "CKA is much higher than debiased CKA. Wide layers have a high CKA whatever they compute, so the difference is \
             their width and not what they have learned."
                .to_owned(),
        );
    }
    said
}

fn probability(p_value: f64) -> String {
    match p_value < 1e-4 {
        true => format!("{p_value:.0e}"),
        false => format!("{p_value:.4}"),
    }
}

/// What speaks for their being alike, or, of layers that are not, what they share nevertheless.
fn reasons(facts: &Facts, likeness: Option<&Likeness>) -> Vec<String> {
    let (one, other, common) = (&facts.one, &facts.other, facts.common());
    let mut said = Vec::new();
    if facts.is_one_network() {
        let between = (one.layer.index - other.layer.index).abs();
        said.push(match between {
            1 => "One is computed directly after the other in the same network.".to_owned(),
            _ => {
                format!("They are {between} layers apart in the same network: what the one makes may reach the other.")
            }
        });
    } else if common.model {
        said.push("They belong to two versions of one model.".to_owned());
    }
    if common.settings {
        said.push("They are of the same kind with the same parameters and shapes.".to_owned());
    } else if common.kind {
        said.push(format!(
            "Both are {}, with other parameters or shapes.",
            code(&one.layer.kind)
        ));
    }
    if common.output_shape && !common.settings {
        said.push(format!(
            "Both make values of the shape {}.",
            shape(&one.layer.output_shape)
        ));
    }
    if common.aligned {
        said.push("They stand in the same place of the two networks, as these are aligned above.".to_owned());
    }
    if (common.depth - common.other_depth).abs() <= NEAR && !facts.is_one_network() {
        said.push(format!(
            "They lie at about the same depth, {} and {} of the way through their networks.",
            depth(common.depth),
            depth(common.other_depth)
        ));
    }
    if !facts.is_one_network() && common.dataset {
        if one.layer.index == 0 && other.layer.index == 0 {
            said.push(
                "Both are the first layer: they see the same pixels, before anything else was done to them.".to_owned(),
            );
        }
        if one.is_last() && other.is_last() {
            said.push(
                "Both are the last layer: whatever came before, networks that classify the same images well must agree here."
                    .to_owned(),
            );
        }
    }
    let head = match likeness {
        Some(likeness) if likeness.debiased_cka >= LITTLE => "What speaks for it:",
        _ => "What they have in common:",
    };
    match said.is_empty() {
        true => vec!["Nothing in their structure suggests that they are alike.".to_owned()],
        false => vec![format!("{head}\n\n{}", list(said))],
    }
}

fn depth(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn ranks(facts: &Facts) -> Vec<String> {
    let (one, other) = (&facts.one, &facts.other);
    let (Some(of_other), Some(of_one)) = (&other.best, &one.best) else {
        return Vec::new();
    };
    if of_other.rank == 1 && of_one.rank == 1 {
        return vec![format!(
            "Each is the best match for the other: no layer of {} is more like {}, and no layer of {} more like {}.",
            network(other),
            layer(one),
            network(one),
            layer(other)
        )];
    }
    let better = |side: &Side, beside: &Side| {
        let best = side.best.as_ref().filter(|best| best.rank > 1)?;
        Some(format!(
            "Among the layers of {}, {} is number {} by likeness to {}; {} is the most like it (debiased CKA {:.3}).",
            network(side),
            code(&side.layer.name),
            best.rank,
            layer(beside),
            code(&best.name),
            best.debiased_cka
        ))
    };
    better(other, one).into_iter().chain(better(one, other)).collect()
}
