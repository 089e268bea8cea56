//! Drawings of evaluations, trainings and comparisons, made when a client requests them.

use std::collections::HashMap;

use super::{Library, PictureFormat, ServiceError};
use scv_domain::cka_matrix::CkaMatrix;
use scv_domain::comparison::Comparison;
use scv_domain::evaluation::{ConfusionCell, MAX_DENSE_CLASSES, class_count, class_name, class_reports};
use scv_domain::id::{DatasetId, LayerId, ProbeSetId, VersionId};
use scv_domain::vector::Measure;
use scv_picture::{
    Axis, Frames, HeatMap, Numbers, PictureError, Scale, class_metrics, reliability_diagram, training_curve,
};

/// What a drawing of an evaluation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluationPlot {
    /// The confusion matrix: true against predicted classes.
    ConfusionMatrix,
    /// Confidence against accuracy.
    Calibration,
    /// Precision, recall and F1 per class.
    Classes,
}

impl EvaluationPlot {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ConfusionMatrix, Self::Calibration, Self::Classes];

    /// Its name in URLs.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfusionMatrix => "confusion",
            Self::Calibration => "calibration",
            Self::Classes => "classes",
        }
    }
}

/// A drawing of the CKA matrix of two versions.
#[derive(Debug, Clone, PartialEq)]
pub struct CkaPlotRequest {
    /// The version of the rows.
    pub a: VersionId,
    /// The version of the columns.
    pub b: VersionId,
    /// The probe set to compare on; the default one of a's data set if `None`.
    pub probe_set: Option<ProbeSetId>,
    /// What the scores measure.
    pub measure: Measure,
    /// Only layers of these kinds. Empty: all.
    pub layer_kinds: Vec<String>,
}

impl Library {
    /// Draws an evaluation.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version or an evaluation; `BAD_USER_INPUT` for an evaluation of an earlier release that stored too
    /// little to be drawn, and for a confusion matrix of too many classes.
    pub async fn plot_evaluation(
        &self,
        (version, dataset): (VersionId, DatasetId),
        plot: EvaluationPlot,
        format: PictureFormat,
    ) -> Result<Vec<u8>, ServiceError> {
        let (version, model) = self.listed_version(version).await?;
        let dataset = self.dataset(dataset).await?;
        let evaluations = self.store.evaluations_of(&[version.id]).await?;
        let found = evaluations
            .into_iter()
            .find(|evaluation| evaluation.dataset_id == dataset.id);
        let evaluation = found.ok_or_else(|| {
            let model = model.name.as_str();
            ServiceError::not_found_by_name(
                "evaluation",
                format!("of {model}:{} on {}", version.number, dataset.name),
            )
        })?;
        let details = evaluation.details.ok_or_else(|| {
            ServiceError::bad_input(
                "this evaluation is of an earlier release and lacks the numbers to draw: run evaluateVersion again",
            )
        })?;
        let cells = self.store.confusion_cells(&[(version.id, dataset.id)]).await?;
        let cells: Vec<ConfusionCell> = cells.into_iter().map(|(_, cell)| cell).collect();
        let classes = class_count(&cells, dataset.class_names.len());
        if plot == EvaluationPlot::ConfusionMatrix && classes > MAX_DENSE_CLASSES {
            return Err(ServiceError::bad_input(format!(
                "a confusion matrix of {classes} classes cannot be drawn; the limit is {MAX_DENSE_CLASSES}: page through \
                 confusionCells instead"
            )));
        }
        let subject = format!("{}:{} on {}", model.name.as_str(), version.number, dataset.name);
        self.draw(move || {
            let svg = match plot {
                EvaluationPlot::ConfusionMatrix => confusion_map(&subject, &cells, &dataset.class_names).svg()?,
                EvaluationPlot::Calibration => reliability_diagram(&subject, &details.calibration)?,
                EvaluationPlot::Classes => {
                    let reports = class_reports(&cells, dataset.class_names.len());
                    class_metrics(&subject, &reports, &dataset.class_names)?
                }
            };
            format.encode(svg)
        })
        .await
    }

