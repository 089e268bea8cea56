//! `scv version`

use std::path::PathBuf;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::exit::{code, failure, not_found};
use crate::cli::model::{self, Version};
use crate::cli::page::{Connection, ListOptions, Listing};
use crate::cli::pictures::file_stem;
use crate::cli::preprocessing::Preprocessing;
use crate::cli::table::{percent, properties, table, time};
use crate::cli::terminal::Terminal;
use crate::cli::version_name::{self, VersionName};

/// List, show, download and delete versions of models
///
/// Without a command it prints the version of this program.
#[derive(Debug, Args)]
pub(in crate::cli) struct VersionCommand {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the versions of a model
    #[command(visible_alias = "ls")]
    List {
        /// Name of the model
        model: String,
        #[command(flatten)]
        page: ListOptions,
    },
    /// Show a version
    Show {
        /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
        #[arg(value_name = "MODEL[:VERSION]")]
        version: VersionName,
    },
    /// Download the network of a version
    Download(Download),
    /// Delete a version for good; `scv model delete` deletes a whole model
    #[command(visible_alias = "rm")]
    Delete {
        /// MODEL:NUMBER
        #[arg(value_name = "MODEL:VERSION")]
        version: VersionName,
        /// Do not ask for confirmation
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct Download {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// File format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// File to write [default: MODEL-NUMBER with the extension of the format, in the current directory]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// The network with its weights
    #[default]
    Onnx,
    /// The weights alone, of a network of blocks
    Safetensors,
    /// Python source that builds the network in PyTorch and loads the weights
    Pytorch,
}

/// A version as it is listed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedVersion {
    #[serde(flatten)]
    version: Version,
    status: String,
    format: String,
    created_at: DateTime<Utc>,
    parameter_count: u64,
    dataset: Named,
    layers: Count,
}

#[derive(Debug, Serialize, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    total_count: usize,
}

/// A version with what is only shown of one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FullVersion {
    #[serde(flatten)]
    listed: ListedVersion,
    multiply_accumulates: f64,
    failure: Option<Failure>,
    duplicate_of: Option<Version>,
    preprocessing: Option<Preprocessing>,
    downloads: Downloads,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    code: String,
    message: String,
}

/// Paths on the server.
#[derive(Debug, Serialize, Deserialize)]
struct Downloads {
    onnx: Option<String>,
    pytorch: Option<String>,
    safetensors: Option<String>,
}

impl Downloads {
    /// The names of the formats that there are.
    fn formats(&self) -> Vec<&'static str> {
        [
            ("onnx", &self.onnx),
            ("safetensors", &self.safetensors),
            ("pytorch", &self.pytorch),
        ]
        .into_iter()
        .filter_map(|(name, path)| path.as_ref().map(|_| name))
        .collect()
    }
}

impl ListedVersion {
    fn fields() -> String {
        format!(
            "{} status format createdAt parameterCount dataset {{ name }} layers(first: 1) {{ totalCount }}",
            Version::FIELDS
        )
    }
}

impl VersionCommand {
    pub(in crate::cli) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        match self.action {
            None => {
                let version = env!("CARGO_PKG_VERSION");
                terminal.print(&json!({ "version": version }), format!("scv {version}"))
            }
            Some(Action::List { model, page }) => {
                let versions = all(client, &model, &page).await?;
                let text = to_text(&versions);
                terminal.print(
                    &json!({ "totalCount": versions.total, "versions": versions.entries }),
                    text,
                )
            }
            Some(Action::Show { version }) => {
                let found = version_name::find(client, &version).await?.version;
                let version = full(client, &found.id).await?;
                terminal.print(&version, version.to_text())
            }
            Some(Action::Download(download)) => download.run(client, terminal).await,
            Some(Action::Delete { version, yes }) => delete(client, terminal, &version, yes).await,
        }
    }
}

/// The versions of a model, by number.
pub(super) async fn all(client: &Client, model: &str, page: &ListOptions) -> anyhow::Result<Listing<ListedVersion>> {
    #[derive(Deserialize)]
    struct Data {
        model: Option<Of>,
    }
    #[derive(Deserialize)]
    struct Of {
        versions: Connection<ListedVersion>,
    }
    let query = format!(
        "query($model: String!, $first: Int!, $after: String) {{ model(name: $model) {{
           versions(first: $first, after: $after) {{ {} }} }} }}",
        Connection::<ListedVersion>::fields(&ListedVersion::fields())
    );
    page.collect(async |mut variables| {
        variables["model"] = json!(model);
        match client.query::<Data>(&query, variables).await?.model {
            Some(found) => Ok(found.versions),
            None => Err(not_found(format!(
                "there is no model {model:?}: {}",
                model::known(client).await?
            ))),
        }
    })
    .await
}

