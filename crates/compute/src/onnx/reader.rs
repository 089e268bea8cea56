//! What a network does first with its input: which convolution reads it, and what happens before.

use std::collections::{HashMap, HashSet};

use super::constant;
use super::file::is_onnx_domain;
use super::flat::{Constant, FlatGraph, FlatNode};
use super::proto::TensorProto;

/// What a dimension of the input counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Batch,
    Channels,
    /// Rows or columns.
    Side,
    /// All numbers of an image.
    Numbers,
}

/// The first convolution that reads the input.
#[derive(Debug, PartialEq)]
pub(super) struct FirstConvolution {
    pub(super) node: String,
    pub(super) channels: usize,
    /// The dimensions of the input that it reads.
    pub(super) roles: Vec<Role>,
}

/// Operators that leave every number where it is, or only change what is around it.
const CARRIERS: [&str; 18] = [
    "Add",
    "BatchNormalization",
    "Cast",
    "CastLike",
    "Clip",
    "DequantizeLinear",
    "Div",
    "Dropout",
    "Identity",
    "Mul",
    "Neg",
    "Pad",
    "QuantizeLinear",
    "Resize",
    "Sub",
    "Transpose",
    "Unsqueeze",
    "Upsample",
];

/// Bytes of a constant that can be the mean or the deviation of each channel.
const MAX_STATISTICS_BYTES: u64 = 1 << 10;

/// Operators of a network's own normalisation.
const ARITHMETIC: [&str; 4] = ["Add", "Div", "Mul", "Sub"];

