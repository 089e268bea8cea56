//! Networks in ONNX files.
//!
//! [`file`] reads the files of an upload, and [`import`] turns them into the network graph: `lower` defines what each
//! operator means, `plan` computes everything that does not depend on the images, and `assemble` builds the graph from
//! the rest. [`export`] writes block networks as ONNX files.

mod assemble;
mod attributes;
mod batch;
pub mod blocks;
pub mod case;
mod constant;
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
pub mod types;
