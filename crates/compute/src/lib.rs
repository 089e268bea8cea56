//! All numerical work of SCV. No other crate computes with candle.

pub mod activations;
pub mod attribution;
mod batches;
pub mod channel_exemplars;
pub mod cka_matrix;
pub mod control;
pub mod device;
pub mod engine;
pub mod error;
pub mod evaluate;
pub mod executor;
pub mod exemplar;
pub mod feature_map;
mod file_kind;
pub mod gram;
pub mod images;
pub mod ingest;
pub mod load;
pub mod mapping;
mod memory;
pub mod neighbours;
pub mod network;
pub mod onnx;
mod ops;
mod optimizer;
pub mod predict;
pub mod pytorch;
pub mod significance;
pub mod sketch;
pub mod synthesis;
pub mod task;
pub mod tensor_file;
pub mod trace;
pub mod train;
pub mod vector;
pub mod weights;

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod fixtures;
