//! Synthetic images that parts of a network answer to most.

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::class_in_words;
use crate::cli::client::Client;
use crate::cli::job::{self, Job};
use crate::cli::layer::Layer;
use crate::cli::model::Version;
use crate::cli::pictures::{Picture, Shown, file_stem};
use crate::cli::table::{score, table};
use crate::cli::terminal::Terminal;

/// Classes that are shown if nothing is named.
const MAX_CLASSES: usize = 10;

/// How an image is sought. The server knows what is usual and what may be.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "camelCase")]
#[command(next_help_heading = "How a synthetic image is sought")]
#[group(id = "search", multiple = true, conflicts_with_all = ["image", "file", "exemplars"])]
pub(super) struct Search {
    /// Steps of gradient ascent, 1 to 4096; usually 256
    #[arg(long)]
    steps: Option<u32>,
    /// What the search is drawn with; usually 0
    #[arg(long)]
    seed: Option<u64>,
    /// Step width; usually 0.05
    #[arg(long, value_name = "NUMBER")]
    learning_rate: Option<f64>,
    /// What is varied; usually the image's waves
    #[arg(long, value_name = "WHAT")]
    parametrisation: Option<Parametrisation>,
    /// What comes in from outside where the image is moved, scaled or turned; usually the mean colour
    #[arg(long, value_name = "WHAT")]
    padding: Option<Padding>,
    /// Before each step the image is moved by up to this many pixels
    #[arg(long, value_name = "PIXELS")]
    jitter: Option<f64>,
    /// It is made larger or smaller by up to this share; usually 0.1
    #[arg(long, value_name = "SHARE")]
    scale: Option<f64>,
    /// It is turned by up to this many degrees; usually 5
    #[arg(long, value_name = "DEGREES")]
    rotation: Option<f64>,
    /// Weight of the penalty on differences between neighbouring pixels
    #[arg(long, value_name = "WEIGHT")]
    total_variation: Option<f64>,
    /// Weight of the penalty on the distance from the mean image
    #[arg(long, value_name = "WEIGHT")]
    l2: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Parametrisation {
    Pixels,
    Fourier,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Padding {
    Mean,
    Edge,
    Reflection,
}

/// What an image is sought for.
pub(super) struct Target {
    /// For people.
    name: String,
    /// For the server.
    input: Value,
}

/// What a target looks for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    target: String,
    activation: f64,
    picture: String,
    exemplars: Vec<Exemplar>,
}

/// A test image and what a part of the network answers to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Exemplar {
    pub(super) index: usize,
    pub(super) activation: f64,
    picture: Picture,
}

impl Exemplar {
    /// What an answer has of each.
    pub(super) const FIELDS: &str = "index activation picture { url }";

    /// Gives its picture the whole address.
    pub(super) fn at(&mut self, client: &Client) {
        self.picture.at(client);
    }
}

/// The pictures of exemplars, the strongest first, in files that tell rank and index.
pub(super) fn shown(stem: &str, exemplars: &[Exemplar]) -> impl Iterator<Item = Shown> {
    (1..).zip(exemplars).map(move |(rank, exemplar)| {
        let name = format!("{stem}-exemplar-{rank}-image-{}.png", exemplar.index);
        Shown::new(name, &exemplar.picture.url)
    })
}

/// What images are sought for: what is named, or the first classes.
///
/// # Errors
/// A class and a layer are both named.
pub(super) fn targets(
    layer: Option<&Layer>,
    (channel, place): (Option<usize>, Option<(usize, usize)>),
    class: Option<usize>,
    names: &[String],
) -> anyhow::Result<Vec<Target>> {
    let of_class = |class: usize| Target {
        name: class_in_words(class, names),
        input: json!({ "class": class }),
    };
    Ok(match (layer, class) {
        (Some(_), Some(_)) => {
            bail!("an image is sought for a class or for a layer: leave one of --class and --layer out")
        }
        (Some(layer), None) => {
            let in_layer = channel.map(|channel| format!(", channel {channel}"));
            let in_channel = place.map(|(row, column)| format!(", row {row}, column {column}"));
            let [in_layer, in_channel] = [in_layer, in_channel].map(Option::unwrap_or_default);
            let (row, column) = place.unzip();
            vec![Target {
                name: format!("layer {}{in_layer}{in_channel}", layer.name),
                input: json!({ "layer": layer.index, "channel": channel, "row": row, "column": column }),
            }]
        }
        (None, Some(class)) => vec![of_class(class)],
        (None, None) => (0..names.len().min(MAX_CLASSES)).map(of_class).collect(),
    })
}

impl Search {
    /// Seeks an image, or takes the one that was found in the same way before.
    pub(super) async fn seek(
        &self,
        client: &Client,
        terminal: &Terminal,
        version: &Version,
        target: Target,
    ) -> anyhow::Result<Found> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Started {
            synthesize_image: Payload,
        }
        #[derive(Deserialize)]
        struct Payload {
            synthesis: Id,
            job: Job,
        }
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        #[derive(Deserialize)]
        struct Data {
            node: Outcome,
        }
        #[derive(Deserialize)]
        struct Outcome {
            activation: Option<f64>,
            picture: Option<Picture>,
            exemplars: Option<Vec<Exemplar>>,
        }
        let query = format!(
            "mutation($input: SynthesizeImageInput!) {{ synthesizeImage(input: $input) {{
               synthesis {{ id }} job {{ {} }} }} }}",
            Job::fields()
        );
        let input = json!({ "versionId": version.id, "target": target.input, "settings": self });
        let started: Started = client.ask(&query, json!({ "input": input })).await?;
        let Payload { synthesis, job } = started.synthesize_image;
        job::end_of(client, terminal, &target.name, job).await?;
        let query = format!(
            "query($id: ID!) {{ node(id: $id) {{ ... on Synthesis {{
               activation picture {{ url }} exemplars {{ {} }} }} }} }}",
            Exemplar::FIELDS
        );
        let Data { node } = client.ask(&query, json!({ "id": synthesis.id })).await?;
        let (Some(activation), Some(mut picture), Some(mut exemplars)) =
            (node.activation, node.picture, node.exemplars)
        else {
            bail!("the job of {} has succeeded and left no image", target.name);
        };
        picture.at(client);
        exemplars.iter_mut().for_each(|exemplar| exemplar.at(client));
        Ok(Found {
            target: target.name,
            activation,
            picture: picture.url,
            exemplars,
        })
    }
}

impl Found {
    /// What there is to see.
    pub(super) fn pictures(&self, version: &Version) -> Vec<Shown> {
        let stem = file_stem(&format!("{version} {}", self.target));
        let own = Shown::new(format!("{stem}.png"), &self.picture);
        std::iter::once(own).chain(shown(&stem, &self.exemplars)).collect()
    }
}

/// All that were found, for people.
pub(super) fn to_text(all: &[Found]) -> String {
    let rows = all.iter().map(|found| {
        let strongest = found.exemplars.first();
        let (index, activation) = strongest.map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |first| (first.index.to_string(), score(first.activation)),
        );
        vec![
            found.target.clone(),
            score(found.activation),
            index,
            activation,
            found.picture.clone(),
        ]
    });
    let head = [
        "target",
        ">activation",
        ">strongest image",
        ">activation",
        "synthetic image",
    ];
    table(&head, rows)
}
