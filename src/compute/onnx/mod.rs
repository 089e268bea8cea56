//! Networks in ONNX files.

pub mod proto;
