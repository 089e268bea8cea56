//! Layers.

use super::rows::{RowContext, raw, slices};
use super::{Store, StoreError};
use scv_domain::id::{DatasetId, LayerId, ModelId, VersionId};
use scv_domain::page::{Page, Slice};
use scv_domain::version::{Layer, VersionOrigin};

struct LayerRow {
    layer_id: i64,
    version_id: i64,
    index: i32,
    name: String,
    kind: String,
    parameters: serde_json::Value,
    input_shape: Vec<i32>,
    output_shape: Vec<i32>,
    parameter_count: i64,
    multiply_accumulates: i64,
    inputs: Option<Vec<i32>>,
}

impl From<LayerRow> for Layer {
    fn from(row: LayerRow) -> Self {
        Self {
            id: LayerId(row.layer_id),
            version_id: VersionId(row.version_id),
            index: row.index,
            name: row.name,
            kind: row.kind,
            parameters: row.parameters,
            input_shape: row.input_shape,
            output_shape: row.output_shape,
            parameter_count: row.parameter_count,
            multiply_accumulates: row.multiply_accumulates,
            inputs: row.inputs,
        }
    }
}

impl Store {
    /// Layers by key that the viewer may see.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.layers_by_id", skip_all)]
    pub async fn layers_by_id(&self, ids: &[LayerId]) -> Result<Vec<Layer>, StoreError> {
        let rows = sqlx::query_as!(
            LayerRow,
            "select layer_id, version_id, index, name, kind, parameters, input_shape, output_shape, parameter_count,
                    multiply_accumulates, inputs
               from layer
              where layer_id = any($1)
                and ($2::bigint is null
                     or is_visible((select model_id from version where version_id = layer.version_id), $2))",
            &raw(ids, |id| id.0),
            self.viewer(),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Layer::from).collect())
    }

    /// Layers by key that the viewer may see and whose models are not deleted, each with where its version comes from.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.listed_layers", skip_all)]
    pub async fn listed_layers(&self, ids: &[LayerId]) -> Result<Vec<(Layer, VersionOrigin)>, StoreError> {
        let rows = sqlx::query!(
            "select layer_id, version_id, index, name, kind, parameters, input_shape, output_shape, layer.parameter_count,
                    layer.multiply_accumulates, inputs, model_id, dataset_id, format
               from layer
               join version using (version_id)
              where layer_id = any($1)
                and (select deleted_at is null and ($2::bigint is null or private_to is null or private_to = $2)
                       from model
                      where model_id = version.model_id)",
            &raw(ids, |id| id.0),
            self.viewer(),
        )
        .fetch_all(&self.pool)
        .await?;
        let layers = rows.into_iter().map(|row| {
            let row_context = RowContext {
                table: "version",
                row: row.version_id,
            };
            let origin = VersionOrigin {
                version: VersionId(row.version_id),
                model: ModelId(row.model_id),
                dataset: DatasetId(row.dataset_id),
                format: row_context.enum_value("format", &row.format)?,
            };
            let layer = LayerRow {
                layer_id: row.layer_id,
                version_id: row.version_id,
                index: row.index,
                name: row.name,
                kind: row.kind,
                parameters: row.parameters,
                input_shape: row.input_shape,
                output_shape: row.output_shape,
                parameter_count: row.parameter_count,
                multiply_accumulates: row.multiply_accumulates,
                inputs: row.inputs,
            };
            Ok((Layer::from(layer), origin))
        });
        layers.collect()
    }

    /// The same page of the layers of each of several versions, by index, in a single statement.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.layers_pages", skip_all)]
    pub async fn layers_pages(
        &self,
        versions: &[VersionId],
        page: &Page<i32>,
    ) -> Result<Vec<(VersionId, Slice<Layer>)>, StoreError> {
        let rows = sqlx::query_as!(
            LayerRow,
            r#"select page.layer_id as "layer_id!", page.version_id as "version_id!", page.index as "index!",
                      page.name as "name!", page.kind as "kind!", page.parameters as "parameters!",
                      page.input_shape as "input_shape!", page.output_shape as "output_shape!",
                      page.parameter_count as "parameter_count!", page.multiply_accumulates as "multiply_accumulates!",
                      page.inputs
                 from unnest($1::bigint[]) as wanted (version_id)
                cross join lateral (
                      select *
                        from layer
                       where layer.version_id = wanted.version_id
                         and ($2::integer is null or index > $2)
                         and ($3::integer is null or index < $3)
                       order by case when $4 then -index else index end
                       limit $5) as page
                order by page.version_id, case when $4 then -page.index else page.index end"#,
            &raw(versions, |id| id.0),
            page.after,
            page.before,
            page.from_end,
            page.limit as i64 + 1,
        )
        .fetch_all(&self.pool)
        .await?;
        let layers: Vec<Layer> = rows.into_iter().map(Layer::from).collect();
        Ok(slices(&layers, page, |layer| layer.version_id))
    }

    /// Layers of versions by their names. Of several with one name, the first.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.layers_by_name", skip_all)]
    pub async fn layers_by_name(&self, names: &[(VersionId, &str)]) -> Result<Vec<Layer>, StoreError> {
        let rows = sqlx::query_as!(
            LayerRow,
            "select distinct on (layer.version_id, layer.name)
                    layer_id, layer.version_id, index, layer.name, kind, parameters, input_shape, output_shape,
                    parameter_count, multiply_accumulates, inputs
               from unnest($1::bigint[], $2::text[]) as wanted (version_id, name)
               join layer on layer.version_id = wanted.version_id and layer.name = wanted.name
              order by layer.version_id, layer.name, index",
            &raw(names, |(version, _)| version.0),
            &raw(names, |(_, name)| (*name).to_owned()),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(Layer::from).collect())
    }

    /// Counts the layers of each version. Versions without layers are left out.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_layers", skip_all)]
    pub async fn count_layers(&self, versions: &[VersionId]) -> Result<Vec<(VersionId, i64)>, StoreError> {
        let rows = sqlx::query!(
            r#"select version_id, count(*) as "count!" from layer where version_id = any($1) group by version_id"#,
            &raw(versions, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (VersionId(row.version_id), row.count))
            .collect())
    }
}
