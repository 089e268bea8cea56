//! Evaluations: accuracy, confusion matrix, calibration and misclassified images.

use async_graphql::{Context, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::compare::PictureFormat;
use super::connection::{ListConnection, Total, connection, connection_of_all, empty_slice, page};
use super::cost::page_cost;
use super::dataset::Dataset;
use super::error::{ApiError, Result};
use super::id::GlobalId as _;
use super::loader::{CellImagesPage, ConfusionOf, MistakesOf, load, load_referenced};
use super::picture::Picture;
use super::plain::ListEntry;
use super::raw_list::RawList;
use scv_domain::dataset::Split;
use scv_domain::evaluation as domain;
use scv_domain::evaluation::{MAX_DENSE_CLASSES, class_count, class_name, class_reports, expected_calibration_error};
use scv_domain::id::DatasetId;
use scv_service::{EvaluationPlot, Library};
use scv_store::CellKey;

/// The evaluation of a version on the test split of a data set. Some fields are null for evaluations that an earlier
/// release computed; `evaluateVersion` computes them again.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Evaluation(pub domain::Evaluation);

#[Object(use_type_description)]
impl Evaluation {
    /// The data set that the version was evaluated on.
    async fn dataset(&self, ctx: &Context<'_>) -> Result<Dataset> {
        load_referenced(ctx, self.0.dataset_id).await.map(Dataset)
    }

    /// Share of images that were classified correctly, 0 to 1.
    async fn accuracy(&self) -> f64 {
        self.0.accuracy
    }

    /// Top-5 accuracy: share of images whose true class is among the five predicted with the highest probability, 0 to
    /// 1.
    async fn top_five_accuracy(&self) -> Option<f64> {
        self.0.details.as_ref().map(|details| details.top_five_accuracy)
    }

    /// Mean cross-entropy in nats.
    async fn loss(&self) -> f64 {
        self.0.loss
    }

    /// Number of images in the test split.
    async fn image_count(&self) -> i32 {
        self.0.image_count
    }

    /// How well confidence agrees with accuracy.
    async fn calibration(&self) -> Option<Calibration> {
        let bins = &self.0.details.as_ref()?.calibration;
        Some(Calibration::of(bins))
    }

    /// The metrics of each class, by class index.
    async fn classes(&self, ctx: &Context<'_>) -> Result<Option<Vec<ClassReport>>> {
        let Some(cells) = self.cells(ctx).await? else {
            return Ok(None);
        };
        let names = self.class_names(ctx).await?;
        let reports = class_reports(&cells, names.len());
        Ok(Some(
            reports
                .into_iter()
                .map(|report| ClassReport::of(report, &names))
                .collect(),
        ))
    }

    /// The confusion matrix: numbers of images, with a row for each true class and a column for each predicted class.
    /// Available for at most 1,000 classes; `confusionCells` has no such limit.
    async fn confusion_matrix(&self, ctx: &Context<'_>) -> Result<Option<RawList<Vec<Vec<i32>>>>> {
        let Some(cells) = self.cells(ctx).await? else {
            return Ok(None);
        };
        let classes = class_count(&cells, self.class_names(ctx).await?.len());
        if classes > MAX_DENSE_CLASSES {
            return Err(ApiError::bad_input(format!(
                "{classes} classes are too many for `confusionMatrix`; the limit is {MAX_DENSE_CLASSES}. Page through \
                 `confusionCells` instead"
            )));
        }
        let mut rows = vec![vec![0; classes]; classes];
        for cell in cells {
            rows[usize::from(cell.actual)][usize::from(cell.predicted)] = cell.image_count as i32;
        }
        Ok(Some(RawList(rows)))
    }

    /// The non-empty cells of the confusion matrix, ordered by true class and predicted class.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn confusion_cells(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return only cells of misclassified images.", default = false)] mistakes_only: bool,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<Option<ListConnection<ConfusionCell>>> {
        let page = page(first, after, last, before)?;
        let Some(mut cells) = self.cells(ctx).await? else {
            return Ok(None);
        };
        cells.retain(|cell| !mistakes_only || cell.actual != cell.predicted);
        let names = self.class_names(ctx).await?;
        Ok(Some(connection_of_all(&cells, &page, |cell| ConfusionCell {
            actual: Class::of(cell.actual, &names),
            predicted: Class::of(cell.predicted, &names),
            image_count: cell.image_count as i32,
            exemplar: Exemplar::of(cell.exemplar, self.0.dataset_id),
        })))
    }

    /// Images misclassified with the highest confidence, highest first; at most 100 are kept.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn mistakes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<Option<ListConnection<Mistake>>> {
        let page = page(first, after, last, before)?;
        if self.0.details.is_none() {
            return Ok(None);
        }
        let key = MistakesOf((self.0.version_id, self.0.dataset_id));
        let mistakes = load(ctx, key).await?.unwrap_or_default();
        let names = self.class_names(ctx).await?;
        Ok(Some(connection_of_all(&mistakes, &page, |mistake| Mistake {
            actual: Class::of(mistake.actual, &names),
            predicted: Class::of(mistake.predicted, &names),
            image: Exemplar::of(mistake.image, self.0.dataset_id),
        })))
    }

    /// The images of a cell of the confusion matrix, with the highest confidence first. Null for an evaluation by an earlier
    /// release.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    #[expect(
        clippy::too_many_arguments,
        reason = "a cell and a page of it, as the schema writes them"
    )]
    async fn images(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Index of the true class.")] actual: u16,
        #[graphql(desc = "Index of the predicted class.")] predicted: u16,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<Option<ListConnection<Exemplar>>> {
        let page = page(first, after, last, before)?;
        if !self.0.details.as_ref().is_some_and(|details| details.has_images) {
            return Ok(None);
        }
        let cell = CellKey {
            evaluation: (self.0.version_id, self.0.dataset_id),
            actual,
            predicted,
        };
        let slice = load(ctx, CellImagesPage(cell, page.clone())).await?;
        Ok(Some(connection(
            slice.unwrap_or_else(|| empty_slice(&page)),
            Total::CellImages(cell),
            |found| found.rank,
            |found| Exemplar::of(found.image, self.0.dataset_id),
        )))
    }

    /// URL path on this server of a plot of the evaluation.
    async fn plot(
        &self,
        #[graphql(desc = "What the plot shows.")] kind: EvaluationPlotKind,
        #[graphql(desc = "The file format.", default_with = "PictureFormat::Svg")] format: PictureFormat,
    ) -> Option<String> {
        self.0.details.as_ref()?;
        let (version, dataset) = (self.0.version_id.encode(), self.0.dataset_id.encode());
        let plot = EvaluationPlot::from(kind).name();
        let ending = scv_service::PictureFormat::from(format).extension();
        Some(format!(
            "/evaluations/{}/{}/{plot}.{ending}",
            version.as_str(),
            dataset.as_str()
        ))
    }

    /// When it was computed.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}

