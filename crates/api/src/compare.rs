//! Compares whole versions with each other.

use async_graphql::connection::{Connection, ConnectionNameType, Edge, EdgeNameType};
use async_graphql::{Context, Enum, ID, Object, OutputType, SimpleObject};

use super::cost::list_cost;
use super::dataset::ProbeSet;
use super::error::{ApiError, Result};
use super::id::{GlobalId as _, decode_cursor, encode_cursor};
use super::layer::{Layer, probe_set_for};
use super::layer_match::{Measure, SimilarityFilter};
use super::loader::{load, load_referenced};
use super::raw_list::RawList;
use super::version::Version;
use scv_domain::comparison::{self, ComparedLayers, Comparison, SimilarVersionsQuery, VersionCursor};
use scv_domain::id::{LayerId, VersionId};
use scv_domain::page::{MAX_PAGE, Page};
use scv_domain::version as domain;
use scv_service::Library;

/// Two layers and their similarity.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct LayerPair(comparison::LayerPair);

#[Object(use_type_description)]
impl LayerPair {
    /// The layer of the first version.
    async fn layer(&self, ctx: &Context<'_>) -> Result<Layer> {
        load_referenced(ctx, self.0.layer).await.map(Layer::from)
    }

    /// The layer of the other version; for `redundantNeighbours`, the next layer of the same version.
    async fn other_layer(&self, ctx: &Context<'_>) -> Result<Layer> {
        load_referenced(ctx, self.0.other).await.map(Layer::from)
    }

    /// Their similarity, in the requested measure.
    async fn score(&self) -> f64 {
        self.0.score
    }
}

/// The best alignment of two versions: pairs of layers that keep the order of both networks, use no layer twice, and
/// have the highest possible sum of scores.
#[derive(Debug, SimpleObject)]
pub struct LayerAlignment {
    /// The alignment score: twice the sum of the pairs' scores, divided by the total number of layers of both versions.
    /// It is 1 if the versions agree layer by layer.
    score: f64,
    /// The pairs, in execution order. A layer that is in no pair has no counterpart.
    pairs: Vec<LayerPair>,
}

impl LayerAlignment {
    fn of(score: f64, pairs: Vec<comparison::LayerPair>) -> Self {
        Self {
            score,
            pairs: pairs.into_iter().map(LayerPair).collect(),
        }
    }
}

/// A page of the most similar versions, most similar first.
pub type VersionMatchConnection = Connection<
    String,
    Version,
    VersionSearchFacts,
    VersionMatchScores,
    VersionMatchConnectionName,
    VersionMatchEdgeName,
>;

/// Fields that concern the whole search for versions.
#[derive(Debug, async_graphql::Description)]
pub struct VersionSearchFacts {
    exact: bool,
    target: domain::Version,
    query: SimilarVersionsQuery,
}

#[Object(use_type_description)]
impl VersionSearchFacts {
    /// Number of candidate versions: all versions that match the filter, whatever their scores.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let library = ctx.data_unchecked::<Library>();
        let count = Box::pin(library.count_admitted_versions(&self.target, &self.query)).await?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Whether every candidate version was compared layer by layer. If false, an approximate index over layers chose
    /// the versions to compare: the scores are exact, but hits may be missing.
    async fn exact(&self) -> bool {
        self.exact
    }
}

/// The scores of a version that was found.
#[derive(Debug, SimpleObject)]
pub struct VersionMatchScores {
    /// Position in the results, from 1, counted over all pages.
    rank: usize,
    /// The best-match score: the mean score of each layer with its best match in the other version, averaged over both
    /// directions. It is 1 if each layer of either version has an equal in the other.
    score: f64,
    /// For each layer of the target, the most similar layer of this version.
    best_matches: Vec<LayerPair>,
    /// The best alignment of the two versions, in the order of both networks.
    alignment: LayerAlignment,
}

/// The name of the connection type.
#[derive(Debug)]
pub struct VersionMatchConnectionName;

impl ConnectionNameType for VersionMatchConnectionName {
    fn type_name<T: OutputType>() -> String {
        "VersionMatchConnection".to_owned()
    }
}

/// The name of the edge type.
#[derive(Debug)]
pub struct VersionMatchEdgeName;

