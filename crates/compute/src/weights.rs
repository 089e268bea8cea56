//! The weights of a network: read from safetensors with every mismatch listed, drawn at random, and written.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::error::{ComputeError, NamedShape, Result, UnfitTensors, WeightError, WeightRule};
use crate::file_kind::explained;
use scv_domain::graph::{Graph, Node, Operator, ParameterRole};

/// The limit for a header, in bytes: enough for some 100,000 tensors.
const MAX_HEADER_BYTES: u64 = 16 * 1024 * 1024;

/// What an upload of weights may be.
const ACCEPTED: &str = "Accepted are a safetensors file, written by safetensors.torch.save_file, and a PyTorch state \
                        dict, written by torch.save(model.state_dict(), path). An ONNX file is a network with its \
                        weights: upload it without blocks.";

/// Tensors keyed as in [`Graph::parameters`], in f32, on one device.
#[derive(Debug, Clone, Default)]
pub struct Weights(pub(crate) BTreeMap<String, Tensor>);

impl Weights {
    /// Reads the weights of `graph` from the bytes of a safetensors file.
    ///
    /// f16 and bf16 become f32. `num_batches_tracked` of a batch normalisation is ignored: it
    /// has no effect at inference.
    ///
    /// # Errors
    /// [`ComputeError::Weights`] with every mismatch that [`check_weights`] finds.
    pub fn read(bytes: &[u8], graph: &Graph, device: &Device) -> Result<Weights> {
        let file = matching_file(bytes, graph).map_err(ComputeError::Weights)?;
        let mut tensors = BTreeMap::new();
        for (key, parameter) in graph.parameters() {
            let view = file
                .tensor(&key)
                .map_err(|error| ComputeError::Invalid(format!("tensor {key}: {error}")))?;
            let values: Vec<f32> = numbers(&view).collect();
            tensors.insert(key, Tensor::from_vec(values, parameter.shape.as_slice(), device)?);
        }
        Ok(Weights(tensors))
    }

    /// Reads weights into main memory, regardless of the device that networks run on.
    ///
    /// # Errors
    /// As [`Weights::read`].
    pub fn read_to_memory(bytes: &[u8], graph: &Graph) -> Result<Weights> {
        Self::read(bytes, graph, &Device::Cpu)
    }

    /// Draws initial weights as PyTorch's layers do, from `seed` alone.
    ///
    /// Weights and biases are uniform in ±1/√fan_in (`kaiming_uniform_` with a = √5); a batch
    /// normalisation starts as the identity. The numbers are the same on every device.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn init(graph: &Graph, seed: u64, device: &Device) -> Result<Weights> {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = BTreeMap::new();
        for node in &graph.nodes {
            for parameter in &node.parameters {
                let count = parameter.shape.iter().product();
                let values = match initial_value(node, parameter.role) {
                    Some(value) => vec![value; count],
                    None => uniform(&mut generator, bound(node), count),
                };
                let tensor = Tensor::from_vec(values, parameter.shape.as_slice(), device)?;
                tensors.insert(node.key(parameter.role), tensor);
            }
        }
        Ok(Weights(tensors))
    }

    /// The tensor with this key, if there is one.
    pub fn get(&self, key: &str) -> Option<&Tensor> {
        self.0.get(key)
    }

    /// The same weights on another device.
    ///
    /// # Errors
    /// If that device is out of memory.
    pub fn to_device(&self, device: &Device) -> Result<Weights> {
        let moved = self
            .0
            .iter()
            .map(|(key, tensor)| Ok((key.clone(), tensor.to_device(device)?)));
        moved.collect::<Result<_>>().map(Weights)
    }

    /// The size of the tensors in bytes.
    pub fn byte_len(&self) -> u64 {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.0.values().map(|tensor| bytes(tensor) as u64).sum()
    }

    /// Writes a safetensors file in f32; equal weights give equal bytes.
    ///
    /// # Errors
    /// If the numbers cannot be copied from the device.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let mut buffers = Vec::with_capacity(self.0.len());
        for (key, tensor) in &self.0 {
            let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            buffers.push((key, tensor.dims().to_vec(), bytes));
        }
        let views = buffers
            .iter()
            .map(|(key, shape, bytes)| Ok((key, TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
        views
            .and_then(|views| safetensors::serialize(views, None))
            .map_err(|error| ComputeError::Invalid(format!("the weights cannot be written: {error}")))
    }
}

/// Checks that a safetensors file holds exactly the weights of `graph`, without a device. Returns the tensors that are
/// ignored: the batch counters of PyTorch.
///
/// # Errors
/// Every mismatch: tensors that are missing, unknown, of another shape or type, or not finite. A file that cannot be
/// read at all is one error without a key.
pub fn check_weights(bytes: &[u8], graph: &Graph) -> std::result::Result<Vec<String>, Vec<WeightError>> {
    let file = matching_file(bytes, graph)?;
    let counters = batch_counters(graph).into_iter();
    Ok(counters.filter(|counter| file.tensor(counter).is_ok()).collect())
}

fn matching_file<'a>(bytes: &'a [u8], graph: &Graph) -> std::result::Result<SafeTensors<'a>, Vec<WeightError>> {
    let file = open(bytes).map_err(|reason| vec![unreadable(reason)])?;
    let mut errors = Vec::new();
    let mut expected = BTreeMap::new();
    let mut missing = Vec::new();
    for (key, parameter) in graph.parameters() {
        match file.tensor(&key) {
            Ok(view) => errors.extend(mismatch(&key, &parameter.shape, &view)),
            Err(_) => missing.push(key.clone()),
        }
        expected.insert(key, &parameter.shape);
    }
    errors.extend(missing.iter().map(|key| missing_tensor(key, expected[key])));
    let counters = batch_counters(graph);
    let mut unknown: Vec<&str> = file.names();
    unknown.retain(|name| !expected.contains_key(*name) && !counters.iter().any(|counter| counter == name));
    unknown.sort_unstable();
    let shapes = unknown
        .iter()
        .filter_map(|name| Some(NamedShape::new(name, file.tensor(name).ok()?.shape())));
    errors.extend(shapes.map(|tensor| unknown_tensor(tensor, &missing)));
    if errors.is_empty() { Ok(file) } else { Err(errors) }
}

