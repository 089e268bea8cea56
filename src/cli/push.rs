//! `scv push`

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, check_file};
use super::job::{self, Job};
use super::model::ModelOptions;
use super::table::table;
use super::terminal::Terminal;
use super::{blocks, model};
use crate::config::ClientConfig;

/// Bring a trained network to the server and wait until it can be searched
///
/// The network is a block list with its weights, an ONNX file, or a file of activations that another program computed on
/// the probe images.
#[derive(Debug, Args)]
pub(super) struct Push {
    /// An ONNX file (.onnx), a zip of one with its weights (.zip), or activations (.npz, .safetensors)
    #[arg(value_name = "FILE", required_unless_present = "blocks", conflicts_with_all = ["blocks", "weights"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOptions,
    /// Name of the data set whose probe images the layers are measured on
    #[arg(long)]
    dataset: String,
    /// A JSON file with the network's list of blocks
    #[arg(long, value_name = "FILE", requires = "weights")]
    blocks: Option<PathBuf>,
    /// The weights of the blocks: a safetensors file whose keys are the block's place and PyTorch's parameter name, such as
    /// 0.weight, or a state dict of PyTorch
    #[arg(long, value_name = "FILE", requires = "blocks")]
    weights: Option<PathBuf>,
    /// A file that holds weights of the ONNX file; can be given several times
    #[arg(long = "data", value_name = "FILE", requires = "file")]
    data: Vec<PathBuf>,
    /// The output of the ONNX file to take, where it has several
    #[arg(long, requires = "file")]
    output: Option<String>,
    /// Rows of the network's images, where the ONNX file leaves them open
    #[arg(long, requires_all = ["file", "width"])]
    height: Option<u32>,
    /// Columns of the network's images, where the ONNX file leaves them open
    #[arg(long, requires_all = ["file", "height"])]
    width: Option<u32>,
    /// The network takes colours as blue, green, red
    #[arg(long, requires = "file")]
    bgr: bool,
    /// What pixels (0 to 255) are multiplied with before the mean is subtracted; 1/255 if left out
    #[arg(long, requires_all = ["mean", "std"])]
    scale: Option<f32>,
    /// Mean of each channel, separated by commas; the data set's if left out
    #[arg(long, value_delimiter = ',', requires_all = ["file", "std"])]
    mean: Vec<f32>,
    /// Deviation of each channel, separated by commas
    #[arg(long, value_delimiter = ',', requires_all = ["file", "mean"])]
    std: Vec<f32>,
    /// Check everything, show how weights are matched, and write nothing; the model has to be there
    #[arg(long)]
    dry_run: bool,
    /// Return as soon as the upload is checked
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    client: ClientConfig,
}

/// What goes into the request: fields of the input, and files for some of them.
struct Network<'a> {
    fields: Value,
    files: Vec<(String, &'a Path)>,
}

impl Push {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let network = self.network(&client).await?;
        for (_, path) in &network.files {
            check_file(path)?;
        }
        let model = match self.dry_run {
            true => model::existing(&client, &self.model.name).await?,
            false => model::ensure(&client, &self.model).await?,
        };
        let uploading = terminal.spinner("sending the network");
        let mut input = network.fields;
        input["modelId"] = json!(model.id);
        input["dataset"] = json!(self.dataset);
        input["dryRun"] = json!(self.dry_run);
        let query = format!(
            "mutation($input: CreateVersionInput!) {{ createVersion(input: $input) {{
               mapping {{ by pairs {{ key from shape }} ignored }} job {{ {} }} }} }}",
            Job::fields()
        );
        let files: Vec<_> = network
            .files
            .iter()
            .map(|(field, path)| (field.as_str(), *path))
            .collect();
        let sent = client.upload(&query, json!({ "input": input }), &files).await;
        let data: Data = model.keep_if(&client, sent).await?;
        drop(uploading);
        let Payload { job, mapping } = data.create_version;
        match job {
            Some(job) if self.detach => job::detach(&client, terminal, &job),
            Some(job) => job::follow(&client, terminal, job, None).await,
            None => {
                let text = mapping
                    .as_ref()
                    .map_or("everything fits; nothing was written".to_owned(), Mapping::to_text);
                terminal.answer(&mapping, text)
            }
        }
    }

    async fn network(&self, client: &Client) -> anyhow::Result<Network<'_>> {
        let Some(file) = &self.file else {
            let (Some(list), Some(weights)) = (&self.blocks, &self.weights) else {
                bail!("give a file, or --blocks with --weights");
            };
            let blocks = blocks::read(list)?;
            blocks::check(client, &blocks, &self.dataset).await?;
            return Ok(Network {
                fields: json!({ "blocks": blocks, "weights": null }),
                files: vec![("input.weights".to_owned(), weights)],
            });
        };
        let ending = file
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default()
            .to_lowercase();
        match ending.as_str() {
            "npz" | "safetensors" => Ok(Network {
                fields: json!({ "activations": null }),
                files: vec![("input.activations".to_owned(), file)],
            }),
            "onnx" | "zip" => Ok(self.onnx(file)),
            _ => bail!(
                "{} is neither an ONNX file (.onnx, .zip) nor activations (.npz, .safetensors); state dicts of PyTorch \
                 go with --blocks and --weights",
                file.display()
            ),
        }
    }

    fn onnx<'a>(&'a self, file: &'a Path) -> Network<'a> {
        let mut files = vec![("input.onnx".to_owned(), file)];
        let data = self.data.iter().enumerate();
        files.extend(data.map(|(index, path)| (format!("input.onnxData.{index}"), path.as_path())));
        let list = |numbers: &[f32]| (!numbers.is_empty()).then(|| json!(numbers));
        let preprocessing = json!({
            "height": self.height,
            "width": self.width,
            "channelOrder": if self.bgr { "BGR" } else { "RGB" },
            "scale": self.scale,
            "mean": list(&self.mean),
            "std": list(&self.std),
        });
        let fields = json!({
            "onnx": null,
            "onnxData": vec![Value::Null; self.data.len()],
            "output": self.output,
            "preprocessing": preprocessing,
        });
        Network { fields, files }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    create_version: Payload,
}

#[derive(Deserialize)]
struct Payload {
    job: Option<Job>,
    mapping: Option<Mapping>,
}

/// Which tensor of a state dict becomes which of the network.
#[derive(Debug, Serialize, Deserialize)]
struct Mapping {
    by: String,
    pairs: Vec<Pair>,
    ignored: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Pair {
    key: String,
    from: String,
    shape: Vec<usize>,
}

impl Mapping {
    fn to_text(&self) -> String {
        let shape = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let rows = self
            .pairs
            .iter()
            .map(|pair| vec![pair.key.clone(), pair.from.clone(), shape(&pair.shape)]);
        let mut text = format!(
            "matched by {}; nothing was written\n\n{}",
            self.by.to_lowercase(),
            table(&["network", "file", "shape"], rows)
        );
        if !self.ignored.is_empty() {
            text.push_str(&format!("\n\nnot needed: {}", self.ignored.join(", ")));
        }
        text
    }
}