/// Operators that rearrange numbers of any type.
const REARRANGING: [&str; 9] = [
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// How many nodes may stand between a kernel and its convolution, such as those that restore its numbers from integers.
const MAX_CONVERSIONS: usize = 8;

/// Operators that take integers and compute with floating point, or only with shapes.
const CONVERTING: [&str; 9] = [
    "Cast",
    "CastLike",
    "ConvInteger",
    "DequantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "Shape",
    "Size",
];

/// Finds the first convolution that reads the input through operators that do not change which channel is which.
pub(super) fn first_convolution(graph: &FlatGraph<'_>, input: &str) -> Option<FirstConvolution> {
    let mut carried_by: HashMap<&str, &FlatNode<'_>> = HashMap::new();
    for node in own_operators(graph) {
        let reads = |name: &str| name == input || carried_by.contains_key(name);
        let Some(first) = node.input.first() else { continue };
        if is_convolution(node) && reads(first) {
            let channels = channels_of(graph, node)?;
            let mut roles = vec![Role::Batch, Role::Channels, Role::Side, Role::Side];
            let mut value = first.as_str();
            while value != input {
                let carrier = carried_by.get(value)?;
                roles = roles_before(graph, carrier, roles)?;
                let mut sources = carrier.input.iter().map(String::as_str);
                value = sources.find(|name| *name == input || carried_by.contains_key(name))?;
            }
            return Some(FirstConvolution {
                node: node.title().to_owned(),
                channels,
                roles,
            });
        }
        let is_carried = CARRIERS.contains(&node.op_type) && node.input.iter().any(|name| reads(name));
        if let Some(output) = node.output.first().filter(|_| is_carried) {
            carried_by.insert(output, node);
        }
    }
    None
}

/// The arithmetic with constants that a network begins with.
#[derive(Debug, Default)]
pub(super) struct OwnArithmetic {
    /// The operators, each once.
    pub(super) operators: Vec<String>,
    /// Whether it makes numbers much smaller, as pixels from 0 to 255 are brought to numbers about one.
    pub(super) scales_pixels: bool,
}

/// Factors up to this one bring pixels from 0 to 255 to numbers about one: 1/255, 2/255, and the inverses of deviations of pixels.
const PIXEL_FACTOR: f32 = 1.0 / 32.0;

/// The arithmetic with constants that the network begins with.
pub(super) fn own_arithmetic(graph: &FlatGraph<'_>, input: &str) -> OwnArithmetic {
    let mut carried = HashSet::from([input]);
    let mut found = OwnArithmetic::default();
    for node in own_operators(graph) {
        let count = node.input.iter().filter(|name| carried.contains(name.as_str())).count();
        if count != 1 || !CARRIERS.contains(&node.op_type) {
            continue;
        }
        carried.extend(node.output.first().map(String::as_str));
        if !ARITHMETIC.contains(&node.op_type) {
            continue;
        }
        let constant = node
            .input
            .iter()
            .find_map(|name| floats(graph, name))
            .unwrap_or_default();
        let is_small = |number: &f32| match node.op_type {
            "Div" => number.abs() >= 1.0 / PIXEL_FACTOR,
            "Mul" => number.abs() <= PIXEL_FACTOR,
            _ => false,
        };
        found.scales_pixels |= !constant.is_empty() && constant.iter().all(is_small);
        if !found.operators.iter().any(|known| known == node.op_type) {
            found.operators.push(node.op_type.to_owned());
        }
    }
    found
}

/// Whether every reader of the input converts it to floating point before it computes with it.
pub(super) fn is_converted_first(graph: &FlatGraph<'_>, input: &str) -> bool {
    let mut rearranged = HashSet::from([input]);
    for node in &graph.nodes {
        if !node.input.iter().any(|name| rearranged.contains(name.as_str())) {
            continue;
        }
        if REARRANGING.contains(&node.op_type) {
            rearranged.extend(node.output.iter().map(String::as_str));
        } else if !CONVERTING.contains(&node.op_type) {
            return false;
        }
    }
    true
}

fn own_operators<'g, 'a>(graph: &'g FlatGraph<'a>) -> impl Iterator<Item = &'g FlatNode<'a>> {
    graph.nodes.iter().filter(|node| is_onnx_domain(node.domain))
}

fn is_convolution(node: &FlatNode<'_>) -> bool {
    matches!(node.op_type, "Conv" | "ConvInteger" | "ConvTranspose" | "QLinearConv")
}

/// The number of channels that a convolution reads; `None` if its kernel is computed.
fn channels_of(graph: &FlatGraph<'_>, node: &FlatNode<'_>) -> Option<usize> {
    let (kernel, axis) = match node.op_type {
        "QLinearConv" => (3, 1),
        "ConvTranspose" => (1, 0),
        _ => (1, 1),
    };
    let dims = constant_dims(graph, node.input.get(kernel)?)?;
    let groups = match (node.op_type, node.attribute("group")) {
        ("ConvTranspose", _) | (_, None) => 1,
        (_, Some(groups)) => groups.i,
    };
    usize::try_from(dims.get(axis)?.checked_mul(groups)?)
        .ok()
        .filter(|&channels| channels > 0)
}

/// The shape of a constant, also of one that is stored in another type.
fn constant_dims(graph: &FlatGraph<'_>, name: &str) -> Option<Vec<i64>> {
    let mut name = name;
    for _ in 0..MAX_CONVERSIONS {
        if let Some(constant) = graph.constant(name) {
            return Some(constant.dims());
        }
        let node = own_operators(graph).find(|node| node.output.iter().any(|output| output == name))?;
        match node.op_type {
            "Constant" => return Some(node.attribute("value")?.t.as_ref()?.dims.clone()),
            "Identity" | "Cast" | "CastLike" | "DequantizeLinear" | "QuantizeLinear" => name = node.input.first()?,
            _ => return None,
        }
    }
    None
}

/// The roles of the dimensions that a carrier reads, from those that it writes.
fn roles_before(graph: &FlatGraph<'_>, node: &FlatNode<'_>, after: Vec<Role>) -> Option<Vec<Role>> {
    match node.op_type {
        "Transpose" => {
            let order: Vec<usize> = match node.attribute("perm") {
                Some(order) => order
                    .ints
                    .iter()
                    .map(|&axis| usize::try_from(axis).ok())
                    .collect::<Option<_>>()?,
                None => (0..after.len()).rev().collect(),
            };
            let place = |axis: usize| Some(after[order.iter().position(|&from| from == axis)?]);
            (0..after.len()).map(place).collect()
        }
        "Unsqueeze" => {
            let axes = match node.attribute("axes") {
                Some(axes) => axes.ints.clone(),
                None => integers(graph, node.input.get(1)?)?,
            };
            let added: Vec<usize> = axes
                .iter()
                .map(|&axis| place(axis, after.len()))
                .collect::<Option<_>>()?;
            let kept = after.iter().enumerate().filter(|(axis, _)| !added.contains(axis));
            Some(kept.map(|(_, role)| *role).collect())
        }
        _ => Some(after),
    }
}

fn place(axis: i64, rank: usize) -> Option<usize> {
    usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok()
}

/// The integers of a constant.
fn integers(graph: &FlatGraph<'_>, name: &str) -> Option<Vec<i64>> {
    constant::integers(&constant::tensor(constant_of(graph, name)?).ok()?).ok()
}

/// The numbers of a constant as small as those of a normalisation.
fn floats(graph: &FlatGraph<'_>, name: &str) -> Option<Vec<f32>> {
    let tensor = constant_of(graph, name).filter(|tensor| constant::decoded_bytes(tensor) <= MAX_STATISTICS_BYTES)?;
    constant::floats(&constant::tensor(tensor).ok()?).ok()
}

fn constant_of<'a>(graph: &FlatGraph<'a>, name: &str) -> Option<&'a TensorProto> {
    match graph.constant(name) {
        Some(Constant::Dense(tensor)) => Some(tensor),
        Some(_) => None,
        None => {
            let node = own_operators(graph).find(|node| node.output.iter().any(|output| output == name))?;
            node.attribute("value")?.t.as_ref()
        }
    }
}
