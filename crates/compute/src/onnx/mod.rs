//! Networks in ONNX files.
//!
//! [`file`] reads the files of an upload, and [`import`] turns them into the network graph: `flat` makes one list of nodes of the
//! file's graph, functions and branches, `input` finds out how it reads images, `lower` defines what each operator means, `plan` computes everything that does not depend on the images, and `assemble` builds the graph from
//! the rest. [`export`] writes block networks as ONNX files.

mod adapt;
mod archive;
mod assemble;
mod attributes;
mod batch;
pub mod blocks;
pub mod case;
mod constant;
pub mod export;
mod external;
pub mod file;
mod flat;
mod foreign;
pub mod import;
mod input;
mod limit;
mod lower;
mod plan;
pub mod proto;
mod reader;
mod scan;
mod sparse;
#[cfg(test)]
mod tests;
pub mod types;
