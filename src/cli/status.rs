//! `scv status` and `scv whoami`

use clap::Args;
use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::catalogue::job::jobs_table;
use super::client::Client;
use super::job::Job;
use super::table::{properties, table};
use super::terminal::Terminal;

/// Show the server: its version, device, limits and caches, what it stores, and running jobs
#[derive(Debug, Args)]
pub(super) struct Status {}

/// Maximum number of jobs that are listed.
const MAX_JOBS: usize = 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    server_info: ServerInfo,
    viewer: Viewer,
    models: Count,
    datasets: Vec<Named>,
    jobs: Jobs,
}

#[derive(Debug, Serialize, Deserialize)]
struct ServerInfo {
    version: String,
    device: String,
    limits: Limits,
    caches: Vec<Cache>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    timeout_seconds: u64,
    concurrent_requests: u64,
    requests_per_minute: u64,
    file_bytes: f64,
    upload_bytes: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cache {
    name: String,
    bytes: f64,
    byte_limit: f64,
    entries: f64,
    hits: f64,
    misses: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Viewer {
    account: Option<String>,
    scope: String,
}

impl Viewer {
    fn to_text(&self) -> String {
        let account = self.account.as_deref().unwrap_or("anonymous");
        format!("{account} ({})", self.scope.to_lowercase())
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    total_count: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Jobs {
    total_count: usize,
    nodes: Vec<Job>,
}

impl Status {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        let query = format!(
            "{{ serverInfo {{ version device
                 limits {{ timeoutSeconds concurrentRequests requestsPerMinute fileBytes uploadBytes }}
                 caches {{ name bytes byteLimit entries hits misses }} }}
               viewer {{ account scope }} models(first: 1) {{ totalCount }} datasets {{ name }}
               jobs(first: {MAX_JOBS}, filter: {{ statuses: [QUEUED, RUNNING] }}) {{ totalCount nodes {{ {} }} }} }}",
            Job::fields()
        );
        let overview: Overview = client.query(&query, json!({})).await?;
        terminal.print(&overview, overview.to_text(client))
    }
}

impl Overview {
    fn to_text(&self, client: &Client) -> String {
        let info = &self.server_info;
        let limits = &info.limits;
        let rate = match limits.requests_per_minute {
            0 => String::new(),
            rate => format!(", {rate} per minute per client"),
        };
        let head = properties(&[
            ("server", client.url("/").to_string()),
            ("version", info.version.clone()),
            ("device", info.device.clone()),
            ("you are", self.viewer.to_text()),
            ("models", self.models.total_count.to_string()),
            (
                "data sets",
                format!("{}: {}", self.datasets.len(), names(&self.datasets)),
            ),
            (
                "requests",
                format!(
                    "at most {} at the same time{rate}, at most {} s each",
                    limits.concurrent_requests, limits.timeout_seconds
                ),
            ),
            (
                "uploads",
                format!(
                    "files up to {}, {} per request",
                    HumanBytes(limits.file_bytes as u64),
                    HumanBytes(limits.upload_bytes as u64)
                ),
            ),
        ]);
        let caches = info.caches.iter().map(|cache| {
            let requests = cache.hits + cache.misses;
            let hit_rate = if requests > 0.0 {
                format!("{:.0}%", 100.0 * cache.hits / requests)
            } else {
                "-".to_owned()
            };
            vec![
                cache.name.clone(),
                HumanBytes(cache.bytes as u64).to_string(),
                HumanBytes(cache.byte_limit as u64).to_string(),
                format!("{:.0}", cache.entries),
                hit_rate,
            ]
        });
        let caches = table(&["cache", ">size", ">limit", ">entries", ">hit rate"], caches);
        format!("{head}\n\n{caches}\n\n{}", self.jobs.to_text())
    }
}

fn names(all: &[Named]) -> String {
    let names: Vec<_> = all.iter().map(|named| named.name.as_str()).collect();
    names.join(", ")
}

impl Jobs {
    fn to_text(&self) -> String {
        if self.nodes.is_empty() {
            return "no queued or running jobs".to_owned();
        }
        let table = jobs_table(&self.nodes);
        match self.total_count - self.nodes.len() {
            0 => table,
            more => format!("{table}\n{more} more; list all with `scv job list --all`"),
        }
    }
}

/// `scv whoami`
pub(super) async fn whoami(client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Data {
        viewer: Viewer,
    }
    let viewer = client
        .query::<Data>("{ viewer { account scope } }", json!({}))
        .await?
        .viewer;
    let text = viewer.to_text();
    terminal.print(&viewer, text)
}
