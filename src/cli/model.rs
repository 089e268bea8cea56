//! Models and versions as commands see them. The names in their JSON are those of the API.

use std::fmt;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError};

/// A model's name, as part of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ModelName {
    pub(super) name: String,
}

/// What is said of a version everywhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) accuracy: Option<f64>,
    pub(super) model: ModelName,
}

impl Version {
    /// The fields to ask for.
    pub(super) const FIELDS: &'static str = "id number accuracy model { name }";
}

/// `model:version`, as `scv search` takes it.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.model.name, self.number)
    }
}

/// How good a version is, in words.
pub(super) fn right_answers(accuracy: Option<f64>) -> String {
    match accuracy {
        Some(_) => format!("{} of the test images right", percent(accuracy)),
        None => "not evaluated".to_owned(),
    }
}

/// A share as a percentage, a dash for what is not known.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// A model to add versions to.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) id: String,
    pub(super) tags: Vec<String>,
    visibility: String,
    /// Whether it was registered just now, for the version to come.
    #[serde(skip)]
    is_new: bool,
}

impl Model {
    /// What became of its new version; a model that was registered for a version which was refused is deleted again.
    ///
    /// # Errors
    /// The refusal.
    pub(super) async fn keep_if<T>(self, client: &Client, version: Result<T, ClientError>) -> Result<T, ClientError> {
        if self.is_new && matches!(version, Err(ClientError::Refused(_) | ClientError::File { .. })) {
            let query = "mutation($input: DeleteModelInput!) { deleteModel(input: $input) { model { id } } }";
            // The refusal is what matters to the user.
            let _: Result<serde_json::Value, _> = client.ask(query, json!({ "input": { "id": self.id } })).await;
        }
        version
    }
}

/// The model of a name.
pub(super) async fn find(client: &Client, name: &str) -> Result<Option<Model>, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        model: Option<Model>,
    }
    let query = "query($name: String!) { model(name: $name) { id tags visibility } }";
    Ok(client.ask::<Data>(query, json!({ "name": name })).await?.model)
}

/// The model of a name, which has to be there.
pub(super) async fn existing(client: &Client, name: &str) -> anyhow::Result<Model> {
    let found = find(client, name).await?;
    found.ok_or_else(|| anyhow::anyhow!("there is no model {name:?}, and a dry run registers none"))
}

/// The model that gets a new version.
#[derive(Debug, Args)]
pub(super) struct ModelOptions {
    /// The model that gets a new version; it is registered if there is none of that name
    #[arg(long = "model", value_name = "MODEL")]
    pub(super) name: String,
    /// A tag of the model; can be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Register it as a model that only your account and administrators see
    #[arg(long)]
    pub(super) private: bool,
}

/// The model that is meant, registered if there is none of the name, with the tags added that it lacks.
///
/// # Errors
/// The server refuses it, or it is to be private and there is a public one.
pub(super) async fn ensure(client: &Client, options: &ModelOptions) -> anyhow::Result<Model> {
    let ModelOptions { name, tags, private } = options;
    let Some(model) = find(client, name).await? else {
        return Ok(create(client, options).await?);
    };
    if *private && model.visibility != "PRIVATE" {
        anyhow::bail!(
            "there is a model {name:?} already, and everybody sees it: choose another name, or hide it by the mutation updateModel"
        );
    }
    let lacking: Vec<_> = tags.iter().filter(|tag| !model.tags.contains(tag)).collect();
    if lacking.is_empty() {
        return Ok(model);
    }
    let all: Vec<_> = model.tags.iter().chain(lacking).collect();
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        update_model: Payload,
    }
    let query = "mutation($input: UpdateModelInput!) { updateModel(input: $input) { model { id tags visibility } } }";
    let data: Data = client
        .ask(query, json!({ "input": { "id": model.id, "tags": all } }))
        .await?;
    Ok(data.update_model.model)
}

#[derive(Deserialize)]
struct Payload {
    model: Model,
}

async fn create(client: &Client, options: &ModelOptions) -> Result<Model, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        create_model: Payload,
    }
    let query = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id tags visibility } } }";
    let visibility = if options.private { "PRIVATE" } else { "PUBLIC" };
    let input = json!({ "name": options.name, "tags": options.tags, "visibility": visibility });
    let data: Data = client.ask(query, json!({ "input": input })).await?;
    Ok(Model {
        is_new: true,
        ..data.create_model.model
    })
}
