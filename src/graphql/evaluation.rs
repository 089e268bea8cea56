//! Evaluations: how well a version does, what it takes for what, and which images show it.

use async_graphql::{Context, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::compare::PictureFormat;
use super::connection::{ListConnection, connection_of_all, page};
use super::dataset::Dataset;
use super::error::{ApiError, Result};
use super::id::GlobalId as _;
use super::limits::page_cost;
use super::loader::{ConfusionOf, MistakesOf, load, load_referenced};
use super::picture::Picture;
use super::plain::Plain;
use scv_domain::dataset::Split;
use scv_domain::evaluation as domain;
use scv_domain::evaluation::{
    MAX_DENSE_CLASSES, class_count, class_name, class_reports, expected_calibration_error,
};
use scv_domain::id::DatasetId;
use scv_service::{EvaluationPlot, Library};

/// How well a version does on the test split of a data set. What is null here was not kept by the release that evaluated it:
/// evaluateVersion computes it anew.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Evaluation(pub domain::Evaluation);

#[Object(use_type_description)]
impl Evaluation {
    /// The data set.
    async fn dataset(&self, ctx: &Context<'_>) -> Result<Dataset> {
        load_referenced(ctx, self.0.dataset_id).await.map(Dataset)
    }

    /// Share of the images classified right, 0 to 1.
    async fn accuracy(&self) -> f64 {
        self.0.accuracy
    }

    /// Share of the images whose class is among the five likeliest, 0 to 1.
    async fn top_five_accuracy(&self) -> Option<f64> {
        self.0.details.as_ref().map(|details| details.top_five_accuracy)
    }

    /// Mean cross-entropy in nats.
    async fn loss(&self) -> f64 {
        self.0.loss
    }

    /// Images in the split.
    async fn image_count(&self) -> i32 {
        self.0.image_count
    }

    /// How far confidences can be believed.
    async fn calibration(&self) -> Option<Calibration> {
        let bins = &self.0.details.as_ref()?.calibration;
        Some(Calibration::of(bins))
    }

    /// How well each class is told from the others, in the order of the classes.
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

    /// The confusion matrix: a row for each class that images are of, a column for each that they were taken for, and how many
    /// images. Of at most 1,000 classes.
    async fn confusion_matrix(&self, ctx: &Context<'_>) -> Result<Option<Plain<Vec<Vec<i32>>>>> {
        let Some(cells) = self.cells(ctx).await? else {
            return Ok(None);
        };
        let classes = class_count(&cells, self.class_names(ctx).await?.len());
        if classes > MAX_DENSE_CLASSES {
            return Err(ApiError::bad_input(format!(
                "the matrix of {classes} classes has too many numbers: page through confusionCells"
            )));
        }
        let mut rows = vec![vec![0; classes]; classes];
        for cell in cells {
            rows[usize::from(cell.actual)][usize::from(cell.predicted)] = cell.image_count as i32;
        }
        Ok(Some(Plain(rows)))
    }

    /// The cells of the confusion matrix that hold images, by the class that they are of and the one they were taken for.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn confusion_cells(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only images that were taken for something else.", default = false)] mistakes_only: bool,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
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

    /// The mistakes that the version was most sure of, the surest first; a hundred are kept.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn mistakes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Entries from the front, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Only entries behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Entries from the end, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Only entries before this cursor.")] before: Option<String>,
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

    /// Address on this server of a picture of it.
    async fn plot(
        &self,
        #[graphql(desc = "What it shows.")] of: EvaluationPlotKind,
        #[graphql(desc = "How it is written.", default_with = "PictureFormat::Svg")] format: PictureFormat,
    ) -> Option<String> {
        self.0.details.as_ref()?;
        let (version, dataset) = (self.0.version_id.encode(), self.0.dataset_id.encode());
        let plot = EvaluationPlot::from(of).name();
        let ending = scv_service::PictureFormat::from(format).ending();
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

/// What a picture of an evaluation shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, async_graphql::Enum)]
#[graphql(remote = "EvaluationPlot")]
pub enum EvaluationPlotKind {
    /// Which classes are taken for which, as numbers and colours.
    ConfusionMatrix,
    /// Confidence against accuracy, as bars with the gap between the two and the numbers of images.
    Calibration,
    /// Precision, recall and F1 of each class, as bars.
    Classes,
}

/// A class of a data set.
#[derive(Debug, Clone, SimpleObject)]
pub struct Class {
    /// Its index.
    index: i32,
    /// Its name; its index in words for one that the data set does not have.
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

/// How well one class is told from the others. What would be a share of no images is null.
#[derive(Debug, SimpleObject)]
pub struct ClassReport {
    /// The class.
    class: Class,
    /// Images of it.
    image_count: i32,
    /// Images taken for it.
    predicted_count: i32,
    /// Of the images taken for it, the share that are.
    precision: Option<f64>,
    /// Of the images of it, the share taken for it.
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

/// How far confidences can be believed: of images that a network is 80 % sure of, 80 % should be classified right.
#[derive(Debug, SimpleObject)]
pub struct Calibration {
    /// The mean distance of confidence and accuracy, each bin by its share of the images (ECE).
    expected_calibration_error: f64,
    /// Fifteen bins of equal width, from confidence 0 to 1.
    bins: Vec<CalibrationBin>,
}

/// The images that a network was about equally sure of.
#[derive(Debug, SimpleObject)]
pub struct CalibrationBin {
    /// Confidences of the bin are above this.
    lower: f64,
    /// Confidences of the bin are at most this.
    upper: f64,
    /// Images.
    image_count: i32,
    /// Mean confidence; null if there are no images.
    confidence: Option<f64>,
    /// Share classified right; null if there are no images.
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

/// The images of one class that were taken for another, or for what they are.
#[derive(Debug, SimpleObject)]
pub struct ConfusionCell {
    /// The class that they are of.
    actual: Class,
    /// The class that they were taken for.
    predicted: Class,
    /// How many.
    image_count: i32,
    /// The one that the network was most sure of.
    exemplar: Exemplar,
}

/// An image that was taken for something else.
#[derive(Debug, SimpleObject)]
pub struct Mistake {
    /// The class that it is of.
    actual: Class,
    /// The class that it was taken for.
    predicted: Class,
    /// The image.
    image: Exemplar,
}

/// An image of the test split and how sure the network was of it.
#[derive(Debug, async_graphql::Description)]
pub struct Exemplar {
    image: domain::Exemplar,
    dataset: DatasetId,
}

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

    /// The probability of the class that it was taken for, 0 to 1.
    async fn confidence(&self) -> f64 {
        self.image.confidence
    }

    /// The image, small ones enlarged to be seen.
    async fn picture(&self, ctx: &Context<'_>) -> Result<Picture> {
        let library = ctx.data_unchecked::<Library>();
        let picture = library
            .dataset_picture(self.dataset, Split::Test, self.image.index)
            .await?;
        Ok(Picture(picture))
    }
}
