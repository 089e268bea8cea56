//! Log lines to standard error, as text or JSON; and traces to a collector.

use std::io::{self, IsTerminal as _};

use reqwest::Url;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::exit::{code, failure};
use super::terminal::Terminal;
use crate::config::{LogConfig, LogFormat};
use crate::telemetry::{self, Traces};
use scv_service::metrics::StoreTimes;

/// Starts logging, and exporting traces if there is a collector. `default` is the filter if none is configured. Must not be
/// called on a runtime; see [`telemetry::start`].
///
/// # Errors
/// The filter is invalid, or traces cannot be exported.
pub(super) fn start(
    config: &LogConfig,
    default: &str,
    collector: Option<&Url>,
    terminal: &Terminal,
) -> anyhow::Result<Traces> {
    let filter = config.filter.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).map_err(|_| {
        let message =
            format!("{filter:?} is not a log filter (--log, SCV_LOG): expected something like info,scv=debug");
        failure(code::USAGE, message)
    })?;
    let lines = fmt::layer()
        .with_writer(terminal.clone())
        .with_ansi(io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Human => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let (trace_layer, traces) = telemetry::start(collector.map(Url::as_str))?;
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(StoreTimes.with_filter(filter_fn(|metadata| metadata.is_span())))
        .with(trace_layer)
        .init();
    Ok(traces)
}
