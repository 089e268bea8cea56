//! `scv man`

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use serde_json::json;

use super::terminal::Terminal;

/// Write manual pages, one per command
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Directory to write the pages to; it is created if it does not exist
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
}

impl Man {
    pub(super) fn run(self, program: Command, terminal: &Terminal) -> anyhow::Result<()> {
        let directory = self.output_dir.display();
        fs::create_dir_all(&self.output_dir).with_context(|| format!("cannot create {directory}"))?;
        clap_mangen::generate_to(program, &self.output_dir).with_context(|| format!("cannot write to {directory}"))?;
        terminal.print(
            &json!({ "outputDir": self.output_dir }),
            format!("manual pages written to {directory}; read one with: man -l {directory}/scv.1"),
        )
    }
}
