//! Jobs as commands see them, and how a command follows the job that it started.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError};
use super::exit::{code, failure, not_found};
use super::model::{Version, test_accuracy};
use super::table::{counted, percent};
use super::terminal::{Bar, Terminal};

/// The time between two requests for the progress of a job. The server writes it five times per second.
const INTERVAL: Duration = Duration::from_millis(200);

/// A job and its progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) status: String,
    phase: String,
    progress: f64,
    pub(super) attempts: u32,
    epochs: Vec<Epoch>,
    failure: Option<Failure>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    /// None for an import.
    pub(super) version: Option<JobVersion>,
    /// The name of the data set that an import makes.
    new_dataset_name: Option<String>,
}

/// The version that a job works on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobVersion {
    #[serde(flatten)]
    pub(super) version: Version,
    format: String,
    dataset: Dataset,
    parameter_count: u64,
    layers: Count,
    duplicate_of: Option<Version>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Dataset {
    name: String,
}

impl JobVersion {
    /// Its test accuracy, or why it has none.
    fn accuracy(&self) -> String {
        let told = test_accuracy(self.version.accuracy);
        match (self.version.accuracy, self.format.as_str()) {
            (Some(_), _) => told,
            (None, "ACTIVATIONS") => format!("{told} (it has activations only)"),
            (None, _) => format!(
                "{told} (its output is not one finite number for each class of {})",
                self.dataset.name
            ),
        }
    }
}

impl std::fmt::Display for JobVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.version.fmt(f)
    }
}

/// The length of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    total_count: usize,
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
    /// The fields to select.
    pub(super) fn fields() -> String {
        format!(
            "id kind status phase progress attempts epochs {{ epoch loss accuracy }} failure {{ code message layer }}
             createdAt startedAt finishedAt newDatasetName
             version {{ {0} format dataset {{ name }} parameterCount layers(first: 1) {{ totalCount }} duplicateOf {{ {0} }} }}",
            Version::FIELDS
        )
    }

    /// What it works on: `model:number`, or the data set that it imports.
    pub(super) fn subject(&self) -> String {
        match (&self.version, &self.new_dataset_name) {
            (Some(version), _) => version.to_string(),
            (None, name) => format!("data set {}", name.as_deref().unwrap_or_default()),
        }
    }

    /// Whether its status is final.
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "QUEUED" | "RUNNING")
    }

    /// Shows its progress on a bar. `epochs` is the number of all epochs, if it is known.
    pub(super) fn show(&self, bar: &Bar, epochs: Option<u32>) {
        bar.show(self.progress, self.activity(epochs));
    }

    /// What it is doing.
    pub(super) fn activity(&self, epochs: Option<u32>) -> String {
        match self.epochs.last().filter(|_| self.phase == "TRAINING") {
            Some(last) => format!(
                "epoch {}{}: loss {:.3}, training accuracy {}",
                last.epoch,
                epochs.map(|total| format!("/{total}")).unwrap_or_default(),
                last.loss,
                percent(Some(last.accuracy)),
            ),
            None => self.phase.to_lowercase().replace('_', " "),
        }
    }

    /// How much is done, as a percentage.
    pub(super) fn progress(&self) -> String {
        format!("{:.0}%", self.progress * 100.0)
    }

    /// Why it failed or was cancelled, or why its last attempt failed, with the layer and the code.
    pub(super) fn failure(&self) -> Option<String> {
        let Failure { code, message, layer } = self.failure.as_ref()?;
        let place = layer.as_ref().map(|layer| format!("layer {layer}: "));
        Some(format!("{}{message} [{code}]", place.unwrap_or_default()))
    }

    /// The result of a job that has ended.
    ///
    /// # Errors
    /// It failed or was cancelled.
    pub(super) fn outcome(&self) -> anyhow::Result<String> {
        if self.status == "SUCCEEDED" {
            return Ok(self.success());
        }
        let subject = self.subject();
        let end = if self.status == "CANCELLED" {
            "was cancelled"
        } else {
            "failed"
        };
        let message = match self.failure() {
            Some(reason) => format!("the job of {subject} {end}: {reason}"),
            None => format!("the job of {subject} {end}"),
        };
        Err(failure(code::JOB_FAILED, message))
    }

    /// Its result, if that is a version that can be searched.
    fn made_version(&self) -> Option<&JobVersion> {
        let makes_one = matches!(self.kind.as_str(), "TRAIN" | "INGEST");
        self.version.as_ref().filter(|_| makes_one)
    }

    fn success(&self) -> String {
        let Some(version) = self.made_version() else {
            return format!("the job of {} succeeded", self.subject());
        };
        let mut text = format!(
            "{version} is ready: {}, {}, {} parameters",
            version.accuracy(),
            counted(version.layers.total_count, "layer"),
            version.parameter_count,
        );
        if let Some(original) = &version.duplicate_of {
            text.push_str(&format!(
                "\nit duplicates {original}: each of its layers is alike one there, whatever the network does behind its last layer"
            ));
        }
        text
    }
}