/// Versions as a table.
pub(super) fn to_text(versions: &Listing<ListedVersion>) -> String {
    let rows = versions.entries.iter().map(|listed| {
        vec![
            listed.version.to_string(),
            listed.status.to_lowercase(),
            listed.dataset.name.clone(),
            percent(listed.version.accuracy),
            listed.layers.total_count.to_string(),
            listed.parameter_count.to_string(),
            listed.format.to_lowercase(),
            time(listed.created_at),
        ]
    });
    let head = [
        "version",
        "status",
        "data set",
        ">accuracy",
        ">layers",
        ">parameters",
        "format",
        "created",
    ];
    versions.to_text("version", &table(&head, rows))
}

async fn full(client: &Client, id: &str) -> anyhow::Result<FullVersion> {
    #[derive(Deserialize)]
    struct Data {
        version: Option<FullVersion>,
    }
    let query = format!(
        "query($id: ID!) {{ version(id: $id) {{ {} multiplyAccumulates failure {{ code message }} duplicateOf {{ {} }}
           preprocessing {{ {} }} downloads {{ onnx pytorch safetensors }} }} }}",
        ListedVersion::fields(),
        Version::FIELDS,
        Preprocessing::FIELDS
    );
    let found = client.query::<Data>(&query, json!({ "id": id })).await?.version;
    found.ok_or_else(|| not_found("the version has just been deleted"))
}

impl FullVersion {
    fn to_text(&self) -> String {
        let listed = &self.listed;
        let failure = self.failure.as_ref();
        let input = self.preprocessing.as_ref();
        properties(&[
            ("version", listed.version.to_string()),
            ("status", listed.status.to_lowercase()),
            (
                "failure",
                failure.map_or_else(String::new, |failure| format!("{} [{}]", failure.message, failure.code)),
            ),
            ("data set", listed.dataset.name.clone()),
            ("test accuracy", percent(listed.version.accuracy)),
            ("format", listed.format.to_lowercase()),
            ("input", input.map(Preprocessing::summary).unwrap_or_default()),
            ("about the input", input.map(Preprocessing::notes).unwrap_or_default()),
            ("layers", listed.layers.total_count.to_string()),
            ("parameters", listed.parameter_count.to_string()),
            ("multiply-adds", format!("{:.0}", self.multiply_accumulates)),
            (
                "duplicate of",
                self.duplicate_of.as_ref().map(Version::to_string).unwrap_or_default(),
            ),
            ("downloads", self.downloads.formats().join(", ")),
            ("created", time(listed.created_at)),
            ("id", listed.version.id.clone()),
        ])
    }
}

impl Download {
    async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        let found = version_name::find(client, &self.version).await?.version;
        let downloads = full(client, &found.id).await?.downloads;
        let formats = downloads.formats();
        let (path, requested, extension) = match self.format {
            Format::Onnx => (downloads.onnx, "onnx", "onnx"),
            Format::Safetensors => (downloads.safetensors, "safetensors", "safetensors"),
            Format::Pytorch => (downloads.pytorch, "pytorch", "py"),
        };
        let Some(path) = path else {
            let reason = match formats.as_slice() {
                [] => "its network is not stored".to_owned(),
                formats => format!("only as {}", formats.join(", ")),
            };
            return Err(not_found(format!(
                "{found} cannot be downloaded as {requested}: {reason}"
            )));
        };
        let output = self
            .output
            .unwrap_or_else(|| format!("{}.{extension}", file_stem(&found.to_string())).into());
        if !self.force && output.exists() {
            bail!(
                "{} exists: overwrite it with --force, or choose another file with --output",
                output.display()
            );
        }
        let spinner = terminal.spinner("downloading");
        let bytes = client.download(client.url(&path).as_str(), &output).await?;
        drop(spinner);
        let text = format!("wrote {} ({})", output.display(), HumanBytes(bytes));
        terminal.print(&json!({ "version": found, "output": output, "bytes": bytes }), text)
    }
}

async fn delete(client: &Client, terminal: &Terminal, name: &VersionName, is_confirmed: bool) -> anyhow::Result<()> {
    let version = version_name::find(client, name).await?.version;
    if !name.has_number() {
        let message = format!("give the number of the version to delete, as in {version}");
        return Err(failure(code::USAGE, message));
    }
    if !is_confirmed {
        terminal.confirm_deletion(&format!("version {version} for good"))?;
    }
    let query = "mutation($input: DeleteVersionInput!) { deleteVersion(input: $input) { deletedVersionId } }";
    client
        .query::<Value>(query, json!({ "input": { "id": version.id } }))
        .await?;
    terminal.print(&json!({ "deleted": version }), format!("deleted version {version}"))
}
