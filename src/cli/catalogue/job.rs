//! `scv job`

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::job::{self, Job};
use crate::cli::page::{Connection, ListOptions, Listing};
use crate::cli::table::{properties, table, time};
use crate::cli::terminal::Terminal;
use crate::cli::version_name::{self, VersionName};

/// List, follow, cancel and retry jobs
#[derive(Debug, Args)]
pub(in crate::cli) struct JobCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List jobs, newest first
    #[command(visible_alias = "ls")]
    List(List),
    /// Show a job
    Show {
        /// Id of the job
        id: String,
    },
    /// Follow a job until it ends
    #[command(visible_alias = "wait")]
    Follow {
        /// Id of the job
        id: String,
    },
    /// Cancel a job
    #[command(visible_alias = "stop")]
    Cancel {
        /// Id of the job
        id: String,
    },
    /// Queue a failed or cancelled job again, and follow it
    Retry {
        /// Id of the job
        id: String,
        /// Return immediately; the job continues in the background
        #[arg(long)]
        detach: bool,
    },
}

#[derive(Debug, Args)]
struct List {
    /// Only jobs with this status; can be repeated
    #[arg(long = "status", value_name = "STATUS", value_enum)]
    statuses: Vec<Status>,
    /// Only jobs of this kind; can be repeated
    #[arg(long = "kind", value_name = "KIND", value_enum)]
    kinds: Vec<Kind>,
    /// Only jobs of this version: MODEL:NUMBER
    #[arg(long, value_name = "MODEL[:VERSION]")]
    version: Option<VersionName>,
    #[command(flatten)]
    page: ListOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    Train,
    Ingest,
    Evaluate,
    Synthesize,
    FindExemplars,
    Import,
}

impl JobCommand {
    pub(in crate::cli) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        match self.action {
            Action::List(list) => list.run(client, terminal).await,
            Action::Show { id } => {
                let job = job::job(client, &id).await?;
                terminal.print(&job, to_text(&job))
            }
            Action::Follow { id } => {
                let job = job::job(client, &id).await?;
                job::follow(client, terminal, job, None).await
            }
            Action::Cancel { id } => {
                job::job(client, &id).await?;
                let job = job::cancel(client, &id).await?;
                let subject = job.subject();
                let text = match job.status.as_str() {
                    "CANCELLED" => format!("the job of {subject} is cancelled"),
                    "SUCCEEDED" | "FAILED" => {
                        format!("the job of {subject} has already {}", job.status.to_lowercase())
                    }
                    _ => format!("requested the cancellation of the job of {subject}"),
                };
                terminal.print(&job, text)
            }
            Action::Retry { id, detach } => {
                job::job(client, &id).await?;
                let job = job::retry(client, &id).await?;
                if detach {
                    job::detach(client, terminal, &job)
                } else {
                    job::follow(client, terminal, job, None).await
                }
            }
        }
    }
}

impl List {
    async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        let version = match &self.version {
            Some(name) => Some(version_name::find(client, name).await?.version.id),
            None => None,
        };
        let filter = json!({ "statuses": self.statuses, "kinds": self.kinds, "versionId": version });
        let jobs = jobs(client, &filter, &self.page).await?;
        let text = jobs.to_text("job", &jobs_table(&jobs.entries));
        terminal.print(&json!({ "totalCount": jobs.total, "jobs": jobs.entries }), text)
    }
}

/// The jobs that a filter of the API admits, newest first.
pub(in crate::cli) async fn jobs(client: &Client, filter: &Value, page: &ListOptions) -> anyhow::Result<Listing<Job>> {
    #[derive(Deserialize)]
    struct Data {
        jobs: Connection<Job>,
    }
    let query = format!(
        "query($filter: JobFilter, $first: Int!, $after: String) {{
           jobs(filter: $filter, first: $first, after: $after) {{ {} }} }}",
        Connection::<Job>::fields(&Job::fields())
    );
    page.collect(async |mut variables| {
        variables["filter"] = filter.clone();
        Ok(client.query::<Data>(&query, variables).await?.jobs)
    })
    .await
}

/// Jobs as a table.
pub(in crate::cli) fn jobs_table(jobs: &[Job]) -> String {
    let rows = jobs.iter().map(|job| {
        vec![
            job.id.clone(),
            job.kind.to_lowercase().replace('_', " "),
            job.subject(),
            job.status.to_lowercase(),
            job.progress(),
            time(job.created_at),
        ]
    });
    table(&["job", "kind", "subject", "status", ">done", "created"], rows)
}

fn to_text(job: &Job) -> String {
    let at = |moment: Option<_>| moment.map(time).unwrap_or_default();
    let activity = if job.is_over() {
        String::new()
    } else {
        job.activity(None)
    };
    properties(&[
        ("job", job.id.clone()),
        ("kind", job.kind.to_lowercase().replace('_', " ")),
        ("subject", job.subject()),
        ("status", job.status.to_lowercase()),
        ("activity", activity),
        ("done", job.progress()),
        ("failure", job.failure().unwrap_or_default()),
        ("attempts", job.attempts.to_string()),
        ("created", time(job.created_at)),
        ("started", at(job.started_at)),
        ("finished", at(job.finished_at)),
    ])
}
