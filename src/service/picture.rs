//! Pictures of what was computed.

use std::collections::HashMap;

use super::{Library, ServiceError};
use crate::domain::comparison::Comparison;
use crate::domain::id::{LayerId, ProbeSetId, VersionId};
use crate::domain::vector::Measure;
use crate::picture::{Axis, HeatMap, PictureError, png};

/// How a picture is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureFormat {
    /// Pixels.
    Png,
    /// A drawing.
    Svg,
}

impl PictureFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Svg, Self::Png];

    /// How the name of such a file ends.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
        }
    }
}

/// A picture of the layers of two versions against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureRequest {
    /// The version of the rows.
    pub a: VersionId,
    /// The version of the columns.
    pub b: VersionId,
    /// The probe set to compare on; the default one of a's data set if left out.
    pub probe_set: Option<ProbeSetId>,
    /// What the scores are of.
    pub measure: Measure,
    /// Only layers of these kinds. Empty: all.
    pub layer_kinds: Vec<String>,
}

impl Library {
    /// Draws the layers of two versions against each other.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version, and those of [`Library::compare`].
    pub async fn picture(&self, request: PictureRequest, format: PictureFormat) -> Result<Vec<u8>, ServiceError> {
        let (a, model_a) = self.listed_version(request.a).await?;
        let (b, model_b) = self.listed_version(request.b).await?;
        let dataset = self.dataset(a.dataset_id).await?;
        let comparison = Comparison {
            probe_set: self.probe_set_of(&dataset, request.probe_set).await?.id,
            measure: request.measure,
            layer_kinds: request.layer_kinds,
        };
        let layers = self.compare(&a, &b, &comparison).await?;
        let [title_a, title_b] = [(&model_a, &a), (&model_b, &b)]
            .map(|(model, version)| format!("{} version {}", model.name.as_str(), version.number));
        let map = HeatMap {
            title: format!("Layers of {title_a} and {title_b} on {}", dataset.name),
            unit: match comparison.measure {
                Measure::DebiasedCka => "debiased CKA".to_owned(),
                Measure::Cka => "CKA".to_owned(),
            },
            rows: self.axis(title_a, &layers.rows).await?,
            columns: self.axis(title_b, &layers.columns).await?,
            matrix: layers.matrix,
        };
        let drawn = tokio::task::spawn_blocking(move || {
            let svg = map.svg()?;
            match format {
                PictureFormat::Svg => Ok(svg.into_bytes()),
                PictureFormat::Png => png(&svg),
            }
        });
        let drawn = drawn.await.map_err(ServiceError::internal)?;
        drawn.map_err(|error: PictureError| ServiceError::internal(error))
    }

    async fn axis(&self, title: String, ids: &[LayerId]) -> Result<Axis, ServiceError> {
        let layers = self.store.layers_by_id(ids).await?;
        let labels: HashMap<LayerId, String> = layers
            .into_iter()
            .map(|layer| (layer.id, format!("{} {}", layer.name, layer.kind)))
            .collect();
        let labels = ids.iter().map(|id| labels.get(id).cloned().unwrap_or_default());
        Ok(Axis {
            title,
            labels: labels.collect(),
        })
    }
}
