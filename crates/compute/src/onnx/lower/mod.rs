//! Translates each operator of ONNX into steps of the network graph.

mod arithmetic;
mod constants;
mod convolution;
mod layout;
mod lowering;
mod matrix;
mod normalise;
mod pool;
mod reduce;
mod resize;
mod select;
mod table;

pub(super) use lowering::Lowering;
pub(super) use table::{OperatorEntry, find};