impl Evaluation {
    async fn cells(&self, ctx: &Context<'_>) -> Result<Option<Vec<domain::ConfusionCell>>> {
        if self.0.details.is_none() {
            return Ok(None);
        }
        let key = ConfusionOf((self.0.version_id, self.0.dataset_id));
        Ok(Some(load(ctx, key).await?.unwrap_or_default()))
    }

    async fn class_names(&self, ctx: &Context<'_>) -> Result<Vec<String>> {
        Ok(load_referenced(ctx, self.0.dataset_id).await?.class_names)
    }
}

/// Kinds of plots of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, async_graphql::Enum)]
#[graphql(remote = "EvaluationPlot")]
pub enum EvaluationPlotKind {
    /// The confusion matrix, as numbers and colours.
    ConfusionMatrix,
    /// Reliability diagram: accuracy and confidence per bin, the gap between the two, and the numbers of images.
    Calibration,
    /// Per-class metrics: precision, recall and F1, as bars.
    Classes,
}

/// A class of a data set.
#[derive(Debug, Clone, SimpleObject)]
pub struct Class {
    /// Its index.
    index: i32,
    /// Its name; if the data set does not have the class, a name made of its index.
    name: String,
}

impl Class {
    pub(super) fn of(index: u16, names: &[String]) -> Self {
        Self {
            index: index.into(),
            name: class_name(names, index),
        }
    }
}

