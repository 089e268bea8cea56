//! The differences between two versions, layer by layer.

use async_graphql::{Context, Enum, Json, Object, SimpleObject};

use super::dataset::ProbeSet;
use super::error::Result;
use super::layer::Layer;
use super::loader::load_referenced;
use scv_domain::diff::{self as domain, Counts};
use scv_domain::id::ProbeSetId;

/// The differences between this version and another. Layers are aligned by the longest common subsequence of their
/// kinds; of several such alignments, the one with the most unchanged layers is used.
#[derive(Debug, async_graphql::Description)]
pub struct VersionDiff {
    entries: Vec<LayerDiff>,
    counts: Counts,
    probe_set: std::result::Result<ProbeSetId, String>,
}

impl From<scv_service::VersionDiff> for VersionDiff {
    fn from(diff: scv_service::VersionDiff) -> Self {
        Self {
            counts: Counts::of(diff.entries.iter().map(|(entry, _)| entry)),
            probe_set: diff.probe_set,
            entries: diff
                .entries
                .into_iter()
                .map(|(entry, scores)| LayerDiff {
                    change: entry.change.into(),
                    layer: entry.layer.map(Layer::from),
                    other_layer: entry.other_layer.map(Layer::from),
                    cka: scores.map(|scores| scores.cka),
                    debiased_cka: scores.map(|scores| scores.debiased_cka),
                    differences: entry.differences.into_iter().map(LayerDifference::from).collect(),
                })
                .collect(),
        }
    }
}

#[Object(use_type_description)]
impl VersionDiff {
    /// Every layer of either version, in execution order.
    async fn entries(&self) -> &[LayerDiff] {
        &self.entries
    }

    /// Number of layers that have the same parameters and shapes in both versions.
    async fn same_count(&self) -> usize {
        self.counts.same
    }

    /// Number of layers that differ from the layer at the same place in the other version.
    async fn changed_count(&self) -> usize {
        self.counts.changed
    }

    /// Number of layers that only the other version has.
    async fn added_count(&self) -> usize {
        self.counts.added
    }

    /// Number of layers that only this version has.
    async fn removed_count(&self) -> usize {
        self.counts.removed
    }

    /// The probe set that the layers were compared on. Null if the versions cannot be compared; then no entry has
    /// scores.
    async fn probe_set(&self, ctx: &Context<'_>) -> Result<Option<ProbeSet>> {
        match &self.probe_set {
            Ok(probe_set) => Ok(Some(load_referenced(ctx, *probe_set).await.map(ProbeSet)?)),
            Err(_) => Ok(None),
        }
    }

    /// Why the versions cannot be compared, in a sentence; null if they can.
    async fn not_comparable_reason(&self) -> Option<&str> {
        self.probe_set.as_ref().err().map(String::as_str)
    }
}

/// The change of a layer from this version to the other.
#[derive(Debug, SimpleObject)]
pub struct LayerDiff {
    /// The kind of change.
    change: LayerChange,
    /// The layer of this version; null if it was added.
    layer: Option<Layer>,
    /// The layer of the other version; null if it was removed.
    other_layer: Option<Layer>,
    /// Linear CKA between the two layers, 0 to 1; 1 if both compute the same. Null if only one version has the layer,
    /// or if one of the two has no vector.
    cka: Option<f64>,
    /// Debiased CKA between the two layers, -1 to 1. Null if `cka` is null.
    debiased_cka: Option<f64>,
    /// The properties in which the two layers differ; empty unless the layer was changed.
    differences: Vec<LayerDifference>,
}

/// A property in which two layers differ.
#[derive(Debug, SimpleObject)]
pub struct LayerDifference {
    /// The property: `kind`, `inputShape`, `outputShape`, or the name of a parameter.
    name: String,
    /// Its value in this version's layer; null if that layer has no such parameter.
    value: Option<Json<serde_json::Value>>,
    /// Its value in the other version's layer; null if that layer has no such parameter.
    other_value: Option<Json<serde_json::Value>>,
}

impl From<domain::Difference> for LayerDifference {
    fn from(difference: domain::Difference) -> Self {
        Self {
            name: difference.name,
            value: difference.value.map(Json),
            other_value: difference.other_value.map(Json),
        }
    }
}

/// Kinds of changes of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Change")]
pub enum LayerChange {
    /// Both versions have the layer with the same parameters and shapes. Its weights may differ, which the scores show.
    Same,
    /// Both versions have the layer but with different parameters or shapes, or another layer is in its place.
    Changed,
    /// Only the other version has the layer.
    Added,
    /// Only this version has the layer.
    Removed,
}
