//! `scv visualize`

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::Client;
use super::job::{self, Job};
use super::layer::{self, VersionName};
use super::table::table;
use super::terminal::Terminal;
use crate::config::ClientConfig;

/// Classes that are shown if nothing is named.
const MOST_CLASSES: usize = 10;

/// Show what parts of a network look for: a synthetic image that each answers to most, beside the strongest real ones
///
/// A class, a layer or a channel of a layer; the first classes of the data set if nothing is named. With an image of the data
/// set also what the layer answers to it, and which pixels the class hangs on.
#[derive(Debug, Args)]
pub(super) struct Visualize {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Index of a class
    #[arg(long, conflicts_with = "layer")]
    class: Option<usize>,
    /// Name of a layer such as 4 or 3.main.0, or @ and its place in the list
    #[arg(long)]
    layer: Option<String>,
    /// Index of a channel of the layer
    #[arg(long, requires = "layer")]
    channel: Option<usize>,
    /// Index of a test image to look at
    #[arg(long, value_name = "INDEX")]
    image: Option<usize>,
    /// Steps of gradient ascent
    #[arg(long)]
    steps: Option<u32>,
    /// What the search is drawn with
    #[arg(long)]
    seed: Option<u64>,
    /// Write all pictures there
    #[arg(long, value_name = "DIR")]
    open_dir: Option<PathBuf>,
    #[command(flatten)]
    client: ClientConfig,
}

/// A picture to be had from the server.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    url: String,
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

#[derive(Debug, Serialize, Deserialize)]
struct Picture {
    url: String,
}

impl Visualize {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let layers = layer::layers(&client, &self.version).await?;
        let version = layers.version.id.clone();
        let targets = match (&self.layer, self.class) {
            (Some(name), _) => {
                let layer = layers.find(name)?;
                let channel = self
                    .channel
                    .map(|channel| format!(", channel {channel}"))
                    .unwrap_or_default();
                let target = json!({ "layer": layer.index, "channel": self.channel });
                vec![(format!("layer {}{channel}", layer.name), target)]
            }
            (None, Some(class)) => vec![(format!("class {class}"), json!({ "class": class }))],
            (None, None) => self.classes(&client, &version).await?,
        };
        let mut seen = Vec::new();
        let mut pictures = Vec::new();
        for (name, target) in targets {
            let found = self.seek(&client, terminal, &version, &name, target).await?;
            let stem = name.replace([' ', ',', '.', '/'], "-").replace("--", "-");
            pictures.push(Shown {
                name: format!("{stem}.png"),
                url: found.picture.clone(),
            });
            for (rank, exemplar) in (1..).zip(&found.exemplars) {
                pictures.push(Shown {
                    name: format!("{stem}-exemplar-{rank}.png"),
                    url: exemplar.picture.url.clone(),
                });
            }
            seen.push(found);
        }
        if let Some(image) = self.image {
            let layer = self.layer.as_ref().map(|name| layers.find(name)).transpose()?;
            pictures.extend(
                self.look(&client, &version, layer.map(|layer| layer.id.as_str()), image)
                    .await?,
            );
        }
        if let Some(folder) = &self.open_dir {
            write(&client, folder, &pictures).await?;
            terminal.note(format!("{} pictures in {}", pictures.len(), folder.display()));
        }
        let rows = seen.iter().map(|seen| {
            let strongest = seen
                .exemplars
                .first()
                .map_or_else(|| "-".to_owned(), |first| first.index.to_string());
            vec![
                seen.target.clone(),
                format!("{:.3}", seen.activation),
                strongest,
                seen.picture.clone(),
            ]
        });
        let text = table(&["target", ">answer", ">strongest image", "picture"], rows);
        terminal.answer(
            &json!({ "version": layers.version, "targets": seen, "pictures": pictures }),
            text,
        )
    }

    /// The first classes of the version's data set.
    async fn classes(&self, client: &Client, version: &str) -> anyhow::Result<Vec<(String, Value)>> {
        let query = "query($id: ID!) { version(id: $id) { dataset { classNames } } }";
        let data: Value = client.ask(query, json!({ "id": version })).await?;
        let names = data["version"]["dataset"]["classNames"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let named = names.iter().enumerate().take(MOST_CLASSES).map(|(class, name)| {
            let name = name.as_str().unwrap_or_default();
            (format!("class {class} {name}"), json!({ "class": class }))
        });
        Ok(named.collect())
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

    /// What a layer answers to an image, and which pixels the class hangs on.
    async fn look(
        &self,
        client: &Client,
        version: &str,
        layer: Option<&str>,
        image: usize,
    ) -> anyhow::Result<Vec<Shown>> {
        let query = "query($id: ID!, $image: Int!, $class: Int) { version(id: $id) { attribution(image: $image, class: $class) {
            overlay { url } image { picture { url } } } } }";
        let variables = json!({ "id": version, "image": image, "class": self.class });
        let data: Value = client.ask(query, variables).await?;
        let attribution = &data["version"]["attribution"];
        let url = |value: &Value| value["url"].as_str().unwrap_or_default().to_owned();
        let mut pictures = vec![
            Shown {
                name: format!("image-{image}.png"),
                url: url(&attribution["image"]["picture"]),
            },
            Shown {
                name: format!("image-{image}-attribution.png"),
                url: url(&attribution["overlay"]),
            },
        ];
        if let Some(layer) = layer {
            let query = "query($id: ID!, $image: Int!, $channels: [Int!]) { layer(id: $id) {
                featureMaps(image: $image, channels: $channels) { channel picture { url } } } }";
            let channels = self.channel.map(|channel| vec![channel]);
            let data: Value = client
                .ask(query, json!({ "id": layer, "image": image, "channels": channels }))
                .await?;
            for map in data["layer"]["featureMaps"].as_array().into_iter().flatten() {
                pictures.push(Shown {
                    name: format!("image-{image}-channel-{}.png", map["channel"]),
                    url: url(&map["picture"]),
                });
            }
        }
        Ok(pictures)
    }
}

async fn write(client: &Client, folder: &Path, pictures: &[Shown]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for picture in pictures {
        let path = folder.join(&picture.name);
        let bytes = client.file(&picture.url).await?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
