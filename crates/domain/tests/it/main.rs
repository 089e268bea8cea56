//! Tests of the domain on real images: the digits, which come from another crate.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dataset;
mod probe;
