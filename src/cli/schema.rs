//! `scv schema`

use super::terminal::Terminal;

pub(super) fn run(terminal: &Terminal) -> anyhow::Result<()> {
    terminal.print_raw(scv_api::sdl().as_bytes())
}
