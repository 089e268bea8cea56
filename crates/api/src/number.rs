//! Checks numbers in client input.

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

/// Checks that a score or a share, if there is one, is `min` to 1.
///
/// # Errors
/// It is not.
pub fn check_range(field: &str, value: Option<f64>, min: f64) -> Result<()> {
    match value {
        Some(value) if !(min..=1.0).contains(&value) => Err(ApiError::bad_input(format!(
            "`{field}` must be {min} to 1, got {value}"
        ))),
        _ => Ok(()),
    }
}
