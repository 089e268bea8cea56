//! Translates each operator of ONNX into steps of the network graph.

mod arithmetic;
mod attention;
mod constants;
mod convolution;
mod einsum;
mod fused;
mod layout;
mod lowering;
mod matrix;
mod normalise;
mod pool;
mod quantise;
mod quantised;
mod reduce;
mod resize;
mod select;
mod table;

pub(super) use lowering::Lowering;
pub(super) use table::{Measured, OperatorEntry, find};
