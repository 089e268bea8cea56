//! `scv model`

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::dataset;
use crate::cli::exit::not_found;
use crate::cli::model::{self, ModelOptions};
use crate::cli::page::{Connection, ListOptions, Listing};
use crate::cli::table::{counted, percent, properties, table, time};
use crate::cli::terminal::Terminal;

/// List, show and change models
#[derive(Debug, Args)]
pub(in crate::cli) struct ModelCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List models
    #[command(visible_alias = "ls")]
    List(List),
    /// Show a model and its versions
    Show {
        /// Name of the model
        model: String,
    },
    /// Create a model without versions
    Create(Create),
    /// Rename a model
    Rename {
        /// Name of the model
        model: String,
        /// New name
        new_name: String,
    },
    /// Add tags to a model
    Tag {
        /// Name of the model
        model: String,
        /// Tags to add
        #[arg(value_name = "TAG", required = true)]
        tags: Vec<String>,
    },
    /// Remove tags from a model
    Untag {
        /// Name of the model
        model: String,
        /// Tags to remove
        #[arg(value_name = "TAG", required = true)]
        tags: Vec<String>,
    },
    /// Set the description of a model
    Describe {
        /// Name of the model
        model: String,
        /// New description; an empty one removes it
        description: String,
    },
    /// Set who can see a model
    Visibility {
        /// Name of the model
        model: String,
        /// Whether all users of the server can see it, or only its owner and administrators
        #[arg(value_enum)]
        visibility: Visibility,
    },
    /// Delete models with all their versions; `scv model restore` restores them
    #[command(visible_alias = "rm")]
    Delete {
        /// Names of the models
        #[arg(value_name = "MODEL", required = true)]
        models: Vec<String>,
        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
    },
    /// Restore a deleted model
    Restore {
        /// Name of the model
        model: String,
    },
}

#[derive(Debug, Args)]
struct List {
    /// Only models with this tag; can be repeated, for models with all of these tags
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only models with a version for this data set; can be repeated
    #[arg(long = "dataset", value_name = "NAME")]
    datasets: Vec<String>,
    /// Only models whose name contains this text; case is ignored
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// List deleted models instead of the others
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    page: ListOptions,
}

#[derive(Debug, Args)]
struct Create {
    /// Name of the model
    name: String,
    /// Tag of the model; can be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Description of the model
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Only your account and administrators can see the model
    #[arg(long)]
    private: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Visibility {
    /// All users of the server
    Public,
    /// Only its owner and administrators
    Private,
}

/// A model as it is listed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    id: String,
    name: String,
    description: String,
    tags: Vec<String>,
    owner: Option<String>,
    visibility: String,
    created_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
    versions: Count,
    #[serde(rename(deserialize = "version", serialize = "latestVersion"))]
    latest_version: Option<LatestVersion>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    total_count: usize,
}

#[derive(Debug, Serialize, Deserialize)]
struct LatestVersion {
    number: u32,
    accuracy: Option<f64>,
    dataset: Named,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    name: String,
}

const FIELDS: &str = "id name description tags owner visibility createdAt deletedAt versions(first: 1) { totalCount }
    version(alias: \"latest\") { number accuracy dataset { name } }";

impl ModelCommand {
    pub(in crate::cli) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        match self.action {
            Action::List(list) => list.run(client, terminal).await,
            Action::Show { model } => {
                let model = find(client, &model).await?;
                let versions = super::version::all(client, &model.name, &ListOptions::ALL).await?;
                let text = format!("{}\n\n{}", model.to_text(), super::version::to_text(&versions));
                terminal.print(&json!({ "model": model, "versions": versions.entries }), text)
            }
            Action::Create(create) => {
                let options = ModelOptions {
                    name: create.name,
                    tags: create.tags,
                    private: create.private,
                };
                model::create(client, &options, &create.description).await?;
                let created = find(client, &options.name).await?;
                let text = format!("created model {:?}", created.name);
                terminal.print(&created, text)
            }
            Action::Rename { model, new_name } => {
                let found = model::existing(client, &model).await?;
                let text = format!("renamed model {model:?} to {new_name:?}");
                update(client, terminal, &found.id, json!({ "name": new_name }), text).await
            }
            Action::Tag { model, tags } => {
                let found = model::existing(client, &model).await?;
                let new = tags.into_iter().filter(|tag| !found.tags.contains(tag));
                let tags: Vec<_> = found.tags.iter().cloned().chain(new).collect();
                let text = format!("tags of model {model:?}: {}", tags.join(", "));
                update(client, terminal, &found.id, json!({ "tags": tags }), text).await
            }
            Action::Untag { model, tags } => untag(client, terminal, &model, &tags).await,
            Action::Describe { model, description } => {
                let found = model::existing(client, &model).await?;
                let text = format!("changed the description of model {model:?}");
                update(client, terminal, &found.id, json!({ "description": description }), text).await
            }
            Action::Visibility { model, visibility } => {
                let found = model::existing(client, &model).await?;
                let text = format!("model {model:?} is now {}", format!("{visibility:?}").to_lowercase());
                update(client, terminal, &found.id, json!({ "visibility": visibility }), text).await
            }
            Action::Delete { models, yes } => delete(client, terminal, &models, yes).await,
            Action::Restore { model } => restore(client, terminal, &model).await,
        }
    }
}

