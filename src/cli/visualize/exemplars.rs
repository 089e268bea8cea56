//! The test images that the channels of a layer answer to most.

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::search::{Exemplar, shown};
use crate::cli::client::Client;
use crate::cli::job::{self, Job};
use crate::cli::layer::Layer;
use crate::cli::model::Version;
use crate::cli::pictures::{Picture, Shown, file_stem};
use crate::cli::table::{score, table};
use crate::cli::terminal::Terminal;
use scv_compute::feature_map::planes;
use scv_domain::exemplar::MAX_CHANNELS as MAX_CHANNELS_KEPT;

/// Channels that are shown if none is named: those that answer most.
const MAX_CHANNELS: usize = 10;

/// The channels that were looked at, the most active first.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    layer: String,
    channels: Vec<Channel>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Channel {
    channel: usize,
    images: Vec<Exemplar>,
    /// What the channel answers to the first of them, place by place.
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

/// Shows a channel, or the most active ones; looks for their images first where that has not been done.
pub(super) async fn find(
    client: &Client,
    terminal: &Terminal,
    version: &Version,
    layer: &Layer,
    channel: Option<usize>,
) -> anyhow::Result<Found> {
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
    if channels > MAX_CHANNELS_KEPT {
        bail!(
            "layer {} has {channels} channels, and images are looked for in layers of at most {MAX_CHANNELS_KEPT}: with --channel \
             and without --exemplars the images of one are shown, beside a synthetic one",
            layer.name
        );
    }
    if kept(client, layer, &[]).await?.is_none() {
        look_for(client, terminal, version).await?;
    }
    let query = "query($id: ID!, $channels: [Int!], $first: Int!) { layer(id: $id) {
        featureMaps(channels: $channels, first: $first) { channel picture { url } } } }";
    let variables = json!({ "id": layer.id, "channels": channel.map(|channel| [channel]), "first": MAX_CHANNELS });
    let maps = client.ask::<Data>(query, variables).await?.layer.feature_maps;
    let wanted: Vec<usize> = maps.iter().map(|map| map.channel).collect();
    let images = kept(client, layer, &wanted)
        .await?
        .context("the images were deleted meanwhile")?;
    let channels = images.into_iter().zip(maps).map(|(mut of, mut map)| {
        of.images.iter_mut().for_each(|image| image.at(client));
        map.picture.at(client);
        Channel {
            channel: of.channel,
            images: of.images,
            feature_map: map.picture,
        }
    });
    Ok(Found {
        layer: layer.name.clone(),
        channels: channels.collect(),
    })
}

/// What is kept of some channels, in their order; none if nothing is of the whole layer.
async fn kept(client: &Client, layer: &Layer, channels: &[usize]) -> anyhow::Result<Option<Vec<Images>>> {
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
    let found = client.ask::<Data>(&query, variables).await?.layer.channel_exemplars;
    Ok(found.map(|found| found.nodes))
}

/// Has the images of all channels of all layers looked for.
async fn look_for(client: &Client, terminal: &Terminal, version: &Version) -> anyhow::Result<()> {
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
    let started: Started = client.ask(&query, variables).await?;
    job::end_of(
        client,
        terminal,
        "exemplars of all channels",
        started.find_exemplars.job,
    )
    .await
}

impl Found {
    /// What there is to see.
    pub(super) fn pictures(&self, version: &Version) -> Vec<Shown> {
        let of = |channel: &Channel| {
            let name = format!("{version} layer {} channel {}", self.layer, channel.channel);
            let stem = file_stem(&name);
            let map = Shown::new(format!("{stem}-map.png"), &channel.feature_map.url);
            shown(&stem, &channel.images).chain([map]).collect::<Vec<_>>()
        };
        self.channels.iter().flat_map(of).collect()
    }

    /// All of it, for people.
    pub(super) fn to_text(&self) -> String {
        let rows = self.channels.iter().map(|channel| {
            let greatest = channel.images.first();
            let greatest = greatest.map_or_else(|| "-".to_owned(), |first| score(first.activation));
            let images: Vec<String> = channel.images.iter().map(|image| image.index.to_string()).collect();
            vec![
                channel.channel.to_string(),
                greatest,
                images.join(" "),
                channel.feature_map.url.clone(),
            ]
        });
        let head = [
            ">channel",
            ">greatest answer",
            "strongest images",
            "what it answers to the first",
        ];
        format!("layer {}\n\n{}", self.layer, table(&head, rows))
    }
}
