//! Evaluations with their confusion matrices and most confident mistakes.

use super::rows::{RowContext, raw, slices};
use super::{Store, StoreError, Tx};
use scv_domain::evaluation::{ConfusionCell, Evaluation, EvaluationDetails, Exemplar, Mistake, NewEvaluation, Report};
use scv_domain::id::{DatasetId, VersionId};
use scv_domain::page::{Page, Slice};

/// The key of an evaluation.
pub type EvaluationKey = (VersionId, DatasetId);

/// The key of a cell of a confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CellKey {
    /// The evaluation.
    pub evaluation: EvaluationKey,
    /// Index of the true class.
    pub actual: u16,
    /// Index of the predicted class.
    pub predicted: u16,
}

/// An image of a cell of a confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CellImage {
    /// Its position among the images of the cell by descending confidence, from 1.
    pub rank: i64,
    /// The image.
    pub image: Exemplar,
}

impl Store {
    /// Evaluations of versions on all data sets.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.evaluations_of", skip_all)]
    pub async fn evaluations_of(&self, versions: &[VersionId]) -> Result<Vec<Evaluation>, StoreError> {
        let rows = sqlx::query!(
            r#"select version_id, dataset_id, accuracy, loss, image_count, top_five_accuracy, calibration, created_at,
                      images is not null as "has_images!"
                 from evaluation
                where version_id = any($1)"#,
            &raw(versions, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let row_context = RowContext {
                    table: "evaluation",
                    row: row.version_id,
                };
                let details = match row.top_five_accuracy.zip(row.calibration) {
                    None => None,
                    Some((top_five_accuracy, calibration)) => Some(EvaluationDetails {
                        top_five_accuracy,
                        calibration: row_context.json("calibration", calibration)?,
                        has_images: row.has_images,
                    }),
                };
                Ok(Evaluation {
                    version_id: VersionId(row.version_id),
                    dataset_id: DatasetId(row.dataset_id),
                    accuracy: row.accuracy,
                    loss: row.loss,
                    image_count: row.image_count,
                    details,
                    created_at: row.created_at,
                })
            })
            .collect()
    }

    /// The cells of confusion matrices, by actual and predicted class.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.confusion_cells", skip_all)]
    pub async fn confusion_cells(
        &self,
        evaluations: &[EvaluationKey],
    ) -> Result<Vec<(EvaluationKey, ConfusionCell)>, StoreError> {
        let rows = sqlx::query!(
            "select version_id, dataset_id, actual, predicted, image_count, exemplar_index, exemplar_confidence
               from confusion_cell
               join unnest($1::bigint[], $2::bigint[]) as wanted (version_id, dataset_id) using (version_id, dataset_id)
              order by version_id, dataset_id, actual, predicted",
            &raw(evaluations, |(version, _)| version.0),
            &raw(evaluations, |(_, dataset)| dataset.0),
        )
        .fetch_all(&self.pool)
        .await?;
        let cells = rows.into_iter().map(|row| {
            let cell = ConfusionCell {
                actual: row.actual as u16,
                predicted: row.predicted as u16,
                image_count: row.image_count as usize,
                exemplar: Exemplar {
                    index: row.exemplar_index as usize,
                    confidence: row.exemplar_confidence,
                },
            };
            ((VersionId(row.version_id), DatasetId(row.dataset_id)), cell)
        });
        Ok(cells.collect())
    }

    /// The most confident mistakes of evaluations, by descending confidence within each.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.confident_mistakes", skip_all)]
    pub async fn confident_mistakes(
        &self,
        evaluations: &[EvaluationKey],
    ) -> Result<Vec<(EvaluationKey, Mistake)>, StoreError> {
        let rows = sqlx::query!(
            "select version_id, dataset_id, actual, predicted, image_index, confidence
               from confident_mistake
               join unnest($1::bigint[], $2::bigint[]) as wanted (version_id, dataset_id) using (version_id, dataset_id)
              order by version_id, dataset_id, rank",
            &raw(evaluations, |(version, _)| version.0),
            &raw(evaluations, |(_, dataset)| dataset.0),
        )
        .fetch_all(&self.pool)
        .await?;
        let mistakes = rows.into_iter().map(|row| {
            let mistake = Mistake {
                actual: row.actual as u16,
                predicted: row.predicted as u16,
                image: Exemplar {
                    index: row.image_index as usize,
                    confidence: row.confidence,
                },
            };
            ((VersionId(row.version_id), DatasetId(row.dataset_id)), mistake)
        });
        Ok(mistakes.collect())
    }