/// The metrics of one class. A metric is null if there are no images to compute it from.
#[derive(Debug, SimpleObject)]
pub struct ClassReport {
    /// The class.
    class: Class,
    /// Number of images of the class.
    image_count: i32,
    /// Number of images predicted as the class.
    predicted_count: i32,
    /// Share of the images predicted as the class that belong to it.
    precision: Option<f64>,
    /// Share of the images of the class that are predicted as it.
    recall: Option<f64>,
    /// The harmonic mean of precision and recall.
    f1: Option<f64>,
}

impl ClassReport {
    fn of(report: domain::ClassReport, names: &[String]) -> Self {
        Self {
            class: Class::of(report.class, names),
            image_count: report.image_count as i32,
            predicted_count: report.predicted_count as i32,
            precision: report.precision,
            recall: report.recall,
            f1: report.f1,
        }
    }
}

/// How well confidence agrees with accuracy: of the images that a network classifies with 80% confidence, 80% should be
/// classified correctly.
#[derive(Debug, SimpleObject)]
pub struct Calibration {
    /// Expected calibration error (ECE): the mean difference between confidence and accuracy, with each bin weighted by
    /// its share of the images.
    expected_calibration_error: f64,
    /// Fifteen bins of equal width, from confidence 0 to 1.
    bins: Vec<CalibrationBin>,
}

/// The images that were classified with a similar confidence.
#[derive(Debug, SimpleObject)]
pub struct CalibrationBin {
    /// Lower bound of confidence, exclusive.
    lower: f64,
    /// Upper bound of confidence, inclusive.
    upper: f64,
    /// Number of images in the bin.
    image_count: i32,
    /// Mean confidence; null if there are no images.
    confidence: Option<f64>,
    /// Share of images that were classified correctly; null if there are no images.
    accuracy: Option<f64>,
}

impl Calibration {
    fn of(bins: &[domain::CalibrationBin]) -> Self {
        let edge = |index: usize| index as f64 / bins.len() as f64;
        let bin = |(index, bin): (usize, &domain::CalibrationBin)| CalibrationBin {
            lower: edge(index),
            upper: edge(index + 1),
            image_count: bin.image_count as i32,
            confidence: (bin.image_count > 0).then_some(bin.confidence),
            accuracy: (bin.image_count > 0).then_some(bin.accuracy),
        };
        Self {
            expected_calibration_error: expected_calibration_error(bins),
            bins: bins.iter().enumerate().map(bin).collect(),
        }
    }
}

/// The images of one true class with the same predicted class.
#[derive(Debug, SimpleObject)]
pub struct ConfusionCell {
    /// The true class.
    actual: Class,
    /// The predicted class.
    predicted: Class,
    /// Number of images.
    image_count: i32,
    /// The image that was classified with the highest confidence.
    exemplar: Exemplar,
}

impl ListEntry for ConfusionCell {}

/// A misclassified image.
#[derive(Debug, SimpleObject)]
pub struct Mistake {
    /// The true class.
    actual: Class,
    /// The predicted class.
    predicted: Class,
    /// The image.
    image: Exemplar,
}

impl ListEntry for Mistake {}

/// An image of the test split and the confidence of its classification.
#[derive(Debug, async_graphql::Description)]
pub struct Exemplar {
    image: domain::Exemplar,
    dataset: DatasetId,
}

impl ListEntry for Exemplar {}

impl Exemplar {
    fn of(image: domain::Exemplar, dataset: DatasetId) -> Self {
        Self { image, dataset }
    }
}

#[Object(use_type_description)]
impl Exemplar {
    /// Its index in the test split.
    async fn index(&self) -> i32 {
        self.image.index as i32
    }

    /// The probability of the predicted class, 0 to 1.
    async fn confidence(&self) -> f64 {
        self.image.confidence
    }

    /// The image; small images are enlarged.
    async fn picture(&self, ctx: &Context<'_>) -> Result<Picture> {
        let library = ctx.data_unchecked::<Library>();
        let picture = library.dataset_picture(self.dataset, Split::Test, self.image.index);
        Ok(Picture(Box::pin(picture).await?))
    }
}
