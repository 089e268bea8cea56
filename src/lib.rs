//! SCV finds layers of trained vision networks that have learned to compute the same thing.

pub mod app;
pub mod artifact;
pub mod cli;
pub mod compute;
pub mod config;
pub mod domain;
pub mod graphql;
pub mod http;
pub mod service;
pub mod store;