/// Parses the header after checking its claims against the size of the file, so that a file of a few bytes cannot make
/// us reserve gigabytes.
pub(crate) fn open(bytes: &[u8]) -> std::result::Result<SafeTensors<'_>, String> {
    check_header(bytes)?;
    SafeTensors::deserialize(bytes)
        .map_err(|error| described(bytes, format!("{error} (file of {} bytes)", bytes.len())))
}

pub(crate) fn unreadable(actual: String) -> WeightError {
    WeightError {
        key: None,
        rule: WeightRule::Readable,
        expected: "a safetensors file or a PyTorch state dict".into(),
        message: format!("The weights cannot be read: {actual}. {ACCEPTED}"),
        actual,
        tensors: UnfitTensors::default(),
    }
}

/// Checks the length that a safetensors file claims for its header against the size of the file.
///
/// # Errors
/// A description of what is wrong. A file that does not even begin like a safetensors file is described by its format or
/// its first bytes.
pub(crate) fn check_header(bytes: &[u8]) -> std::result::Result<(), String> {
    let size = bytes.len();
    let Some(length) = bytes.first_chunk::<8>().map(|prefix| u64::from_le_bytes(*prefix)) else {
        return Err(explained(
            bytes,
            format!("a file of {size} bytes is too short for a header"),
        ));
    };
    if length > (size - 8) as u64 {
        let reason = format!("the file has {size} bytes but claims a header of {length} bytes");
        return Err(described(bytes, reason));
    }
    if length > MAX_HEADER_BYTES {
        let reason = format!("the header has {length} bytes; the limit is {MAX_HEADER_BYTES}");
        return Err(described(bytes, reason));
    }
    Ok(())
}

/// Why a file is not valid safetensors. If it does not even begin like one, its format or its first bytes are named.
fn described(bytes: &[u8], reason: String) -> String {
    // The header is a JSON object after its length.
    if bytes.get(8) == Some(&b'{') {
        reason
    } else {
        explained(bytes, reason)
    }
}

/// What is wrong with a tensor of the file: its type, else its shape, else its numbers.
fn mismatch(key: &str, shape: &[usize], view: &TensorView<'_>) -> Option<WeightError> {
    let error = |rule, expected: String, actual: String, message: String| {
        Some(WeightError {
            key: Some(key.into()),
            rule,
            expected,
            actual,
            message,
            tensors: UnfitTensors::pair(NamedShape::new(key, view.shape()), NamedShape::new(key, shape)),
        })
    };
    if !matches!(view.dtype(), Dtype::F16 | Dtype::BF16 | Dtype::F32) {
        let (expected, actual) = ("F32, F16 or BF16".to_owned(), view.dtype().to_string());
        let message = format!("Tensor {key} has type {actual}; save it as {expected}.");
        return error(WeightRule::Dtype, expected, actual, message);
    }
    if view.shape() != shape {
        let (expected, actual) = (format!("{shape:?}"), format!("{:?}", view.shape()));
        let message =
            format!("Tensor {key} has shape {actual} but the layer needs {expected}; change the block or the file.");
        return error(WeightRule::Shape, expected, actual, message);
    }
    let needed = NamedShape::new(key, shape);
    not_finite(NamedShape::new(key, view.shape()), needed, numbers(view))
}

