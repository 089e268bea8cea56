//! Layer vectors: written with their layers and sketches in one transaction, in bulk.

use pgvector::Vector;
use sqlx::PgExecutor;

use super::layer_sketch::{NewSketch, insert_sketches};
use super::rows::{enum_name, raw};
use super::version::NewLayer;
use super::{Store, StoreError, Tx};
use scv_domain::id::{LayerId, ModelId, ProbeSetId, VersionId};
use scv_domain::vector::{Degenerate, LayerVector};

/// Maximum number of numbers of the lead in a part, and of the tail: a part has to fit in a page of the table.
const MAX_PART_LENGTHS: (usize, usize) = (1_750, 200);

/// Maximum number of single-precision numbers sent in one statement: 32 MB.
const MAX_BATCH_NUMBERS: usize = 8_000_000;

/// The result of measuring a layer on a probe set.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredLayer {
    /// The layer.
    pub layer: LayerId,
    /// Its vector, or why it has none.
    pub vector: Result<LayerVector, Degenerate>,
}

impl Store {
    /// The probe sets on which a version's layers have been measured.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.measured_probe_sets", skip_all)]
    pub async fn measured_probe_sets(&self, version: VersionId) -> Result<Vec<ProbeSetId>, StoreError> {
        measured_probe_sets(&self.pool, version).await
    }

