//! Requests to the server under test, over HTTP like those of its clients.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use scv_api::id::GlobalId as _;
use scv_domain::id::LayerId;
use scv_domain::vector::Measure;
use serde_json::{Value, json};

const SEARCH: &str =
    "query($layer: ID!, $first: Int, $after: String, $measure: Measure!, $filter: SimilarityFilter, $exact: Boolean!) {
    layer(id: $layer) {
      similar(first: $first, after: $after, measure: $measure, filter: $filter, exact: $exact) {
        exact completeAbove pageInfo { endCursor hasNextPage } edges { cka debiasedCka node { id name } }
      } } }";

/// One search.
#[derive(Clone)]
pub(crate) struct SearchRequest<'a> {
    pub(crate) target: LayerId,
    pub(crate) measure: Measure,
    pub(crate) filter: &'a Value,
    pub(crate) first: usize,
    pub(crate) after: Option<String>,
    pub(crate) exact: bool,
}

/// The result of a search.
pub(crate) struct SearchResponse {
    pub(crate) duration: Duration,
    pub(crate) exact: bool,
    /// Above this score, the list is said to be complete.
    pub(crate) complete_above: Option<f64>,
    /// Layer and score, best first.
    pub(crate) hits: Vec<(String, f64)>,
    /// The cursor of the next page, if there is one.
    pub(crate) next: Option<String>,
}

/// A client of the server.
pub(crate) struct Api {
    url: String,
    http: reqwest::Client,
}

impl Api {
    pub(crate) fn new(address: std::net::SocketAddr) -> Self {
        scv_llm::use_ring();
        Self {
            url: format!("http://{address}/graphql"),
            http: reqwest::Client::new(),
        }
    }

    pub(crate) async fn data(&self, query: &str, variables: Value) -> anyhow::Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let mut response: Value = self.http.post(&self.url).json(&body).send().await?.json().await?;
        anyhow::ensure!(response["errors"].is_null(), "{response:#}");
        Ok(response["data"].take())
    }

    pub(crate) async fn search(&self, request: &SearchRequest<'_>) -> anyhow::Result<SearchResponse> {
        let (measure, score) = match request.measure {
            Measure::DebiasedCka => ("DEBIASED_CKA", "debiasedCka"),
            Measure::Cka => ("CKA", "cka"),
        };
        let variables = json!({
            "layer": request.target.encode(), "first": request.first, "after": request.after, "measure": measure,
            "filter": request.filter, "exact": request.exact,
        });
        let started = Instant::now();
        let found = self.data(SEARCH, variables).await?["layer"]["similar"].take();
        let duration = started.elapsed();
        let edges = found["edges"].as_array().context("`edges` is not a list")?;
        let hit = |edge: &Value| Some((edge["node"]["id"].as_str()?.to_owned(), edge[score].as_f64()?));
        let has_next = found["pageInfo"]["hasNextPage"] == true;
        let cursor = found["pageInfo"]["endCursor"].as_str().map(str::to_owned);
        Ok(SearchResponse {
            duration,
            exact: found["exact"] == true,
            complete_above: found["completeAbove"].as_f64(),
            hits: edges.iter().filter_map(hit).collect(),
            next: cursor.filter(|_| has_next),
        })
    }
}