    /// The same page of the images of several cells of confusion matrices, by descending confidence, in a single statement.
    /// Images that tie keep the order of the split. Cells of evaluations that did not keep their images are left out, as empty ones are.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.cell_images_pages", skip_all)]
    pub async fn cell_images_pages(
        &self,
        cells: &[CellKey],
        page: &Page<i64>,
    ) -> Result<Vec<(CellKey, Slice<CellImage>)>, StoreError> {
        let rows = sqlx::query!(
            r#"select version_id as "version_id!", dataset_id as "dataset_id!", actual as "actual!", predicted as "predicted!",
                      first + place - 1 as "rank!", image as "image!", confidence as "confidence!"
                 from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::integer[])
                      as wanted (version_id, dataset_id, actual, predicted)
                 join evaluation using (version_id, dataset_id)
                 join confusion_cell as cell using (version_id, dataset_id, actual, predicted)
                cross join lateral (
                      select coalesce(sum(image_count), 0) as skipped
                        from confusion_cell as other
                       where other.version_id = wanted.version_id
                         and other.dataset_id = wanted.dataset_id
                         and (other.actual, other.predicted) < (wanted.actual, wanted.predicted)) as before
                cross join lateral (
                      select coalesce($5::bigint, 0) + 1 as lower, least($6::bigint - 1, cell.image_count) as upper) as wide
                cross join lateral (
                      select case when $7 then greatest(lower, upper - $8::bigint) else lower end as first,
                             case when $7 then upper else least(upper, lower + $8::bigint) end as last) as narrow
                cross join lateral (
                      select (skipped + first)::integer as first_place, (skipped + last)::integer as last_place) as slice
                cross join lateral unnest(images[first_place:last_place], confidences[first_place:last_place])
                      with ordinality as found (image, confidence, place)
                order by 1, 2, 3, 4, case when $7 then -place else place end"#,
            &raw(cells, |cell| cell.evaluation.0.0),
            &raw(cells, |cell| cell.evaluation.1.0),
            &raw(cells, |cell| i32::from(cell.actual)),
            &raw(cells, |cell| i32::from(cell.predicted)),
            page.after,
            page.before,
            page.from_end,
            page.limit as i64,
        )
        .fetch_all(&self.pool)
        .await?;
        let images = rows.into_iter().map(|row| {
            let cell = CellKey {
                evaluation: (VersionId(row.version_id), DatasetId(row.dataset_id)),
                actual: row.actual as u16,
                predicted: row.predicted as u16,
            };
            let image = Exemplar {
                index: row.image as usize,
                confidence: row.confidence,
            };
            (cell, CellImage { rank: row.rank, image })
        });
        let images: Vec<_> = images.collect();
        let pages = slices(&images, page, |(cell, _)| *cell).into_iter();
        Ok(pages
            .map(|(cell, slice)| (cell, slice.map(|(_, image)| image)))
            .collect())
    }
}

impl Tx {
    /// Writes an evaluation, replacing an earlier one. If the data set is the version's own, the accuracy in the searchable
    /// rows is updated.
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_evaluation(&mut self, evaluation: &NewEvaluation) -> Result<(), StoreError> {
        let (version, dataset) = (evaluation.version_id.0, evaluation.dataset_id.0);
        let report = &evaluation.report;
        let images = report.images_by_cell();
        self.lock_sketches().await?;
        sqlx::query!(
            "insert into evaluation (version_id, dataset_id, accuracy, loss, image_count, top_five_accuracy, calibration,
                                     images, confidences)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             on conflict (version_id, dataset_id)
             do update set accuracy = excluded.accuracy, loss = excluded.loss, image_count = excluded.image_count,
                           top_five_accuracy = excluded.top_five_accuracy, calibration = excluded.calibration,
                           images = excluded.images, confidences = excluded.confidences,
                           created_at = now()",
            version,
            dataset,
            report.accuracy,
            report.loss,
            report.image_count as i32,
            report.top_five_accuracy,
            serde_json::json!(report.calibration),
            &raw(&images, |image| image.index as i32),
            &raw(&images, |image| image.confidence),
        )
        .execute(self.connection())
        .await?;
        self.put_confusion(version, dataset, report).await?;
        self.put_mistakes(version, dataset, report).await?;
        sqlx::query!(
            "update layer_sketch
                set accuracy = $3, changed = pg_current_xact_id()
              where version_id = $1
                and dataset_id = $2",
            version,
            dataset,
            report.accuracy,
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn put_confusion(&mut self, version: i64, dataset: i64, report: &Report) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from confusion_cell where version_id = $1 and dataset_id = $2",
            version,
            dataset
        )
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "insert into confusion_cell (version_id, dataset_id, actual, predicted, image_count, exemplar_index,
                                         exemplar_confidence)
             select $1, $2, *
               from unnest($3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::double precision[])",
            version,
            dataset,
            &raw(&report.cells, |cell| i32::from(cell.actual)),
            &raw(&report.cells, |cell| i32::from(cell.predicted)),
            &raw(&report.cells, |cell| cell.image_count as i32),
            &raw(&report.cells, |cell| cell.exemplar.index as i32),
            &raw(&report.cells, |cell| cell.exemplar.confidence),
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn put_mistakes(&mut self, version: i64, dataset: i64, report: &Report) -> Result<(), StoreError> {
        sqlx::query!(
            "delete from confident_mistake where version_id = $1 and dataset_id = $2",
            version,
            dataset
        )
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "insert into confident_mistake (version_id, dataset_id, rank, actual, predicted, image_index, confidence)
             select $1, $2, rank, actual, predicted, image_index, confidence
               from unnest($3::integer[], $4::integer[], $5::integer[], $6::double precision[])
                    with ordinality as given (actual, predicted, image_index, confidence, rank)",
            version,
            dataset,
            &raw(&report.mistakes, |mistake| i32::from(mistake.actual)),
            &raw(&report.mistakes, |mistake| i32::from(mistake.predicted)),
            &raw(&report.mistakes, |mistake| mistake.image.index as i32),
            &raw(&report.mistakes, |mistake| mistake.image.confidence),
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