    /// The pairs of a layer and a probe set, of those given, for which there is a vector.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.with_vector", skip_all)]
    pub async fn with_vector(&self, pairs: &[(LayerId, ProbeSetId)]) -> Result<Vec<(LayerId, ProbeSetId)>, StoreError> {
        let rows = sqlx::query!(
            r#"select layer_id as "layer_id!", probe_set_id as "probe_set_id!"
                 from layer_vector
                where (layer_id, probe_set_id) in (select * from unnest($1::bigint[], $2::bigint[]))
                  and part = 0"#,
            &raw(pairs, |pair| pair.0.0),
            &raw(pairs, |pair| pair.1.0),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (LayerId(row.layer_id), ProbeSetId(row.probe_set_id)))
            .collect())
    }

    /// The vectors of layers on a probe set. Layers without a vector are left out.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.vectors", skip_all)]
    pub async fn vectors(
        &self,
        probe_set: ProbeSetId,
        layers: &[LayerId],
    ) -> Result<Vec<(LayerId, LayerVector)>, StoreError> {
        stored_vectors(&self.pool, probe_set, &raw(layers, |id| id.0)).await
    }

    /// Counts the vectors that [`Store::version_vectors`] returns.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_version_vectors", skip_all)]
    pub async fn count_version_vectors(
        &self,
        probe_set: ProbeSetId,
        version: VersionId,
        kinds: &[String],
    ) -> Result<usize, StoreError> {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!"
                 from layer
                 join layer_vector using (layer_id)
                where probe_set_id = $1
                  and version_id = $2
                  and part = 0
                  and (kind = any($3) or $3 = '{}')"#,
            probe_set.0,
            version.0,
            kinds,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(count as usize)
    }

    /// The vectors of a version on a probe set, in the order of its layers. Layers without a vector are left out, and so are
    /// layers of other kinds unless `kinds` is empty.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.version_vectors", skip_all)]
    pub async fn version_vectors(
        &self,
        probe_set: ProbeSetId,
        version: VersionId,
        kinds: &[String],
    ) -> Result<Vec<(LayerId, LayerVector)>, StoreError> {
        let rows = sqlx::query_as!(
            PartRow,
            r#"select layer_id, part, lead as "lead: Vector", tail as "tail: Vector"
                 from layer
                 join layer_vector using (layer_id)
                where version_id = $1
                  and probe_set_id = $2
                  and (kind = any($3) or $3 = '{}')
                order by index, part"#,
            version.0,
            probe_set.0,
            kinds,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(join_parts(rows))
    }

    /// The probe sets on which layers have no vector, and why. Layers that have one on every probe set are left out.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.degenerate_layers", skip_all)]
    pub async fn degenerate_layers(
        &self,
        layers: &[LayerId],
    ) -> Result<Vec<(LayerId, ProbeSetId, Degenerate)>, StoreError> {
        sqlx::query!(
            "select layer_id, probe_set_id, reason
               from degenerate_layer
              where layer_id = any($1)
              order by layer_id, probe_set_id",
            &raw(layers, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|row| {
            let row_context = super::rows::RowContext {
                table: "degenerate_layer",
                row: row.layer_id,
            };
            Ok((
                LayerId(row.layer_id),
                ProbeSetId(row.probe_set_id),
                row_context.enum_value("reason", &row.reason)?,
            ))
        })
        .collect()
    }
}

/// The vectors of layers on a probe set. Layers without a vector are left out.
pub(super) async fn stored_vectors(
    database: impl PgExecutor<'_>,
    probe_set: ProbeSetId,
    layers: &[i64],
) -> Result<Vec<(LayerId, LayerVector)>, StoreError> {
    let rows = sqlx::query_as!(
        PartRow,
        r#"select layer_id, part, lead as "lead: Vector", tail as "tail: Vector"
             from layer_vector
            where probe_set_id = $1
              and layer_id = any($2)
            order by layer_id, part"#,
        probe_set.0,
        layers,
    )
    .fetch_all(database)
    .await?;
    Ok(join_parts(rows))
}

struct PartRow {
    layer_id: i64,
    part: i16,
    lead: Vector,
    tail: Option<Vector>,
}

/// Joins the parts of vectors. The parts of one layer follow one another.
fn join_parts(rows: Vec<PartRow>) -> Vec<(LayerId, LayerVector)> {
    let mut vectors: Vec<(LayerId, LayerVector)> = Vec::new();
    for row in rows {
        let (lead, tail) = (
            row.lead.to_vec(),
            row.tail.map(|tail| tail.to_vec()).unwrap_or_default(),
        );
        match vectors.last_mut().filter(|_| row.part > 0) {
            Some((_, vector)) => {
                vector.lead.extend(lead);
                vector.tail.extend(tail);
            }
            None => vectors.push((LayerId(row.layer_id), LayerVector { lead, tail })),
        }
    }
    for (_, vector) in &mut vectors {
        // They may stay in memory.
        vector.lead.shrink_to_fit();
        vector.tail.shrink_to_fit();
    }
    vectors
}

/// A part of a vector, which is one row.
pub(super) struct Part {
    pub(super) number: i16,
    pub(super) lead: Vector,
    pub(super) tail: Option<Vector>,
    pub(super) lead_norm: f32,
}

/// Splits a vector into parts. Its tail needs no more of them than its lead.
pub(super) fn parts(vector: &LayerVector) -> impl Iterator<Item = Part> {
    let lead_norm = vector.lead_norm() as f32;
    let mut tails = vector.tail.chunks(MAX_PART_LENGTHS.1);
    let leads = vector.lead.chunks(MAX_PART_LENGTHS.0).enumerate();
    leads.map(move |(number, lead)| Part {
        number: number as i16,
        lead: Vector::from(lead.to_vec()),
        tail: tails.next().map(|tail| Vector::from(tail.to_vec())),
        lead_norm,
    })
}

async fn measured_probe_sets(database: impl PgExecutor<'_>, version: VersionId) -> Result<Vec<ProbeSetId>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"select probe_set_id as "probe_set_id!"
             from layer join layer_vector using (layer_id)
            where version_id = $1
            union
           select probe_set_id
             from layer join degenerate_layer using (layer_id)
            where version_id = $1"#,
        version.0,
    )
    .fetch_all(database)
    .await?;
    Ok(ids.into_iter().map(ProbeSetId).collect())
}

impl Tx {
    /// The probe sets on which a version's layers have been measured, as this transaction sees them.
    ///
    /// # Errors
    /// The database fails.
    pub async fn measured_probe_sets(&mut self, version: VersionId) -> Result<Vec<ProbeSetId>, StoreError> {
        measured_probe_sets(self.connection(), version).await
    }

