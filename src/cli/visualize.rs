//! `scv visualize`

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::job::{self, Job};
use super::layer::{self, Layer, VersionName};
use super::pictures::{self, Picture, Shown};
use super::table::{score, table};
use super::terminal::Terminal;
use crate::config::ClientConfig;

/// Classes that are shown if nothing is named.
const MOST_CLASSES: usize = 10;

/// Show what parts of a network look for, and what it makes of an image
///
/// For a class, a layer or a channel of a layer, a synthetic image is sought that it answers to most, beside the real images of
/// the test split that it answers to most; for the first ten classes if nothing is named. A synthetic image shows what the
/// part responds to. It need not look like anything: read it together with the real ones.
///
/// For a test image (--image) it is shown which pixels a class hangs on, and with --layer also what the layer answers to it.
#[derive(Debug, Args)]
pub(super) struct Visualize {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Name of a class, or its index from 0
    #[arg(long, value_name = "NAME", conflicts_with = "layer")]
    class: Option<String>,
    /// Name of a layer such as 4 or 3.main.0, or @ and its place in the list
    #[arg(long)]
    layer: Option<String>,
    /// Index of a channel of the layer, from 0
    #[arg(long, requires = "layer")]
    channel: Option<usize>,
    /// Index of a test image to look at, from 0
    #[arg(long, value_name = "INDEX")]
    image: Option<usize>,
    /// Steps of gradient ascent, 1 to 4096; 256 if left out
    #[arg(long)]
    steps: Option<u32>,
    /// What the search is drawn with; 0 if left out
    #[arg(long)]
    seed: Option<u64>,
    /// Write all pictures there
    #[arg(long, value_name = "DIR")]
    open_dir: Option<PathBuf>,
    #[command(flatten)]
    client: ClientConfig,
}

/// What a target looks for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    target: String,
    activation: f64,
    picture: String,
    exemplars: Vec<Exemplar>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Exemplar {
    index: usize,
    activation: f64,
    picture: Picture,
}

/// Which pixels of an image a class hangs on.
#[derive(Debug, Serialize, Deserialize)]
struct Attribution {
    method: String,
    class: Class,
    score: f64,
    overlay: Picture,
    image: Image,
}

#[derive(Debug, Serialize, Deserialize)]
struct Class {
    index: usize,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Image {
    picture: Picture,
}

/// What a channel answers to an image.
#[derive(Debug, Serialize, Deserialize)]
struct FeatureMap {
    channel: usize,
    mean: Option<f64>,
    picture: Picture,
    overlay: Picture,
}

/// What is seen of one image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Look {
    image: usize,
    attribution: Attribution,
    feature_maps: Vec<FeatureMap>,
}

impl Visualize {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let layers = layer::layers(&client, &self.version).await?;
        let version = layers.version.id.clone();
        let layer = self.layer.as_ref().map(|name| layers.find(name)).transpose()?;
        let names = class_names(&client, &version).await?;
        let class = self.class.as_ref().map(|wanted| class_of(&names, wanted)).transpose()?;

        let mut pictures = Vec::new();
        let mut seen = Vec::new();
        for (name, target) in self.targets(layer, class, &names) {
            let found = self.seek(&client, terminal, &version, &name, target).await?;
            let stem = file_stem(&name);
            pictures.push(Shown::new(&client, format!("{stem}.png"), &found.picture));
            for (rank, exemplar) in (1..).zip(&found.exemplars) {
                let name = format!("{stem}-exemplar-{rank}.png");
                pictures.push(Shown::new(&client, name, &exemplar.picture.url));
            }
            seen.push(found);
        }
        let look = match self.image {
            Some(image) => Some(self.look(&client, &version, layer, class, image).await?),
            None => None,
        };
        pictures.extend(look.iter().flat_map(|look| look.pictures(&client)));
        if let Some(folder) = &self.open_dir {
            pictures::write(&client, terminal, folder, &pictures).await?;
        }
        let mut texts = Vec::new();
        if !seen.is_empty() {
            texts.push(table(
                &["target", ">answer", ">strongest image", "synthetic image"],
                seen.iter().map(|seen| {
                    let strongest = seen.exemplars.first();
                    let strongest = strongest.map_or_else(|| "-".to_owned(), |first| first.index.to_string());
                    let address = client.address(&seen.picture).to_string();
                    vec![seen.target.clone(), score(seen.activation), strongest, address]
                }),
            ));
        }
        texts.extend(look.iter().map(|look| look.to_text(&client)));
        terminal.answer(
            &json!({ "version": layers.version, "targets": seen, "look": look, "pictures": pictures }),
            texts.join("\n\n"),
        )
    }

    /// What images are sought for, with a name for people. None if only an image is to be looked at.
    fn targets(&self, layer: Option<&Layer>, class: Option<usize>, names: &[String]) -> Vec<(String, Value)> {
        let of_class = |class: usize| (class_in_words(class, names), json!({ "class": class }));
        match (layer, class) {
            (Some(layer), _) => {
                let channel = self.channel.map(|channel| format!(", channel {channel}"));
                let name = format!("layer {}{}", layer.name, channel.unwrap_or_default());
                vec![(name, json!({ "layer": layer.index, "channel": self.channel }))]
            }
            (None, Some(class)) => vec![of_class(class)],
            (None, None) if self.image.is_some() => Vec::new(),
            (None, None) => (0..names.len().min(MOST_CLASSES)).map(of_class).collect(),
        }
    }

    async fn seek(
        &self,
        client: &Client,
        terminal: &Terminal,
        version: &str,
        name: &str,
        target: Value,
    ) -> anyhow::Result<Seen> {
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
        struct Found {
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
        let settings = json!({ "steps": self.steps, "seed": self.seed });
        let input = json!({ "versionId": version, "target": target, "settings": settings });
        let started: Started = client.ask(&query, json!({ "input": input })).await?;
        let Payload { synthesis, job } = started.synthesize_image;
        let bar = terminal.bar(name);
        let ended = job::wait(client, job, &bar, None).await?;
        drop(bar);
        ended.outcome()?;
        let query = "query($id: ID!) { node(id: $id) { ... on Synthesis {
            activation picture { url } exemplars { index activation picture { url } } } } }";
        let Found { node } = client.ask(query, json!({ "id": synthesis.id })).await?;
        let (Some(activation), Some(picture), Some(exemplars)) = (node.activation, node.picture, node.exemplars) else {
            bail!("the job of {name} has succeeded and left no image");
        };
        Ok(Seen {
            target: name.to_owned(),
            activation,
            picture: picture.url,
            exemplars,
        })
    }

    /// Which pixels of an image a class hangs on, and what a layer answers to it.
    async fn look(
        &self,
        client: &Client,
        version: &str,
        layer: Option<&Layer>,
        class: Option<usize>,
        image: usize,
    ) -> anyhow::Result<Look> {
        #[derive(Deserialize)]
        struct Data {
            version: OfVersion,
        }
        #[derive(Deserialize)]
        struct OfVersion {
            attribution: Attribution,
        }
        #[derive(Deserialize)]
        struct LayerData {
            layer: OfLayer,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct OfLayer {
            feature_maps: Vec<FeatureMap>,
        }
        let query = "query($id: ID!, $image: Int!, $class: Int) { version(id: $id) { attribution(image: $image, class: $class) {
            method class { index name } score overlay { url } image { picture { url } } } } }";
        let variables = json!({ "id": version, "image": image, "class": class });
        let data: Data = client.ask(query, variables).await?;
        let feature_maps = match layer {
            Some(layer) => {
                let query = "query($id: ID!, $image: Int!, $channels: [Int!]) { layer(id: $id) {
                    featureMaps(image: $image, channels: $channels) { channel mean picture { url } overlay { url } } } }";
                let channels = self.channel.map(|channel| vec![channel]);
                let variables = json!({ "id": layer.id, "image": image, "channels": channels });
                client.ask::<LayerData>(query, variables).await?.layer.feature_maps
            }
            None => Vec::new(),
        };
        Ok(Look {
            image,
            attribution: data.version.attribution,
            feature_maps,
        })
    }
}

