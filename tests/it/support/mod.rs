//! Helpers that the tests share.

pub mod chat;
pub mod client;
pub mod cluster;
pub mod idx;
pub mod insight;
pub mod networks;
pub mod process;
pub mod rows;
pub mod server;
pub mod socket;
