//! `scv push`

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, SentFile, check_file};
use super::exit::{code, failure};
use super::job::{self, Job};
use super::model::{Model, ModelOptions};
use super::network::bytes;
use super::preprocessing::Preprocessing;
use super::side_file::side_files;
use super::table::table;
use super::terminal::Terminal;
use super::{blocks, dataset, model};
use crate::config::value::{MAX_INT, number, whole};
use crate::shell;
use scv_compute::onnx::file::foreign_kind;
use scv_domain::block::Block;

/// Upload a trained network
///
/// The network is an ONNX file, a list of blocks with its weights, or a file of activations that another program computed on
/// the probe images.
#[derive(Debug, Args)]
pub(super) struct Push {
    /// ONNX file (.onnx), zip of an ONNX file with its weights (.zip), or activations (.npz, .safetensors)
    #[arg(value_name = "FILE", required_unless_present_any = ["blocks", "weights"], conflicts_with_all = ["blocks", "weights"])]
    file: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOptions,
    /// Name of the data set whose probe images the layers are measured on
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// JSON file with the network's list of blocks
    #[arg(long, value_name = "FILE", requires = "weights")]
    blocks: Option<PathBuf>,
    /// Weights of the blocks: a PyTorch state dict, or a safetensors file whose keys are the block's path and PyTorch's
    /// parameter name, such as 0.weight
    #[arg(long, value_name = "FILE", requires = "blocks")]
    weights: Option<PathBuf>,
    /// File with weights of the ONNX file; can be repeated
    #[arg(long = "data", value_name = "FILE", requires = "file")]
    data: Vec<PathBuf>,
    /// Output to use if the ONNX file has several
    #[arg(long, value_name = "NAME", requires = "file")]
    output: Option<String>,
    /// Height of the network's images if the ONNX file does not define it
    #[arg(long, value_name = "ROWS", value_parser = whole::<u32>(1..=MAX_INT), requires_all = ["file", "width"])]
    height: Option<u32>,
    /// Width of the network's images if the ONNX file does not define it
    #[arg(long, value_name = "COLUMNS", value_parser = whole::<u32>(1..=MAX_INT), requires_all = ["file", "height"])]
    width: Option<u32>,
    /// The network expects colours in the order blue, green, red
    #[arg(long, requires = "file")]
    bgr: bool,
    /// Factor for pixels (0 to 255) before the mean is subtracted [default: 1/255]
    #[arg(long, value_name = "NUMBER", value_parser = number::<f32>(..), requires_all = ["mean", "std"])]
    scale: Option<f32>,
    /// Mean of each channel, separated by commas [default: the data set's]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = number::<f32>(..), requires_all = ["file", "std"])]
    mean: Vec<f32>,
    /// Standard deviation of each channel, separated by commas [default: the data set's]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = number::<f32>(..), requires_all = ["file", "mean"])]
    std: Vec<f32>,
    /// Check everything and show how weights are matched, but write nothing; the model must exist
    #[arg(long)]
    dry_run: bool,
    /// Return as soon as the upload is accepted; the job continues in the background
    #[arg(long)]
    detach: bool,
}

/// The parts of the request: the fields of its input, and the files of those that are uploads.
struct Network {
    fields: Value,
    files: Vec<SentFile>,
    /// The list of blocks, if the network is one.
    blocks: Option<Vec<Block>>,
}

