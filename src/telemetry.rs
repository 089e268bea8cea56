//! Exports traces of requests to an OpenTelemetry collector. No other file names OpenTelemetry.
//!
//! The exporter takes long to compile, so it is behind the cargo feature `otlp`. A build without it refuses to start if
//! a collector is configured, because an operator would otherwise wait for traces that never arrive.

use tracing_subscriber::Layer;

#[cfg(feature = "otlp")]
pub use self::otlp::{Traces, adopt_parent, start};
#[cfg(not(feature = "otlp"))]
pub use self::without_otlp::{Traces, adopt_parent, start};

/// The layer that records spans for export.
pub type TraceLayer<S> = Box<dyn Layer<S> + Send + Sync>;

#[cfg(feature = "otlp")]
mod otlp {
    use actix_web::http::header::{HeaderMap, HeaderName};
    use anyhow::Context as _;
    use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{Span, Subscriber};
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::registry::LookupSpan;

    use super::TraceLayer;

    /// The service name of the traces, and the prefix of the targets of our own spans.
    const NAME: &str = env!("CARGO_PKG_NAME");

    /// The header that names the trace which a request belongs to.
    const TRACE_PARENT: &str = "traceparent";

    /// Sends the remaining spans when it is dropped.
    pub struct Traces(Option<SdkTracerProvider>);

    impl Drop for Traces {
        fn drop(&mut self) {
            if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
                tracing::warn!(%error, "the last spans did not reach the collector");
            }
        }
    }

    /// Prepares the export of traces to a collector, if one is configured. Must not be called on a runtime, because the
    /// exporter blocks a thread of its own.
    ///
    /// # Errors
    /// The exporter cannot be created.
    pub fn start<S>(collector: Option<&str>) -> anyhow::Result<(Option<TraceLayer<S>>, Traces)>
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let Some(collector) = collector else {
            return Ok((None, Traces(None)));
        };
        let provider = provider(collector)?;
        let is_own_span = filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with(NAME));
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(NAME))
            .with_filter(is_own_span)
            .boxed();
        Ok((Some(layer), Traces(Some(provider))))
    }

    fn provider(collector: &str) -> anyhow::Result<SdkTracerProvider> {
        let endpoint = format!("{}/v1/traces", collector.trim_end_matches('/'));
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

    /// Makes a span part of the trace that the headers of its request name, if they name one.
    pub fn adopt_parent(span: &Span, headers: &HeaderMap) {
        if headers.contains_key(TRACE_PARENT) {
            let parent = TraceContextPropagator::new().extract(&Headers(headers));
            // This fails if no collector is configured: then there is no trace to continue.
            let _ = span.set_parent(parent);
        }
    }

    /// The headers of a request as OpenTelemetry reads them.
    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }

        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(HeaderName::as_str).collect()
        }
    }
}

#[cfg(not(feature = "otlp"))]
mod without_otlp {
    use actix_web::http::header::HeaderMap;
    use anyhow::bail;
    use tracing::{Span, Subscriber};

    use super::TraceLayer;

    /// Has nothing to send in this build.
    pub struct Traces;

    /// Does nothing if no collector is configured.
    ///
    /// # Errors
    /// A collector is configured.
    pub fn start<S: Subscriber>(collector: Option<&str>) -> anyhow::Result<(Option<TraceLayer<S>>, Traces)> {
        if collector.is_some() {
            bail!(
                "this build of scv cannot export traces: build with `--features otlp`, as `just install` and the \
                 Docker images do, or leave out --otlp-endpoint (OTEL_EXPORTER_OTLP_ENDPOINT)"
            );
        }
        Ok((None, Traces))
    }

    /// Does nothing: without a collector there is no trace to continue.
    pub fn adopt_parent(_span: &Span, _headers: &HeaderMap) {}
}
