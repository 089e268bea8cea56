//! Batched reads by key: one statement for all keys that are requested at the same time. Nothing is cached between
//! requests.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use tokio_util::sync::CancellationToken;

use super::error::Result;
use scv_domain::access::Token;
use scv_domain::dataset_record::{Dataset, ProbeSet, StoredSplit};
use scv_domain::evaluation::{ConfusionCell, Evaluation, Mistake};
use scv_domain::exemplar::Exemplars;
use scv_domain::id::{AccountId, DatasetId, JobId, LayerId, ModelId, ProbeSetId, TokenId, VersionId};
use scv_domain::job::Job;
use scv_domain::model::Model;
use scv_domain::page::{Page, Slice};
use scv_domain::similarity::{MutualKnn, SearchIndex, Significance};
use scv_domain::synthesis::{Synthesis, SynthesisScope};
use scv_domain::vector::Degenerate;
use scv_domain::version::{Layer, Version, VersionChoice, VersionOrigin};
use scv_domain::weight_mapping::WeightMapping;
use scv_service::{Library, ServiceError};
use scv_store::{CellImage, CellKey, EvaluationKey, StoreError};

/// How long a batch waits for more keys. It waits only until its task is scheduled; by then all fields of a level have
/// usually added their keys. If a batch starts too early, two statements read what one could. A nested query waits at
/// each level (a search at five), so a timer would cost more than the reads themselves.
const BATCH_DELAY: Duration = Duration::ZERO;

/// Reads the store in batches.
#[derive(Debug)]
pub struct Reader {
    library: Library,
}

/// A loader over a library for one request. Reads that are still running when the request ends are cancelled.
pub fn loader(library: Library, request_ended: CancellationToken) -> DataLoader<Reader> {
    let spawn = move |read| tokio::spawn(request_ended.clone().run_until_cancelled_owned(read));
    DataLoader::new(Reader { library }, spawn).delay(BATCH_DELAY)
}

/// The key of a statistic of a search hit, which is computed from the two stored vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HitKey<S> {
    /// The layer that was searched for.
    pub target: LayerId,
    /// The layer that was found.
    pub hit: LayerId,
    /// The probe set that both were measured on.
    pub probe_set: ProbeSetId,
    /// The statistic.
    pub statistic: S,
}

/// The significance of the score, with this number of random permutations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permutations(pub usize);

/// The overlap of this number of nearest neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Neighbours(pub usize);

