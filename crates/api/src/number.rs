//! Checks whole numbers in client input.

use std::fmt::Display;

use super::error::{ApiError, Result};

/// Converts an index, a count or a seed to an unsigned type.
///
/// # Errors
/// The number is negative.
pub fn non_negative<Signed, Unsigned>(name: &str, number: Signed) -> Result<Unsigned>
where
    Signed: Copy + Display,
    Unsigned: TryFrom<Signed>,
{
    Unsigned::try_from(number).map_err(|_| ApiError::bad_input(format!("`{name}` must be 0 or more, got {number}")))
}