impl Look {
    fn pictures(&self, client: &Client) -> Vec<Shown> {
        let Self {
            image,
            attribution,
            feature_maps,
        } = self;
        let shown = |name: String, picture: &Picture| Shown::new(client, name, &picture.url);
        let mut pictures = vec![
            shown(format!("image-{image}.png"), &attribution.image.picture),
            shown(format!("image-{image}-attribution.png"), &attribution.overlay),
        ];
        for map in feature_maps {
            let name = format!("image-{image}-channel-{}", map.channel);
            pictures.push(shown(format!("{name}.png"), &map.picture));
            pictures.push(shown(format!("{name}-overlay.png"), &map.overlay));
        }
        pictures
    }

    fn to_text(&self, client: &Client) -> String {
        let Attribution {
            method,
            class,
            score: logit,
            overlay,
            ..
        } = &self.attribution;
        let mut text = format!(
            "test image {}: the score of class {} is {}\nits pixels, red for and blue against that class ({}): {}",
            self.image,
            class.name,
            score(*logit),
            method.to_lowercase().replace('_', " "),
            client.address(&overlay.url),
        );
        if !self.feature_maps.is_empty() {
            let maps = table(
                &[">channel", ">mean", "feature map"],
                self.feature_maps.iter().map(|map| {
                    let mean = map.mean.map_or_else(|| "-".to_owned(), score);
                    vec![
                        map.channel.to_string(),
                        mean,
                        client.address(&map.picture.url).to_string(),
                    ]
                }),
            );
            text.push_str(&format!("\n\n{maps}"));
        }
        text
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

/// The index of a class that is told by its name, or else by its index. The server says if there is none of that index: a
/// network may answer with other classes than its data set has.
fn class_of(names: &[String], wanted: &str) -> anyhow::Result<usize> {
    let by_name = names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    by_name.or_else(|| wanted.parse().ok()).ok_or_else(|| {
        anyhow!(
            "there is no class {wanted}: by their index they are 0 to {}, by their names {}",
            names.len().saturating_sub(1),
            names.join(", ")
        )
    })
}

fn class_in_words(class: usize, names: &[String]) -> String {
    let index = class.to_string();
    match names.get(class).filter(|name| **name != index) {
        Some(name) => format!("class {index} {name}"),
        None => format!("class {index}"),
    }
}

/// What a file about something named can be called everywhere.
fn file_stem(name: &str) -> String {
    let usual = |c: char| if c.is_alphanumeric() { c } else { '-' };
    let words: String = name.chars().map(usual).collect();
    words
        .split('-')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-")
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
    }

    #[test]
    fn a_class_named_by_its_index_is_not_told_twice() {
        assert_eq!(class_in_words(1, &clothes()), "class 1 Trouser");
        assert_eq!(class_in_words(0, &["0".to_owned()]), "class 0");
    }

    #[test]
    fn files_have_names_that_every_system_takes() {
        assert_eq!(file_stem("class 0 T-shirt/top"), "class-0-T-shirt-top");
        assert_eq!(file_stem("layer 3.main.0, channel 5"), "layer-3-main-0-channel-5");
    }
}
