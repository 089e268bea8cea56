//! Layer vectors and sketches: written with their layers in one transaction, in bulk.

use pgvector::{HalfVector, Vector};
use sqlx::PgExecutor;

use super::rows::{raw, word};
use super::version::NewLayer;
use super::{Store, StoreError, Tx};
use scv_domain::id::{LayerId, ModelId, ProbeSetId, VersionId};
use scv_domain::vector::{Degenerate, LayerVector, SketchedVector};

/// Most numbers that pgvector keeps in one value.
const PART_LENGTH: usize = 16_000;

/// Numbers sent in one statement at most, 32 MB.
const BATCH_NUMBERS: usize = 8_000_000;

/// What a layer came to on a probe set.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredLayer {
    /// The layer.
    pub layer: LayerId,
    /// Its vector, or why it has none.
    pub vector: Result<SketchedVector, Degenerate>,
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

    /// Which of the pairs of a layer and a probe set have a vector.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.with_vector", skip_all)]
    pub async fn with_vector(&self, pairs: &[(LayerId, ProbeSetId)]) -> Result<Vec<(LayerId, ProbeSetId)>, StoreError> {
        let rows = sqlx::query!(
            r#"select layer_id as "layer_id!", probe_set_id as "probe_set_id!"
                 from layer_sketch
                where (layer_id, probe_set_id) in (select * from unnest($1::bigint[], $2::bigint[]))"#,
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

    /// The vectors of layers on a probe set; a layer without one is left out.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.vectors", skip_all)]
    pub async fn vectors(
        &self,
        probe_set: ProbeSetId,
        layers: &[LayerId],
    ) -> Result<Vec<(LayerId, LayerVector)>, StoreError> {
        let rows = sqlx::query_as!(
            PartRow,
            r#"select layer_id, lead as "lead: Vector", tail as "tail: Vector"
                 from layer_vector
                where probe_set_id = $1
                  and layer_id = any($2)
                order by layer_id, part"#,
            probe_set.0,
            &raw(layers, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(whole(rows))
    }

    /// How many vectors [`Store::version_vectors`] gives.
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
                 from layer_sketch
                where probe_set_id = $1
                  and version_id = $2
                  and (layer_kind = any($3) or $3 = '{}')"#,
            probe_set.0,
            version.0,
            kinds,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(count as usize)
    }

    /// The vectors of a version on a probe set, in the order of its layers: of those that have one and are of one of the
    /// kinds; no kinds mean all.
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
            r#"select layer_id, lead as "lead: Vector", tail as "tail: Vector"
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
        Ok(whole(rows))
    }

    /// On which probe sets layers have no vector, and why; layers that have one everywhere are left out.
    ///
    /// # Errors
    /// The database fails or holds what we do not know.
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
            let place = super::rows::Place {
                table: "degenerate_layer",
                row: row.layer_id,
            };
            Ok((
                LayerId(row.layer_id),
                ProbeSetId(row.probe_set_id),
                place.word("reason", &row.reason)?,
            ))
        })
        .collect()
    }
}

struct PartRow {
    layer_id: i64,
    lead: Vector,
    tail: Option<Vector>,
}

/// Vectors from their parts, those of one layer one after the other.
fn whole(rows: Vec<PartRow>) -> Vec<(LayerId, LayerVector)> {
    let mut vectors: Vec<(LayerId, LayerVector)> = Vec::new();
    for row in rows {
        let (lead, tail) = (row.lead.to_vec(), row.tail.map(|tail| tail.to_vec()));
        match (vectors.last_mut(), tail) {
            (Some((layer, vector)), None) if layer.0 == row.layer_id => vector.lead.extend(lead),
            (_, tail) => {
                let tail = tail.unwrap_or_default();
                vectors.push((LayerId(row.layer_id), LayerVector { lead, tail }));
            }
        }
    }
    vectors
}

/// A row of a vector.
pub(super) struct Part {
    pub(super) number: i16,
    pub(super) lead: Vector,
    pub(super) tail: Option<Vector>,
    pub(super) lead_norm: f32,
}