/// A statistic of a hit; it is computed together with those of the other hits of the search.
///
/// # Errors
/// Those of [`Library::significance`] and [`Library::mutual_knn`].
pub async fn load_hit_statistic<S, V>(ctx: &Context<'_>, key: HitKey<S>) -> Result<V>
where
    S: Send + Sync + std::hash::Hash + Eq + Clone + std::fmt::Debug + 'static,
    Reader: Loader<HitKey<S>, Value = std::result::Result<V, ServiceError>, Error = Infallible>,
{
    let found = ctx.data_unchecked::<DataLoader<Reader>>().load_one(key.clone()).await;
    let Ok(found) = found;
    let missing = || ServiceError::internal(anyhow::anyhow!("{key:?} was found but has no vector"));
    Ok(found.ok_or_else(missing)??)
}

macro_rules! load_hit_statistics {
    ($($statistic:ident => $value:ty, $compute:ident;)*) => {$(
        impl Loader<HitKey<$statistic>> for Reader {
            // An error of one search must not fail the others of the batch, so it is part of the value.
            type Value = std::result::Result<$value, ServiceError>;
            type Error = Infallible;

            async fn load(
                &self,
                keys: &[HitKey<$statistic>],
            ) -> std::result::Result<HashMap<HitKey<$statistic>, Self::Value>, Infallible> {
                let searches = keys.iter().map(|key| ((key.target, key.probe_set, key.statistic), key.hit));
                let searches = grouped(searches).into_iter().map(async |((target, probe_set, statistic), hits)| {
                    let key = |hit| HitKey { target, hit, probe_set, statistic };
                    match self.library.$compute(probe_set, target, &hits, statistic.0).await {
                        Ok(found) => found.into_iter().map(|(hit, value)| (key(hit), Ok(value))).collect::<Vec<_>>(),
                        Err(error) => hits.iter().map(|hit| (key(*hit), Err(error.clone()))).collect(),
                    }
                });
                Ok(futures::future::join_all(searches).await.into_iter().flatten().collect())
            }
        }
    )*};
}

load_hit_statistics! {
    Permutations => Significance, significance;
    Neighbours => MutualKnn, mutual_knn;
}

/// An object by key; `None` if it does not exist.
///
/// # Errors
/// The database fails.
pub async fn load<K>(ctx: &Context<'_>, key: K) -> Result<Option<<Reader as Loader<K>>::Value>>
where
    K: Send + Sync + std::hash::Hash + Eq + Clone + 'static,
    Reader: Loader<K, Error = Arc<StoreError>>,
{
    Ok(ctx.data_unchecked::<DataLoader<Reader>>().load_one(key).await?)
}

/// An object that a foreign key refers to.
///
/// # Errors
/// The database fails, or the object is missing.
pub async fn load_referenced<K>(ctx: &Context<'_>, key: K) -> Result<<Reader as Loader<K>>::Value>
where
    K: Send + Sync + std::hash::Hash + Eq + Clone + std::fmt::Debug + 'static,
    Reader: Loader<K, Error = Arc<StoreError>>,
{
    let found = load(ctx, key.clone()).await?;
    let missing = || ServiceError::internal(anyhow::anyhow!("{key:?} is referenced but missing"));
    Ok(found.ok_or_else(missing)?)
}

/// A layer that a search has found, from memory if it is kept; `None` if it has been hidden or deleted since.
///
/// # Errors
/// The database fails.
pub async fn load_found_layer(ctx: &Context<'_>, id: LayerId) -> Result<Option<Arc<Layer>>> {
    let library = ctx.data_unchecked::<Library>();
    if let Some(layer) = library.kept_layer(id).await {
        return Ok(Some(layer));
    }
    let Some(layer) = load(ctx, id).await?.map(Arc::new) else {
        return Ok(None);
    };
    library.keep_layer(&layer).await;
    Ok(Some(layer))
}

/// Where the version of a layer comes from, from memory if it is kept.
///
/// # Errors
/// As for [`load_referenced`].
pub async fn load_origin(ctx: &Context<'_>, layer: &Layer) -> Result<VersionOrigin> {
    let library = ctx.data_unchecked::<Library>();
    if let Some(origin) = library.kept_origin(layer) {
        return Ok(origin);
    }
    let origin = load_referenced(ctx, layer.version_id).await?.origin();
    library.keep_origin(origin);
    Ok(origin)
}

macro_rules! load_by_id {
    ($($key:ty => $value:ty, $read:ident;)*) => {$(
        impl Loader<$key> for Reader {
            type Value = $value;
            type Error = Arc<StoreError>;

            async fn load(&self, keys: &[$key]) -> std::result::Result<HashMap<$key, $value>, Self::Error> {
                Ok(self.library.store().$read(keys).await?.into_iter().map(|entry| (entry.id, entry)).collect())
            }
        }
    )*};
}

load_by_id! {
    DatasetId => Dataset, datasets_by_id;
    ProbeSetId => ProbeSet, probe_sets_by_id;
    ModelId => Model, models_by_id;
    VersionId => Version, versions_by_id;
    LayerId => Layer, layers_by_id;
    JobId => Job, jobs_by_id;
    TokenId => Token, tokens_by_id;
}

/// The name of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountNameOf(pub AccountId);

/// A layer, unless its model is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListedLayer(pub LayerId);

/// The confusion matrix of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConfusionOf(pub EvaluationKey);

/// The misclassified images of an evaluation with the highest confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MistakesOf(pub EvaluationKey);

/// The top-activating images of the channels of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExemplarsOf(pub LayerId);

/// Where the weights of a version come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WeightsOf(pub VersionId);

/// All evaluations of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EvaluationsOf(pub VersionId);

/// The probe sets on which a layer has no vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DegenerateOn(pub LayerId);

/// The search index of a probe set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SearchIndexOf(pub ProbeSetId);

/// All probe sets of a data set, the default first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProbeSetsOf(pub DatasetId);

/// The splits of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SplitsOf(pub DatasetId);

/// How many versions a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VersionCount(pub ModelId);

/// How many layers a version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LayerCount(pub VersionId);

/// How many synthetic images a version or a layer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SynthesisCount(pub SynthesisScope);

/// The highest accuracy of a model's versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BestAccuracyOf(pub ModelId);

/// The job that built a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BuildingJobOf(pub VersionId);

/// One version of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChosenVersion(pub ModelId, pub VersionChoice);

/// A page of a model's versions, by number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VersionsPage(pub ModelId, pub Page<i32>);

/// A page of a version's layers, by index.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LayersPage(pub VersionId, pub Page<i32>);

/// A page of the images of a cell of a confusion matrix, by rank.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CellImagesPage(pub CellKey, pub Page<i64>);

/// A layer of a version by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedLayer(pub VersionId, pub String);

/// A page of the synthetic images of a version or a layer, by key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SynthesesPage(pub SynthesisScope, pub Page<i64>);

fn grouped<K: std::hash::Hash + Eq, V>(entries: impl IntoIterator<Item = (K, V)>) -> HashMap<K, Vec<V>> {
    let mut groups: HashMap<K, Vec<V>> = HashMap::new();
    for (key, value) in entries {
        groups.entry(key).or_default().push(value);
    }
    groups
}

impl Loader<ListedLayer> for Reader {
    type Value = Layer;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[ListedLayer]) -> std::result::Result<HashMap<ListedLayer, Layer>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let layers = self.library.store().listed_layers(&ids).await?;
        let layers = layers.into_iter().map(|(layer, origin)| {
            // Searches ask for it next.
            self.library.keep_origin(origin);
            (ListedLayer(layer.id), layer)
        });
        Ok(layers.collect())
    }
}

impl Loader<WeightsOf> for Reader {
    type Value = WeightMapping;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[WeightsOf]) -> std::result::Result<HashMap<WeightsOf, WeightMapping>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let mappings = self.library.store().weight_mappings(&ids).await?;
        Ok(mappings
            .into_iter()
            .map(|(id, mapping)| (WeightsOf(id), mapping))
            .collect())
    }
}

