//! `scv compare`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError};
use super::exit::{code, failure};
use super::layer::{self, Layer};
use super::model::{Version, test_accuracy};
use super::search::Measure;
use super::table::{percent, score, table};
use super::terminal::Terminal;
use super::version_name::{VersionName, find_ready};
use crate::config::value::whole;

/// List the versions that are most similar to one, or match the layers of two versions
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// Version to compare it with; without it, the most similar versions are listed
    #[arg(value_name = "OTHER[:VERSION]")]
    other: Option<VersionName>,
    /// Number of versions to list, at most 100
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 10, value_parser = whole::<u32>(1..=100), conflicts_with = "other")]
    count: u32,
    /// Similarity measure of layers
    #[arg(long, value_enum, default_value_t)]
    measure: Measure,
    /// Only layers of this kind, such as Conv2d; can be repeated
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// File for a picture of the similarity of all pairs of layers; its name must end in .svg or .png
    #[arg(short, long, value_name = "FILE", requires = "other")]
    output: Option<PathBuf>,
}

impl Compare {
    pub(super) async fn run(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        let format = self.output.as_deref().map(Format::of).transpose()?;
        let version = find_ready(client, &self.version).await?;
        let Some(other_name) = &self.other else {
            self.check_kinds(client, &[&self.version]).await?;
            let similar = self.similar(client, version).await?;
            return terminal.print(&similar, similar.to_text());
        };
        let other = find_ready(client, other_name).await?;
        self.check_kinds(client, &[&self.version, other_name]).await?;
        let (compared, pictures) = match self.matrix(client, version.clone(), other.clone()).await {
            Ok(found) => found,
            Err(error) => return Err(explained(client, error, &version, &other).await),
        };
        if let (Some(path), Some(format)) = (&self.output, format) {
            let bytes = client.file(client.url(pictures.of(format)).as_str()).await?;
            std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
            terminal.note(format!("wrote {}", path.display()));
        }
        terminal.print(&compared, compared.to_text())
    }

    /// Checks that there are layers of the kinds to compare.
    async fn check_kinds(&self, client: &Client, versions: &[&VersionName]) -> anyhow::Result<()> {
        if self.kind.is_empty() {
            return Ok(());
        }
        let mut layers = Vec::new();
        for version in versions {
            layers.push(layer::layers(client, version).await?);
        }
        layer::check_kinds(&layers, &self.kind)
    }

    async fn similar(&self, client: &Client, version: Version) -> anyhow::Result<Similar> {
        #[derive(Deserialize)]
        struct Data {
            version: VersionData,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct VersionData {
            similar_versions: Found,
        }
        #[derive(Deserialize)]
        struct Found {
            exact: bool,
            edges: Vec<SimilarVersion>,
        }
        let query = format!(
            "query($id: ID!, $first: Int!, $measure: Measure!, $filter: SimilarityFilter) {{ version(id: $id) {{
               similarVersions(first: $first, measure: $measure, filter: $filter) {{
                 exact edges {{ rank score alignment {{ score }} node {{ {} }} }} }} }} }}",
            Version::FIELDS
        );
        let variables = json!({
            "id": version.id, "first": self.count, "measure": self.measure,
            "filter": { "layerKinds": self.kind, "includeOwnModel": true },
        });
        let found = client.query::<Data>(&query, variables).await?.version.similar_versions;
        Ok(Similar {
            version,
            exact: found.exact,
            hits: found.edges,
        })
    }

    async fn matrix(
        &self,
        client: &Client,
        version: Version,
        other: Version,
    ) -> Result<(Compared, Pictures), ClientError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            cka_matrix: Matrix,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Matrix {
            best_match_average: f64,
            alignment: Alignment,
            #[serde(flatten)]
            pictures: Pictures,
        }
        #[derive(Deserialize)]
        struct Alignment {
            score: f64,
            pairs: Vec<Pair>,
        }
        let layer = Layer::FIELDS;
        let query = format!(
            "query($a: ID!, $b: ID!, $measure: Measure!, $kinds: [String!]!) {{
               ckaMatrix(a: $a, b: $b, measure: $measure, layerKinds: $kinds) {{
                 bestMatchAverage svg: plot png: plot(format: PNG)
                 alignment {{ score pairs {{ score layer {{ {layer} }} otherLayer {{ {layer} }} }} }} }} }}"
        );
        let variables = json!({ "a": version.id, "b": other.id, "measure": self.measure, "kinds": self.kind });
        let Matrix {
            best_match_average,
            alignment,
            pictures,
        } = client.query::<Data>(&query, variables).await?.cka_matrix;
        let compared = Compared {
            version,
            other,
            best_match_average,
            alignment_score: alignment.score,
            pairs: alignment.pairs,
        };
        Ok((compared, pictures))
    }
}

