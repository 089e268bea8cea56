//! `scv compare`

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::Client;
use super::layer::{Layer, VersionName, layers};
use super::model::{Version, percent, right_answers};
use super::search::Measure;
use super::table::{score, table};
use super::terminal::Terminal;
use crate::config::ClientConfig;

/// Show the versions most like one, or how the layers of two versions match
#[derive(Debug, Args)]
pub(super) struct Compare {
    /// MODEL, MODEL:NUMBER, MODEL:latest or MODEL:best
    #[arg(value_name = "MODEL[:VERSION]")]
    version: VersionName,
    /// The version to compare it with; without it the versions most like it are listed
    #[arg(value_name = "OTHER[:VERSION]")]
    other: Option<VersionName>,
    /// How many versions to list, at most 100
    #[arg(short = 'n', long = "count", value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
    /// What layers are compared by
    #[arg(long, value_enum, default_value_t)]
    measure: Measure,
    /// Only layers of this kind, such as Conv2d; can be given several times
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Write a picture of all layers against all layers: a file that ends in .svg or .png
    #[arg(short, long, value_name = "FILE", requires = "other")]
    output: Option<PathBuf>,
    #[command(flatten)]
    client: ClientConfig,
}

impl Compare {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let client = Client::new(&self.client)?;
        let version = layers(&client, &self.version).await?.version;
        let Some(other) = &self.other else {
            let answer = self.similar(&client, version).await?;
            return terminal.answer(&answer, answer.to_text());
        };
        let format = self.output.as_deref().map(Format::of).transpose()?;
        let other = layers(&client, other).await?.version;
        let (answer, pictures) = self.matrix(&client, version, other).await?;
        if let (Some(path), Some(format)) = (&self.output, format) {
            let bytes = client.file(client.address(pictures.of(format)).as_str()).await?;
            std::fs::write(path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
            terminal.note(format!("the picture is in {}", path.display()));
        }
        terminal.answer(&answer, answer.to_text())
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
        let found = client.ask::<Data>(&query, variables).await?.version.similar_versions;
        Ok(Similar {
            version,
            exact: found.exact,
            hits: found.edges,
        })
    }

    async fn matrix(&self, client: &Client, version: Version, other: Version) -> anyhow::Result<(Compared, Pictures)> {
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
                 bestMatchAverage svg: picture png: picture(format: PNG)
                 alignment {{ score pairs {{ score layer {{ {layer} }} otherLayer {{ {layer} }} }} }} }} }}"
        );
        let variables = json!({ "a": version.id, "b": other.id, "measure": self.measure, "kinds": self.kind });
        let Matrix {
            best_match_average,
            alignment,
            pictures,
        } = client.ask::<Data>(&query, variables).await?.cka_matrix;
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

/// The versions most like one.
#[derive(Debug, Serialize)]
struct Similar {
    version: Version,
    exact: bool,
    hits: Vec<SimilarVersion>,
}

/// A version that was found.
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
        let how = match self.exact {
            true => "each version was compared",
            false => "an index chose the versions that were compared",
        };
        format!(
            "versions most like {} ({}):\n{}\n\
             best matches: best-match average, each layer with the one most like it; in order: alignment score, only pairs in the same \
             order in both\n{how}",
            self.version,
            right_answers(self.version.accuracy),
            table(&[">rank", ">best matches", ">in order", "version", ">accuracy"], rows),
        )
    }
}

/// Two versions against each other.
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
            "best-match average {}: each layer with the one most like it\n\
             alignment score {}: of the pairs below, which stand in the same order in both; twice the sum of their scores by the \
             number of layers of both\n{}",
            score(self.best_match_average),
            score(self.alignment_score),
            table(&[">score", &self.version.to_string(), &self.other.to_string()], rows),
        )
    }
}

/// How a picture is written.
#[derive(Debug, Clone, Copy)]
enum Format {
    Svg,
    Png,
}

impl Format {
    fn of(path: &std::path::Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            _ => bail!("{} ends neither in .svg nor in .png", path.display()),
        }
    }
}

/// Where pictures are to be had.
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
