//! Models and versions as commands see them. The names in their JSON are those of the API.

use std::fmt;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::exit::not_found;
use super::table::percent;
use crate::shell;

/// A model's name, as part of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ModelName {
    pub(super) name: String,
}

/// What every command shows of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) accuracy: Option<f64>,
    pub(super) model: ModelName,
}

impl Version {
    /// The fields to select.
    pub(super) const FIELDS: &'static str = "id number accuracy model { name }";

    /// The version as a word of a printed command.
    pub(super) fn word(&self) -> String {
        shell::word(&self.to_string())
    }
}

/// `model:number`, as commands take it.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.model.name, self.number)
    }
}

/// The accuracy of a version for a reader, such as `95.1% test accuracy`.
pub(super) fn test_accuracy(accuracy: Option<f64>) -> String {
    match accuracy {
        Some(_) => format!("{} test accuracy", percent(accuracy)),
        None => "not evaluated".to_owned(),
    }
}

/// A model to add versions to.
#[derive(Debug, Deserialize)]
pub(super) struct Model {
    pub(super) id: String,
    pub(super) tags: Vec<String>,
    visibility: String,
}

impl Model {
    const FIELDS: &'static str = "id tags visibility";
}

/// The model with a name.
pub(super) async fn find(client: &Client, name: &str) -> Result<Option<Model>, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        model: Option<Model>,
    }
    let query = format!("query($name: String!) {{ model(name: $name) {{ {} }} }}", Model::FIELDS);
    Ok(client.query::<Data>(&query, json!({ "name": name })).await?.model)
}

/// The model with a name, which must exist.
///
/// # Errors
/// There is no such model.
pub(super) async fn existing(client: &Client, name: &str) -> anyhow::Result<Model> {
    match find(client, name).await? {
        Some(model) => Ok(model),
        None => Err(not_found(format!(
            "there is no model {name:?}: {}",
            known(client).await?
        ))),
    }
}

/// A clause that lists models, for an error about a misspelt one.
pub(super) async fn known(client: &Client) -> Result<String, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        models: Models,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Models {
        total_count: usize,
        nodes: Vec<ModelName>,
    }
    let query = "{ models(first: 10, orderBy: { field: NAME }) { totalCount nodes { name } } }";
    let models = client.query::<Data>(query, json!({})).await?.models;
    let names: Vec<_> = models.nodes.iter().map(|model| format!("{:?}", model.name)).collect();
    Ok(match models.total_count - names.len() {
        _ if names.is_empty() => "the server has no models yet".to_owned(),
        0 => format!("the server has {}", names.join(", ")),
        more => format!(
            "the server has {} and {more} more; list them with `scv model list`",
            names.join(", ")
        ),
    })
}

/// The model that gets a new version.
#[derive(Debug, Args)]
pub(super) struct ModelOptions {
    /// Model that gets the new version; it is created if it does not exist
    #[arg(long = "model", value_name = "MODEL")]
    pub(super) name: String,
    /// Tag to add to the model; can be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Create the model as private: only your account and administrators can see it
    #[arg(long)]
    pub(super) private: bool,
}

/// The fields of an input that choose the model of the options. One that does not exist is created with the version, so
/// that nothing is left of a version that is refused.
///
/// # Errors
/// The model should be private, and a public one exists.
pub(super) async fn chosen(client: &Client, options: &ModelOptions) -> anyhow::Result<Value> {
    let ModelOptions { name, private, .. } = options;
    let Some(model) = find(client, name).await? else {
        return Ok(json!({ "newModel": new(options, "") }));
    };
    if *private && model.visibility != "PRIVATE" {
        anyhow::bail!(
            "model {name:?} already exists and is public: choose another name, or run `scv model visibility {} private{}`",
            shell::word(name),
            client.option(),
        );
    }
    Ok(json!({ "modelId": model.id }))
}

/// Adds the tags of the options to a model that exists, and lacks some of them.
pub(super) async fn add_tags(client: &Client, options: &ModelOptions) -> anyhow::Result<()> {
    let Some(model) = find(client, &options.name).await? else {
        return Ok(());
    };
    let missing: Vec<_> = options.tags.iter().filter(|tag| !model.tags.contains(tag)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let all: Vec<_> = model.tags.iter().chain(missing).collect();
    Ok(update(client, &model.id, json!({ "tags": all })).await?)
}

/// Changes a model.
pub(super) async fn update(client: &Client, id: &str, mut changes: Value) -> Result<(), ClientError> {
    changes["id"] = json!(id);
    let query = "mutation($input: UpdateModelInput!) { updateModel(input: $input) { model { id } } }";
    client
        .query::<Value>(query, json!({ "input": changes }))
        .await
        .map(drop)
}

/// Creates a model.
pub(super) async fn create(client: &Client, options: &ModelOptions, description: &str) -> Result<Model, ClientError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        create_model: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        model: Model,
    }
    let query = format!(
        "mutation($input: CreateModelInput!) {{ createModel(input: $input) {{ model {{ {} }} }} }}",
        Model::FIELDS
    );
    let data: Data = client
        .query(&query, json!({ "input": new(options, description) }))
        .await?;
    Ok(data.create_model.model)
}

/// The input for a model that is created.
fn new(options: &ModelOptions, description: &str) -> Value {
    // Without the option, the server decides.
    let visibility = options.private.then_some("PRIVATE");
    json!({
        "name": options.name, "tags": options.tags, "description": description, "visibility": visibility,
    })
}
