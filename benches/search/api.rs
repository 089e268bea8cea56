//! Requests to the server under test, over HTTP like those of its clients.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_graphql::ID;
use scv_api::id::GlobalId as _;
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::vector::Measure;
use serde_json::{Value, json};

const SEARCH: &str =
    "query($layer: ID!, $on: ID, $first: Int, $after: String, $measure: Measure!, $filter: SimilarityFilter, $exact: Boolean!) {
    layer(id: $layer) {
      similar(probeSet: $on, first: $first, after: $after, measure: $measure, filter: $filter, exact: $exact) {
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

const CREATE_PROBE_SET: &str =
    "mutation($input: CreateProbeSetInput!) { createProbeSet(input: $input) { probeSet { id } } }";

/// A client of the server.
pub(crate) struct Api {
    url: String,
    /// What searches compare on; the default probe set of the layer's data set if `None`.
    probe_set: Option<ProbeSetId>,
    http: reqwest::Client,
}

impl Api {
    pub(crate) fn new(address: std::net::SocketAddr) -> Self {
        scv_llm::use_ring();
        Self {
            url: format!("http://{address}/graphql"),
            probe_set: None,
            http: reqwest::Client::new(),
        }
    }

    pub(crate) async fn data(&self, query: &str, variables: Value) -> anyhow::Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let mut response: Value = self.http.post(&self.url).json(&body).send().await?.json().await?;
        anyhow::ensure!(response["errors"].is_null(), "{response:#}");
        Ok(response["data"].take())
    }

    /// Searches on another probe set from now on: one of so many images of the digits.
    pub(crate) async fn use_probe_set(&mut self, images: usize) -> anyhow::Result<ProbeSetId> {
        let input = json!({ "dataset": "digits", "imageCount": images });
        let created = self.data(CREATE_PROBE_SET, json!({ "input": input })).await?;
        let id = created["createProbeSet"]["probeSet"]["id"].as_str();
        let id = ID(id.context("there is no probe set")?.to_owned());
        let id = ProbeSetId::decode(&id).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        self.probe_set = Some(id);
        Ok(id)
    }

    /// The number of vectors that the server has in memory.
    pub(crate) async fn kept_vectors(&self) -> anyhow::Result<u64> {
        let caches = self
            .data("{ serverInfo { caches { name entries } } }", json!({}))
            .await?["serverInfo"]["caches"]
            .take();
        let vectors = caches
            .as_array()
            .and_then(|all| all.iter().find(|one| one["name"] == "vectors"));
        let entries = vectors.and_then(|vectors| vectors["entries"].as_f64());
        Ok(entries.context("there is no cache of vectors")? as u64)
    }

    pub(crate) async fn search(&self, request: &SearchRequest<'_>) -> anyhow::Result<SearchResponse> {
        let (measure, score) = match request.measure {
            Measure::DebiasedCka => ("DEBIASED_CKA", "debiasedCka"),
            Measure::Cka => ("CKA", "cka"),
        };
        let variables = json!({
            "layer": request.target.encode(), "on": self.probe_set.map(ProbeSetId::encode), "first": request.first, "after": request.after, "measure": measure,
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
