//! `scv push`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Client, SentFile, check_file};
use super::exit::{code, failure};
use super::job::{self, Job};
use super::model::ModelOptions;
use super::network::bytes;
use super::preprocessing::Preprocessing;
use super::side_file::side_files;
use super::terminal::Terminal;
use super::weights::{self, Mapping};
use super::{blocks, dataset, model};
use crate::config::value::{MAX_INT, number, whole};
use scv_compute::onnx::file::foreign_kind;
use scv_domain::block::Block;

/// The options of a network of blocks, to which those of other networks do not apply.
const BLOCKS: [&str; 2] = ["blocks", "weights"];

/// Upload a trained network
///
/// The network is an ONNX file, a list of blocks with its weights, or a file of activations that another program computed on
/// the probe images.
#[derive(Debug, Args)]
pub(super) struct Push {
    /// ONNX file (.onnx), zip of an ONNX file with its weights (.zip), or activations (.npz, .safetensors)
    #[arg(value_name = "FILE", required_unless_present_any = ["blocks", "weights"], conflicts_with_all = BLOCKS)]
    file: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOptions,
    /// Name of the data set whose probe images the layers are measured on
    #[arg(long, value_name = "NAME")]
    dataset: String,
    /// JSON file with the network's list of blocks
    #[arg(long, value_name = "FILE", requires = "weights")]
    blocks: Option<PathBuf>,
    /// Weights of the blocks: a file of PyTorch (a state dict, a training state or a whole model), or a safetensors file
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Which tensors of the weights to take, if several dicts of the file fit, such as state_dict_ema
    #[arg(long, value_name = "KEY", requires = "weights")]
    weights_key: Option<String>,
    /// JSON file that says which weights belong to which layer: an object from blocks, such as "3", to modules of the file, such
    /// as "conv2"; --dry-run prints one
    #[arg(long, value_name = "FILE", requires = "weights")]
    map: Option<PathBuf>,
    /// File with weights of the ONNX file; can be repeated
    #[arg(long = "data", value_name = "FILE", requires = "file", conflicts_with_all = BLOCKS)]
    data: Vec<PathBuf>,
    /// Output to use if the ONNX file has several
    #[arg(long, value_name = "NAME", requires = "file", conflicts_with_all = BLOCKS)]
    output: Option<String>,
    /// Height of the network's images if the ONNX file does not define it
    #[arg(long, value_name = "ROWS", value_parser = whole::<u32>(1..=MAX_INT), requires_all = ["file", "width"], conflicts_with_all = BLOCKS)]
    height: Option<u32>,
    /// Width of the network's images if the ONNX file does not define it
    #[arg(long, value_name = "COLUMNS", value_parser = whole::<u32>(1..=MAX_INT), requires_all = ["file", "height"], conflicts_with_all = BLOCKS)]
    width: Option<u32>,
    /// The network expects colours in the order blue, green, red
    #[arg(long, requires = "file", conflicts_with_all = BLOCKS)]
    bgr: bool,
    /// Factor for pixels (0 to 255) before the mean is subtracted [default: 1/255]
    #[arg(long, value_name = "NUMBER", value_parser = number::<f32>(..), requires_all = ["mean", "std"])]
    scale: Option<f32>,
    /// Mean of each channel, separated by commas, or one for all [default: the data set's]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = number::<f32>(..), requires = "std")]
    mean: Vec<f32>,
    /// Standard deviation of each channel, separated by commas, or one for all [default: the data set's]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = number::<f32>(..), requires = "mean")]
    std: Vec<f32>,
    /// Check everything and print how weights are matched, as a file for --map, but write nothing
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
        let model = model::chosen(client, &self.model).await?;
        let uploading = terminal.spinner("uploading the network");
        let mut input = network.fields;
        for (field, value) in model.as_object().into_iter().flatten() {
            input[field] = value.clone();
        }
        input["dataset"] = json!(self.dataset);
        input["dryRun"] = json!(self.dry_run);
        let query = format!(
            "mutation($input: CreateVersionInput!) {{ createVersion(input: $input) {{
               mapping {{ {} }} preprocessing {{ {} }} job {{ {} }} }} }}",
            Mapping::FIELDS,
            Preprocessing::FIELDS,
            Job::fields()
        );
        let variables = json!({ "input": input });
        let sent = client.upload_named(&query, variables, &network.files).await;
        let data: Data = sent.map_err(|error| error.reworded(weights::in_options))?;
        drop(uploading);
        let Payload {
            job,
            mapping,
            preprocessing,
        } = data.create_version;
        if let (None, None, Some(preprocessing)) = (&job, &mapping, &preprocessing) {
            let text = format!(
                "the network can be uploaded; nothing was written\n{}",
                preprocessing.to_text()
            );
            return terminal.print(preprocessing, text);
        }
        match preprocessing {
            Some(preprocessing) => terminal.note(preprocessing.to_text()),
            None if mapping.is_some() => terminal.note(STATISTICS_OF_DATASET),
            None => {}
        }
        if let Some(mapping) = &mapping {
            terminal.note(mapping.summary());
        }
        let Some(job) = job else {
            let text = mapping.as_ref().map_or_else(
                || "the network can be uploaded; nothing was written".to_owned(),
                Mapping::to_map,
            );
            return terminal.print(&mapping, text);
        };
        model::add_tags(client, &self.model).await?;
        if self.detach {
            job::detach(client, terminal, &job)
        } else {
            job::follow(client, terminal, job, None).await
        }
    }

    /// Checks that no option for ONNX files is given with activations, which would ignore it.
    fn check_activations(&self, file: &Path) -> anyhow::Result<()> {
        let options = [
            ("--data", !self.data.is_empty()),
            ("--output", self.output.is_some()),
            ("--height", self.height.is_some()),
            ("--bgr", self.bgr),
            ("--mean", !self.mean.is_empty()),
        ];
        match options.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(failure(
                code::USAGE,
                format!(
                    "{option} is only for ONNX files, and {} contains activations: leave it out",
                    file.display()
                ),
            )),
            None => Ok(()),
        }
    }

    fn network(&self) -> anyhow::Result<Network> {
        let Some(file) = &self.file else {
            let (Some(list), Some(weights)) = (&self.blocks, &self.weights) else {
                let message = format!(
                    "weights alone do not say how the layers are connected: add --blocks with the list of blocks, or {EXPORT}"
                );
                return Err(failure(code::USAGE, message));
            };
            let blocks = blocks::read(list)?;
            let map = self.map.as_deref().map(weights::read_map).transpose()?;
            return Ok(Network {
                fields: json!({
                    "blocks": blocks, "weights": null, "weightsKey": self.weights_key, "map": map.unwrap_or_default(),
                    "preprocessing": (!self.mean.is_empty()).then(|| self.statistics()),
                }),
                files: vec![SentFile::new("input.weights", weights)],
                blocks: Some(blocks),
            });
        };
        let extension = file.extension().and_then(|extension| extension.to_str());
        match extension.unwrap_or_default().to_lowercase().as_str() {
            "safetensors" if weights::are_in(file) => {
                let message = format!(
                    "{} looks like weights, not activations: give it as --weights, with the list of blocks as --blocks, or {EXPORT}",
                    file.display()
                );
                Err(failure(code::USAGE, message))
            }
            "npz" | "safetensors" => {
                self.check_activations(file)?;
                Ok(Network {
                    fields: json!({ "activations": null }),
                    files: vec![SentFile::new("input.activations", file)],
                    blocks: None,
                })
            }
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

    /// The parts of the preprocessing that every network has.
    fn statistics(&self) -> Value {
        let list = |numbers: &[f32]| (!numbers.is_empty()).then(|| json!(numbers));
        json!({ "scale": self.scale, "mean": list(&self.mean), "std": list(&self.std) })
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
        let mut preprocessing = self.statistics();
        preprocessing["height"] = json!(self.height);
        preprocessing["width"] = json!(self.width);
        preprocessing["channelOrder"] = json!(if self.bgr { "BGR" } else { "RGB" });
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

/// How images are normalised for blocks without options.
const STATISTICS_OF_DATASET: &str =
    "input: mean and standard deviation are those of the data set; others can be set with --mean and --std";

/// How to bring a network whose blocks are not written down.
const EXPORT: &str = "export the whole network in Python with torch.onnx.export(model.eval(), images, \"network.onnx\") and \
                      push that file";

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
