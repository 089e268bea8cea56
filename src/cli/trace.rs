//! `scv trace`

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use super::network::{NetworkOptions, bytes};
use super::npy;
use super::table::counted;
use super::terminal::Terminal;
use scv_compute::onnx::case;
use scv_compute::trace::{Numbers, Traced, trace};
use scv_domain::image::ImageShape;

/// Run an ONNX file and write the output of each of its layers; needs no server
#[derive(Debug, Args)]
pub(super) struct Trace {
    /// ONNX file
    #[arg(required_unless_present = "case", requires = "input", requires = "output")]
    model: Option<PathBuf>,
    /// Input of the network: a .npy file of float32, with images along the first dimension
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Safetensors file to write; `order` in its metadata lists the names in execution order
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Directory with one of the ONNX project's test cases for operators, to run instead of a network
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "input", "output"])]
    case: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkOptions,
}

/// The tolerance of a test case: relative and absolute.
const TOLERANCE: (f32, f32) = (1e-3, 1e-5);

impl Trace {
    pub(super) fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        if let Some(folder) = &self.case {
            let (status, reason) = run_case(folder)?;
            let verdict = json!({ "status": status, "reason": reason });
            return terminal.print(&verdict, &verdict);
        }
        let (Some(model), Some(input), Some(output)) = (&self.model, &self.input, &self.output) else {
            unreachable!("they are required arguments");
        };
        let numbers = npy::read(&bytes(input)?).with_context(|| format!("{} cannot be used", input.display()))?;
        let traced = trace(self.network.import(model, image_shape(&numbers.shape))?, &numbers)?;
        write(&traced, output).with_context(|| format!("cannot write {}", output.display()))?;
        let document = json!({ "values": traced.len(), "output": output });
        terminal.print(
            &document,
            format!("wrote {} to {}", counted(traced.len(), "tensor"), output.display()),
        )
    }
}

/// The shape of the images in a batch, if its dimensions tell.
fn image_shape(batch: &[usize]) -> Option<ImageShape> {
    let (channels, height, width) = match *batch {
        [_, channels @ (1 | 3), height, width] | [_, height, width, channels @ (1 | 3)] => (channels, height, width),
        [_, height, width] => (1, height, width),
        _ => return None,
    };
    Some(ImageShape {
        channels,
        height,
        width,
    })
}

fn write(traced: &[Traced], path: &Path) -> anyhow::Result<()> {
    let stored: Vec<(&str, &[usize], Vec<u8>)> = traced
        .iter()
        .map(|Traced { name, numbers }| {
            let bytes = numbers.values.iter().flat_map(|number| number.to_le_bytes());
            (name.as_str(), numbers.shape.as_slice(), bytes.collect())
        })
        .collect();
    let mut views = Vec::with_capacity(stored.len());
    for (name, shape, bytes) in &stored {
        views.push((*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?));
    }
    let order: Vec<&str> = traced.iter().map(|value| value.name.as_str()).collect();
    let metadata = HashMap::from([("order".to_owned(), serde_json::to_string(&order)?)]);
    Ok(safetensors::serialize_to_file(views, Some(metadata), path)?)
}

/// Whether the outputs of a test case are the expected ones, for each of its sets of inputs.
fn run_case(folder: &Path) -> anyhow::Result<(&'static str, String)> {
    let model = bytes(&folder.join("model.onnx"))?;
    for set in 0.. {
        let folder = folder.join(format!("test_data_set_{set}"));
        if !folder.is_dir() {
            break;
        }
        let made = match case::run(&model, &tensors(&folder, "input")?) {
            Ok(made) => made,
            Err(refusal) => return Ok(("refused", refusal.to_string())),
        };
        for (place, bytes) in tensors(&folder, "output")?.iter().enumerate() {
            let expected = match case::expected(bytes) {
                Ok(expected) => expected,
                Err(refusal) => return Ok(("refused", refusal.to_string())),
            };
            let difference = match made.get(place) {
                Some(made) => difference(made, &expected),
                None => Some("it is missing".to_owned()),
            };
            if let Some(difference) = difference {
                return Ok(("failed", format!("output {place} of set {set}: {difference}")));
            }
        }
    }
    Ok(("passed", String::new()))
}

/// The expected tensors of one kind, in order.
fn tensors(folder: &Path, kind: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let paths = (0..).map(|place| folder.join(format!("{kind}_{place}.pb")));
    paths
        .take_while(|path| path.is_file())
        .map(|path| bytes(&path))
        .collect()
}

fn difference(made: &Numbers, expected: &Numbers) -> Option<String> {
    if made.shape != expected.shape {
        return Some(format!("its shape is {:?}, not {:?}", made.shape, expected.shape));
    }
    let (relative, absolute) = TOLERANCE;
    let near = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= absolute + relative * b.abs();
    let far = made
        .values
        .iter()
        .zip(&expected.values)
        .position(|(&a, &b)| !near(a, b))?;
    Some(format!(
        "number {far} is {}, not {}",
        made.values[far], expected.values[far]
    ))
}