impl Loader<EvaluationsOf> for Reader {
    type Value = Vec<Evaluation>;
    type Error = Arc<StoreError>;

    async fn load(
        &self,
        keys: &[EvaluationsOf],
    ) -> std::result::Result<HashMap<EvaluationsOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let evaluations = self.library.store().evaluations_of(&ids).await?;
        Ok(grouped(
            evaluations
                .into_iter()
                .map(|evaluation| (EvaluationsOf(evaluation.version_id), evaluation)),
        ))
    }
}

/// Loaders of several rows per key.
macro_rules! load_grouped {
    ($($key:ident => $value:ty, $read:ident;)*) => {$(
        impl Loader<$key> for Reader {
            type Value = Vec<$value>;
            type Error = Arc<StoreError>;

            async fn load(&self, keys: &[$key]) -> std::result::Result<HashMap<$key, Vec<$value>>, Self::Error> {
                let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
                let rows = self.library.store().$read(&ids).await?;
                Ok(grouped(rows.into_iter().map(|(of, row)| ($key(of), row))))
            }
        }
    )*};
}

load_grouped! {
    ConfusionOf => ConfusionCell, confusion_cells;
    MistakesOf => Mistake, confident_mistakes;
    SplitsOf => StoredSplit, splits;
}

/// Loaders of at most one value per key.
macro_rules! load_single {
    ($($key:ident => $value:ty, $read:ident;)*) => {$(
        impl Loader<$key> for Reader {
            type Value = $value;
            type Error = Arc<StoreError>;

            async fn load(&self, keys: &[$key]) -> std::result::Result<HashMap<$key, $value>, Self::Error> {
                let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
                let rows = self.library.store().$read(&ids).await?;
                Ok(rows.into_iter().map(|(of, row)| ($key(of), row)).collect())
            }
        }
    )*};
}

