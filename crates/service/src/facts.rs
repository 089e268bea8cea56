//! Comparisons of two layers: their scores, and the facts that an explanation is made from.

use std::collections::HashMap;

use super::diff::max_vectors;
use super::{Library, ServiceError};
use scv_domain::dataset_record::ProbeSet;
use scv_domain::explanation::{BestMatch, Facts, LayerFacts};
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::vector::{CkaScores, LayerVector};
use scv_domain::version::{Layer, Version};

/// Random permutations of the significance test among the facts.
pub const FACT_PERMUTATIONS: u16 = 1_000;

/// Scores that differ by less count as equal: single precision rounds.
const TIE: f64 = 1e-6;

/// Two layers, compared on a probe set.
#[derive(Debug)]
pub struct LayerScores {
    /// The probe set; `None` if the layers cannot be compared.
    pub probe_set: Option<ProbeSetId>,
    /// Their scores, or the reason why they cannot be compared.
    pub scores: Result<CkaScores, String>,
}

/// The scores of two layers, and the rank of each among the layers of its network.
struct Comparison {
    scores: CkaScores,
    /// The best match of the other layer, by debiased CKA.
    one_best: Option<BestMatch>,
    other_best: Option<BestMatch>,
}

impl Comparison {
    /// `None` if one of the two layers has no vector.
    fn of(
        vectors: &HashMap<LayerId, LayerVector>,
        (layer, layers): (LayerId, &[Layer]),
        (other, others): (LayerId, &[Layer]),
    ) -> Option<Self> {
        let (vector, vector_of_other) = (vectors.get(&layer)?, vectors.get(&other)?);
        let scores = vector.cka_scores(vector_of_other);
        let best = |of: &LayerVector, among: &[Layer]| {
            let all = among
                .iter()
                .filter_map(|layer| Some((layer, of.debiased_cka(vectors.get(&layer.id)?))));
            let all: Vec<_> = all.collect();
            let higher = all.iter().filter(|(_, score)| *score > scores.debiased_cka + TIE);
            let rank = 1 + u32::try_from(higher.count()).unwrap_or(u32::MAX - 1);
            let (best, debiased_cka) = all.into_iter().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
            Some(BestMatch {
                name: best.name.clone(),
                debiased_cka,
                rank,
            })
        };
        Some(Self {
            one_best: best(vector_of_other, layers),
            other_best: best(vector, others),
            scores,
        })
    }
}

impl Library {
    /// The scores of two layers, which are compared on a probe set that both were measured on: the requested one, or the default
    /// one, or else the oldest.
    ///
    /// # Errors
    /// `NOT_FOUND` for the probe set, `BAD_USER_INPUT` if it is one of another data set than the first layer's.
    pub async fn layer_scores(
        &self,
        layer: &Layer,
        other: &Layer,
        probe_set: Option<ProbeSetId>,
    ) -> Result<LayerScores, ServiceError> {
        let version = self.version(layer.version_id).await?;
        let version_of_other = self.version(other.version_id).await?;
        let probe_set = self.common_probe_set(&version, &version_of_other, probe_set).await?;
        let compared = match &probe_set {
            Ok(probe_set) => {
                self.compared(probe_set, (layer, Vec::new()), (other, Vec::new()))
                    .await?
            }
            Err(reason) => Err(reason.clone()),
        };
        Ok(LayerScores {
            probe_set: probe_set
                .ok()
                .map(|probe_set| probe_set.id)
                .filter(|_| compared.is_ok()),
            scores: compared.map(|compared| compared.scores),
        })
    }

