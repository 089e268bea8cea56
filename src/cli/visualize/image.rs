//! How a network processes one image.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::client::{Client, check_image};
use crate::cli::exit::{code, failure};
use crate::cli::layer::Layer;
use crate::cli::model::Version;
use crate::cli::pictures::{NamedPicture, Picture, file_stem};
use crate::cli::table::{percent, score, table};
use crate::config::value::{INT, whole};

/// An image, and how its pixels are attributed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Image")]
pub(super) struct ImageOptions {
    /// Index of a test image, starting at 0
    #[arg(long, value_name = "INDEX", value_parser = whole::<usize>(INT), conflicts_with = "file")]
    image: Option<usize>,
    /// PNG or JPEG file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Attribution method [default: integrated-gradients]; grad-cam needs --layer
    #[arg(long, value_enum)]
    method: Option<Method>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Method {
    /// Gradient of the score
    #[serde(rename = "INPUT_GRADIENT")]
    Gradient,
    /// Mean gradient of noisy copies
    SmoothGrad,
    /// Integral of the gradient from the mean image to this one
    IntegratedGradients,
    /// Activations of a layer, weighted by mean gradients
    GradCam,
}

/// Attributions of the score of a class to the pixels.
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
    image: SourceImage,
}

const ATTRIBUTION_FIELDS: &str = "method class { index name } score probability completenessError picture { url }
    overlay { url } image { picture { url } class { index name } preprocessingSteps }";

#[derive(Debug, Serialize, Deserialize)]
struct Class {
    index: usize,
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceImage {
    picture: Picture,
    /// Its class in the data set.
    class: Option<Class>,
    preprocessing_steps: Vec<String>,
}

/// The activations of a channel for an image.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeatureMap {
    channel: usize,
    mean: Option<f64>,
    layer_minimum: Option<f64>,
    layer_maximum: Option<f64>,
    picture: Picture,
    overlay: Picture,
    image: SourceImage,
}

const MAP_FIELDS: &str = "channel mean layerMinimum layerMaximum picture { url } overlay { url }
    image { picture { url } class { index name } preprocessingSteps }";

/// What was computed for an image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageReport {
    image: Option<usize>,
    #[serde(skip)]
    name: String,
    attribution: Option<Attribution>,
    feature_maps: Vec<FeatureMap>,
}

/// The parts of a version that the image is inspected with.
pub(super) struct Subject<'a> {
    pub(super) version: &'a Version,
    pub(super) layer: Option<&'a Layer>,
    pub(super) channel: Option<usize>,
    pub(super) class: Option<usize>,
}

impl ImageOptions {
    /// Whether an image is given.
    ///
    /// # Errors
    /// A method is given without an image.
    pub(super) fn is_given(&self) -> anyhow::Result<bool> {
        let is_given = self.image.is_some() || self.file.is_some();
        if self.method.is_some() && !is_given {
            let message = "--method needs an image: give one with --image or --file";
            return Err(failure(code::USAGE, message));
        }
        Ok(is_given)
    }

    /// Feature maps of the layer if one is given; attributions if no layer, or a class or a method is given.
    pub(super) async fn inspect(&self, client: &Client, subject: &Subject<'_>) -> anyhow::Result<ImageReport> {
        let &Subject {
            version,
            layer,
            channel,
            class,
        } = subject;
        let is_grad_cam = self.method == Some(Method::GradCam);
        if is_grad_cam && layer.is_none() {
            let message = "--method grad-cam needs a layer with rows and columns: give one with --layer";
            return Err(failure(code::USAGE, message));
        }
        if let Some(file) = &self.file {
            check_image(file)?;
        }
        let method_layer = layer.filter(|_| is_grad_cam).map(|layer| layer.index);
        let settings = self
            .method
            .map(|method| json!({ "method": method, "layer": method_layer }));
        let attribution = if layer.is_some() && class.is_none() && self.method.is_none() {
            None
        } else {
            let mut found = self.attribution(client, version, class, settings).await?;
            for picture in [&mut found.picture, &mut found.overlay, &mut found.image.picture] {
                picture.resolve(client);
            }
            Some(found)
        };
        let mut feature_maps = match layer {
            Some(layer) => self.feature_maps(client, layer, channel).await?,
            None => Vec::new(),
        };
        for map in &mut feature_maps {
            for picture in [&mut map.picture, &mut map.overlay, &mut map.image.picture] {
                picture.resolve(client);
            }
        }
        Ok(ImageReport {
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
                client.query(&query, variables).await?
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
            #[serde(alias = "computeFeatureMaps")]
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
                    "mutation($input: ComputeFeatureMapsInput!) {{ computeFeatureMaps(input: $input) {{
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
                client.query(&query, variables).await?
            }
        };
        Ok(data.layer.feature_maps)
    }

