//! Whole numbers that clients give.

use std::fmt::Display;

use super::error::{ApiError, Result};

/// An index, a number of things or a seed.
///
/// # Errors
/// It is below 0.
pub fn not_negative<Given, Wanted>(name: &str, number: Given) -> Result<Wanted>
where
    Given: Copy + Display,
    Wanted: TryFrom<Given>,
{
    Wanted::try_from(number).map_err(|_| ApiError::bad_input(format!("`{name}` must be 0 or more, got {number}")))
}