    /// Writes the layers of a version that do not exist yet. Returns the keys of all its layers by index.
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_layers(&mut self, version: VersionId, layers: &[NewLayer]) -> Result<Vec<LayerId>, StoreError> {
        let rows: Vec<_> = layers
            .iter()
            .map(|layer| {
                serde_json::json!({
                    "index": layer.index, "name": layer.name, "kind": layer.kind, "parameters": layer.parameters,
                    "input_shape": layer.input_shape, "output_shape": layer.output_shape,
                    "parameter_count": layer.parameter_count, "multiply_accumulates": layer.multiply_accumulates,
                    "inputs": layer.inputs,
                })
            })
            .collect();
        sqlx::query!(
            "insert into layer (version_id, index, name, kind, parameters, input_shape, output_shape, parameter_count,
                                multiply_accumulates, inputs)
             select $1, new.*
               from jsonb_to_recordset($2)
                    as new (index integer, name text, kind text, parameters jsonb, input_shape integer[],
                            output_shape integer[], parameter_count bigint, multiply_accumulates bigint,
                            inputs integer[])
             on conflict (version_id, index) do nothing",
            version.0,
            serde_json::Value::Array(rows),
        )
        .execute(self.connection())
        .await?;
        self.layer_ids(version).await
    }

    /// The keys of the layers of a version, by index.
    ///
    /// # Errors
    /// The database fails.
    pub async fn layer_ids(&mut self, version: VersionId) -> Result<Vec<LayerId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "select layer_id from layer where version_id = $1 order by index",
            version.0
        )
        .fetch_all(self.connection())
        .await?;
        Ok(ids.into_iter().map(LayerId).collect())
    }

    /// Writes the vectors of layers on a probe set, replacing earlier ones.
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_vectors(
        &mut self,
        model: ModelId,
        probe_set: ProbeSetId,
        layers: &[MeasuredLayer],
    ) -> Result<(), StoreError> {
        self.lock_sketches().await?;
        // Blocks changes of the model's tags, visibility and deletion, which are copied next to the sketches below.
        sqlx::query!("select model_id from model where model_id = $1 for share", model.0)
            .fetch_optional(self.connection())
            .await?;
        let ids: Vec<_> = layers.iter().map(|layer| layer.layer.0).collect();
        sqlx::query!(
            "delete from layer_vector where probe_set_id = $1 and layer_id = any($2)",
            probe_set.0,
            &ids
        )
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "delete from degenerate_layer where probe_set_id = $1 and layer_id = any($2)",
            probe_set.0,
            &ids
        )
        .execute(self.connection())
        .await?;
        let removed = sqlx::query!(
            "with removed as (
                  delete from long_sketch
                   where layer_id = any($2)
                     and basis_id in (select basis_id from sketch_basis where probe_set_id = $1)
             )
             delete from layer_sketch
              where layer_id = any($2)
                and basis_id in (select basis_id from sketch_basis where probe_set_id = $1)",
            probe_set.0,
            &ids
        )
        .execute(self.connection())
        .await?;
        self.deletes |= removed.rows_affected() > 0;
        self.insert_degenerate(probe_set, layers).await?;
        let measured: Vec<_> = layers
            .iter()
            .filter_map(|layer| Some((layer.layer, layer.vector.as_ref().ok()?)))
            .collect();
        let bases = self.bases_of(probe_set).await?;
        let numbers = measured
            .first()
            .map_or(1, |(_, vector)| vector.lead.len() + vector.tail.len());
        for batch in measured.chunks((MAX_BATCH_NUMBERS / numbers).max(1)) {
            self.insert_vectors(probe_set, batch).await?;
            for basis in &bases {
                let sketches = NewSketch::all(batch, &basis.basis);
                insert_sketches(self.connection(), basis.id, &sketches).await?;
            }
        }
        Ok(())
    }

    async fn insert_degenerate(&mut self, probe_set: ProbeSetId, layers: &[MeasuredLayer]) -> Result<(), StoreError> {
        let (ids, reasons): (Vec<_>, Vec<_>) = layers
            .iter()
            .filter_map(|layer| Some((layer.layer.0, enum_name(layer.vector.as_ref().err()?))))
            .unzip();
        sqlx::query!(
            "insert into degenerate_layer (probe_set_id, layer_id, reason)
             select $1, new.*
               from unnest($2::bigint[], $3::text[]) as new",
            probe_set.0,
            &ids,
            &reasons,
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn insert_vectors(
        &mut self,
        probe_set: ProbeSetId,
        layers: &[(LayerId, &LayerVector)],
    ) -> Result<(), StoreError> {
        let (mut ids, mut numbers, mut leads, mut tails, mut norms) = (vec![], vec![], vec![], vec![], vec![]);
        for (layer, vector) in layers {
            for part in parts(vector) {
                ids.push(layer.0);
                numbers.push(part.number);
                leads.push(part.lead);
                tails.push(part.tail);
                norms.push(part.lead_norm);
            }
        }
        sqlx::query!(
            "insert into layer_vector (probe_set_id, layer_id, part, lead, tail, lead_norm)
             select $1, new.*
               from unnest($2::bigint[], $3::smallint[], $4::vector[], $5::vector[], $6::real[]) as new",
            probe_set.0,
            &ids,
            &numbers,
            &leads as &[Vector],
            &tails as &[Option<Vector>],
            &norms,
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
