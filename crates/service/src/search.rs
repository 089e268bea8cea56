//! The similarity search, with results kept for as long as they are true.

use std::sync::Arc;

use serde::Serialize;

use super::dataset::unknown_dataset;
use super::search_cache::{SearchKey, SearchResult, SearchedFor, SimilarLayers};
use super::{Library, ServiceError};
use scv_compute::activations::{ActivationLayer, ActivationTask, MeasuredActivations};
use scv_compute::control::Control;
use scv_compute::onnx::file::NamedFile;
use scv_domain::id::{DatasetId, ModelId, ProbeSetId};
use scv_domain::similarity::{MatchCursor, Matches, SimilarityFilter, SimilarityQuery};
use scv_domain::vector::{Degenerate, Measure};
use scv_domain::version::{Layer, ModelFormat, VersionOrigin};
use scv_store::{SearchScope, SearchTarget, SearchWindow};

/// A search for the layers most similar to a target.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SimilarityRequest {
    /// The probe set to compare on; the default one of the target's data set if `None`.
    pub probe_set: Option<ProbeSetId>,
    /// What hits are ranked by.
    pub measure: Measure,
    /// Which layers are candidates.
    pub filter: SimilarityFilter,
    /// Complete the proof of the result, whatever it takes.
    pub exact: bool,
    /// How many hits at most.
    pub first: usize,
    /// Where the page begins: after this hit.
    pub after: Option<MatchCursor>,
}

impl SimilarityRequest {
    /// The query on the probe set that was chosen for the request.
    pub fn on(&self, probe_set: ProbeSetId) -> SimilarityQuery {
        SimilarityQuery {
            probe_set,
            measure: self.measure,
            filter: self.filter.clone(),
            exact: self.exact,
            first: self.first,
            after: self.after,
        }
    }
}

/// The layers most similar to one layer of a file of activations.
#[derive(Debug)]
pub struct ActivationMatches {
    /// The layer.
    pub layer: ActivationLayer,
    /// Its hits, or why it can have none.
    pub matches: Result<Matches, Degenerate>,
}

impl Library {
    /// The layers most similar to a layer of a version.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown probe set; `BAD_USER_INPUT` for a probe set of another data set or one that the layer has
    /// not been measured on, an unknown data set, or a comparison with a target that has no accuracy.
    #[tracing::instrument(name = "service.similar", skip_all, fields(target = %target.id))]
    pub async fn similar(
        &self,
        target: &Layer,
        origin: VersionOrigin,
        request: &SimilarityRequest,
    ) -> Result<Arc<SimilarLayers>, ServiceError> {
        let generation = self.generation().await?;
        let key = SearchKey {
            generation,
            viewer: self.access.viewer(),
            target: SearchedFor::Layer(target.id),
            query: serde_json::json!(request).to_string(),
        };
        let compute = async {
            let found = self.find_similar(target, origin, request, generation).await?;
            Ok(SearchResult::Layers(Arc::new(found)))
        };
        self.searches.get_or(key, compute).await?.layers()
    }

    async fn find_similar(
        &self,
        target: &Layer,
        origin: VersionOrigin,
        request: &SimilarityRequest,
        generation: i64,
    ) -> Result<SimilarLayers, ServiceError> {
        let probe_set = self.probe_set_of(origin.dataset, request.probe_set).await?.id;
        let query = request.on(probe_set);
        let scope = self.scope(&query.filter, Some(origin)).await?;
        let matches = self
            .search(SearchTarget::Layer(target.id), &query, &scope, generation)
            .await?;
        Ok(SimilarLayers {
            probe_set,
            is_comparable: !matches.hits.is_empty() || self.is_comparable(target, origin, probe_set).await?,
            matches,
        })
    }

    /// Whether a layer has a vector on a probe set; one that is degenerate there has none.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a layer that has none because it has not been measured on the probe set.
    async fn is_comparable(
        &self,
        layer: &Layer,
        origin: VersionOrigin,
        probe_set: ProbeSetId,
    ) -> Result<bool, ServiceError> {
        if !self.store.with_vector(&[(layer.id, probe_set)]).await?.is_empty() {
            return Ok(true);
        }
        let degenerate = self.store.degenerate_layers(&[layer.id]).await?;
        if degenerate.iter().any(|(_, on, _)| *on == probe_set) {
            return Ok(false);
        }
        let reason = if origin.format == ModelFormat::Activations {
            "activations can be compared only on the probe set that they were computed on. Register activations on this \
             probe set as another version"
        } else {
            "its version has not been ingested on it yet. Wait for that job, or queue it again by calling `createProbeSet` \
             with the image count and seed of the probe set"
        };
        Err(ServiceError::bad_input(format!(
            "layer {} has no vector on this probe set: {reason}",
            layer.name
        )))
    }

    /// How many candidate layers a search has: those that its filter admits, whatever their scores.
    ///
    /// # Errors
    /// As for [`Library::similar`].
    pub async fn count_admitted(&self, query: &SimilarityQuery, origin: VersionOrigin) -> Result<usize, ServiceError> {
        let scope = self.scope(&query.filter, Some(origin)).await?;
        Ok(self.store.count_scope(query.probe_set, &scope).await?)
    }