/// The error of a comparison, with the data sets of both versions if they differ.
async fn explained(client: &Client, error: ClientError, version: &Version, other: &Version) -> anyhow::Error {
    let (Ok(data_set), Ok(other_data_set)) = (dataset(client, version).await, dataset(client, other).await) else {
        return error.into();
    };
    if data_set == other_data_set {
        return anyhow::Error::new(error).context(format!("cannot compare {version} with {other}"));
    }
    let message = format!(
        "cannot compare {version} ({data_set}) with {other} ({other_data_set}): both versions must be for the same data set"
    );
    failure(code::BAD_USER_INPUT, message)
}

async fn dataset(client: &Client, version: &Version) -> Result<String, ClientError> {
    #[derive(Deserialize)]
    struct Data {
        version: Of,
    }
    #[derive(Deserialize)]
    struct Of {
        dataset: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let query = "query($id: ID!) { version(id: $id) { dataset { name } } }";
    let data: Data = client.query(query, json!({ "id": version.id })).await?;
    Ok(data.version.dataset.name)
}

/// The most similar versions.
#[derive(Debug, Serialize)]
struct Similar {
    version: Version,
    exact: bool,
    hits: Vec<SimilarVersion>,
}

/// A similar version.
#[derive(Debug, Serialize, Deserialize)]
struct SimilarVersion {
    rank: u32,
    score: f64,
    alignment: AlignmentScore,
    #[serde(rename(deserialize = "node", serialize = "version"))]
    version: Version,
}

#[derive(Debug, Serialize, Deserialize)]
struct AlignmentScore {
    score: f64,
}

impl Similar {
    fn to_text(&self) -> String {
        if self.hits.is_empty() {
            return format!("there is no other version to compare {} with", self.version);
        }
        let rows = self.hits.iter().map(|hit| {
            vec![
                hit.rank.to_string(),
                score(hit.score),
                score(hit.alignment.score),
                hit.version.to_string(),
                percent(hit.version.accuracy),
            ]
        });
        let how = if self.exact {
            "compared all candidate versions"
        } else {
            "used the search index to choose candidate versions"
        };
        format!(
            "most similar versions to {} ({}):\n{}\n\
             best match: mean score of each layer with its best match; alignment: the same with pairs in the order of both networks\n\
             {how}",
            self.version,
            test_accuracy(self.version.accuracy),
            table(&[">rank", ">best match", ">alignment", "version", ">accuracy"], rows),
        )
    }
}

/// The comparison of two versions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    version: Version,
    other: Version,
    best_match_average: f64,
    alignment_score: f64,
    pairs: Vec<Pair>,
}

/// Two layers that match.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair {
    score: f64,
    layer: Layer,
    other_layer: Layer,
}

impl Compared {
    fn to_text(&self) -> String {
        let rows = self.pairs.iter().map(|pair| {
            vec![
                score(pair.score),
                format!("{} {}", pair.layer.name, pair.layer.kind),
                format!("{} {}", pair.other_layer.name, pair.other_layer.kind),
            ]
        });
        format!(
            "best-match score {}: mean score of each layer with its best match\n\
             alignment score {}: 2 x sum of the pair scores below / number of layers of both\n{}",
            score(self.best_match_average),
            score(self.alignment_score),
            table(&[">score", &self.version.to_string(), &self.other.to_string()], rows),
        )
    }
}

/// The format of a picture.
#[derive(Debug, Clone, Copy)]
enum Format {
    Svg,
    Png,
}

impl Format {
    fn of(path: &std::path::Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => {
                let message = format!("--output {} must end in .svg or .png", path.display());
                Err(failure(code::USAGE, message))
            }
        }
    }
}

/// Paths of the pictures on the server.
#[derive(Debug, Deserialize)]
struct Pictures {
    svg: String,
    png: String,
}

impl Pictures {
    fn of(&self, format: Format) -> &str {
        match format {
            Format::Svg => &self.svg,
            Format::Png => &self.png,
        }
    }
}
