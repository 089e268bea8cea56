//! What leads from one version to another, layer by layer.

use async_graphql::{Context, Enum, Json, Object, SimpleObject};

use super::dataset::ProbeSet;
use super::error::Result;
use super::layer::Layer;
use super::loader::load_referenced;
use scv_domain::diff::{self as domain, Counts};
use scv_domain::id::ProbeSetId;
use scv_service;

/// What leads from one version to another. Layers are aligned by the longest common subsequence of their kinds that leaves the
/// most layers as they are.
#[derive(Debug, async_graphql::Description)]
pub struct VersionDiff {
    entries: Vec<LayerDiff>,
    counts: Counts,
    probe_set: std::result::Result<ProbeSetId, String>,
}

impl From<service::VersionDiff> for VersionDiff {
    fn from(diff: service::VersionDiff) -> Self {
        Self {
            counts: Counts::of(diff.entries.iter().map(|(entry, _)| entry)),
            probe_set: diff.probe_set,
            entries: diff
                .entries
                .into_iter()
                .map(|(entry, likeness)| LayerDiff {
                    change: entry.change.into(),
                    layer: entry.layer.map(Layer),
                    other_layer: entry.other_layer.map(Layer),
                    cka: likeness.map(|likeness| likeness.cka),
                    debiased_cka: likeness.map(|likeness| likeness.debiased_cka),
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

    /// Layers that both versions have with the same parameters and shapes.
    async fn same_count(&self) -> usize {
        self.counts.same
    }

    /// Layers that differ from those in the same place of the other version.
    async fn changed_count(&self) -> usize {
        self.counts.changed
    }

    /// Layers that only the other version has.
    async fn added_count(&self) -> usize {
        self.counts.added
    }

    /// Layers that only this version has.
    async fn removed_count(&self) -> usize {
        self.counts.removed
    }

    /// What layers were compared on. Null if the versions cannot be compared: then no entry has scores.
    async fn probe_set(&self, ctx: &Context<'_>) -> Result<Option<ProbeSet>> {
        match &self.probe_set {
            Ok(probe_set) => Ok(Some(load_referenced(ctx, *probe_set).await.map(ProbeSet)?)),
            Err(_) => Ok(None),
        }
    }

    /// Why the versions cannot be compared, in a sentence; null if they can.
    async fn incomparable(&self) -> Option<&str> {
        self.probe_set.as_ref().err().map(String::as_str)
    }
}

/// What became of a layer on the way from this version to the other.
#[derive(Debug, SimpleObject)]
pub struct LayerDiff {
    /// What became of it.
    change: LayerChange,
    /// The layer of this version; null if it was added.
    layer: Option<Layer>,
    /// The layer of the other version; null if it was removed.
    other_layer: Option<Layer>,
    /// Linear CKA between the two, 0 to 1; 1 for a layer that computes what it did. Null where there are no two layers, or one
    /// of them has no vector.
    cka: Option<f64>,
    /// Debiased CKA between the two, -1 to 1. Null where `cka` is.
    debiased_cka: Option<f64>,
    /// In what the two differ; empty unless the layer was changed.
    differences: Vec<LayerDifference>,
}

/// Something in which two layers differ.
#[derive(Debug, SimpleObject)]
pub struct LayerDifference {
    /// `kind`, `inputShape`, `outputShape`, or a parameter by its name.
    name: String,
    /// What it is in this version's layer; null if that has no such parameter.
    value: Option<Json<serde_json::Value>>,
    /// What it is in the other version's layer; null if that has no such parameter.
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

/// What can become of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Change")]
pub enum LayerChange {
    /// Both versions have it with the same parameters and shapes. Its weights may differ: the scores tell.
    Same,
    /// Both have it but with other parameters or shapes, or another layer stands in its place.
    Changed,
    /// Only the other version has it.
    Added,
    /// Only this version has it.
    Removed,
}