    /// The facts about two layers, which are compared as by [`Library::layer_scores`].
    ///
    /// # Errors
    /// Those of [`Library::layer_scores`], and `BAD_USER_INPUT` if a version is not ready or the networks have too many layers to
    /// be aligned.
    pub async fn facts(
        &self,
        layer: &Layer,
        other: &Layer,
        probe_set: Option<ProbeSetId>,
    ) -> Result<Facts, ServiceError> {
        let version = self.version(layer.version_id).await?;
        let version_of_other = self.version(other.version_id).await?;
        let mut diff = self.aligned(&version, &version_of_other).await?;
        let layers: Vec<Layer> = diff.iter().filter_map(|entry| entry.layer.clone()).collect();
        let others: Vec<Layer> = diff.iter().filter_map(|entry| entry.other_layer.clone()).collect();
        if version.id == version_of_other.id {
            diff.clear();
        }
        let mut one = self.layer_facts(version, layer, layers.len()).await?;
        let mut other_side = self.layer_facts(version_of_other, other, others.len()).await?;
        let probe_set = self
            .common_probe_set(&one.version, &other_side.version, probe_set)
            .await?;
        let compared = match &probe_set {
            Ok(probe_set) => self.compared(probe_set, (layer, layers), (other, others)).await?,
            Err(reason) => Err(reason.clone()),
        };
        let (mut p_value, mut measured_on) = (None, None);
        if let (Ok(probe_set), Ok(compared)) = (&probe_set, &compared) {
            let found = self
                .significance(probe_set.id, layer.id, &[other.id], FACT_PERMUTATIONS.into())
                .await?;
            p_value = found.first().map(|(_, significance)| significance.p_value);
            measured_on = Some(probe_set);
            one.best = compared.one_best.clone();
            other_side.best = compared.other_best.clone();
        }
        Ok(Facts {
            one,
            other: other_side,
            diff,
            scores: compared.map(|compared| compared.scores),
            p_value,
            probe_set: measured_on.map(|probe_set| probe_set.id),
            images: measured_on.map(|probe_set| probe_set.image_indices.len()),
        })
    }

    async fn layer_facts(
        &self,
        version: Version,
        layer: &Layer,
        layer_count: usize,
    ) -> Result<LayerFacts, ServiceError> {
        let model = self.store.models_by_id(&[version.model_id]).await?.pop();
        let model = model.ok_or_else(|| ServiceError::not_found("model", version.model_id))?;
        let dataset = self.dataset(version.dataset_id).await?;
        let evaluations = self.store.evaluations_of(&[version.id]).await?;
        let own = evaluations.iter().find(|own| own.dataset_id == version.dataset_id);
        Ok(LayerFacts {
            model: model.name.as_str().to_owned(),
            tags: model.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            dataset: dataset.name,
            accuracy: own.map(|evaluation| evaluation.accuracy),
            layer: layer.clone(),
            layer_count,
            best: None,
            version,
        })
    }

    /// Compares two layers, each given with the layers of its network that it is ranked among. If they cannot be compared, the inner
    /// error says why.
    async fn compared(
        &self,
        probe_set: &ProbeSet,
        (layer, layers): (&Layer, Vec<Layer>),
        (other, others): (&Layer, Vec<Layer>),
    ) -> Result<Result<Comparison, String>, ServiceError> {
        let is_one_network = layer.version_id == other.version_id;
        let all_fit = layers.len() + others.len() <= max_vectors(probe_set);
        let is_ranked = all_fit && !is_one_network && !layers.is_empty();
        let needed: Vec<LayerId> = if is_ranked {
            layers.iter().chain(&others).map(|layer| layer.id).collect()
        } else {
            vec![layer.id, other.id]
        };
        let permit = self.compute_permit().await;
        let vectors: HashMap<LayerId, LayerVector> =
            self.store.vectors(probe_set.id, &needed).await?.into_iter().collect();
        if !(vectors.contains_key(&layer.id) && vectors.contains_key(&other.id)) {
            return Ok(Err(self.why_degenerate(probe_set, [layer, other]).await?));
        }
        let (layer, other) = (layer.id, other.id);
        let (layers, others) = if is_ranked {
            (layers, others)
        } else {
            Default::default()
        };
        let comparing = permit.run(move || Comparison::of(&vectors, (layer, &layers), (other, &others)));
        let compared = comparing.await?;
        Ok(compared.ok_or_else(|| "one of them has no vector".to_owned()))
    }

    async fn why_degenerate(&self, probe_set: &ProbeSet, layers: [&Layer; 2]) -> Result<String, ServiceError> {
        let found = self.store.degenerate_layers(&layers.map(|layer| layer.id)).await?;
        let reason = found.iter().find(|(_, set, _)| *set == probe_set.id);
        Ok(match reason {
            Some((_, _, reason)) => format!("one of them has no vector because {reason}"),
            None => "one of them has no vector".to_owned(),
        })
    }
}