impl List {
    async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        dataset::check(client, &self.datasets.iter().collect::<Vec<_>>()).await?;
        let filter = json!({
            "tags": self.tags, "datasets": self.datasets, "nameContains": self.name, "deleted": self.deleted,
        });
        let models = models(client, &filter, &self.page).await?;
        let rows = models.entries.iter().map(|model| {
            let latest = model.latest_version.as_ref();
            let mut name = model.name.clone();
            if model.visibility == "PRIVATE" {
                name.push_str(" (private)");
            }
            vec![
                name,
                model.versions.total_count.to_string(),
                latest.map_or_else(|| "-".to_owned(), |version| version.dataset.name.clone()),
                percent(latest.and_then(|version| version.accuracy)),
                model.tags.join(", "),
                time(model.deleted_at.unwrap_or(model.created_at)),
            ]
        });
        let date = if self.deleted { "deleted" } else { "created" };
        let head = ["model", ">versions", "data set", ">accuracy", "tags", date];
        let noun = if self.deleted { "deleted model" } else { "model" };
        let text = models.to_text(noun, &table(&head, rows));
        terminal.print(&json!({ "totalCount": models.total, "models": models.entries }), text)
    }
}

impl Model {
    fn to_text(&self) -> String {
        properties(&[
            ("model", self.name.clone()),
            ("description", self.description.clone()),
            ("tags", self.tags.join(", ")),
            ("owner", self.owner.clone().unwrap_or_default()),
            ("visibility", self.visibility.to_lowercase()),
            ("created", time(self.created_at)),
            ("id", self.id.clone()),
        ])
    }
}

async fn models(client: &Client, filter: &Value, page: &ListOptions) -> anyhow::Result<Listing<Model>> {
    #[derive(Deserialize)]
    struct Data {
        models: Connection<Model>,
    }
    let query = format!(
        "query($filter: ModelFilter, $first: Int!, $after: String) {{
           models(filter: $filter, first: $first, after: $after, orderBy: {{ field: NAME }}) {{ {} }} }}",
        Connection::<Model>::fields(FIELDS)
    );
    page.collect(async |mut variables| {
        variables["filter"] = filter.clone();
        Ok(client.query::<Data>(&query, variables).await?.models)
    })
    .await
}

/// The model of a name.
async fn find(client: &Client, name: &str) -> anyhow::Result<Model> {
    #[derive(Deserialize)]
    struct Data {
        model: Option<Model>,
    }
    let query = format!("query($name: String!) {{ model(name: $name) {{ {FIELDS} }} }}");
    match client.query::<Data>(&query, json!({ "name": name })).await?.model {
        Some(model) => Ok(model),
        None => Err(not_found(format!(
            "there is no model {name:?}: {}",
            model::known(client).await?
        ))),
    }
}

async fn update(client: &Client, terminal: &Terminal, id: &str, changes: Value, text: String) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Data {
        model: Model,
    }
    model::update(client, id, changes).await?;
    let query = format!("query($id: ID!) {{ model(id: $id) {{ {FIELDS} }} }}");
    let data: Data = client.query(&query, json!({ "id": id })).await?;
    terminal.print(&data.model, text)
}

async fn untag(client: &Client, terminal: &Terminal, model: &str, tags: &[String]) -> anyhow::Result<()> {
    let found = model::existing(client, model).await?;
    if let Some(missing) = tags.iter().find(|tag| !found.tags.contains(tag)) {
        let tags = found.tags.join(", ");
        return Err(not_found(format!(
            "model {model:?} has no tag {missing:?}; its tags: {tags}"
        )));
    }
    let kept: Vec<_> = found.tags.iter().filter(|tag| !tags.contains(tag)).collect();
    let text = format!("model {model:?} has {}", counted(kept.len(), "tag"));
    update(client, terminal, &found.id, json!({ "tags": kept }), text).await
}

async fn delete(client: &Client, terminal: &Terminal, names: &[String], is_confirmed: bool) -> anyhow::Result<()> {
    let mut models = Vec::new();
    for name in names {
        models.push(find(client, name).await?);
    }
    if !is_confirmed {
        let list = models.iter().map(|model| {
            let versions = counted(model.versions.total_count, "version");
            format!("{:?} with {versions}", model.name)
        });
        let list = list.collect::<Vec<_>>().join(", ");
        let noun = if models.len() == 1 { "model" } else { "models" };
        terminal.confirm_deletion(&format!("{noun} {list}"))?;
    }
    let query = "mutation($input: DeleteModelInput!) { deleteModel(input: $input) { model { id } } }";
    for model in &models {
        client
            .query::<Value>(query, json!({ "input": { "id": model.id } }))
            .await?;
    }
    let names: Vec<_> = models.iter().map(|model| format!("{:?}", model.name)).collect();
    let text = format!("deleted {}; to undo it use `scv model restore`", names.join(", "));
    let deleted: Vec<_> = models.iter().map(|model| &model.name).collect();
    terminal.print(&json!({ "deleted": deleted }), text)
}

async fn restore(client: &Client, terminal: &Terminal, name: &str) -> anyhow::Result<()> {
    let filter = json!({ "nameContains": name, "deleted": true });
    let deleted = models(client, &filter, &ListOptions::ALL).await?.entries;
    // Of several with one name, the one that was deleted last.
    let found = deleted
        .into_iter()
        .filter(|model| model.name == name)
        .max_by_key(|model| model.deleted_at);
    let Some(model) = found else {
        return Err(not_found(format!(
            "there is no deleted model {name:?}: list deleted models with `scv model list --deleted`"
        )));
    };
    let query = "mutation($input: RestoreModelInput!) { restoreModel(input: $input) { model { id } } }";
    client
        .query::<Value>(query, json!({ "input": { "id": model.id } }))
        .await?;
    let text = format!(
        "restored model {name:?} with {}",
        counted(model.versions.total_count, "version")
    );
    terminal.print(&find(client, name).await?, text)
}
