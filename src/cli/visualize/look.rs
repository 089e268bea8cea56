//! What a network makes of one image.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::client::{Client, check_file};
use crate::cli::layer::Layer;
use crate::cli::model::{Version, percent};
use crate::cli::pictures::{Picture, Shown, file_stem};
use crate::cli::table::{score, table};

/// Which image is looked at, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is made of an image")]
pub(super) struct Image {
    /// Index of a test image to look at, from 0
    #[arg(long, value_name = "INDEX", conflicts_with = "file")]
    image: Option<usize>,
    /// A PNG or JPEG file to look at
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// How pixels are weighed; usually by integrated gradients. Grad-CAM is of the layer that is named
    #[arg(long)]
    method: Option<Method>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Method {
    #[serde(rename = "INPUT_GRADIENT")]
    Gradient,
    SmoothGrad,
    IntegratedGradients,
    GradCam,
}

/// Which pixels of an image a class hangs on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attribution {
    method: String,
    class: Class,
    score: f64,
    probability: f64,
    completeness_error: Option<f64>,
    picture: Picture,
    overlay: Picture,
    image: SeenImage,
}

const ATTRIBUTION_FIELDS: &str = "method class { index name } score probability completenessError picture { url }
    overlay { url } image { picture { url } class { index name } preparations }";

#[derive(Debug, Serialize, Deserialize)]
struct Class {
    index: usize,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct SeenImage {
    picture: Picture,
    /// As the data set has it.
    class: Option<Class>,
    preparations: Vec<String>,
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
    image: SeenImage,
}

const MAP_FIELDS: &str = "channel mean layerMinimum layerMaximum picture { url } overlay { url }
    image { picture { url } class { index name } preparations }";

/// What is seen of one image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Look {
    image: Option<usize>,
    #[serde(skip)]
    name: String,
    attribution: Option<Attribution>,
    feature_maps: Vec<FeatureMap>,
}

/// What of a version looks at the image.
pub(super) struct Subject<'a> {
    pub(super) version: &'a Version,
    pub(super) layer: Option<&'a Layer>,
    pub(super) channel: Option<usize>,
    pub(super) class: Option<usize>,
}

impl Image {
    /// Whether there is any to look at.
    ///
    /// # Errors
    /// It is said how, and not at what.
    pub(super) fn is_given(&self) -> anyhow::Result<bool> {
        let is_given = self.image.is_some() || self.file.is_some();
        if self.method.is_some() && !is_given {
            bail!("--method is how the pixels of an image are weighed: name one with --image or --file");
        }
        Ok(is_given)
    }

    /// What a layer answers to it, and which pixels of it a class hangs on if that is asked or no layer is named.
    pub(super) async fn look(&self, client: &Client, subject: Subject<'_>) -> anyhow::Result<Look> {
        let Subject {
            version,
            layer,
            channel,
            class,
        } = subject;
        let is_grad_cam = self.method == Some(Method::GradCam);
        if is_grad_cam && layer.is_none() {
            bail!("Grad-CAM weighs the channels of a layer with rows and columns: name one with --layer");
        }
        if let Some(file) = &self.file {
            check_file(file)?;
        }
        let of_method = layer.filter(|_| is_grad_cam).map(|layer| layer.index);
        let settings = self
            .method
            .map(|method| json!({ "method": method, "layer": of_method }));
        let attribution = match layer.is_some() && class.is_none() && self.method.is_none() {
            true => None,
            false => {
                let mut found = self.attribution(client, version, class, settings).await?;
                for picture in [&mut found.picture, &mut found.overlay, &mut found.image.picture] {
                    picture.at(client);
                }
                Some(found)
            }
        };
        let mut feature_maps = match layer {
            Some(layer) => self.feature_maps(client, layer, channel).await?,
            None => Vec::new(),
        };
        for map in &mut feature_maps {
            for picture in [&mut map.picture, &mut map.overlay, &mut map.image.picture] {
                picture.at(client);
            }
        }
        Ok(Look {
            image: self.image,
            name: self.name(),
            attribution,
            feature_maps,
        })
    }

