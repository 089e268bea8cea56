//! What the tests share.

pub mod client;
pub mod cluster;
pub mod process;
pub mod rows;
pub mod server;
