//! Metrics for operators: counts and times, as Prometheus reads them at `/metrics`.

use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::CacheStatistics;
use scv_compute::device::DeviceMemory;
use scv_domain::job::{JobBacklog, JobKind, JobPhase, JobStatus};
use scv_memory::MemoryBudget;

/// Counts since the process started, of all servers in it.
pub static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// The prefix of the names of spans of functions that read or write the database.
const STORE_SPAN_PREFIX: &str = "store.";

/// Counts and times.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    request_seconds: Times<Operation>,
    root_field_seconds: Times<RootField>,
    store_seconds: Times<StoreFunction>,
    phase_seconds: Times<Phase>,
    jobs: Family<JobEnd, Counter>,
}

type Times<L> = Family<L, Histogram, Buckets>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    operation: &'static str,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RootField {
    field: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreFunction {
    function: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    kind: String,
    phase: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobEnd {
    kind: String,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MemoryUser {
    r#for: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheName {
    cache: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceName {
    device: String,
}

/// Buckets of seconds. Each bound is four times the one before.
#[derive(Debug, Clone, Copy)]
struct Buckets {
    first: f64,
    count: u16,
}

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(self.first, 4.0, self.count))
    }
}

/// A millisecond to a minute.
const REQUEST_BUCKETS: Buckets = Buckets { first: 0.001, count: 9 };

/// A quarter of a millisecond to seconds.
const STATEMENT_BUCKETS: Buckets = Buckets {
    first: 0.000_25,
    count: 9,
};

/// A hundredth of a second to hours.
const PHASE_BUCKETS: Buckets = Buckets { first: 0.01, count: 10 };

/// The state of the server at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// Jobs that wait or run.
    pub backlog: JobBacklog,
    /// How the caches are used.
    pub caches: Vec<CacheStatistics>,
    /// How often the catalogue has changed.
    pub generation: i64,
    /// The device, for people to read.
    pub device: String,
    /// The memory of a GPU.
    pub device_memory: Option<DeviceMemory>,
    /// What requests and jobs take their memory from.
    pub memory: [(&'static str, MemoryBudget); 2],
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("scv");
        let requests = Family::default();
        registry.register("requests", "GraphQL requests answered", requests.clone());
        let jobs = Family::default();
        registry.register("jobs", "Jobs that have ended", jobs.clone());
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program", build);
        Self {
            requests,
            request_seconds: times(
                &mut registry,
                ("request_seconds", "Time to the response of a GraphQL request"),
                REQUEST_BUCKETS,
            ),
            root_field_seconds: times(
                &mut registry,
                (
                    "root_field_seconds",
                    "Time of the resolver of a root field, including its selection",
                ),
                REQUEST_BUCKETS,
            ),
            store_seconds: times(
                &mut registry,
                ("store_seconds", "Time of a function that reads or writes the database"),
                STATEMENT_BUCKETS,
            ),
            phase_seconds: times(
                &mut registry,
                ("job_phase_seconds", "Time of a phase of a job"),
                PHASE_BUCKETS,
            ),
            jobs,
            registry,
        }
    }

    /// Counts a request: its kind of operation, and the code of its first error if it has one.
    pub fn count_request(&self, operation: &'static str, code: Option<&str>, took: Duration) {
        let outcome = Outcome {
            operation,
            code: code.unwrap_or("OK").to_owned(),
        };
        self.requests.get_or_create(&outcome).inc();
        self.request_seconds
            .get_or_create(&Operation { operation })
            .observe(took.as_secs_f64());
    }

    /// Counts an HTTP request that is not a valid GraphQL request, with the code that says why.
    pub fn count_refusal(&self, code: &str) {
        let outcome = Outcome {
            operation: "unknown",
            code: code.to_owned(),
        };
        self.requests.get_or_create(&outcome).inc();
    }

    /// Counts a root field such as `Query.models` that was resolved or aborted.
    pub fn count_root_field(&self, field: String, took: Duration) {
        let field = RootField { field };
        self.root_field_seconds
            .get_or_create(&field)
            .observe(took.as_secs_f64());
    }

    /// Counts a phase of a job that has ended.
    pub fn count_phase(&self, kind: JobKind, phase: JobPhase, took: Duration) {
        let phase = Phase {
            kind: label(kind),
            phase: label(phase),
        };
        self.phase_seconds.get_or_create(&phase).observe(took.as_secs_f64());
    }

    /// Counts a job that has ended.
    pub fn count_job(&self, kind: JobKind, status: JobStatus) {
        let end = JobEnd {
            kind: label(kind),
            status: label(status),
        };
        self.jobs.get_or_create(&end).inc();
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// None: writing to a string does not fail.
    pub fn text(&self, now: &Snapshot) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &registry_of(now))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// The name of an enum value as a label, such as `find_exemplars`.
fn label(value: impl Serialize) -> String {
    let name = serde_json::json!(value);
    name.as_str().unwrap_or_default().to_lowercase()
}

fn times<L>(registry: &mut Registry, (name, help): (&str, &str), buckets: Buckets) -> Times<L>
where
    L: EncodeLabelSet + Clone + Eq + std::hash::Hash + fmt::Debug + Send + Sync + 'static,
{
    let times = Family::new_with_constructor(buckets);
    registry.register(name, help, times.clone());
    times
}

fn registry_of(now: &Snapshot) -> Registry {
    let mut registry = Registry::with_prefix("scv");
    let mut gauge = |name: &str, help: &str, value: i64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    gauge("jobs_waiting", "Jobs that wait", now.backlog.waiting);
    gauge("jobs_running", "Jobs that run", now.backlog.running);
    gauge(
        "oldest_waiting_job_age_seconds",
        "Age of the oldest waiting job",
        now.backlog.oldest_seconds,
    );
    gauge(
        "catalogue_generation",
        "Number of changes of the catalogue",
        now.generation,
    );
    gauge("resident_bytes", "Memory of the process", resident_bytes());
    if let Some(memory) = now.device_memory {
        let device = DeviceName {
            device: now.device.clone(),
        };
        for (name, help, value) in [
            ("device_memory_bytes", "Memory of the GPU", memory.total_bytes),
            (
                "device_memory_used_bytes",
                "Memory of the GPU in use by all processes when the last computation ended",
                memory.used_bytes,
            ),
        ] {
            let gauge = Family::<DeviceName, Gauge>::default();
            gauge.get_or_create(&device).set(value.cast_signed());
            registry.register(name, help, gauge);
        }
    }
    let (reserved, reservable) = (
        Family::<MemoryUser, Gauge>::default(),
        Family::<MemoryUser, Gauge>::default(),
    );
    for (user, memory) in &now.memory {
        let user = MemoryUser { r#for: user };
        reserved.get_or_create(&user).set(memory.reserved().cast_signed());
        reservable.get_or_create(&user).set(memory.limit().cast_signed());
    }
    registry.register("reserved_bytes", "Memory that work has taken", reserved);
    registry.register("reserved_limit_bytes", "Memory that work may take", reservable);
    let (bytes, limits) = (
        Family::<CacheName, Gauge>::default(),
        Family::<CacheName, Gauge>::default(),
    );
    let (hits, misses) = (
        Family::<CacheName, Counter>::default(),
        Family::<CacheName, Counter>::default(),
    );
    for cache in &now.caches {
        let name = CacheName { cache: cache.name };
        bytes.get_or_create(&name).set(cache.bytes.cast_signed());
        limits.get_or_create(&name).set(cache.byte_limit.cast_signed());
        hits.get_or_create(&name).inc_by(cache.hits);
        misses.get_or_create(&name).inc_by(cache.misses);
    }
    registry.register("cache_bytes", "Bytes of a cache", bytes);
    registry.register("cache_limit_bytes", "Byte limit of a cache", limits);
    registry.register("cache_hits", "Lookups that found an entry", hits);
    registry.register("cache_misses", "Lookups that had to compute the entry", misses);
    registry
}

/// Memory of this process; 0 where the system does not report it.
fn resident_bytes() -> i64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<i64>().ok());
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    pages.unwrap_or_default() * page.unwrap_or_default()
}

