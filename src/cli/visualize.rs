//! `scv visualize`

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::job::{self, Job};
use super::layer::{self, Layer, VersionName};
use super::model::Version;
use super::pictures::{self, Picture, Shown, file_stem};
use super::table::{score, table};
use super::terminal::Terminal;
use crate::config::ClientConfig;

/// Names of classes that an error lists.
const MOST_NAMES: usize = 20;

/// Classes that are shown if nothing is named.
const MOST_CLASSES: usize = 10;

/// Show what parts of a network look for, or what it makes of an image
///
/// For a class, a layer or a channel of a layer, a synthetic image is sought that it answers to most, beside the real images of
/// the test split that it answers to most; for the first ten classes if nothing is named. A synthetic image shows what the
/// part responds to. It need not look like anything: read it together with the real ones.
///
/// With --image nothing is sought: it is shown which pixels of that test image a class hangs on, the likeliest if none is named,
/// and with --layer what the layer's most active channels answer to it, or the one that is named.
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
    /// Index of a test image to look at, from 0
    #[arg(long, value_name = "INDEX")]
    image: Option<usize>,
    /// Steps of gradient ascent, 1 to 4096; 256 if left out
    #[arg(long, conflicts_with = "image")]
    steps: Option<u32>,
    /// What the search is drawn with; 0 if left out
    #[arg(long, conflicts_with = "image")]
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
#[serde(rename_all = "camelCase")]
struct FeatureMap {
    channel: usize,
    mean: Option<f64>,
    layer_minimum: Option<f64>,
    layer_maximum: Option<f64>,
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

        let (mut pictures, mut seen, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let look = match self.image {
            Some(image) => Some(self.look(&client, &version, layer, class, image).await?),
            None => None,
        };
        if let Some(look) = &look {
            pictures.extend(look.pictures(&layers.version, layer));
            texts.push(look.to_text());
        } else {
            for (name, target) in self.targets(layer, class, &names)? {
                let found = self.seek(&client, terminal, &version, &name, target).await?;
                pictures.extend(found.pictures(&layers.version));
                seen.push(found);
            }
            texts.push(table(
                &["target", ">activation", ">strongest image", "synthetic image"],
                seen.iter().map(Seen::row),
            ));
        }
        if let Some(folder) = &self.open_dir {
            pictures::write(&client, terminal, folder, &pictures).await?;
        }
        terminal.answer(
            &json!({ "version": layers.version, "targets": seen, "look": look, "pictures": pictures }),
            texts.concat(),
        )
    }

    /// What images are sought for, with a name for people.
    fn targets(
        &self,
        layer: Option<&Layer>,
        class: Option<usize>,
        names: &[String],
    ) -> anyhow::Result<Vec<(String, Value)>> {
        let of_class = |class: usize| (class_in_words(class, names), json!({ "class": class }));
        Ok(match (layer, class) {
            (Some(_), Some(_)) => {
                bail!("an image is sought for a class or for a layer: leave one of --class and --layer out")
            }
            (Some(layer), None) => {
                let channel = self.channel.map(|channel| format!(", channel {channel}"));
                let name = format!("layer {}{}", layer.name, channel.unwrap_or_default());
                vec![(name, json!({ "layer": layer.index, "channel": self.channel }))]
            }
            (None, Some(class)) => vec![of_class(class)],
            (None, None) => (0..names.len().min(MOST_CLASSES)).map(of_class).collect(),
        })
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
        let (Some(activation), Some(mut picture), Some(mut exemplars)) =
            (node.activation, node.picture, node.exemplars)
        else {
            bail!("the job of {name} has succeeded and left no image");
        };
        picture.at(client);
        exemplars.iter_mut().for_each(|exemplar| exemplar.picture.at(client));
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
        let mut attribution = client.ask::<Data>(query, variables).await?.version.attribution;
        attribution.overlay.at(client);
        attribution.image.picture.at(client);
        let mut feature_maps = match layer {
            Some(layer) => {
                let query = "query($id: ID!, $image: Int!, $channels: [Int!]) { layer(id: $id) {
                    featureMaps(image: $image, channels: $channels) { channel mean layerMinimum layerMaximum picture { url } overlay { url } } } }";
                let channels = self.channel.map(|channel| vec![channel]);
                let variables = json!({ "id": layer.id, "image": image, "channels": channels });
                client.ask::<LayerData>(query, variables).await?.layer.feature_maps
            }
            None => Vec::new(),
        };
        for map in &mut feature_maps {
            map.picture.at(client);
            map.overlay.at(client);
        }
        Ok(Look {
            image,
            attribution,
            feature_maps,
        })
    }
}

impl Seen {
    fn pictures(&self, version: &Version) -> Vec<Shown> {
        let stem = file_stem(&format!("{version} {}", self.target));
        let mut pictures = vec![Shown::new(format!("{stem}.png"), &self.picture)];
        for (rank, exemplar) in (1..).zip(&self.exemplars) {
            pictures.push(Shown::new(format!("{stem}-exemplar-{rank}.png"), &exemplar.picture.url));
        }
        pictures
    }

    fn row(&self) -> Vec<String> {
        let strongest = self.exemplars.first();
        let strongest = strongest.map_or_else(|| "-".to_owned(), |first| first.index.to_string());
        vec![
            self.target.clone(),
            score(self.activation),
            strongest,
            self.picture.clone(),
        ]
    }
}

impl Look {
    fn pictures(&self, version: &Version, layer: Option<&Layer>) -> Vec<Shown> {
        let stem = file_stem(&format!("{version} image {}", self.image));
        let (attribution, feature_maps) = (&self.attribution, &self.feature_maps);
        let shown = |name: String, picture: &Picture| Shown::new(name, &picture.url);
        let mut pictures = vec![
            shown(format!("{stem}.png"), &attribution.image.picture),
            shown(format!("{stem}-attribution.png"), &attribution.overlay),
        ];
        for map in feature_maps {
            let layer = layer.map_or("", |layer| layer.name.as_str());
            let name = file_stem(&format!("{stem} layer {layer} channel {}", map.channel));
            pictures.push(shown(format!("{name}.png"), &map.picture));
            pictures.push(shown(format!("{name}-overlay.png"), &map.overlay));
        }
        pictures
    }

    fn to_text(&self) -> String {
        let Attribution {
            method,
            class,
            score: logit,
            overlay,
            ..
        } = &self.attribution;
        let mut text = format!(
            "test image {}: the logit of class {} is {}\nits pixels, red for and blue against that class ({}): {}",
            self.image,
            class.name,
            score(*logit),
            method.to_lowercase().replace('_', " "),
            overlay.url,
        );
        if !self.feature_maps.is_empty() {
            let maps = table(
                &[">channel", ">mean", "feature map"],
                self.feature_maps.iter().map(|map| {
                    let mean = map.mean.map_or_else(|| "-".to_owned(), score);
                    vec![map.channel.to_string(), mean, map.picture.url.clone()]
                }),
            );
            let ends = self
                .feature_maps
                .first()
                .and_then(|map| map.layer_minimum.zip(map.layer_maximum));
            let ends = ends.map_or_else(String::new, |(least, most)| {
                format!(
                    "feature maps, dark violet for {} to yellow for {}\n",
                    score(least),
                    score(most)
                )
            });
            text.push_str(&format!("\n\n{ends}{maps}"));
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
        let few = names.iter().take(MOST_NAMES).cloned().collect::<Vec<_>>().join(", ");
        let more = if names.len() > MOST_NAMES { ", …" } else { "" };
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
