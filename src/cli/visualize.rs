//! `scv visualize`

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::layer::{self, VersionName};
use super::pictures;
use super::terminal::Terminal;
use crate::config::ClientConfig;

mod exemplars;
mod look;
mod search;

use look::{Image, Subject};
use search::Search;

/// Names of classes that an error lists.
const MAX_NAMES: usize = 20;

/// Show what parts of a network look for, or what it makes of an image
///
/// For a class, a layer, a channel of a layer or one place of that, a synthetic image is sought that it answers to most, beside
/// the real images of the test split that it answers to most; for the first ten classes if nothing is named. A synthetic image
/// shows what the part responds to. It need not look like anything: read it together with the real ones.
///
/// With --exemplars nothing is synthetic: the test images are shown that the layer's channels answer to most.
///
/// With --image or --file it is shown what is made of that image: with --layer what the layer's most active channels answer to
/// it, or the one that is named; else which pixels a class hangs on, the likeliest if none is named. With --layer and --class or
/// --method it is both.
#[derive(Debug, Args)]
pub(super) struct Visualize {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Name of a class, or its index from 0
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Name of a layer such as 4 or 3.main.0, or @ and its place in the list
    #[arg(long)]
    layer: Option<String>,
    /// Index of a channel of the layer, from 0
    #[arg(long, requires = "layer")]
    channel: Option<usize>,
    /// Row of one number of the channel, from 0
    #[arg(long, requires = "channel", requires = "column", conflicts_with_all = ["image", "file"])]
    row: Option<usize>,
    /// Column of one number of the channel, from 0
    #[arg(long, requires = "channel", requires = "row", conflicts_with_all = ["image", "file"])]
    column: Option<usize>,
    /// Show the test images that the layer's channels answer to most
    #[arg(long, requires = "layer", conflicts_with_all = ["class", "row", "image", "file", "method"])]
    exemplars: bool,
    /// Write all pictures there
    #[arg(long, value_name = "DIR")]
    open_dir: Option<PathBuf>,
    #[command(flatten)]
    image: Image,
    #[command(flatten)]
    search: Search,
    #[command(flatten)]
    client: ClientConfig,
}

impl Visualize {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let image = self.image.is_given()?.then_some(&self.image);
        pictures::prepare(self.open_dir.as_deref())?;
        let client = Client::new(&self.client)?;
        let layers = layer::layers(&client, &self.version).await?;
        let version = &layers.version;
        let layer = self.layer.as_ref().map(|name| layers.find(name)).transpose()?;
        let names = class_names(&client, &version.id).await?;
        let class = self.class.as_ref().map(|wanted| class_of(&names, wanted)).transpose()?;

        let (mut targets, mut look, mut exemplars) = (Vec::new(), None, None);
        let (pictures, text) = match (image, layer) {
            (Some(image), layer) => {
                let subject = Subject {
                    version,
                    layer,
                    channel: self.channel,
                    class,
                };
                let found = image.look(&client, subject).await?;
                let shown = (found.pictures(version, layer), found.to_text());
                look = Some(found);
                shown
            }
            (None, Some(layer)) if self.exemplars => {
                let found = exemplars::find(&client, terminal, version, layer, self.channel).await?;
                let shown = (found.pictures(version), found.to_text());
                exemplars = Some(found);
                shown
            }
            (None, layer) => {
                let place = self.row.zip(self.column);
                for target in search::targets(layer, (self.channel, place), class, &names)? {
                    targets.push(self.search.seek(&client, terminal, version, target).await?);
                }
                let pictures = targets.iter().flat_map(|found| found.pictures(version));
                (pictures.collect::<Vec<_>>(), search::to_text(&targets))
            }
        };
        if let Some(folder) = &self.open_dir {
            pictures::write(&client, terminal, folder, &pictures).await?;
        }
        let document = json!({
            "version": version, "targets": targets, "look": look, "exemplars": exemplars, "pictures": pictures,
        });
        terminal.answer(&document, text)
    }
}

/// The names of the classes of a version's data set.
async fn class_names(client: &Client, version: &str) -> anyhow::Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Data {
        version: OfVersion,
    }
    #[derive(Deserialize)]
    struct OfVersion {
        dataset: OfDataset,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OfDataset {
        class_names: Vec<String>,
    }
    let query = "query($id: ID!) { version(id: $id) { dataset { classNames } } }";
    let data: Data = client.ask(query, json!({ "id": version })).await?;
    Ok(data.version.dataset.class_names)
}

/// The index of a class that is told by its name, in capitals or not if that says which, or else by its index. The server says
/// if there is none of that index: a network may answer with other classes than its data set has.
fn class_of(names: &[String], wanted: &str) -> anyhow::Result<usize> {
    let alike: Vec<usize> = (0..names.len())
        .filter(|class| names[*class].eq_ignore_ascii_case(wanted))
        .collect();
    let exactly = alike.iter().copied().find(|class| names[*class] == wanted);
    let only = alike.first().copied().filter(|_| alike.len() == 1);
    exactly.or(only).or_else(|| wanted.parse().ok()).ok_or_else(|| {
        let last = names.len().saturating_sub(1);
        let few = names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
        let more = if names.len() > MAX_NAMES { ", …" } else { "" };
        anyhow!("there is no class {wanted}: by their index they are 0 to {last}, by their names {few}{more}")
    })
}

fn class_in_words(class: usize, names: &[String]) -> String {
    let index = class.to_string();
    match names.get(class).filter(|name| **name != index) {
        Some(name) => format!("class {index} {name}"),
        None => format!("class {index}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clothes() -> Vec<String> {
        ["T-shirt/top", "Trouser"].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_class_is_found_by_its_name_or_its_index() {
        let found = |wanted| class_of(&clothes(), wanted).ok();
        assert_eq!(
            [found("trouser"), found("0"), found("7"), found("Hat")],
            [Some(1), Some(0), Some(7), None]
        );
        let letters = ["A", "a"].map(str::to_owned);
        assert_eq!(class_of(&letters, "a").ok(), Some(1));
    }

    #[test]
    fn a_class_named_by_its_index_is_not_told_twice() {
        assert_eq!(class_in_words(1, &clothes()), "class 1 Trouser");
        assert_eq!(class_in_words(0, &["0".to_owned()]), "class 0");
    }
}
