//! Sketches of layers, to be written.

use pgvector::HalfVector;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::sketch::{LayerSketch, Sketch, SketchBasis};
use scv_domain::vector::{LayerVector, Measure};

/// The sketches of a layer, with the key of its vector.
pub(super) struct NewSketch {
    pub(super) layer: LayerId,
    key: Uuid,
    pub(super) sketch: LayerSketch,
}

impl NewSketch {
    pub(super) fn all(layers: &[(LayerId, &LayerVector)], basis: &SketchBasis) -> Vec<Self> {
        let vectors: Vec<_> = layers.iter().map(|(_, vector)| *vector).collect();
        let sketches = basis.sketches(&vectors);
        layers
            .iter()
            .zip(sketches)
            .map(|((layer, vector), sketch)| Self {
                layer: *layer,
                key: vector_key(vector),
                sketch,
            })
            .collect()
    }
}

/// The key that equal vectors share: the first half of the SHA-256 of their numbers, big-endian. Migration 0018 has the same
/// definition in SQL.
pub(super) fn vector_key(vector: &LayerVector) -> Uuid {
    let mut hasher = Sha256::new();
    for numbers in [&vector.lead, &vector.tail] {
        let mut bytes = Vec::with_capacity(size_of_val(numbers.as_slice()));
        for number in numbers {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        hasher.update(bytes);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let [half, _] = digest.as_chunks::<16>().0 else {
        unreachable!("two halves")
    };
    Uuid::from_bytes(*half)
}

/// The columns of sketches to be written, as arrays.
struct NewColumns {
    layers: Vec<i64>,
    keys: Vec<Uuid>,
    short: [Vec<HalfVector>; 2],
    long: [Vec<HalfVector>; 2],
    cells: [Vec<i32>; 2],
}

impl NewColumns {
    fn of(sketches: &[NewSketch]) -> Self {
        let measures = [Measure::DebiasedCka, Measure::Cka];
        let column = |numbers: fn(&Sketch) -> &[f32]| {
            measures.map(|measure| {
                let of_measure = sketches.iter().map(|new| numbers(new.sketch.of(measure)));
                of_measure.map(HalfVector::from_f32_slice).collect()
            })
        };
        Self {
            layers: sketches.iter().map(|new| new.layer.0).collect(),
            keys: sketches.iter().map(|new| new.key).collect(),
            short: column(|sketch| &sketch.short),
            long: column(|sketch| &sketch.long),
            cells: measures.map(|measure| sketches.iter().map(|new| new.sketch.of(measure).cell).collect()),
        }
    }
}

/// Writes the sketches of new layers, beside what filters look at.
pub(super) async fn insert_sketches(
    connection: &mut PgConnection,
    basis: i64,
    sketches: &[NewSketch],
) -> Result<(), StoreError> {
    let columns = NewColumns::of(sketches);
    sqlx::query!(
        "with new as (
              select *
                from unnest($2::bigint[], $3::uuid[], $4::halfvec[], $5::halfvec[], $6::integer[], $7::integer[],
                            $8::halfvec[], $9::halfvec[])
                     as new (layer_id, sketch_id, debiased_short, cka_short, debiased_cell, cka_cell, debiased_long, cka_long)
         ), long as (
              insert into long_sketch (basis_id, layer_id, debiased_sketch, cka_sketch)
              select $1, layer_id, debiased_long, cka_long from new
         )
         insert into layer_sketch (basis_id, layer_id, sketch_id, debiased_sketch, cka_sketch, debiased_cell, cka_cell,
                                   version_id, model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags,
                                   changed)
         select $1, layer_id, sketch_id, debiased_short, cka_short, debiased_cell, cka_cell, version_id, model_id,
                version.dataset_id, model.private_to, evaluation.accuracy, model.deleted_at is null, layer.kind, model.tags,
                pg_current_xact_id()
           from new
           join layer using (layer_id)
           join version using (version_id)
           join model using (model_id)
           left join evaluation using (version_id, dataset_id)",
        basis,
        &columns.layers,
        &columns.keys,
        &columns.short[0] as &[HalfVector],
        &columns.short[1] as &[HalfVector],
        &columns.cells[0],
        &columns.cells[1],
        &columns.long[0] as &[HalfVector],
        &columns.long[1] as &[HalfVector],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the sketches of layers that have some of the active basis, beside the same columns for filters. A layer that has been
/// measured again since, or deleted, is left out.
pub(super) async fn insert_copied_sketches(
    connection: &mut PgConnection,
    probe_set: ProbeSetId,
    basis: i64,
    sketches: &[NewSketch],
) -> Result<(), StoreError> {
    let columns = NewColumns::of(sketches);
    sqlx::query!(
        "with copied as (
              select new.*, version_id, model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags
                from unnest($2::bigint[], $3::uuid[], $4::halfvec[], $5::halfvec[], $6::integer[], $7::integer[],
                            $8::halfvec[], $9::halfvec[])
                     with ordinality
                     as new (layer_id, sketch_id, debiased_short, cka_short, debiased_cell, cka_cell, debiased_long, cka_long,
                             position)
                join layer_sketch as old using (layer_id, sketch_id)
               where old.basis_id = (select basis_id from sketch_basis where probe_set_id = $10 and state = 'ACTIVE')
         ), long as (
              insert into long_sketch (basis_id, layer_id, debiased_sketch, cka_sketch)
              select $1, layer_id, debiased_long, cka_long from copied order by position
              on conflict do nothing
         )
         insert into layer_sketch (basis_id, layer_id, sketch_id, debiased_sketch, cka_sketch, debiased_cell, cka_cell,
                                   version_id, model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags,
                                   changed)
         select $1, layer_id, sketch_id, debiased_short, cka_short, copied.debiased_cell, copied.cka_cell, version_id,
                model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags, pg_current_xact_id()
           from copied
          order by position
         on conflict do nothing",
        basis,
        &columns.layers,
        &columns.keys,
        &columns.short[0] as &[HalfVector],
        &columns.short[1] as &[HalfVector],
        &columns.cells[0],
        &columns.cells[1],
        &columns.long[0] as &[HalfVector],
        &columns.long[1] as &[HalfVector],
        probe_set.0,
    )
    .execute(connection)
    .await?;
    Ok(())
}
