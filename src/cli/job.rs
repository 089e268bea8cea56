//! `scv job`, and how every command follows the job it started.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError};
use super::model::{Version, percent, right_answers};
use super::table::counted;
use super::terminal::{Bar, Terminal};
use crate::config::ClientConfig;

/// How often the server is asked how far a job is. It writes that five times a second.
const INTERVAL: Duration = Duration::from_millis(200);

/// Follow a job until it ends, or stop it
#[derive(Debug, Args)]
pub(super) struct Follow {
    /// The id that the command which started it gave out
    id: String,
    /// Ask the job to stop
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    client: ClientConfig,
}

impl Follow {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        if self.cancel {
            let job = cancel(&client, &self.id).await?;
            let said = match job.is_over() {
                true => "has ended already",
                false => "is asked to stop",
            };
            return terminal.answer(&job, format!("the job of {} {said}: it is {}", job.version, job.status));
        }
        follow(&client, terminal, job(&client, &self.id).await?, None).await
    }
}

/// A job as it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) id: String,
    kind: String,
    pub(super) status: String,
    phase: String,
    progress: f64,
    epochs: Vec<Epoch>,
    failure: Option<Failure>,
    pub(super) version: JobVersion,
}

/// The version worked on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobVersion {
    #[serde(flatten)]
    pub(super) version: Version,
    pub(super) parameter_count: u64,
    pub(super) layers: Count,
}

impl std::fmt::Display for JobVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.version.fmt(f)
    }
}

/// How long a list is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Count {
    pub(super) total_count: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Epoch {
    epoch: u32,
    loss: f64,
    accuracy: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Failure {
    code: String,
    message: String,
    layer: Option<String>,
}

impl Job {
    /// The fields to ask for.
    pub(super) fn fields() -> String {
        format!(
            "id kind status phase progress epochs {{ epoch loss accuracy }} failure {{ code message layer }}
             version {{ {} parameterCount layers(first: 1) {{ totalCount }} }}",
            Version::FIELDS
        )
    }

    /// Whether nothing will change any more.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "QUEUED" | "RUNNING")
    }

    /// Draws how far it is on a bar; `epochs` is how many there will be, if that is known.
    pub(super) fn show(&self, bar: &Bar, epochs: Option<u32>) {
        let last = self.epochs.last().filter(|_| self.phase == "TRAINING");
        let message = match (last, epochs) {
            (Some(last), total) => format!(
                "training, epoch {}{}: loss {:.3}, {} right",
                last.epoch,
                total.map(|total| format!(" of {total}")).unwrap_or_default(),
                last.loss,
                percent(Some(last.accuracy)),
            ),
            (None, _) => self.phase.to_lowercase(),
        };
        bar.show(self.progress, message);
    }

    /// What came out, in one line.
    ///
    /// # Errors
    /// It did not end well: why.
    pub(super) fn outcome(&self) -> anyhow::Result<String> {
        let version = &self.version;
        if self.status == "SUCCEEDED" {
            return Ok(format!(
                "{version} is ready: {}, {}, {} parameters",
                right_answers(version.version.accuracy),
                counted(version.layers.total_count, "layer"),
                version.parameter_count,
            ));
        }
        let Some(failure) = &self.failure else {
            bail!("the job of {version} was stopped on request");
        };
        let place = failure.layer.as_ref().map(|layer| format!(" in layer {layer}"));
        bail!(
            "the job of {version} failed{}: {} [{}]",
            place.unwrap_or_default(),
            failure.message,
            failure.code
        );
    }
}

/// A job as it stands now.
pub(super) async fn job(client: &Client, id: &str) -> anyhow::Result<Job> {
    #[derive(Deserialize)]
    struct Data {
        job: Option<Job>,
    }
    let query = format!("query($id: ID!) {{ job(id: $id) {{ {} }} }}", Job::fields());
    let found = client.ask::<Data>(&query, json!({ "id": id })).await?.job;
    found.ok_or_else(|| anyhow::anyhow!("there is no job {id}"))
}

/// Asks a job to stop.
pub(super) async fn cancel(client: &Client, id: &str) -> Result<Job, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        cancel_job: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        job: Job,
    }
    let query = format!(
        "mutation($input: CancelJobInput!) {{ cancelJob(input: $input) {{ job {{ {} }} }} }}",
        Job::fields()
    );
    let data: Data = client.ask(&query, json!({ "input": { "id": id } })).await?;
    Ok(data.cancel_job.job)
}

/// Waits for a job whose outcome is then asked for.
///
/// # Errors
/// The job failed. After Ctrl-C it is left to itself, and told how to come back to it.
pub(super) async fn end_of(client: &Client, terminal: &Terminal, name: &str, started: Job) -> anyhow::Result<()> {
    let bar = terminal.bar(name);
    let ended = tokio::select! {
        ended = wait(client, started.clone(), &bar, None) => ended?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            bail!("{}", how_to_come_back(client, &started));
        }
    };
    drop(bar);
    ended.outcome().map(drop)
}

/// Waits for a job to end and draws how far it is.
async fn wait(client: &Client, mut state: Job, bar: &Bar, epochs: Option<u32>) -> anyhow::Result<Job> {
    loop {
        state.show(bar, epochs);
        if state.is_over() {
            return Ok(state);
        }
        tokio::time::sleep(INTERVAL).await;
        state = job(client, &state.id).await?;
    }
}

/// Follows a job to its end and says what came out; Ctrl-C leaves it to itself.
///
/// # Errors
/// The job failed.
pub(super) async fn follow(
    client: &Client,
    terminal: &Terminal,
    started: Job,
    epochs: Option<u32>,
) -> anyhow::Result<()> {
    let bar = terminal.bar(&started.version.to_string());
    let ended = tokio::select! {
        ended = wait(client, started.clone(), &bar, epochs) => ended?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            drop(bar);
            return detach(client, terminal, &job(client, &started.id).await?);
        }
    };
    drop(bar);
    match ended.outcome() {
        Ok(text) => {
            let next = format!("its layers: scv search {}{}", ended.version, client.option());
            terminal.answer(&ended, format!("{text}\n{next}"))
        }
        Err(error) => {
            if terminal.is_json() {
                terminal.answer(&ended, "")?;
            }
            Err(error)
        }
    }
}

/// Leaves a job to itself and says how to come back to it.
pub(super) fn detach(client: &Client, terminal: &Terminal, job: &Job) -> anyhow::Result<()> {
    terminal.answer(job, how_to_come_back(client, job))
}

fn how_to_come_back(client: &Client, job: &Job) -> String {
    let (id, option) = (&job.id, client.option());
    format!(
        "the job of {} goes on without this terminal\nto see how it goes: scv job {id}{option}\nto stop it: scv job {id} --cancel{option}",
        job.version
    )
}
