//! Log lines to standard error, as text or JSON; and traces to a collector.

use std::io::{self, IsTerminal as _};

use reqwest::Url;
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

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
    let filter = parsed(filter).ok_or_else(|| {
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
    // One filter for both: each takes time whenever a span is entered, which happens for every row that the database sends.
    let filter = filter.or(filter_fn(StoreTimes::measures).with_max_level_hint(LevelFilter::INFO));
    tracing_subscriber::registry()
        .with(lines.and_then(StoreTimes).with_filter(filter))
        .with(trace_layer)
        .init();
    Ok(traces)
}

/// A filter of levels and targets. Directives about spans and fields are not supported.
fn parsed(filter: &str) -> Option<Targets> {
    // An empty directive would be one of the level ERROR.
    let directives: Vec<_> = filter
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let is_supported = directives.iter().all(|directive| !directive.contains('['));
    is_supported.then(|| directives.join(",").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tracing::Level;

    use super::*;

    #[test]
    fn a_log_filter_is_a_list_of_levels_and_targets() {
        for filter in ["info,scv=debug", " info , scv=debug,", ",info,,scv=debug"] {
            let filter = parsed(filter).unwrap();
            assert!(filter.would_enable("scv_store::search", &Level::DEBUG), "{filter}");
            assert!(filter.would_enable("sqlx", &Level::INFO), "{filter}");
            assert!(!filter.would_enable("sqlx", &Level::DEBUG), "{filter}");
        }
        for filter in ["scv=loud", "scv[request]=debug", "[{id=1}]"] {
            assert!(parsed(filter).is_none(), "{filter}");
        }
    }
}