    /// A name for the image: its file name, or its index in the test split.
    fn name(&self) -> String {
        match (&self.file, self.image) {
            (Some(file), _) => file
                .file_name()
                .map_or_else(|| "image".to_owned(), |name| name.to_string_lossy().into_owned()),
            (None, index) => format!("test image {}", index.unwrap_or_default()),
        }
    }
}

impl ImageReport {
    /// The image as the network reads it.
    fn source(&self) -> Option<&SourceImage> {
        let of_maps = self.feature_maps.first().map(|map| &map.image);
        self.attribution.as_ref().map(|found| &found.image).or(of_maps)
    }

    /// All pictures. Their names tell methods, classes and channels apart.
    pub(super) fn pictures(&self, subject: &Subject<'_>) -> Vec<NamedPicture> {
        let stem = file_stem(&format!("{} {}", subject.version, self.name));
        let layer = subject.layer.map_or("", |layer| layer.name.as_str());
        let named = |name: String, picture: &Picture| NamedPicture::new(name, &picture.url);
        let mut pictures = Vec::new();
        pictures.extend(self.source().map(|image| named(format!("{stem}.png"), &image.picture)));
        if let Some(found) = &self.attribution {
            let mut name = format!("{stem} class {} {}", found.class.index, found.method_name());
            if found.method == "GRAD_CAM" {
                name.push_str(&format!(" layer {layer}"));
            }
            let name = file_stem(&name);
            pictures.push(named(format!("{name}.png"), &found.picture));
            pictures.push(named(format!("{name}-overlay.png"), &found.overlay));
        }
        for map in &self.feature_maps {
            let name = file_stem(&format!("{stem} layer {layer} channel {}", map.channel));
            pictures.push(named(format!("{name}.png"), &map.picture));
            pictures.push(named(format!("{name}-overlay.png"), &map.overlay));
        }
        pictures
    }

    /// The report as text; `label` says where a picture is.
    pub(super) fn to_text(&self, label: impl Fn(&str) -> String) -> String {
        let mut parts = Vec::new();
        if let Some(image) = self.source() {
            let class = image.class.as_ref().map(|class| format!(" (class {})", class.name));
            let class = class.unwrap_or_default();
            parts.push(format!("{}{class}: {}", self.name, label(&image.picture.url)));
            if !image.preprocessing_steps.is_empty() {
                parts.push(format!("preprocessing: {}", image.preprocessing_steps.join("; ")));
            }
        }
        parts.extend(self.attribution.iter().map(|found| found.to_text(&label)));
        let mut text = parts.join("\n");
        if !self.feature_maps.is_empty() {
            text.push_str(&format!("\n\n{}", self.maps_to_text(&label)));
        }
        text
    }

    fn maps_to_text(&self, label: impl Fn(&str) -> String) -> String {
        let maps = table(
            &[">channel", ">mean", "feature map"],
            self.feature_maps.iter().map(|map| {
                let mean = map.mean.map_or_else(|| "-".to_owned(), score);
                vec![map.channel.to_string(), mean, label(&map.picture.url)]
            }),
        );
        let first = self.feature_maps.first();
        let range = first.and_then(|map| map.layer_minimum.zip(map.layer_maximum));
        let range = range.map_or_else(String::new, |(min, max)| {
            format!(
                "feature maps, from dark violet for {} to yellow for {}\n",
                score(min),
                score(max)
            )
        });
        format!("{range}{maps}")
    }
}

impl Attribution {
    /// The method as it is written in sentences, such as `smooth grad`.
    fn method_name(&self) -> String {
        self.method.to_lowercase().replace('_', " ")
    }

    fn to_text(&self, label: impl Fn(&str) -> String) -> String {
        let colours = match self.method.as_str() {
            "GRAD_CAM" => "yellow supports the class most",
            _ => "red supports, blue opposes the class",
        };
        let mut text = format!(
            "class {}: probability {}, logit {}\nattribution by {} ({colours}): {}",
            self.class.name,
            percent(Some(self.probability)),
            score(self.score),
            self.method_name(),
            label(&self.overlay.url)
        );
        if let Some(error) = self.completeness_error {
            text.push_str(&format!("\ncompleteness error: {error:.2e}"));
        }
        text
    }
}
