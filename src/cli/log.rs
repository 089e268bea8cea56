//! Log lines: to standard error, for people or for machines.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use super::terminal::Terminal;
use crate::config::{LogConfig, LogFormat};

/// Begins logging; `usual` is the filter if none is given.
pub(super) fn start(config: &LogConfig, usual: &str, terminal: &Terminal) -> anyhow::Result<()> {
    let filter = config.filter.as_deref().unwrap_or(usual);
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("--log {filter:?} is no log filter: write something like info,scv=debug"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(terminal.clone());
    let lines = match io::stderr().is_terminal() {
        true => lines,
        false => lines.with_ansi(false),
    };
    match config.log_format {
        LogFormat::Human => lines.with_target(false).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
