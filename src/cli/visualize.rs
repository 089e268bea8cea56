//! `scv visualize`

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::exit::not_found;
use super::layer;
use super::pictures::{self, label};
use super::terminal::Terminal;
use super::version_name::VersionName;
use crate::config::value::{INT, whole};

mod exemplars;
mod image;
mod synthesis;

use image::{ImageOptions, Subject};
use synthesis::SynthesisOptions;

/// Maximum number of names of classes that an error lists.
const MAX_NAMES: usize = 20;

/// Visualize what parts of a network respond to, or how it processes an image
///
/// Without --image and --file: synthesizes an image that maximizes the activation of a class, a layer, a channel of a layer or
/// one position of a channel, and lists the test images with the highest activation. By default it does this for the first ten
/// classes. A synthetic image need not look like anything: read it together with the real ones.
///
/// With --exemplars: lists only test images, namely those with the highest activation of each of the layer's most active
/// channels.
///
/// With --image or --file: attributes the score of a class, by default the predicted one, to the pixels of the image. With
/// --layer: shows feature maps of the layer's most active channels, or of --channel. With --layer and --class or --method: both.
#[derive(Debug, Args)]
pub(super) struct Visualize {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Name or index of a class; indices start at 0
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Name of a layer, such as 4 or 3.main.0, or @ and its position
    #[arg(long)]
    layer: Option<String>,
    /// Index of a channel of the layer, starting at 0
    #[arg(long, value_name = "INDEX", value_parser = whole::<usize>(INT), requires = "layer")]
    channel: Option<usize>,
    /// Row of a position in the channel, starting at 0
    #[arg(long, value_name = "INDEX", value_parser = whole::<usize>(INT), requires = "channel", requires = "column", conflicts_with_all = ["image", "file"])]
    row: Option<usize>,
    /// Column of a position in the channel, starting at 0
    #[arg(long, value_name = "INDEX", value_parser = whole::<usize>(INT), requires = "channel", requires = "row", conflicts_with_all = ["image", "file"])]
    column: Option<usize>,
    /// List the test images with the highest activation of the layer's channels
    #[arg(long, requires = "layer", conflicts_with_all = ["class", "row", "image", "file", "method"])]
    exemplars: bool,
    /// Directory to write all pictures to
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    #[command(flatten)]
    image: ImageOptions,
    #[command(flatten)]
    synthesis: SynthesisOptions,
}

impl Visualize {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        let image = self.image.is_given()?.then_some(&self.image);
        pictures::prepare(self.output_dir.as_deref())?;
        let layers = layer::layers(client, &self.version).await?;
        let version = &layers.version;
        let layer = self.layer.as_ref().map(|name| layers.find(name)).transpose()?;
        let names = class_names(client, &version.id).await?;
        let classes = names.len().max(layers.output_count());
        let class = self.class.as_ref().map(|wanted| class_of(&names, classes, wanted));
        let class = class.transpose()?;

        let (mut targets, mut report, mut exemplars) = (Vec::new(), None, None);
        let pictures = match (image, layer) {
            (Some(image), layer) => {
                let subject = Subject {
                    version,
                    layer,
                    channel: self.channel,
                    class,
                };
                report = Some(image.inspect(client, &subject).await?);
                report.iter().flat_map(|report| report.pictures(&subject)).collect()
            }
            (None, Some(layer)) if self.exemplars => {
                let found = exemplars::find(client, terminal, version, layer, self.channel).await?;
                let pictures = found.pictures(version);
                exemplars = Some(found);
                pictures
            }
            (None, layer) => {
                let position = self.row.zip(self.column);
                for target in synthesis::targets(layer, (self.channel, position), class, &names)? {
                    targets.push(self.synthesis.synthesize(client, terminal, version, target).await?);
                }
                let pictures = targets
                    .iter()
                    .flat_map(|found| found.pictures(version, &self.synthesis));
                pictures.collect::<Vec<_>>()
            }
        };
        let directory = self.output_dir.as_deref();
        if let Some(directory) = directory {
            pictures::write(client, terminal, directory, &pictures).await?;
        }
        let label = |url: &str| label(&pictures, directory, url);
        let text = match (&report, &exemplars) {
            (Some(report), _) => report.to_text(label),
            (None, Some(exemplars)) => exemplars.to_text(label),
            (None, None) => synthesis::to_text(&targets, label),
        };
        let document = json!({
            "version": version, "targets": targets, "image": report, "exemplars": exemplars, "pictures": pictures,
        });
        terminal.print(&document, text)
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
    let data: Data = client.query(query, json!({ "id": version })).await?;
    Ok(data.version.dataset.class_names)
}

/// The index of a class that is given by its name or its index. The case of the name is ignored, unless several names differ
/// only by it. A network can have more classes than its data set has names.
fn class_of(names: &[String], classes: usize, wanted: &str) -> anyhow::Result<usize> {
    let candidates: Vec<usize> = (0..names.len())
        .filter(|class| names[*class].eq_ignore_ascii_case(wanted))
        .collect();
    let exact = candidates.iter().copied().find(|class| names[*class] == wanted);
    let only = candidates.first().copied().filter(|_| candidates.len() == 1);
    let index = || wanted.parse::<usize>().ok().filter(|index| *index < classes);
    exact.or(only).or_else(index).ok_or_else(|| {
        let last = classes.saturating_sub(1);
        let few = names.iter().take(MAX_NAMES).cloned().collect::<Vec<_>>().join(", ");
        let more = if names.len() > MAX_NAMES { ", …" } else { "" };
        not_found(format!(
            "there is no class {wanted}: the classes are named {few}{more}, or by index 0 to {last}"
        ))
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
        let found = |wanted| class_of(&clothes(), 2, wanted).ok();
        assert_eq!(
            [found("trouser"), found("0"), found("1"), found("Hat")],
            [Some(1), Some(0), Some(1), None]
        );
        let letters = ["A", "a"].map(str::to_owned);
        assert_eq!(class_of(&letters, 2, "a").ok(), Some(1));
    }

    #[test]
    fn an_unknown_class_is_refused_by_its_name_and_by_its_index_alike() {
        for wanted in ["Hat", "2", "-1"] {
            let refused = class_of(&clothes(), 2, wanted).expect_err(wanted).to_string();
            assert_eq!(
                refused,
                format!("there is no class {wanted}: the classes are named T-shirt/top, Trouser, or by index 0 to 1")
            );
        }
        assert_eq!(
            class_of(&clothes(), 1_000, "7").ok(),
            Some(7),
            "of a network with more classes"
        );
    }

    #[test]
    fn a_class_whose_name_is_its_index_is_named_once() {
        assert_eq!(class_in_words(1, &clothes()), "class 1 Trouser");
        assert_eq!(class_in_words(0, &["0".to_owned()]), "class 0");
    }
}
