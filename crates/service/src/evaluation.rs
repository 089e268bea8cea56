//! Pictures of evaluations.

use super::{Library, PictureFormat, ServiceError};
use scv_domain::cka_matrix::CkaMatrix;
use scv_domain::evaluation::{ConfusionCell, MAX_DENSE_CLASSES, class_count, class_name, class_reports};
use scv_domain::id::{DatasetId, VersionId};
use scv_picture::{Axis, HeatMap, Numbers, Scale, class_bars, reliability, training_curve};

/// What a picture of an evaluation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvaluationPlot {
    /// Which classes are taken for which.
    ConfusionMatrix,
    /// Confidence against accuracy.
    Calibration,
    /// Precision, recall and F1 of each class.
    Classes,
}

impl EvaluationPlot {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ConfusionMatrix, Self::Calibration, Self::Classes];

    /// Its name in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfusionMatrix => "confusion",
            Self::Calibration => "calibration",
            Self::Classes => "classes",
        }
    }
}

impl Library {
    /// Draws an evaluation.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version or an evaluation, `BAD_USER_INPUT` for one whose release kept too little to be drawn.
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
            ServiceError::not_found("evaluation", format!("of version {} on {}", version.id, dataset.name))
        })?;
        let details = evaluation.details.ok_or_else(|| {
            ServiceError::bad_input("an earlier release kept too little of this evaluation: run evaluateVersion again")
        })?;
        let cells = self.store.confusion_cells(&[(version.id, dataset.id)]).await?;
        let cells: Vec<ConfusionCell> = cells.into_iter().map(|(_, cell)| cell).collect();
        let classes = class_count(&cells, dataset.class_names.len());
        if plot == EvaluationPlot::ConfusionMatrix && classes > MAX_DENSE_CLASSES {
            return Err(ServiceError::bad_input(format!(
                "a matrix of {classes} classes cannot be drawn, {MAX_DENSE_CLASSES} can: page through confusionCells"
            )));
        }
        let subject = format!("{} version {} on {}", model.name.as_str(), version.number, dataset.name);
        let drawn = tokio::task::spawn_blocking(move || {
            let svg = match plot {
                EvaluationPlot::ConfusionMatrix => confusion_map(&subject, &cells, &dataset.class_names).svg()?,
                EvaluationPlot::Calibration => reliability(&subject, &details.calibration)?,
                EvaluationPlot::Classes => {
                    let reports = class_reports(&cells, dataset.class_names.len());
                    class_bars(&subject, &reports, &dataset.class_names)?
                }
            };
            format.of_drawing(svg)
        });
        let drawn = drawn.await.map_err(ServiceError::internal)?;
        drawn.map_err(ServiceError::internal)
    }
}

impl Library {
    /// Draws the training of a version.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version, `BAD_USER_INPUT` for one that was not trained here.
    pub async fn plot_training(&self, version: VersionId, format: PictureFormat) -> Result<Vec<u8>, ServiceError> {
        let (version, model) = self.listed_version(version).await?;
        let epochs = version.train_epochs.filter(|epochs| !epochs.is_empty());
        let epochs = epochs.ok_or_else(|| ServiceError::bad_input("the version was not trained here, or not yet"))?;
        let subject = format!("{} version {}", model.name.as_str(), version.number);
        let drawn = tokio::task::spawn_blocking(move || format.of_drawing(training_curve(&subject, &epochs)?));
        let drawn = drawn.await.map_err(ServiceError::internal)?;
        drawn.map_err(ServiceError::internal)
    }
}

/// The confusion matrix as colours: of the images of each class, the share that was taken for each.
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
        unit: "share of the images of the class, logarithmic".to_owned(),
        rows: axis("class of the image"),
        columns: axis("taken for"),
        // A few mistakes among a thousand images are what is looked for.
        scale: Scale::logarithmic(&matrix),
        numbers: Numbers::Counts(counts),
        frames: None,
        matrix,
    }
}
