//! Puts nodes before a file's network that turn images into the input that it reads.

use candle_core::{Device, Tensor};

use super::constant;
use super::flat::{FlatGraph, FlatNode};
use super::input::InputShape;
use super::plan::first_line;
use crate::error::OnnxError;
use scv_domain::input::InputLayout;

/// The operator set of the added nodes.
const OPSET: i64 = 17;

/// The graph for images of [`InputShape::image`], and the name that they have in it.
///
/// # Errors
/// Memory is exhausted.
pub(super) fn adapted<'a>(mut graph: FlatGraph<'a>, shape: &InputShape) -> Result<(FlatGraph<'a>, String), OnnxError> {
    let is_reshaped = !matches!(
        shape.format.layout,
        InputLayout::ChannelsFirst | InputLayout::ChannelsLast
    );
    let mut added = Vec::new();
    let mut add = |operator: &'static str, input: Vec<String>, output: String| {
        added.push(FlatNode {
            name: output.clone(),
            op_type: operator,
            domain: "",
            opset: OPSET,
            input,
            output: vec![output],
            attributes: Vec::new(),
            guards: Vec::new(),
        });
    };
    let refused = |error: candle_core::Error| OnnxError::Unreadable(first_line(&error));
    let mut value = shape.name.clone();
    if is_reshaped {
        // A dimension of 0 stays as it is.
        let dims = shape.dims.iter().map(|dim| dim.map_or(0, |dim| dim as i64));
        let dims = graph.add_constant(constant::list(dims.collect()).map_err(refused)?);
        let images = graph.unused_name(&shape.name);
        add("Reshape", vec![images.clone(), dims], value);
        value = images;
    }
    if shape.keeps_integers {
        let integer = Tensor::new(0_i64, &Device::Cpu).map_err(refused)?;
        let integer = graph.add_constant(integer);
        let rounded = graph.unused_name(&format!("{}.rounded", shape.name));
        let images = graph.unused_name(&format!("{}.images", shape.name));
        add("CastLike", vec![rounded.clone(), integer], value);
        add("Round", vec![images.clone()], rounded);
        value = images;
    }
    added.reverse();
    graph.nodes.splice(0..0, added);
    Ok((graph, value))
}