impl EdgeNameType for VersionMatchEdgeName {
    fn type_name<T: OutputType>() -> String {
        "VersionMatchEdge".to_owned()
    }
}

/// Finds the versions most similar to the given one.
///
/// # Errors
/// Those of [`Library::similar_versions`], and for invalid arguments.
pub(super) async fn similar_versions(
    ctx: &Context<'_>,
    target: &domain::Version,
    (first, after): (i32, Option<String>),
    measure: Measure,
    filter: Option<SimilarityFilter>,
    probe_set: Option<&ID>,
) -> Result<VersionMatchConnection> {
    let page: Page<VersionCursor> = Page::new(Some(first), decode_cursor("after", after)?, None, None)?;
    let measure = measure.into();
    if page.after.is_some_and(|after| after.measure != measure) {
        return Err(ApiError::bad_input(
            "`after` is a cursor of a search with another measure: omit it to start a new list",
        ));
    }
    if page.after.is_some_and(|after| after.target != target.id) {
        return Err(ApiError::bad_input(
            "`after` is a cursor of the list of another version: use one that this list returned, or omit it",
        ));
    }
    let query = SimilarVersionsQuery {
        probe_set: probe_set_for(ctx, target, probe_set).await?,
        measure,
        filter: filter.unwrap_or_default().try_into()?,
        first: page.limit,
        after: page.after,
    };
    let library = ctx.data_unchecked::<Library>();
    let matches = library.similar_versions(target, &query).await?;
    let facts = VersionSearchFacts {
        exact: matches.exact,
        target: target.clone(),
        query,
    };
    let nodes = matches.hits.iter().map(|hit| load(ctx, hit.version));
    let nodes = futures::future::try_join_all(nodes).await?;
    let mut connection = Connection::with_additional_fields(page.after.is_some(), matches.has_next, facts);
    for (hit, node) in matches.hits.iter().zip(nodes) {
        // It has been hidden or deleted since.
        let Some(node) = node else { continue };
        let scores = VersionMatchScores {
            rank: hit.rank,
            score: hit.score,
            best_matches: hit.matching.iter().copied().map(LayerPair).collect(),
            alignment: LayerAlignment::of(hit.alignment_score, hit.alignment.clone()),
        };
        let cursor = VersionCursor {
            target: target.id,
            rank: hit.rank,
            measure,
            score: hit.score,
            version: hit.version,
        };
        let edge = Edge::with_additional_fields(encode_cursor(&cursor), Version(node), scores);
        connection.edges.push(edge);
    }
    Ok(connection)
}

/// Finds neighbouring layers of a version that compute nearly the same.
///
/// # Errors
/// Those of [`Library::redundant_neighbours`], and for invalid arguments.
pub(super) async fn redundant_neighbours(
    ctx: &Context<'_>,
    version: &domain::Version,
    min_score: f64,
    measure: Measure,
    probe_set: Option<&ID>,
) -> Result<Vec<LayerPair>> {
    if !(-1.0..=1.0).contains(&min_score) {
        return Err(ApiError::bad_input(format!(
            "`minScore` must be -1 to 1, got {min_score}"
        )));
    }
    let comparison = Comparison {
        probe_set: probe_set_for(ctx, version, probe_set).await?,
        measure: measure.into(),
        layer_kinds: Vec::new(),
    };
    let library = ctx.data_unchecked::<Library>();
    let pairs = library.redundant_neighbours(version, &comparison, min_score).await?;
    Ok(pairs.into_iter().map(LayerPair).collect())
}

/// The similarity of all layers of one version with all layers of another.
#[derive(Debug, async_graphql::Description)]
pub struct CkaMatrix {
    a: domain::Version,
    b: domain::Version,
    comparison: Comparison,
    layers: ComparedLayers,
}

/// The file format of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "scv_service::PictureFormat")]
pub enum PictureFormat {
    /// PNG.
    Png,
    /// SVG, which is sharp at any size.
    Svg,
}

#[Object(use_type_description)]
impl CkaMatrix {
    /// The version of the rows.
    async fn a(&self) -> Version {
        Version(self.a.clone())
    }

    /// The version of the columns.
    async fn b(&self) -> Version {
        Version(self.b.clone())
    }

    /// The probe set that the versions are compared on.
    async fn probe_set(&self, ctx: &Context<'_>) -> Result<ProbeSet> {
        load_referenced(ctx, self.comparison.probe_set).await.map(ProbeSet)
    }

