//! `scv schema`

use std::io::{self, Write as _};

pub(super) fn run() -> anyhow::Result<()> {
    io::stdout().write_all(crate::graphql::sdl().as_bytes())?;
    Ok(())
}
