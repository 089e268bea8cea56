//! Log lines, to standard error, for people or for machines; and traces, to a collector.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt};

use super::terminal::Terminal;
use crate::config::{LogConfig, LogFormat};
use scv_service::metrics::StoreTimes;

/// What traces are under, and where spans of ours come from.
const NAME: &str = env!("CARGO_PKG_NAME");

/// Sends the spans that are left when it is dropped.
pub(super) struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}

/// Begins logging, and sending traces if a collector is named; `usual` is the filter if none is given. Not to be called on a
/// runtime: what sends traces blocks a thread of its own.
pub(super) fn start(config: &LogConfig, usual: &str, terminal: &Terminal) -> anyhow::Result<Traces> {
    let filter = config.filter.as_deref().unwrap_or(usual);
    let filter = EnvFilter::try_new(filter)
        .with_context(|| format!("--log {filter:?} is no log filter: write something like info,scv=debug"))?;
    let lines = fmt::layer()
        .with_writer(terminal.clone())
        .with_ansi(io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Human => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let provider = config.otlp_endpoint.as_ref().map(provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let ours = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with(NAME));
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(NAME))
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(StoreTimes.with_filter(filter_fn(|metadata| metadata.is_span())))
        .with(traces)
        .init();
    Ok(Traces(provider))
}

fn provider(collector: &reqwest::Url) -> anyhow::Result<SdkTracerProvider> {
    let endpoint = format!("{}/v1/traces", collector.as_str().trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .build()
        .with_context(|| format!("cannot send traces to {collector}"))?;
    let resource = Resource::builder().with_service_name(NAME).build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}