/// Measures how long functions of the store take, by their spans.
#[derive(Debug, Clone, Copy)]
pub struct StoreTimes;

impl StoreTimes {
    /// Whether this is a span that it measures.
    pub fn measures(metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.name().starts_with(STORE_SPAN_PREFIX)
    }
}

struct StartedAt(Instant);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for StoreTimes {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if Self::measures(attributes.metadata())
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(StartedAt(Instant::now()));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let started = span.extensions_mut().remove::<StartedAt>();
        if let (Some(StartedAt(started)), Some(function)) = (started, span.name().strip_prefix(STORE_SPAN_PREFIX)) {
            METRICS
                .store_seconds
                .get_or_create(&StoreFunction { function })
                .observe(started.elapsed().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn only_spans_of_the_store_are_measured() {
        let subscriber = tracing_subscriber::registry().with(StoreTimes);
        tracing::subscriber::with_default(subscriber, || {
            drop(tracing::info_span!("store.of_this_test").entered());
            drop(tracing::info_span!("another_of_this_test").entered());
        });
        let now = Snapshot {
            backlog: JobBacklog {
                waiting: 2,
                running: 1,
                oldest_seconds: 30,
            },
            caches: Vec::new(),
            generation: 7,
            device: "cuda:0".to_owned(),
            memory: ["requests", "jobs"].map(|user| (user, MemoryBudget::default())),
            device_memory: Some(DeviceMemory {
                used_bytes: 3,
                total_bytes: 80,
            }),
        };
        let text = METRICS.text(&now).unwrap();
        assert!(
            text.contains("scv_store_seconds_count{function=\"of_this_test\"} 1\n"),
            "{text}"
        );
        assert!(!text.contains("another_of_this_test"));
        assert!(
            text.contains("scv_device_memory_used_bytes{device=\"cuda:0\"} 3\n"),
            "{text}"
        );
        assert!(
            text.contains("scv_oldest_waiting_job_age_seconds 30\n") && text.ends_with("# EOF\n"),
            "{text}"
        );
    }
}
