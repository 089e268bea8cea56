//! Questions to the server under test, over HTTP as users ask them.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use scv_domain::id::LayerId;
use scv_domain::vector::Measure;
use scv::graphql::id::GlobalId as _;
use serde_json::{Value, json};

const SEARCH: &str =
    "query($layer: ID!, $first: Int, $after: String, $measure: Measure!, $filter: SimilarityFilter, $exact: Boolean!) {
    layer(id: $layer) {
      similar(first: $first, after: $after, measure: $measure, filter: $filter, exact: $exact) {
        exact pageInfo { endCursor hasNextPage } edges { cka debiasedCka node { id name } }
      } } }";

/// One search.
#[derive(Clone)]
pub(crate) struct Question<'a> {
    pub(crate) target: LayerId,
    pub(crate) measure: Measure,
    pub(crate) filter: &'a Value,
    pub(crate) first: usize,
    pub(crate) after: Option<String>,
    pub(crate) exact: bool,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) took: Duration,
    pub(crate) exact: bool,
    /// Layer and score, best first.
    pub(crate) hits: Vec<(String, f64)>,
    /// Where the next page begins, if there is one.
    pub(crate) next: Option<String>,
}

/// A server.
pub(crate) struct Api {
    url: String,
    http: reqwest::Client,
}

impl Api {
    pub(crate) fn new(address: std::net::SocketAddr) -> Self {
        Self {
            url: format!("http://{address}/graphql"),
            http: reqwest::Client::new(),
        }
    }

    pub(crate) async fn data(&self, query: &str, variables: Value) -> anyhow::Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let mut answer: Value = self.http.post(&self.url).json(&body).send().await?.json().await?;
        anyhow::ensure!(answer["errors"].is_null(), "{answer:#}");
        Ok(answer["data"].take())
    }

    pub(crate) async fn search(&self, question: &Question<'_>) -> anyhow::Result<Answer> {
        let (measure, score) = match question.measure {
            Measure::DebiasedCka => ("DEBIASED_CKA", "debiasedCka"),
            Measure::Cka => ("CKA", "cka"),
        };
        let variables = json!({
            "layer": question.target.encode(), "first": question.first, "after": question.after, "measure": measure,
            "filter": question.filter, "exact": question.exact,
        });
        let started = Instant::now();
        let found = self.data(SEARCH, variables).await?["layer"]["similar"].take();
        let took = started.elapsed();
        let edges = found["edges"].as_array().context("a list of edges")?;
        let hit = |edge: &Value| Some((edge["node"]["id"].as_str()?.to_owned(), edge[score].as_f64()?));
        let has_next = found["pageInfo"]["hasNextPage"] == true;
        let cursor = found["pageInfo"]["endCursor"].as_str().map(str::to_owned);
        Ok(Answer {
            took,
            exact: found["exact"] == true,
            hits: edges.iter().filter_map(hit).collect(),
            next: cursor.filter(|_| has_next),
        })
    }
}
