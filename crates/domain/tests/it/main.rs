//! What the domain says of real images: the digits, which another crate brings.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dataset;
mod probe;
