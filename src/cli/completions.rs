//! `scv completions`

use clap::{Args, Command};
use clap_complete::Shell;

use super::terminal::Terminal;

/// Print a completion script for a shell
///
/// For bash, for instance: scv completions bash > ~/.local/share/bash-completion/completions/scv
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Shell to complete commands for
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, mut program: Command, terminal: &Terminal) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "scv", &mut script);
        terminal.print_raw(&script)
    }
}
