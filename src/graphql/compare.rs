//! Whole versions against one another.

use async_graphql::connection::{Connection, ConnectionNameType, Edge, EdgeNameType};
use async_graphql::{Context, Enum, ID, Object, OutputType, SimpleObject};

use super::dataset::ProbeSet;
use super::error::{ApiError, Result};
use super::id::{GlobalId as _, decode_cursor, encode_cursor};
use super::layer::{Layer, probe_set_for};
use super::layer_match::{Measure, SimilarityFilter};
use super::limits::list_cost;
use super::loader::{Generation, load, load_referenced};
use super::plain::Plain;
use super::version::Version;
use scv_domain::comparison::{self, ComparedLayers, Comparison, SimilarVersionsQuery, VersionCursor};
use scv_domain::id::{LayerId, VersionId};
use scv_domain::page::{MAX_PAGE, Page};
use scv_domain::version as domain;
use scv_service::{self, Library};

/// Two layers and how alike they are.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct LayerPair(comparison::LayerPair);

#[Object(use_type_description)]
impl LayerPair {
    /// The first version's layer.
    async fn layer(&self, ctx: &Context<'_>) -> Result<Layer> {
        load_referenced(ctx, self.0.layer).await.map(Layer)
    }

    /// The other version's layer, or the layer that follows.
    async fn other_layer(&self, ctx: &Context<'_>) -> Result<Layer> {
        load_referenced(ctx, self.0.other).await.map(Layer)
    }

    /// Their likeness, in the measure that was asked for.
    async fn score(&self) -> f64 {
        self.0.score
    }
}

/// Pairs of layers in the order of both networks, no layer twice, with the greatest sum of scores that such pairs can have.
#[derive(Debug, SimpleObject)]
pub struct LayerAlignment {
    /// Twice the sum of the scores over the number of layers of both networks: 1 if they agree layer by layer.
    score: f64,
    /// The pairs, in order. A layer that is in none has no counterpart.
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

/// A page of the versions most like another, best first.
pub type VersionMatchConnection = Connection<
    String,
    Version,
    VersionSearchFacts,
    VersionMatchScores,
    VersionMatchConnectionName,
    VersionMatchEdgeName,
>;

/// What is true of a whole search for versions.
#[derive(Debug, async_graphql::Description)]
pub struct VersionSearchFacts {
    exact: bool,
    target: domain::Version,
    query: SimilarVersionsQuery,
}

#[Object(use_type_description)]
impl VersionSearchFacts {
    /// Versions that the filter admits, whatever their scores.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let library = ctx.data_unchecked::<Library>();
        let count = library.count_admitted_versions(&self.target, &self.query).await?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Whether every admitted version was compared layer by layer. If not, the likeliest ones were, as far as an index over
    /// the layers tells: the scores are exact either way, but a hit may be missing.
    async fn exact(&self) -> bool {
        self.exact
    }
}

/// How like a version is.
#[derive(Debug, SimpleObject)]
pub struct VersionMatchScores {
    /// Place in the list, from 1, over all pages.
    rank: usize,
    /// The mean score of each layer with its best match in the other version, averaged over both directions (best-match
    /// average): 1 if each layer of either has its equal in the other.
    score: f64,
    /// For each layer of the target the layer of this version that is most like it.
    matching: Vec<LayerPair>,
    /// The best pairs that keep the order of both networks.
    alignment: LayerAlignment,
}

/// Names the connection.
#[derive(Debug)]
pub struct VersionMatchConnectionName;

impl ConnectionNameType for VersionMatchConnectionName {
    fn type_name<T: OutputType>() -> String {
        "VersionMatchConnection".to_owned()
    }
}

/// Names the edges.
#[derive(Debug)]
pub struct VersionMatchEdgeName;

impl EdgeNameType for VersionMatchEdgeName {
    fn type_name<T: OutputType>() -> String {
        "VersionMatchEdge".to_owned()
    }
}

/// Finds the versions most like one.
///
/// # Errors
/// Those of [`Library::similar_versions`], and for arguments that cannot be.
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
            "`after` is a cursor of a search by the other measure: begin that list anew, without it",
        ));
    }
    let query = SimilarVersionsQuery {
        probe_set: probe_set_for(ctx, target, probe_set).await?,
        measure,
        filter: filter.unwrap_or_default().try_into()?,
        first: page.limit,
        after: page.after,
    };
    let generation = load(ctx, Generation).await?.unwrap_or_default();
    let library = ctx.data_unchecked::<Library>();
    let matches = library.similar_versions(target, &query, generation).await?;
    let facts = VersionSearchFacts {
        exact: matches.exact,
        target: target.clone(),
        query,
    };
    let nodes = matches.hits.iter().map(|hit| load_referenced(ctx, hit.version));
    let nodes = futures::future::try_join_all(nodes).await?;
    let mut connection = Connection::with_additional_fields(page.after.is_some(), matches.has_next, facts);
    for (hit, node) in matches.hits.iter().zip(nodes) {
        let scores = VersionMatchScores {
            rank: hit.rank,
            score: hit.score,
            matching: hit.matching.iter().copied().map(LayerPair).collect(),
            alignment: LayerAlignment::of(hit.alignment_score, hit.alignment.clone()),
        };
        let cursor = VersionCursor {
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

/// Finds neighbours within a version that do nearly the same.
///
/// # Errors
/// Those of [`Library::redundant_neighbours`], and for arguments that cannot be.
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

/// All layers of a version against all layers of another.
#[derive(Debug, async_graphql::Description)]
pub struct CkaMatrix {
    a: domain::Version,
    b: domain::Version,
    comparison: Comparison,
    layers: ComparedLayers,
}

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "service::PictureFormat")]
pub enum PictureFormat {
    /// Pixels.
    Png,
    /// A drawing, sharp at any size.
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

