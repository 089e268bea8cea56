//! The test images with the highest activation of the channels of a layer.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::synthesis::{Exemplar, named_pictures};
use crate::cli::client::Client;
use crate::cli::job::{self, Job};
use crate::cli::layer::Layer;
use crate::cli::model::Version;
use crate::cli::pictures::{NamedPicture, Picture, file_stem};
use crate::cli::table::{score, table};
use crate::cli::terminal::Terminal;
use scv_compute::feature_map::planes;
use scv_domain::exemplar::MAX_CHANNELS as MAX_STORED_CHANNELS;

/// Maximum number of channels that are shown if none is given.
const MAX_CHANNELS: usize = 10;

/// Channels with their exemplars, the most active first.
#[derive(Debug, Serialize)]
pub(super) struct ChannelExemplars {
    layer: String,
    channels: Vec<Channel>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Channel {
    channel: usize,
    images: Vec<Exemplar>,
    /// The activations of the channel for the first image.
    feature_map: Picture,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Of {
    channel_exemplars: Option<Nodes>,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: Vec<Images>,
}

#[derive(Deserialize)]
struct Images {
    channel: usize,
    images: Vec<Exemplar>,
}

/// The exemplars of a channel, or of the most active ones. The server searches for them first if it has none.
pub(super) async fn find(
    client: &Client,
    terminal: &Terminal,
    version: &Version,
    layer: &Layer,
    channel: Option<usize>,
) -> anyhow::Result<ChannelExemplars> {
    #[derive(Deserialize)]
    struct Data {
        layer: WithMaps,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct WithMaps {
        feature_maps: Vec<Map>,
    }
    #[derive(Deserialize)]
    struct Map {
        channel: usize,
        picture: Picture,
    }
    let shape: Vec<usize> = layer.output_shape.iter().map(|&length| length as usize).collect();
    let [channels, ..] = planes(&shape);
    if channels > MAX_STORED_CHANNELS {
        bail!(
            "layer {} has {channels} channels; the limit of --exemplars is {MAX_STORED_CHANNELS}: use --channel without \
             --exemplars to see the images of one channel",
            layer.name
        );
    }
    if stored(client, layer, &[]).await?.is_none() {
        search(client, terminal, version).await?;
    }
    let query = "query($id: ID!, $channels: [Int!], $first: Int!) { layer(id: $id) {
        featureMaps(channels: $channels, first: $first) { channel picture { url } } } }";
    let variables = json!({ "id": layer.id, "channels": channel.map(|channel| [channel]), "first": MAX_CHANNELS });
    let maps = client.query::<Data>(query, variables).await?.layer.feature_maps;
    let wanted: Vec<usize> = maps.iter().map(|map| map.channel).collect();
    let images = stored(client, layer, &wanted)
        .await?
        .context("the exemplars have just been deleted")?;
    let channels = images.into_iter().zip(maps).map(|(mut of, mut map)| {
        of.images.iter_mut().for_each(|image| image.resolve(client));
        map.picture.resolve(client);
        Channel {
            channel: of.channel,
            images: of.images,
            feature_map: map.picture,
        }
    });
    Ok(ChannelExemplars {
        layer: layer.name.clone(),
        channels: channels.collect(),
    })
}

/// The stored exemplars of some channels, in the order of the channels; none if the layer has none.
async fn stored(client: &Client, layer: &Layer, channels: &[usize]) -> anyhow::Result<Option<Vec<Images>>> {
    #[derive(Deserialize)]
    struct Data {
        layer: Of,
    }
    let query = format!(
        "query($id: ID!, $channels: [Int!]) {{ layer(id: $id) {{ channelExemplars(channels: $channels, first: 100) {{
           nodes {{ channel images {{ {} }} }} }} }} }}",
        Exemplar::FIELDS
    );
    let variables = json!({ "id": layer.id, "channels": channels });
    let found = client.query::<Data>(&query, variables).await?.layer.channel_exemplars;
    Ok(found.map(|found| found.nodes))
}

/// Has the server search for the exemplars of all channels of all layers.
async fn search(client: &Client, terminal: &Terminal, version: &Version) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Started {
        find_exemplars: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        job: Job,
    }
    let query = format!(
        "mutation($input: FindExemplarsInput!) {{ findExemplars(input: $input) {{ job {{ {} }} }} }}",
        Job::fields()
    );
    let variables: Value = json!({ "input": { "versionId": version.id } });
    let started: Started = client.query(&query, variables).await?;
    job::wait_for(
        client,
        terminal,
        "exemplars of all channels",
        started.find_exemplars.job,
    )
    .await
}

impl ChannelExemplars {
    /// All pictures.
    pub(super) fn pictures(&self, version: &Version) -> Vec<NamedPicture> {
        let of = |channel: &Channel| {
            let name = format!("{version} layer {} channel {}", self.layer, channel.channel);
            let stem = file_stem(&name);
            let map = NamedPicture::new(format!("{stem}-map.png"), &channel.feature_map.url);
            named_pictures(&stem, &channel.images).chain([map]).collect::<Vec<_>>()
        };
        self.channels.iter().flat_map(of).collect()
    }

    /// A table of the channels.
    pub(super) fn to_text(&self, label: impl Fn(&str) -> String) -> String {
        let rows = self.channels.iter().map(|channel| {
            let first = channel.images.first();
            let max = first.map_or_else(|| "-".to_owned(), |first| score(first.activation));
            let images: Vec<String> = channel.images.iter().map(|image| image.index.to_string()).collect();
            vec![
                channel.channel.to_string(),
                max,
                images.join(" "),
                label(&channel.feature_map.url),
            ]
        });
        let head = [
            ">channel",
            ">max activation",
            "top-activating images",
            "feature map of the first",
        ];
        format!("layer {}\n\n{}", self.layer, table(&head, rows))
    }
}