/// A tensor that holds NaN or infinity.
pub(crate) fn not_finite(
    given: NamedShape,
    needed: NamedShape,
    numbers: impl Iterator<Item = f32>,
) -> Option<WeightError> {
    let count = numbers.filter(|number| !number.is_finite()).count();
    let key = given.key.clone();
    (count > 0).then(|| WeightError {
        rule: WeightRule::Finite,
        expected: "finite numbers".to_owned(),
        actual: format!("{count} NaN or infinite"),
        message: format!(
            "Tensor {key} holds {count} NaN or infinite numbers; export a checkpoint from before the training diverged."
        ),
        key: Some(key),
        tensors: UnfitTensors::pair(given, needed),
    })
}

fn missing_tensor(key: &str, shape: &[usize]) -> WeightError {
    WeightError {
        key: Some(key.into()),
        rule: WeightRule::Present,
        expected: format!("{shape:?}"),
        actual: "nothing".into(),
        message: format!("Tensor {key} of shape {shape:?} is missing; add it to the file."),
        tensors: UnfitTensors::only_needed(NamedShape::new(key, shape)),
    }
}

fn unknown_tensor(tensor: NamedShape, missing: &[String]) -> WeightError {
    let name = &tensor.key;
    let intended = missing.iter().find(|key| {
        name.strip_suffix(key.as_str())
            .is_some_and(|prefix| prefix.ends_with('.'))
    });
    let advice = match intended {
        Some(key) => format!("if it is meant to be {key}, rename it"),
        None => "remove it, or add the layer it belongs to".to_owned(),
    };
    WeightError {
        key: Some(name.clone()),
        rule: WeightRule::Known,
        expected: "nothing".into(),
        actual: "a tensor".into(),
        message: format!("Tensor {name} belongs to no layer of the network; {advice}."),
        tensors: UnfitTensors::only_given(tensor),
    }
}

/// Keys of the counters that PyTorch keeps next to the running statistics.
fn batch_counters(graph: &Graph) -> Vec<String> {
    graph
        .nodes
        .iter()
        .filter(|node| matches!(node.operator, Operator::BatchNorm2d { .. }))
        .map(|node| format!("{}.num_batches_tracked", node.path))
        .collect()
}

/// The numbers of a tensor whose type is one of the three accepted ones.
fn numbers<'a>(view: &TensorView<'a>) -> Box<dyn Iterator<Item = f32> + 'a> {
    let bytes = view.data();
    let pairs = bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    match view.dtype() {
        Dtype::F16 => Box::new(pairs.map(|pair| half::f16::from_le_bytes(pair).to_f32())),
        Dtype::BF16 => Box::new(pairs.map(|pair| half::bf16::from_le_bytes(pair).to_f32())),
        _ => Box::new(
            bytes
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])),
        ),
    }
}

/// The fixed number that a parameter starts with; `None` if it is drawn at random.
fn initial_value(node: &Node, role: ParameterRole) -> Option<f32> {
    let normalises = matches!(node.operator, Operator::BatchNorm2d { .. });
    match role {
        ParameterRole::RunningVar => Some(1.0),
        ParameterRole::RunningMean => Some(0.0),
        ParameterRole::Weight if normalises => Some(1.0),
        ParameterRole::Bias if normalises => Some(0.0),
        ParameterRole::Weight | ParameterRole::Bias | ParameterRole::Value => None,
    }
}

/// 1/√fan_in. PyTorch computes the fan from the second dimension onwards, also for transposed convolution.
fn bound(node: &Node) -> f32 {
    let weight = node
        .parameters
        .iter()
        .find(|parameter| parameter.role == ParameterRole::Weight);
    let fan_in: usize = weight.map_or(1, |weight| weight.shape.iter().skip(1).product());
    1.0 / (fan_in.max(1) as f32).sqrt()
}

fn uniform(generator: &mut ChaCha8Rng, bound: f32, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| (2.0 * generator.random::<f32>() - 1.0) * bound)
        .collect()
}

#[cfg(test)]
mod tests;