load_single! {
    ExemplarsOf => Exemplars, channel_exemplars;
    VersionCount => i64, count_versions;
    BestAccuracyOf => f64, best_accuracies;
    BuildingJobOf => Job, building_jobs;
    LayerCount => i64, count_layers;
    SynthesisCount => i64, count_syntheses;
    AccountNameOf => String, account_names;
    SearchIndexOf => SearchIndex, search_indexes;
}

/// Loaders of a page per key. The parents in one list request the same page, so one statement suffices unless the
/// document uses aliases.
macro_rules! load_pages {
    ($($key:ident => $value:ty, $read:ident;)*) => {$(
        impl Loader<$key> for Reader {
            type Value = Slice<$value>;
            type Error = Arc<StoreError>;

            async fn load(&self, keys: &[$key]) -> std::result::Result<HashMap<$key, Slice<$value>>, Self::Error> {
                let mut pages = HashMap::new();
                for (page, parents) in grouped(keys.iter().map(|key| (key.1.clone(), key.0))) {
                    let slices = self.library.store().$read(&parents, &page).await?;
                    pages.extend(slices.into_iter().map(|(parent, slice)| ($key(parent, page.clone()), slice)));
                }
                Ok(pages)
            }
        }
    )*};
}

load_pages! {
    VersionsPage => Version, versions_pages;
    SynthesesPage => Synthesis, syntheses_pages;
    CellImagesPage => CellImage, cell_images_pages;
}

impl Loader<LayersPage> for Reader {
    type Value = Slice<Arc<Layer>>;
    type Error = Arc<StoreError>;

    async fn load(
        &self,
        keys: &[LayersPage],
    ) -> std::result::Result<HashMap<LayersPage, Slice<Arc<Layer>>>, Self::Error> {
        let mut pages = HashMap::new();
        for (page, versions) in grouped(keys.iter().map(|key| (key.1.clone(), key.0))) {
            let slices = self.library.layers_pages(&versions, &page).await?;
            pages.extend(
                slices
                    .into_iter()
                    .map(|(version, slice)| (LayersPage(version, page.clone()), slice)),
            );
        }
        Ok(pages)
    }
}

impl Loader<NamedLayer> for Reader {
    type Value = Layer;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[NamedLayer]) -> std::result::Result<HashMap<NamedLayer, Layer>, Self::Error> {
        let names: Vec<_> = keys.iter().map(|key| (key.0, key.1.as_str())).collect();
        let layers = self.library.store().layers_by_name(&names).await?;
        Ok(layers
            .into_iter()
            .map(|layer| (NamedLayer(layer.version_id, layer.name.clone()), layer))
            .collect())
    }
}

impl Loader<DegenerateOn> for Reader {
    type Value = Vec<(ProbeSetId, Degenerate)>;
    type Error = Arc<StoreError>;

    async fn load(
        &self,
        keys: &[DegenerateOn],
    ) -> std::result::Result<HashMap<DegenerateOn, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let found = self.library.store().degenerate_layers(&ids).await?;
        Ok(grouped(found.into_iter().map(|(layer, probe_set, reason)| {
            (DegenerateOn(layer), (probe_set, reason))
        })))
    }
}

impl Loader<ProbeSetsOf> for Reader {
    type Value = Vec<ProbeSet>;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[ProbeSetsOf]) -> std::result::Result<HashMap<ProbeSetsOf, Self::Value>, Self::Error> {
        let ids: Vec<_> = keys.iter().map(|key| key.0).collect();
        let sets = self.library.store().probe_sets_of(&ids).await?;
        Ok(grouped(sets.into_iter().map(|set| (ProbeSetsOf(set.dataset_id), set))))
    }
}

impl Loader<ChosenVersion> for Reader {
    type Value = Version;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[ChosenVersion]) -> std::result::Result<HashMap<ChosenVersion, Version>, Self::Error> {
        let mut chosen = HashMap::new();
        for (choice, models) in grouped(keys.iter().map(|key| (key.1, key.0))) {
            let versions = self.library.store().chosen_versions(&models, choice).await?;
            chosen.extend(
                versions
                    .into_iter()
                    .map(|version| (ChosenVersion(version.model_id, choice), version)),
            );
        }
        Ok(chosen)
    }
}