impl Push {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        // What is wrong with the files can be said without a server.
        let network = self.network()?;
        for file in &network.files {
            check_file(&file.path)?;
        }
        dataset::check(client, &[&self.dataset]).await?;
        if let Some(blocks) = &network.blocks {
            blocks::check(client, blocks, &self.dataset).await?;
        }
        let model = if self.dry_run {
            self.existing_model(client).await?
        } else {
            model::ensure(client, &self.model).await?
        };
        let uploading = terminal.spinner("uploading the network");
        let mut input = network.fields;
        input["modelId"] = json!(model.id);
        input["dataset"] = json!(self.dataset);
        input["dryRun"] = json!(self.dry_run);
        let query = format!(
            "mutation($input: CreateVersionInput!) {{ createVersion(input: $input) {{
               mapping {{ by pairs {{ key from shape }} ignored }} preprocessing {{ {} }} job {{ {} }} }} }}",
            Preprocessing::FIELDS,
            Job::fields()
        );
        let variables = json!({ "input": input });
        let sent = client.upload_named(&query, variables, &network.files).await;
        let data: Data = model.keep_if(client, sent).await?;
        drop(uploading);
        let Payload {
            job,
            mapping,
            preprocessing,
        } = data.create_version;
        if let (None, Some(preprocessing)) = (&job, &preprocessing) {
            let text = format!(
                "the network can be uploaded; nothing was written\n{}",
                preprocessing.to_text()
            );
            return terminal.print(preprocessing, text);
        }
        if let Some(preprocessing) = preprocessing {
            terminal.note(preprocessing.to_text());
        }
        let Some(job) = job else {
            let text = mapping.as_ref().map_or_else(
                || "the network can be uploaded; nothing was written".to_owned(),
                Mapping::to_text,
            );
            return terminal.print(&mapping, text);
        };
        if let Some(mapping) = mapping.filter(|mapping| mapping.by != "KEY") {
            terminal.note(format!(
                "weights were matched by {}, because the keys of the file differ from those of the blocks: check the pairs with --dry-run",
                mapping.by.to_lowercase()
            ));
        }
        if self.detach {
            job::detach(client, terminal, &job)
        } else {
            job::follow(client, terminal, job, None).await
        }
    }

    /// The model of a dry run, which creates none.
    async fn existing_model(&self, client: &Client) -> anyhow::Result<Model> {
        let name = &self.model.name;
        model::existing(client, name).await.with_context(|| {
            let (name, option) = (shell::word(name), client.option());
            format!("a dry run does not create the model; create it with `scv model create {name}{option}`")
        })
    }

    fn network(&self) -> anyhow::Result<Network> {
        let Some(file) = &self.file else {
            let (Some(list), Some(weights)) = (&self.blocks, &self.weights) else {
                return Err(failure(code::USAGE, "give a file, or --blocks with --weights"));
            };
            let blocks = blocks::read(list)?;
            return Ok(Network {
                fields: json!({ "blocks": blocks, "weights": null }),
                files: vec![SentFile::new("input.weights", weights)],
                blocks: Some(blocks),
            });
        };
        let extension = file.extension().and_then(|extension| extension.to_str());
        match extension.unwrap_or_default().to_lowercase().as_str() {
            "safetensors" if has_weights(file) => {
                let message = format!(
                    "{} contains weights, not activations: give it as --weights, with the list of blocks as --blocks",
                    file.display()
                );
                Err(failure(code::USAGE, message))
            }
            "npz" | "safetensors" => Ok(Network {
                fields: json!({ "activations": null }),
                files: vec![SentFile::new("input.activations", file)],
                blocks: None,
            }),
            "onnx" | "zip" => self.onnx(file),
            _ => {
                let kind = bytes(file).ok().and_then(|bytes| foreign_kind(&bytes)).unwrap_or_else(|| {
                    "export the network to ONNX, or give a PyTorch state dict as --weights, with the list of blocks as --blocks".to_owned()
                });
                let message = format!(
                    "{} is neither an ONNX file (.onnx, .zip) nor activations (.npz, .safetensors): {kind}",
                    file.display()
                );
                Err(failure(code::USAGE, message))
            }
        }
    }

    fn onnx(&self, file: &Path) -> anyhow::Result<Network> {
        let variable = |index: usize| format!("input.onnxData.{index}");
        let given = self.data.iter().enumerate();
        let given: Vec<_> = given
            .map(|(index, path)| SentFile::new(variable(index), path))
            .collect();
        let beside = side_files(file, &self.data)?.into_iter().zip(given.len()..);
        let beside = beside.map(|(file, index)| SentFile::new(variable(index), file.path).named(file.location));
        let data: Vec<_> = given.into_iter().chain(beside).collect();
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
            "onnxData": vec![Value::Null; data.len()],
            "output": self.output,
            "preprocessing": preprocessing,
        });
        let mut files = vec![SentFile::new("input.onnx", file)];
        files.extend(data);
        Ok(Network {
            fields,
            files,
            blocks: None,
        })
    }
}

/// Maximum size of the header of a safetensors file that is read.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// Whether all tensors of a safetensors file have names of parameters. If the file cannot be read, the upload reports it.
fn has_weights(path: &Path) -> bool {
    let Some(names) = tensor_names(path) else {
        return false;
    };
    let endings = [
        ".weight",
        ".bias",
        ".running_mean",
        ".running_var",
        ".num_batches_tracked",
    ];
    let is_parameter = |name: &String| endings.iter().any(|ending| name.ends_with(ending));
    !names.is_empty() && names.iter().all(is_parameter)
}

fn tensor_names(path: &Path) -> Option<Vec<String>> {
    let mut file = File::open(path).ok()?;
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES {
        return None;
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&header).ok()?;
    let names = header.into_iter().map(|(name, _)| name);
    Some(names.filter(|name| name != "__metadata__").collect())
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
    preprocessing: Option<Preprocessing>,
}

/// Which tensor of a state dict becomes which tensor of the network.
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
            text.push_str(&format!("\n\nignored: {}", self.ignored.join(", ")));
        }
        text
    }
}