    async fn attribution(
        &self,
        client: &Client,
        version: &Version,
        class: Option<usize>,
        settings: Option<Value>,
    ) -> anyhow::Result<Attribution> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(alias = "attributeImage")]
            version: Of,
        }
        #[derive(Deserialize)]
        struct Of {
            attribution: Attribution,
        }
        let data: Data = match &self.file {
            Some(file) => {
                let query = format!(
                    "mutation($input: AttributeImageInput!) {{ attributeImage(input: $input) {{
                       attribution {{ {ATTRIBUTION_FIELDS} }} }} }}"
                );
                let input = json!({ "versionId": version.id, "image": null, "class": class, "settings": settings });
                let files = [("input.image", file.as_path())];
                client.upload(&query, json!({ "input": input }), &files).await?
            }
            None => {
                let query = format!(
                    "query($id: ID!, $image: Int!, $class: Int, $settings: AttributionSettings) {{ version(id: $id) {{
                       attribution(image: $image, class: $class, settings: $settings) {{ {ATTRIBUTION_FIELDS} }} }} }}"
                );
                let image = self.image;
                let variables = json!({ "id": version.id, "image": image, "class": class, "settings": settings });
                client.ask(&query, variables).await?
            }
        };
        Ok(data.version.attribution)
    }

    async fn feature_maps(
        &self,
        client: &Client,
        layer: &Layer,
        channel: Option<usize>,
    ) -> anyhow::Result<Vec<FeatureMap>> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(alias = "mapImage")]
            layer: Of,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Of {
            feature_maps: Vec<FeatureMap>,
        }
        let channels = channel.map(|channel| vec![channel]);
        let data: Data = match &self.file {
            Some(file) => {
                let query = format!(
                    "mutation($input: MapImageInput!) {{ mapImage(input: $input) {{
                       featureMaps {{ {MAP_FIELDS} }} }} }}"
                );
                let input = json!({ "layerId": layer.id, "image": null, "channels": channels });
                let files = [("input.image", file.as_path())];
                client.upload(&query, json!({ "input": input }), &files).await?
            }
            None => {
                let query = format!(
                    "query($id: ID!, $image: Int!, $channels: [Int!]) {{ layer(id: $id) {{
                       featureMaps(image: $image, channels: $channels) {{ {MAP_FIELDS} }} }} }}"
                );
                let variables = json!({ "id": layer.id, "image": self.image, "channels": channels });
                client.ask(&query, variables).await?
            }
        };
        Ok(data.layer.feature_maps)
    }

    /// For people.
    fn name(&self) -> String {
        match (&self.file, self.image) {
            (Some(file), _) => file
                .file_name()
                .map_or_else(|| "image".to_owned(), |name| name.to_string_lossy().into_owned()),
            (None, index) => format!("test image {}", index.unwrap_or_default()),
        }
    }
}

impl Look {
    /// The image itself.
    fn seen(&self) -> Option<&SeenImage> {
        let of_maps = self.feature_maps.first().map(|map| &map.image);
        self.attribution.as_ref().map(|found| &found.image).or(of_maps)
    }

    /// What there is to see.
    pub(super) fn pictures(&self, version: &Version, layer: Option<&Layer>) -> Vec<Shown> {
        let stem = file_stem(&format!("{version} {}", self.name));
        let shown = |name: String, picture: &Picture| Shown::new(name, &picture.url);
        let mut pictures = Vec::new();
        pictures.extend(self.seen().map(|image| shown(format!("{stem}.png"), &image.picture)));
        if let Some(Attribution { picture, overlay, .. }) = &self.attribution {
            pictures.push(shown(format!("{stem}-attribution.png"), picture));
            pictures.push(shown(format!("{stem}-attribution-overlay.png"), overlay));
        }
        for map in &self.feature_maps {
            let layer = layer.map_or("", |layer| layer.name.as_str());
            let name = file_stem(&format!("{stem} layer {layer} channel {}", map.channel));
            pictures.push(shown(format!("{name}.png"), &map.picture));
            pictures.push(shown(format!("{name}-overlay.png"), &map.overlay));
        }
        pictures
    }

    /// All of it, for people.
    pub(super) fn to_text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(image) = self.seen() {
            let class = image.class.as_ref().map(|class| format!(", of class {}", class.name));
            parts.push(format!(
                "{}{}: {}",
                self.name,
                class.unwrap_or_default(),
                image.picture.url
            ));
            if !image.preparations.is_empty() {
                parts.push(format!("the image was {}", image.preparations.join(", ")));
            }
        }
        parts.extend(self.attribution.iter().map(Attribution::to_text));
        let mut text = parts.join("\n");
        if !self.feature_maps.is_empty() {
            text.push_str(&format!("\n\n{}", self.maps_to_text()));
        }
        text
    }

    fn maps_to_text(&self) -> String {
        let maps = table(
            &[">channel", ">mean", "feature map"],
            self.feature_maps.iter().map(|map| {
                let mean = map.mean.map_or_else(|| "-".to_owned(), score);
                vec![map.channel.to_string(), mean, map.picture.url.clone()]
            }),
        );
        let first = self.feature_maps.first();
        let ends = first.and_then(|map| map.layer_minimum.zip(map.layer_maximum));
        let ends = ends.map_or_else(String::new, |(least, most)| {
            let (least, most) = (score(least), score(most));
            format!("feature maps, dark violet for {least} to yellow for {most}\n")
        });
        format!("{ends}{maps}")
    }
}

impl Attribution {
    fn to_text(&self) -> String {
        let colours = match self.method.as_str() {
            "GRAD_CAM" => "yellow where most speaks for that class",
            _ => "red for and blue against that class",
        };
        let method = self.method.to_lowercase().replace('_', " ");
        let mut text = format!(
            "class {} has {} and the logit {}\nits pixels, {colours} ({method}): {}",
            self.class.name,
            percent(Some(self.probability)),
            score(self.score),
            self.overlay.url
        );
        if let Some(error) = self.completeness_error {
            text.push_str(&format!(
                "\nwhat they add up to misses the difference of the scores of this and the mean image by {error:.2e}"
            ));
        }
        text
    }
}
