//! SCV finds layers of trained vision networks that have learned to compute the same thing.
//!
//! This package is the server and the program. The path of a request, from the outside in:
//!
//! 1. [`http`] reads it and applies quotas.
//! 2. [`graphql`] checks its document against the limits and executes it.
//! 3. [`scv_api`] has the resolvers: they translate the API's terms into values of [`scv_domain`], or report what is wrong
//!    with them. Reads by key go from there straight to [`scv_store`], in batches.
//! 4. [`scv_service`] decides what to do, and owns the transactions.
//! 5. [`scv_store`] (PostgreSQL), [`scv_artifact`] (files by the hash of their content) or [`scv_compute`] (candle, on
//!    one dedicated thread) does it.
//!
//! [`scv_llm`] is the client of the only external service, an optional language model that writes explanations.
//!
//! Long-running work is a job. The request for it writes a row and a queue entry in one transaction and returns
//! immediately. [`scv_service::worker`] takes the same path from the other end. [`app`] wires everything together from
//! a [`config`], and [`cli`] is the command line.

pub mod app;
pub mod cli;
pub mod config;
pub mod graphql;
pub mod http;
mod shell;
mod telemetry;
