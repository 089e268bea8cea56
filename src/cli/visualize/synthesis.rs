//! Synthetic images that maximize the activation of parts of a network.

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::class_in_words;
use crate::cli::client::Client;
use crate::cli::exit::{code, failure};
use crate::cli::job::{self, Job};
use crate::cli::layer::Layer;
use crate::cli::model::Version;
use crate::cli::pictures::{NamedPicture, Picture, file_stem};
use crate::cli::table::{score, table};
use crate::cli::terminal::Terminal;
use crate::config::value::{INT, number, whole};

/// Maximum number of classes that images are synthesized for if no target is given.
const MAX_CLASSES: usize = 10;

/// How an image is synthesized. The server checks the values and has the defaults.
#[derive(Debug, Args, Serialize)]
#[serde(rename_all = "camelCase")]
#[command(next_help_heading = "Synthesis")]
#[group(id = "synthesis", multiple = true, conflicts_with_all = ["image", "file", "exemplars"])]
pub(super) struct SynthesisOptions {
    /// Steps of gradient ascent, 1 to 4096 [default: 256]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=4_096))]
    steps: Option<u32>,
    /// Random seed [default: 0]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(INT))]
    seed: Option<u64>,
    /// Learning rate [default: 0.05]
    #[arg(long, value_name = "RATE", value_parser = number::<f64>(1e-6..=10.0))]
    learning_rate: Option<f64>,
    /// Parametrisation of the image [default: fourier]
    #[arg(long, value_enum)]
    parametrisation: Option<Parametrisation>,
    /// Padding of the image when it is shifted, scaled or rotated [default: mean]
    #[arg(long, value_enum)]
    padding: Option<Padding>,
    /// Maximum random shift before each step, in pixels
    #[arg(long, value_name = "PIXELS", value_parser = number::<f64>(0.0..))]
    jitter: Option<f64>,
    /// Maximum random scaling before each step, as a fraction from 0 to 0.5 [default: 0.1]
    #[arg(long, value_name = "FRACTION", value_parser = number::<f64>(0.0..=0.5))]
    scale: Option<f64>,
    /// Maximum random rotation before each step, in degrees [default: 5]
    #[arg(long, value_name = "DEGREES", value_parser = number::<f64>(0.0..=180.0))]
    rotation: Option<f64>,
    /// Weight of the total variation penalty
    #[arg(long, value_name = "WEIGHT", value_parser = number::<f64>(0.0..=1e6))]
    total_variation: Option<f64>,
    /// Weight of the L2 penalty on the distance from the mean image
    #[arg(long, value_name = "WEIGHT", value_parser = number::<f64>(0.0..=1e6))]
    l2: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Parametrisation {
    /// Pixels
    Pixels,
    /// Fourier coefficients
    Fourier,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Padding {
    /// The mean colour
    Mean,
    /// The colour of the nearest edge
    Edge,
    /// The mirrored image
    Reflection,
}

/// The part of a network that an image is synthesized for.
pub(super) struct Target {
    /// For a reader, such as `class 3`.
    name: String,
    /// For the API.
    input: Value,
}

/// A synthetic image, with the test images of the highest activation.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Synthesis {
    target: String,
    activation: f64,
    picture: String,
    exemplars: Vec<Exemplar>,
}

/// A test image with the activation of the target.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Exemplar {
    pub(super) index: usize,
    pub(super) activation: f64,
    picture: Picture,
}

impl Exemplar {
    /// The fields to select.
    pub(super) const FIELDS: &str = "index activation picture { url }";

    /// Makes the URL of its picture absolute.
    pub(super) fn resolve(&mut self, client: &Client) {
        self.picture.resolve(client);
    }
}

/// The pictures of exemplars, in files that are named by rank and index.
pub(super) fn named_pictures(stem: &str, exemplars: &[Exemplar]) -> impl Iterator<Item = NamedPicture> {
    (1..).zip(exemplars).map(move |(rank, exemplar)| {
        let name = format!("{stem}-exemplar-{rank}-image-{}.png", exemplar.index);
        NamedPicture::new(name, &exemplar.picture.url)
    })
}