    /// Draws the training of a version.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version, `BAD_USER_INPUT` for one that was not trained here.
    pub async fn plot_training(&self, version: VersionId, format: PictureFormat) -> Result<Vec<u8>, ServiceError> {
        let (version, model) = self.listed_version(version).await?;
        let epochs = version.train_epochs.filter(|epochs| !epochs.is_empty());
        let epochs =
            epochs.ok_or_else(|| ServiceError::bad_input("the version was not trained on this server, or not yet"))?;
        let subject = format!("{}:{}", model.name.as_str(), version.number);
        self.draw(move || format.encode(training_curve(&subject, &epochs)?))
            .await
    }

    /// Draws the CKA matrix of two versions.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version, and those of [`Library::probe_set_of`] and [`Library::compare`].
    pub async fn plot_cka_matrix(
        &self,
        request: CkaPlotRequest,
        format: PictureFormat,
    ) -> Result<Vec<u8>, ServiceError> {
        let (a, model_a) = self.listed_version(request.a).await?;
        let (b, model_b) = self.listed_version(request.b).await?;
        let dataset = self.dataset(a.dataset_id).await?;
        let comparison = Comparison {
            probe_set: self.probe_set_of(dataset.id, request.probe_set).await?.id,
            measure: request.measure,
            layer_kinds: request.layer_kinds,
        };
        let layers = self.compare(&a, &b, &comparison).await?;
        let [title_a, title_b] = [(&model_a, &a), (&model_b, &b)]
            .map(|(model, version)| format!("{}:{}", model.name.as_str(), version.number));
        let (rows, columns) = (
            self.axis(title_a.clone(), &layers.rows).await?,
            self.axis(title_b.clone(), &layers.columns).await?,
        );
        self.draw(move || {
            let best_matches = layers.matrix.best_matches();
            let map = HeatMap {
                title: format!("Layers of {title_a} and {title_b} on {}", dataset.name),
                unit: match comparison.measure {
                    Measure::DebiasedCka => "debiased CKA".to_owned(),
                    Measure::Cka => "CKA".to_owned(),
                },
                rows,
                columns,
                scale: Scale::linear(&layers.matrix),
                numbers: Numbers::Scores,
                frames: Some(Frames {
                    cells: best_matches.iter().map(|best| (best.row, best.column)).collect(),
                    meaning: "best match of each row".to_owned(),
                }),
                matrix: layers.matrix,
            };
            format.encode(map.svg()?)
        })
        .await
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

    async fn draw(
        &self,
        drawing: impl FnOnce() -> Result<Vec<u8>, PictureError> + Send + 'static,
    ) -> Result<Vec<u8>, ServiceError> {
        self.compute(|_| drawing()).await?.map_err(ServiceError::internal)
    }
}

/// The confusion matrix as colours: of the images of each true class, the share that each class was predicted for.
fn confusion_map(subject: &str, cells: &[ConfusionCell], names: &[String]) -> HeatMap {
    let reports = class_reports(cells, names.len());
    let labels: Vec<String> = reports.iter().map(|report| class_name(names, report.class)).collect();
    let mut shares = vec![0.0; labels.len() * labels.len()];
    let mut counts = vec![0; shares.len()];
    for cell in cells {
        let of_class = reports[usize::from(cell.actual)].image_count.max(1);
        let place = usize::from(cell.actual) * labels.len() + usize::from(cell.predicted);
        shares[place] = cell.image_count as f64 / of_class as f64;
        counts[place] = cell.image_count as u64;
    }
    let matrix = CkaMatrix::new(labels.len(), shares);
    let axis = |title: &str| Axis {
        title: title.to_owned(),
        labels: labels.clone(),
    };
    HeatMap {
        title: format!("Confusion of {subject}"),
        unit: "share of the images of the true class, logarithmic".to_owned(),
        rows: axis("true class"),
        columns: axis("predicted class"),
        // A few mistakes among a thousand images are what a reader looks for.
        scale: Scale::logarithmic(&matrix),
        numbers: Numbers::Counts(counts),
        frames: None,
        matrix,
    }
}
