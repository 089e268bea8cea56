//! Integration tests of the program through its interfaces: one test binary, one module per topic.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod access;
mod analytics;
mod answers;
mod api_document;
mod artifact_folders;
mod caches;
mod catalogue;
mod clients;
mod command_line;
mod compare;
mod datasets;
mod demo;
mod diff;
mod durability;
mod embedded_server;
mod evaluation;
mod explain;
mod health;
mod imports;
mod insight;
mod jobs;
mod language_model;
mod lease;
mod limits;
mod lists;
mod lost_attempts;
mod memory;
mod migrations;
mod mirrors;
mod network_inputs;
mod networks;
mod observability;
mod page;
mod protocol;
mod reproducibility;
mod requests;
mod search;
mod search_index;
mod shares;
mod shutdown;
mod sockets;
mod synthesis;
mod throwaway_database;
mod tidy;
mod uploads;
mod version_deletion;
mod versions;
mod viewers;
mod weights;