/// The targets that images are synthesized for: the given one, or the first classes.
///
/// # Errors
/// A class and a layer are both given.
pub(super) fn targets(
    layer: Option<&Layer>,
    (channel, position): (Option<usize>, Option<(usize, usize)>),
    class: Option<usize>,
    names: &[String],
) -> anyhow::Result<Vec<Target>> {
    let of_class = |class: usize| Target {
        name: class_in_words(class, names),
        input: json!({ "class": class }),
    };
    Ok(match (layer, class) {
        (Some(_), Some(_)) => {
            let message = "an image is synthesized either for a class or for a layer: leave out --class or --layer";
            return Err(failure(code::USAGE, message));
        }
        (Some(layer), None) => {
            let in_layer = channel.map(|channel| format!(", channel {channel}"));
            let in_channel = position.map(|(row, column)| format!(", row {row}, column {column}"));
            let [in_layer, in_channel] = [in_layer, in_channel].map(Option::unwrap_or_default);
            let (row, column) = position.unzip();
            vec![Target {
                name: format!("layer {}{in_layer}{in_channel}", layer.name),
                input: json!({ "layer": layer.index, "channel": channel, "row": row, "column": column }),
            }]
        }
        (None, Some(class)) => vec![of_class(class)],
        (None, None) => (0..names.len().min(MAX_CLASSES)).map(of_class).collect(),
    })
}

impl SynthesisOptions {
    /// Synthesizes an image; the server reuses one with the same settings.
    pub(super) async fn synthesize(
        &self,
        client: &Client,
        terminal: &Terminal,
        version: &Version,
        target: Target,
    ) -> anyhow::Result<Synthesis> {
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
        let started: Started = client.query(&query, json!({ "input": input })).await?;
        let Payload { synthesis, job } = started.synthesize_image;
        job::wait_for(client, terminal, &target.name, job).await?;
        let query = format!(
            "query($id: ID!) {{ node(id: $id) {{ ... on Synthesis {{
               activation picture {{ url }} exemplars {{ {} }} }} }} }}",
            Exemplar::FIELDS
        );
        let Data { node } = client.query(&query, json!({ "id": synthesis.id })).await?;
        let (Some(activation), Some(mut picture), Some(mut exemplars)) =
            (node.activation, node.picture, node.exemplars)
        else {
            bail!("the job of {} succeeded without an image", target.name);
        };
        picture.resolve(client);
        exemplars.iter_mut().for_each(|exemplar| exemplar.resolve(client));
        Ok(Synthesis {
            target: target.name,
            activation,
            picture: picture.url,
            exemplars,
        })
    }
}

impl Synthesis {
    /// All pictures. The name of the synthetic one contains its settings.
    pub(super) fn pictures(&self, version: &Version, options: &SynthesisOptions) -> Vec<NamedPicture> {
        let stem = file_stem(&format!("{version} {}", self.target));
        let own = file_stem(&format!("{stem} {}", options.in_words()));
        let own = NamedPicture::new(format!("{own}.png"), &self.picture);
        std::iter::once(own)
            .chain(named_pictures(&stem, &self.exemplars))
            .collect()
    }
}

impl SynthesisOptions {
    /// The given options as part of a file name, such as `seed 3 steps 64`.
    fn in_words(&self) -> String {
        let options = serde_json::to_value(self).unwrap_or_default();
        let given = options
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null());
        let words = given.map(|(name, value)| format!("{name} {}", value.to_string().trim_matches('"').to_lowercase()));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Synthetic images as a table; `label` says where a picture is.
pub(super) fn to_text(all: &[Synthesis], label: impl Fn(&str) -> String) -> String {
    let rows = all.iter().map(|found| {
        let (index, activation) = found.exemplars.first().map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |first| (first.index.to_string(), score(first.activation)),
        );
        vec![
            found.target.clone(),
            score(found.activation),
            index,
            activation,
            label(&found.picture),
        ]
    });
    let head = [
        "target",
        ">activation",
        ">top image",
        ">its activation",
        "synthetic image",
    ];
    table(&head, rows)
}