/// A vector as it lies in rows.
pub(super) fn parts(vector: &LayerVector) -> impl Iterator<Item = Part> {
    vector.lead.chunks(PART_LENGTH).enumerate().map(|(number, lead)| Part {
        number: number as i16,
        lead: Vector::from(lead.to_vec()),
        tail: (number == 0).then(|| Vector::from(vector.tail.clone())),
        lead_norm: vector.lead_norm() as f32,
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
    /// The probe sets on which a version's layers have been measured, as this transaction sees it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn measured_probe_sets(&mut self, version: VersionId) -> Result<Vec<ProbeSetId>, StoreError> {
        measured_probe_sets(self.connection(), version).await
    }

    /// Writes the layers of a version, unless they are there, and gives the keys of all in order of their index.
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
                })
            })
            .collect();
        sqlx::query!(
            "insert into layer (version_id, index, name, kind, parameters, input_shape, output_shape, parameter_count,
                                multiply_accumulates)
             select $1, new.*
               from jsonb_to_recordset($2)
                    as new (index integer, name text, kind text, parameters jsonb, input_shape integer[],
                            output_shape integer[], parameter_count bigint, multiply_accumulates bigint)
             on conflict (version_id, index) do nothing",
            version.0,
            serde_json::Value::Array(rows),
        )
        .execute(self.connection())
        .await?;
        self.layer_ids(version).await
    }

    /// The layers of a version in the order of their index.
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

    /// Writes what layers of a version came to on a probe set, in place of anything written before.
    ///
    /// # Errors
    /// The database fails.
    pub async fn put_vectors(
        &mut self,
        model: ModelId,
        probe_set: ProbeSetId,
        layers: &[MeasuredLayer],
    ) -> Result<(), StoreError> {
        // Holds off changes of the model's tags, visibility and deletion, which are copied beside the sketches below.
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
        sqlx::query!(
            "delete from layer_sketch where probe_set_id = $1 and layer_id = any($2)",
            probe_set.0,
            &ids
        )
        .execute(self.connection())
        .await?;
        self.insert_degenerate(probe_set, layers).await?;
        let whole: Vec<_> = layers
            .iter()
            .filter_map(|layer| Some((layer.layer, layer.vector.as_ref().ok()?)))
            .collect();
        let numbers = whole.first().map_or(1, |(_, sketched)| {
            sketched.vector.lead.len() + sketched.vector.tail.len()
        });
        for batch in whole.chunks((BATCH_NUMBERS / numbers).max(1)) {
            self.insert_vectors(probe_set, batch).await?;
            self.insert_sketches(probe_set, batch).await?;
        }
        Ok(())
    }

    async fn insert_degenerate(&mut self, probe_set: ProbeSetId, layers: &[MeasuredLayer]) -> Result<(), StoreError> {
        let (ids, reasons): (Vec<_>, Vec<_>) = layers
            .iter()
            .filter_map(|layer| Some((layer.layer.0, word(layer.vector.as_ref().err()?))))
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
        layers: &[(LayerId, &SketchedVector)],
    ) -> Result<(), StoreError> {
        let (mut ids, mut numbers, mut leads, mut tails, mut norms) = (vec![], vec![], vec![], vec![], vec![]);
        for (layer, sketched) in layers {
            for part in parts(&sketched.vector) {
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

    async fn insert_sketches(
        &mut self,
        probe_set: ProbeSetId,
        layers: &[(LayerId, &SketchedVector)],
    ) -> Result<(), StoreError> {
        let ids: Vec<_> = layers.iter().map(|(layer, _)| layer.0).collect();
        let debiased: Vec<_> = layers
            .iter()
            .map(|(_, s)| HalfVector::from_f32_slice(&s.debiased_sketch))
            .collect();
        let cka: Vec<_> = layers
            .iter()
            .map(|(_, s)| HalfVector::from_f32_slice(&s.cka_sketch))
            .collect();
        // Always in one order: two who write the same ones must not wait for each other.
        sqlx::query!(
            "insert into sketch (probe_set_id, debiased_sketch, cka_sketch)
             select $1, new.*
               from unnest($2::halfvec[], $3::halfvec[]) as new (debiased_sketch, cka_sketch)
              order by sketch_digest(debiased_sketch, cka_sketch)
             on conflict (probe_set_id, digest) do nothing",
            probe_set.0,
            &debiased as &[HalfVector],
            &cka as &[HalfVector],
        )
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "insert into layer_sketch (probe_set_id, layer_id, sketch_id, version_id, model_id, dataset_id, layer_kind,
                                       accuracy, tags, searchable, private_to)
             select $1, layer_id, sketch_id, version_id, model_id, version.dataset_id, layer.kind, evaluation.accuracy,
                    model.tags, model.deleted_at is null, model.private_to
               from unnest($2::bigint[], $3::halfvec[], $4::halfvec[])
                    as new (layer_id, debiased_sketch, cka_sketch)
               join sketch on sketch.probe_set_id = $1
                          and digest = sketch_digest(new.debiased_sketch, new.cka_sketch)
               join layer using (layer_id)
               join version using (version_id)
               join model using (model_id)
               left join evaluation using (version_id, dataset_id)",
            probe_set.0,
            &ids,
            &debiased as &[HalfVector],
            &cka as &[HalfVector],
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
