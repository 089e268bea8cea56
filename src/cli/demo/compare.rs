//! Two networks of one architecture, layer by layer.

use std::fmt::Write as _;

use serde::Serialize;

use crate::cli::client::Client;
use crate::cli::layer::{Layer, layers};
use crate::cli::model::{self, Version};
use crate::cli::search::{Filter, Measure, SearchRequest, similar};
use crate::cli::table::{score, table};
use crate::cli::version_name::VersionName;

/// Each layer of one network with its most similar layer in the other one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pair {
    from: Version,
    to: Version,
    layers: Vec<Matched>,
    /// Layers whose best match has the same position.
    counterparts: usize,
    /// Those, and layers whose best match has an adjacent position.
    neighbours: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Matched {
    layer: Layer,
    best: Layer,
    debiased_cka: f64,
    counterpart: bool,
}

/// Compares two networks by ordinary searches.
pub(super) async fn pair(client: &Client, from: VersionName, to: VersionName) -> anyhow::Result<Pair> {
    let (from, to) = (layers(client, &from).await?, layers(client, &to).await?);
    let twin = model::find(client, &to.version.model.name).await?;
    let mut matched = Vec::new();
    for layer in from.layers {
        let request = SearchRequest {
            layer: layer.id.clone(),
            // Earlier versions of the other model are candidates too.
            first: 100,
            measure: Measure::default(),
            exact: true,
            filter: Filter {
                models: twin.iter().map(|model| model.id.clone()).collect(),
                ..Filter::default()
            },
        };
        let mut hits = similar(client, &request).await?.hits.into_iter();
        let Some(best) = hits.find(|hit| hit.layer.version.id == to.version.id) else {
            continue;
        };
        matched.push(Matched {
            counterpart: best.layer.layer.index == layer.index,
            best: best.layer.layer,
            debiased_cka: best.debiased_cka,
            layer,
        });
    }
    let within = |distance| {
        let near = |matched: &&Matched| matched.best.index.abs_diff(matched.layer.index) <= distance;
        matched.iter().filter(near).count()
    };
    Ok(Pair {
        counterparts: within(0),
        neighbours: within(1),
        from: from.version,
        to: to.version,
        layers: matched,
    })
}

/// The first pair in full, and a summary of all.
pub(super) fn to_text(pairs: &[Pair]) -> String {
    let mut text = String::from(
        "3. Two networks of one architecture, trained from different random weights: is the top hit of\n   \
         each layer its counterpart in the other network? (Expected by chance: one layer.)\n",
    );
    // Writing to a string cannot fail.
    if let Some(first) = pairs.first() {
        let rows = first.layers.iter().map(|matched| {
            vec![
                matched.layer.name.clone(),
                matched.layer.kind.clone(),
                matched.best.name.clone(),
                matched.best.kind.clone(),
                score(matched.debiased_cka),
                if matched.counterpart { "yes" } else { "" }.to_owned(),
            ]
        });
        let (from, to) = (first.from.to_string(), first.to.to_string());
        let head = [
            from.as_str(),
            "kind",
            to.as_str(),
            "kind",
            ">debiased CKA",
            "counterpart",
        ];
        let _ = write!(text, "\n{}", table(&head, rows));
    }
    text.push('\n');
    for pair in pairs {
        let _ = write!(
            text,
            "\n{} and {}: the top hit is the counterpart for {} of {} layers, the counterpart or adjacent for {}",
            pair.from,
            pair.to,
            pair.counterparts,
            pair.layers.len(),
            pair.neighbours,
        );
    }
    text
}