/// Requests a job.
///
/// # Errors
/// There is no such job.
pub(super) async fn job(client: &Client, id: &str) -> anyhow::Result<Job> {
    #[derive(Deserialize)]
    struct Data {
        job: Option<Job>,
    }
    let query = format!("query($id: ID!) {{ job(id: $id) {{ {} }} }}", Job::fields());
    let found = match client.query::<Data>(&query, json!({ "id": id })).await {
        Ok(data) => data.job,
        // A text that is not an id is not the id of a job.
        Err(error) if error.code() == code::BAD_USER_INPUT => None,
        Err(error) => return Err(error.into()),
    };
    found.ok_or_else(|| not_found(format!("there is no job {id}: list jobs with `scv job list`")))
}

/// Requests the cancellation of a job.
pub(super) async fn cancel(client: &Client, id: &str) -> Result<Job, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        cancel_job: Payload,
    }
    let query = format!(
        "mutation($input: CancelJobInput!) {{ cancelJob(input: $input) {{ job {{ {} }} }} }}",
        Job::fields()
    );
    let data: Data = client.query(&query, json!({ "input": { "id": id } })).await?;
    Ok(data.cancel_job.job)
}

/// Queues a failed or cancelled job again.
pub(super) async fn retry(client: &Client, id: &str) -> Result<Job, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        retry_job: Payload,
    }
    let query = format!(
        "mutation($input: RetryJobInput!) {{ retryJob(input: $input) {{ job {{ {} }} }} }}",
        Job::fields()
    );
    let data: Data = client.query(&query, json!({ "input": { "id": id } })).await?;
    Ok(data.retry_job.job)
}

#[derive(Deserialize)]
struct Payload {
    job: Job,
}

/// Waits for a job. The command requests the result afterwards.
///
/// # Errors
/// The job failed or was cancelled.
pub(super) async fn wait_for(client: &Client, terminal: &Terminal, name: &str, started: Job) -> anyhow::Result<()> {
    wait(client, terminal, name, started, None).await?.outcome().map(drop)
}

/// Follows a job to its end and prints the result.
///
/// # Errors
/// The job failed or was cancelled.
pub(super) async fn follow(
    client: &Client,
    terminal: &Terminal,
    started: Job,
    epochs: Option<u32>,
) -> anyhow::Result<()> {
    let name = started.subject();
    let ended = wait(client, terminal, &name, started, epochs).await?;
    match ended.outcome() {
        Ok(mut text) => {
            if let Some(made) = ended.made_version() {
                let version = made.version.word();
                text.push_str(&format!(
                    "\nto list its layers: scv layer list {version}{}",
                    client.option()
                ));
            }
            terminal.print(&ended, text)
        }
        Err(error) => {
            if terminal.is_json() {
                terminal.print(&ended, "")?;
            }
            Err(error)
        }
    }
}

/// Waits for a job to end and shows its progress. A user who interrupts the command learns how to return to the job.
pub(super) async fn wait(
    client: &Client,
    terminal: &Terminal,
    name: &str,
    mut state: Job,
    epochs: Option<u32>,
) -> anyhow::Result<Job> {
    let bar = terminal.bar(name);
    terminal.set_background(Some(how_to_return(client, &state)));
    while !state.is_over() {
        state.show(&bar, epochs);
        tokio::time::sleep(INTERVAL).await;
        state = job(client, &state.id).await?;
    }
    terminal.set_background(None);
    Ok(state)
}

/// Leaves a job running on the server, and prints how to return to it.
pub(super) fn detach(client: &Client, terminal: &Terminal, job: &Job) -> anyhow::Result<()> {
    terminal.print(job, how_to_return(client, job))
}

fn how_to_return(client: &Client, job: &Job) -> String {
    let (id, option) = (&job.id, client.option());
    format!(
        "the job of {} continues in the background\nto follow it: scv job follow {id}{option}\nto cancel it: scv job cancel {id}{option}",
        job.subject()
    )
}
