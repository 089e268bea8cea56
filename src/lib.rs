//! SCV finds layers of trained vision networks that have learned to compute the same thing.
//!
//! The path of one request, from the outside in:
//!
//! 1. [`http`] takes it off the wire and hands it to the schema.
//! 2. [`graphql`] turns the API's words into values of [`domain`], or says what is wrong with them. Reads by key go from
//!    here straight to [`store`], batched.
//! 3. [`service`] decides, and holds the transactions.
//! 4. [`store`] (PostgreSQL), [`artifact`] (files by the hash of their content) or [`compute`] (candle, on one owned
//!    thread) does what was decided.
//!
//! The one foreign service that may be asked, a language model that explains, is spoken to in [`llm`].
//!
//! Long work is a job: the request that asks for it writes a row and a queue entry in one transaction and is answered;
//! `service::worker` takes the same path from the other end. [`app`] wires all of it together from a [`config`], and
//! [`cli`] is the program around it.

pub mod app;
pub mod cli;
pub mod config;
pub mod graphql;
pub mod http;
