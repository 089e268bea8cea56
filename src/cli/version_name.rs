//! How a command names a version, and how that version is found.

use std::convert::Infallible;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::json;

use super::client::{Client, ClientError};
use super::exit::not_found;
use super::model::{self, Version};
use super::table::counted;
use crate::shell;

/// The name of a version: `MODEL`, `MODEL:3`, `MODEL:latest` or `MODEL:best`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VersionName {
    model: String,
    choice: Choice,
    /// The text as it was given, which may be the name of a model that contains a colon.
    text: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Choice {
    Number(u32),
    Alias(&'static str),
}

const LATEST: Choice = Choice::Alias("latest");

impl VersionName {
    /// The latest version of a model.
    pub(super) fn latest(model: String) -> Self {
        Self {
            text: model.clone(),
            model,
            choice: LATEST,
        }
    }

    /// Whether it names one version by its number.
    pub(super) fn has_number(&self) -> bool {
        matches!(self.choice, Choice::Number(_))
    }
}

impl FromStr for VersionName {
    type Err = Infallible;

    /// A colon is part of the model's name unless a number, `latest` or `best` follows it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let choice = |suffix: &str| match suffix {
            "latest" => Some(LATEST),
            "best" => Some(Choice::Alias("best")),
            number => number.parse().ok().map(Choice::Number),
        };
        let split = text.rsplit_once(':');
        let found = split.and_then(|(model, suffix)| Some((model, choice(suffix)?)));
        let (model, choice) = found.unwrap_or((text, LATEST));
        Ok(Self {
            model: model.to_owned(),
            choice,
            text: text.to_owned(),
        })
    }
}

/// A version of any status.
#[derive(Debug, Deserialize)]
pub(super) struct FoundVersion {
    #[serde(flatten)]
    pub(super) version: Version,
    status: String,
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    message: String,
}

#[derive(Deserialize)]
struct FoundModel {
    versions: Versions,
    version: Option<FoundVersion>,
}

/// The newest version, whatever its status, and how many there are.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    total_count: usize,
    nodes: Vec<FoundVersion>,
}

/// The version of a name, whatever its status.
///
/// # Errors
/// There is no such model or version.
pub(super) async fn find(client: &Client, name: &VersionName) -> anyhow::Result<FoundVersion> {
    let (mut model, mut choice) = (&name.model, &name.choice);
    let mut found = request(client, model, choice).await?;
    if found.is_none() && name.text != *model {
        // The colon may be part of the model's name.
        (model, choice) = (&name.text, &LATEST);
        found = request(client, model, choice).await?;
    }
    let Some(FoundModel { versions, version }) = found else {
        let hint = if name.text.contains(':') {
            "; after a colon write a version number, latest or best"
        } else {
            ""
        };
        let known = model::known(client).await?;
        return Err(not_found(format!("there is no model {:?}: {known}{hint}", name.model)));
    };
    if let Some(version) = version {
        return Ok(version);
    }
    let has = format!("it has {}", counted(versions.total_count, "version"));
    Err(match (choice, versions.nodes.into_iter().next()) {
        (_, None) => not_found(format!("model {model:?} has no versions yet")),
        (Choice::Number(number), _) => not_found(format!("model {model:?} has no version {number}: {has}")),
        // Only the alias of the best one needs more than a version that is ready.
        (Choice::Alias(_), Some(newest)) if newest.status == "READY" => not_found(format!(
            "no version of model {model:?} has an accuracy, so none is the best: name one by its number, or {} for the newest",
            shell::word(model)
        )),
        (Choice::Alias(_), Some(newest)) => {
            let reason = newest.reason(client).await?;
            not_found(format!("no version of model {model:?} is ready: {reason}"))
        }
    })
}

/// The version of a name, which must be ready.
///
/// # Errors
/// There is no such model or version, or it is not ready.
pub(super) async fn find_ready(client: &Client, name: &VersionName) -> anyhow::Result<Version> {
    let found = find(client, name).await?;
    if found.status == "READY" {
        return Ok(found.version);
    }
    anyhow::bail!("{}", found.reason(client).await?)
}

async fn request(client: &Client, model: &str, choice: &Choice) -> Result<Option<FoundModel>, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        model: Option<FoundModel>,
    }
    let (number, alias) = match choice {
        Choice::Number(number) => (Some(number), None),
        Choice::Alias(alias) => (None, Some(alias)),
    };
    let fields = format!("{} status failure {{ message }}", Version::FIELDS);
    let query = format!(
        "query($model: String!, $number: Int, $alias: String) {{ model(name: $model) {{
           versions(last: 1) {{ totalCount nodes {{ {fields} }} }}
           version(number: $number, alias: $alias) {{ {fields} }} }} }}"
    );
    let variables = json!({ "model": model, "number": number, "alias": alias });
    Ok(client.query::<Data>(&query, variables).await?.model)
}

impl FoundVersion {
    /// Why it is not ready, with the job to wait for.
    async fn reason(&self, client: &Client) -> Result<String, ClientError> {
        #[derive(Deserialize)]
        struct Data {
            jobs: Jobs,
        }
        #[derive(Deserialize)]
        struct Jobs {
            nodes: Vec<Job>,
        }
        #[derive(Deserialize)]
        struct Job {
            id: String,
        }
        let version = &self.version;
        let status = self.status.to_lowercase();
        if let Some(failure) = &self.failure {
            return Ok(format!("{version} has {status}: {}", failure.message));
        }
        let query = "query($id: ID!) { jobs(first: 1, filter: { versionId: $id }) { nodes { id } } }";
        let jobs = client.query::<Data>(query, json!({ "id": version.id })).await?.jobs;
        Ok(match jobs.nodes.first() {
            Some(job) => format!(
                "{version} is {status}; wait for it with `scv job follow {}{}`",
                job.id,
                client.option()
            ),
            None => format!("{version} is {status}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> VersionName {
        text.parse().expect("every text is a name")
    }

    #[test]
    fn a_model_without_a_version_means_the_latest() {
        let (short, long) = (name("plain"), name("plain:latest"));
        assert_eq!((short.model, short.choice), (long.model, long.choice));
    }

    #[test]
    fn a_number_after_a_colon_is_the_version() {
        let found = name("team:plain:3");
        assert_eq!((found.model.as_str(), found.choice), ("team:plain", Choice::Number(3)));
    }

    #[test]
    fn another_word_after_a_colon_belongs_to_the_name() {
        assert_eq!(name("team:plain").model, "team:plain");
    }
}
