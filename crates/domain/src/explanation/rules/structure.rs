//! Where the two layers stand, and how their networks differ.

use super::super::quote::{code, value};
use super::super::{Facts, Side};
use super::{counted, layer, list, network, shape};
use crate::diff::{Change, Counts, Difference, Entry};
use crate::version::{Layer, ModelFormat};

/// Differing layers that are told one by one.
const MAX_ENTRIES: usize = 10;

/// Differences of one layer that are told.
const MAX_DIFFERENCES: usize = 4;

pub(super) fn paragraphs(facts: &Facts) -> Vec<String> {
    let mut said = vec![list([place(&facts.one), place(&facts.other)])];
    if facts.is_one_network() {
        said.push(format!("Both are layers of one network, {}.", network(&facts.one)));
        return said;
    }
    let counts = Counts::of(&facts.diff);
    let (one, other) = (network(&facts.one), network(&facts.other));
    if counts.same == facts.diff.len() {
        said.push(format!(
            "{one} and {other} have the same {} with the same parameters and shapes: they differ in their weights, if at all.",
            counted(counts.same, "layer")
        ));
        return said;
    }
    said.push(format!(
        "Aligned by kind, {one} and {other} share {} with the same parameters and shapes; {}, {} only in {one}, {} only \
         in {other}.",
        counted(counts.same, "layer"),
        verb(counts.changed, "differ"),
        verb(counts.removed, "stand"),
        verb(counts.added, "stand"),
    ));
    let differing = || facts.diff.iter().filter(|entry| entry.change != Change::Same);
    let left = differing().count().saturating_sub(MAX_ENTRIES);
    let told = differing().take(MAX_ENTRIES).map(entry);
    let rest = (left > 0).then(|| format!("and {left} more (`Version.diff` lists all)"));
    said.push(list(told.chain(rest)));
    said
}

/// A number of things that do something, such as `1 differs` or `2 differ`.
fn verb(count: usize, what: &str) -> String {
    let singular = if count == 1 { "s" } else { "" };
    format!("{count} {what}{singular}")
}

fn place(side: &Side) -> String {
    let (input, output) = (&side.layer.input_shape, &side.layer.output_shape);
    // Of activations nobody knows what they were made from.
    let shapes = match input.is_empty() {
        true => shape(output),
        false => format!("{} to {}", shape(input), shape(output)),
    };
    let parameters = match side.version.format {
        ModelFormat::Activations => String::new(),
        _ => format!(
            ", {}",
            counted(side.layer.parameter_count.try_into().unwrap_or(0), "parameter")
        ),
    };
    format!(
        "{}: {}, layer {} of {}, {shapes}{parameters}",
        layer(side),
        code(&side.layer.kind),
        side.layer.index + 1,
        side.layer_count,
    )
}

fn entry(entry: &Entry) -> String {
    let named = |layer: &Layer| format!("{} ({})", code(&layer.name), code(&layer.kind));
    match (&entry.layer, &entry.other_layer) {
        (Some(layer), Some(other)) => {
            let told = entry.differences.iter().take(MAX_DIFFERENCES).map(difference);
            let told: Vec<_> = told.collect();
            format!("{} → {}: {}", named(layer), named(other), told.join(", "))
        }
        (Some(layer), None) => format!("{} is only in the one", named(layer)),
        (None, Some(layer)) => format!("{} is only in the other", named(layer)),
        (None, None) => String::new(),
    }
}

fn difference(difference: &Difference) -> String {
    let written = |given: &Option<serde_json::Value>| match given {
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
