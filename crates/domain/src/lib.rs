//! The domain types of SCV: plain data and pure functions. No I/O and no framework.

pub mod access;
pub mod block;
pub mod cka_matrix;
pub mod comparison;
pub mod dataset;
pub mod dataset_record;
pub mod diff;
pub mod evaluation;
pub mod exemplar;
pub mod explanation;
pub mod graph;
pub mod id;
pub mod image;
pub mod insight;
pub mod job;
pub mod model;
pub mod nearest;
pub mod page;
pub mod probe;
pub mod similarity;
pub mod synthesis;
pub mod text;
pub mod training;
pub mod upload;
pub mod vector;
pub mod version;