    /// The probe set on which both were compared.
    async fn probe_set(&self, ctx: &Context<'_>) -> Result<ProbeSet> {
        load_referenced(ctx, self.comparison.probe_set).await.map(ProbeSet)
    }

    /// What the scores are of.
    async fn measure(&self) -> Measure {
        self.comparison.measure.into()
    }

    /// Layers of `a` that have a vector, in execution order.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn rows(&self, ctx: &Context<'_>) -> Result<Vec<Layer>> {
        layers(ctx, &self.layers.rows).await
    }

    /// Layers of `b` that have a vector, in execution order.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn columns(&self, ctx: &Context<'_>) -> Result<Vec<Layer>> {
        layers(ctx, &self.layers.columns).await
    }

    /// The scores, row after row.
    async fn scores(&self) -> Plain<Vec<&[f64]>> {
        Plain(self.layers.matrix.rows().collect())
    }

    /// The mean score of each layer with its best match in the other version, averaged over both directions: 1 if each has its
    /// equal in the other.
    async fn best_match_average(&self) -> f64 {
        self.layers.matrix.best_match_average()
    }

    /// For each row the column that is most like it.
    #[graphql(complexity = "list_cost(child_complexity)")]
    async fn matching(&self) -> Vec<LayerPair> {
        let pairs = self.layers.pairs(&self.layers.matrix.best_matches());
        pairs.into_iter().map(LayerPair).collect()
    }

    /// The best pairs that keep the order of both networks.
    async fn alignment(&self) -> LayerAlignment {
        let alignment = self.layers.matrix.alignment();
        let score = self.layers.matrix.alignment_score(&alignment);
        LayerAlignment::of(score, self.layers.pairs(&alignment))
    }

    /// Address on this server of a picture of the scores, with labelled axes and a colour bar.
    async fn picture(
        &self,
        #[graphql(desc = "How it is written.", default_with = "PictureFormat::Svg")] format: PictureFormat,
    ) -> String {
        let ending = service::PictureFormat::from(format).ending();
        let Comparison {
            probe_set,
            measure,
            layer_kinds,
        } = &self.comparison;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("measure", measure.word());
        query.append_pair("probeSet", &probe_set.encode());
        if !layer_kinds.is_empty() {
            query.append_pair("layerKinds", &layer_kinds.join(","));
        }
        let (a, b) = (self.a.id.encode(), self.b.id.encode());
        format!("/cka/{}/{}.{ending}?{}", a.0, b.0, query.finish())
    }
}

async fn layers(ctx: &Context<'_>, ids: &[LayerId]) -> Result<Vec<Layer>> {
    let layers = ids.iter().map(|id| load_referenced(ctx, *id));
    let layers = futures::future::try_join_all(layers).await?;
    Ok(layers.into_iter().map(Layer).collect())
}

/// Compares two versions layer by layer.
///
/// # Errors
/// Those of [`Library::compare`], and for arguments that cannot be.
pub(super) async fn cka_matrix(
    ctx: &Context<'_>,
    [a, b]: [&ID; 2],
    measure: Measure,
    probe_set: Option<&ID>,
    layer_kinds: Vec<String>,
) -> Result<CkaMatrix> {
    if layer_kinds.len() > MAX_PAGE {
        return Err(ApiError::bad_input(format!(
            "`layerKinds` must have at most {MAX_PAGE} entries"
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
