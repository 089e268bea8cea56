//! Networks in ONNX files.
//!
//! [`file`] brings an upload together, [`import`] turns it into the network graph: `lower` says what each operator means,
//! `plan` computes what can be computed beforehand, and `assemble` makes the graph of what is left. [`export`] writes
//! block networks the other way.

mod assemble;
mod attributes;
mod batch;
pub mod case;
mod constant;
pub mod error;
pub mod export;
pub mod file;
pub mod import;
mod input;
mod limit;
mod lower;
mod plan;
pub mod proto;
mod scan;
#[cfg(test)]
mod tests;

/// Oldest operator set that is read.
pub const OLDEST_OPSET: i64 = 7;

/// Newest operator set that is read.
pub const NEWEST_OPSET: i64 = 28;