    /// The measure of the scores.
    async fn measure(&self) -> Measure {
        self.comparison.measure.into()
    }

    /// The layers of `a` that have a vector, in execution order.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn rows(&self, ctx: &Context<'_>) -> Result<Vec<Layer>> {
        layers(ctx, &self.layers.rows).await
    }

    /// The layers of `b` that have a vector, in execution order.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn columns(&self, ctx: &Context<'_>) -> Result<Vec<Layer>> {
        layers(ctx, &self.layers.columns).await
    }

    /// The scores, row by row, rounded to seven decimals: the layer vectors, of single precision, tell no more.
    /// `compareLayers` has a single pair.
    async fn scores(&self) -> RawList<Vec<Vec<f64>>> {
        let rows = self.layers.matrix.rows();
        RawList(rows.map(|row| row.iter().copied().map(rounded).collect()).collect())
    }

    /// The best-match score: the mean score of each layer with its best match in the other version, averaged over both
    /// directions. It is 1 if each layer of either version has an equal in the other.
    async fn best_match_average(&self) -> f64 {
        self.layers.matrix.best_match_average()
    }

    /// For each layer of `a`, the most similar layer of `b`.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn best_matches(&self) -> Vec<LayerPair> {
        let pairs = self.layers.pairs(&self.layers.matrix.best_matches());
        pairs.into_iter().map(LayerPair).collect()
    }

    /// The best alignment of the two versions, in the order of both networks.
    async fn alignment(&self) -> LayerAlignment {
        let alignment = self.layers.matrix.alignment();
        let score = self.layers.matrix.alignment_score(&alignment);
        LayerAlignment::of(score, self.layers.pairs(&alignment))
    }

    /// URL path on this server of a heat map of the scores, with labelled axes and a colour bar.
    async fn plot(
        &self,
        #[graphql(desc = "The file format.", default_with = "PictureFormat::Svg")] format: PictureFormat,
    ) -> String {
        let ending = scv_service::PictureFormat::from(format).extension();
        let Comparison {
            probe_set,
            measure,
            layer_kinds,
        } = &self.comparison;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("measure", measure.as_str());
        query.append_pair("probeSet", &probe_set.encode());
        if !layer_kinds.is_empty() {
            query.append_pair("layerKinds", &layer_kinds.join(","));
        }
        let (a, b) = (self.a.id.encode(), self.b.id.encode());
        format!("/cka/{}/{}.{ending}?{}", a.0, b.0, query.finish())
    }
}

/// A score with seven decimals. A million scores are as many bytes again with the digits of rounding errors.
fn rounded(score: f64) -> f64 {
    const DECIMALS: f64 = 1e7;
    (score * DECIMALS).round() / DECIMALS
}

async fn layers(ctx: &Context<'_>, ids: &[LayerId]) -> Result<Vec<Layer>> {
    let layers = ids.iter().map(|id| load_referenced(ctx, *id));
    let layers = futures::future::try_join_all(layers).await?;
    Ok(layers.into_iter().map(Layer::from).collect())
}

/// Compares two versions layer by layer.
///
/// # Errors
/// Those of [`Library::compare`], and for invalid arguments.
pub(super) async fn cka_matrix(
    ctx: &Context<'_>,
    [a, b]: [&ID; 2],
    measure: Measure,
    probe_set: Option<&ID>,
    layer_kinds: Vec<String>,
) -> Result<CkaMatrix> {
    if layer_kinds.len() > MAX_PAGE {
        return Err(ApiError::bad_input(format!(
            "`layerKinds` must have at most {MAX_PAGE} entries, got {}",
            layer_kinds.len()
        )));
    }
    let library = ctx.data_unchecked::<Library>();
    let (a, _) = library.listed_version(VersionId::decode(a)?).await?;
    let (b, _) = library.listed_version(VersionId::decode(b)?).await?;
    let comparison = Comparison {
        probe_set: probe_set_for(ctx, &a, probe_set).await?,
        measure: measure.into(),
        layer_kinds,
    };
    let layers = library.compare(&a, &b, &comparison).await?;
    Ok(CkaMatrix {
        a,
        b,
        comparison,
        layers,
    })
}
