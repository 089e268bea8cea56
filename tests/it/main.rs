//! The program as its users meet it: one binary, a file a topic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod command_line;
mod demo;
mod durability;
mod embedded_server;
mod lease;
mod reproducibility;
mod shutdown;
mod similarity;
mod throwaway_database;
mod tidy;
