//! The positions of the two layers, and the differences between their networks.

use super::super::quote::{code, value};
use super::super::{Facts, LayerFacts};
use super::{counted, layer, list, network, shape};
use crate::diff::{Change, Counts, Difference, Entry};
use crate::version::{Layer, ModelFormat};

/// Maximum number of differing layers that are listed.
const MAX_ENTRIES: usize = 10;

/// Maximum number of differences listed per layer.
const MAX_DIFFERENCES: usize = 4;

pub(super) fn paragraphs(facts: &Facts) -> Vec<String> {
    let mut paragraphs = vec![list([position(&facts.one), position(&facts.other)])];
    if facts.is_one_network() {
        paragraphs.push(format!("Both are layers of the same network, {}.", network(&facts.one)));
        return paragraphs;
    }
    let counts = Counts::of(&facts.diff);
    let (one, other) = (network(&facts.one), network(&facts.other));
    if counts.same == facts.diff.len() {
        paragraphs.push(format!(
            "{one} and {other} have the same {} with the same parameters and shapes: they differ in their weights, if at \
             all.",
            counted(counts.same, "layer")
        ));
        return paragraphs;
    }
    paragraphs.push(format!(
        "Aligned by kind, {one} and {other} share {} with the same parameters and shapes; {}, {} only in {one}, and {} \
         only in {other}.",
        counted(counts.same, "layer"),
        verb(counts.changed, "differs", "differ"),
        verb(counts.removed, "is", "are"),
        verb(counts.added, "is", "are"),
    ));
    let (format, other_format) = (facts.one.version.format, facts.other.version.format);
    if format != other_format {
        paragraphs.push(
            "The versions have different formats, which may describe parameters of other than common layers differently: some of \
             these differences may be only in notation."
                .to_owned(),
        );
    }
    let differing = || facts.diff.iter().filter(|entry| entry.change != Change::Same);
    let unlisted = differing().count().saturating_sub(MAX_ENTRIES);
    let listed = differing()
        .take(MAX_ENTRIES)
        .map(|differing| entry(differing, &one, &other));
    let rest = (unlisted > 0).then(|| format!("and {unlisted} more, which a diff of the two versions lists"));
    paragraphs.push(list(listed.chain(rest)));
    paragraphs
}

/// A count with its verb, such as `1 differs` or `2 differ`.
fn verb(count: usize, singular: &str, plural: &str) -> String {
    format!("{count} {}", if count == 1 { singular } else { plural })
}

fn position(facts: &LayerFacts) -> String {
    let (input, output) = (&facts.layer.input_shape, &facts.layer.output_shape);
    // The input of uploaded activations is unknown.
    let shapes = if input.is_empty() {
        shape(output)
    } else {
        format!("{} to {}", shape(input), shape(output))
    };
    let parameters = match facts.version.format {
        ModelFormat::Activations => String::new(),
        _ => format!(
            ", {}",
            counted(facts.layer.parameter_count.try_into().unwrap_or(0), "parameter")
        ),
    };
    format!(
        "{}: {}, layer {} of {}, {shapes}{parameters}",
        layer(facts),
        code(&facts.layer.kind),
        facts.layer.index + 1,
        facts.layer_count,
    )
}

/// A differing layer; `one` and `other` are the names of the networks.
fn entry(entry: &Entry, one: &str, other: &str) -> String {
    let described = |layer: &Layer| format!("{} ({})", code(&layer.name), code(&layer.kind));
    match (&entry.layer, &entry.other_layer) {
        (Some(layer), Some(other_layer)) => {
            let differences = entry.differences.iter().take(MAX_DIFFERENCES).map(difference);
            let differences: Vec<_> = differences.collect();
            format!(
                "{} → {}: {}",
                described(layer),
                described(other_layer),
                differences.join(", ")
            )
        }
        (Some(layer), None) => format!("{} is only in {one}", described(layer)),
        (None, Some(layer)) => format!("{} is only in {other}", described(layer)),
        (None, None) => String::new(),
    }
}

fn difference(difference: &Difference) -> String {
    let written = |value_of: &Option<serde_json::Value>| match value_of {
        Some(serde_json::Value::String(text)) => code(text),
        Some(given) => code(&value(given).to_string()),
        None => "none".to_owned(),
    };
    format!(
        "{} {} → {}",
        code(&difference.name),
        written(&difference.value),
        written(&difference.other_value)
    )
}