    /// The layers most similar to each layer of a file of activations on a probe set of a data set. Nothing is stored.
    ///
    /// # Errors
    /// `NOT_FOUND` for the data set or the probe set; `BAD_USER_INPUT` with every error of the file, for a probe set of another
    /// data set, an unknown layer or data set, or a comparison with an accuracy that activations do not have.
    pub async fn similar_to_activations(
        &self,
        file: NamedFile,
        layers: Option<&[String]>,
        dataset: &str,
        request: &SimilarityRequest,
    ) -> Result<Vec<ActivationMatches>, ServiceError> {
        let dataset = self.dataset_named(dataset).await?;
        let probe_set = self.probe_set_of(dataset.id, request.probe_set).await?;
        let query = request.on(probe_set.id);
        let scope = self.scope(&query.filter, None).await?;
        let task = ActivationTask {
            file: file.bytes,
            limits: self.activation_limits(&probe_set),
        };
        let measured = self.engine.run(task, Control::unwatched()).await;
        let measured = measured.map_err(|error| ServiceError::from(error).in_file(&file.name))?;
        let unknown = layers
            .unwrap_or_default()
            .iter()
            .find(|name| !measured.iter().any(|m| m.layer.name == **name));
        if let Some(unknown) = unknown {
            return Err(ServiceError::bad_input(format!(
                "the file {:?} has no array {unknown:?}",
                file.name
            )));
        }
        let generation = self.generation().await?;
        let mut found = Vec::new();
        for MeasuredActivations { layer, vector } in measured {
            if layers.is_some_and(|names| !names.contains(&layer.name)) {
                continue;
            }
            let matches = match &vector {
                Ok(vector) => Ok(self
                    .search(SearchTarget::Vector(vector), &query, &scope, generation)
                    .await?),
                Err(degenerate) => Err(*degenerate),
            };
            found.push(ActivationMatches { layer, matches });
        }
        Ok(found)
    }

    async fn search(
        &self,
        target: SearchTarget<'_>,
        query: &SimilarityQuery,
        scope: &SearchScope,
        generation: i64,
    ) -> Result<Matches, ServiceError> {
        let window = SearchWindow {
            measure: query.measure,
            exact: query.exact,
            min_score: query.filter.min_score,
            after: query.after,
            limit: query.first,
        };
        Ok(self
            .store
            .search(target, query.probe_set, scope, &window, generation)
            .await?)
    }

    /// What a filter admits, for a target of a version or for activations that are not stored.
    pub(super) async fn scope(
        &self,
        filter: &SimilarityFilter,
        target: Option<VersionOrigin>,
    ) -> Result<SearchScope, ServiceError> {
        let own_model = target.filter(|_| !filter.include_own_model).map(|target| target.model);
        let is_left_out = |model: &ModelId| own_model == Some(*model) || filter.exclude_models.contains(model);
        if !filter.models.is_empty() && filter.models.iter().all(is_left_out) {
            return Err(ServiceError::bad_input(
                "every model of `filter.models` is left out: by `filter.excludeModels`, or as the target's own, which \
                 `filter.includeOwnModel` includes",
            ));
        }
        let better_than = match target {
            _ if !filter.better_than_target => None,
            Some(target) => Some(self.accuracy_of(target).await?),
            None => {
                return Err(ServiceError::bad_input(
                    "betterThanTarget needs a target that has been evaluated: use minAccuracy instead",
                ));
            }
        };
        let datasets = match filter.datasets.as_slice() {
            [] => None,
            names => Some(self.dataset_ids(names).await?),
        };
        Ok(SearchScope {
            own_model,
            except_version: None,
            min_accuracy: filter.min_accuracy,
            better_than,
            datasets,
            layer_kinds: filter.layer_kinds.clone(),
            models: filter.models.clone(),
            exclude_models: filter.exclude_models.clone(),
            tags: filter.tags.clone(),
            viewer: self.access.viewer(),
        })
    }

    async fn accuracy_of(&self, origin: VersionOrigin) -> Result<f64, ServiceError> {
        let evaluations = self.store.evaluations_of(&[origin.version]).await?;
        let own = evaluations
            .iter()
            .find(|evaluation| evaluation.dataset_id == origin.dataset);
        own.map(|evaluation| evaluation.accuracy).ok_or_else(|| {
            ServiceError::bad_input(
                "betterThanTarget needs the accuracy of the target's version, which has not been evaluated: \
                 run evaluateVersion first",
            )
        })
    }

    async fn dataset_ids(&self, names: &[String]) -> Result<Vec<DatasetId>, ServiceError> {
        let all = self.store.datasets().await?;
        names
            .iter()
            .map(|name| {
                let found = all.iter().find(|dataset| dataset.name == *name);
                found.map(|dataset| dataset.id).ok_or_else(|| {
                    ServiceError::bad_input(format!("there is no data set {}", unknown_dataset(name, &all)))
                })
            })
            .collect()
    }
}
