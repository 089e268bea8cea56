//! Sketches of layers, to be written.

use pgvector::HalfVector;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::vector::MAX_PART_LENGTH;
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::sketch::{LayerSketch, SketchBasis};
use scv_domain::vector::LayerVector;

/// The sketches of a layer, with the key of its vector.
pub(super) struct NewSketch {
    pub(super) layer: LayerId,
    key: Uuid,
    pub(super) sketch: LayerSketch,
}

impl NewSketch {
    pub(super) fn of(layer: LayerId, vector: &LayerVector, basis: &SketchBasis) -> Self {
        Self {
            layer,
            key: vector_key(vector),
            sketch: basis.sketch(vector),
        }
    }
}

/// The key that equal vectors share: the first half of the SHA-256 of their parts as pgvector sends them. The migration that
/// introduced it has the same definition in SQL.
fn vector_key(vector: &LayerVector) -> Uuid {
    let mut hasher = Sha256::new();
    let mut add = |numbers: &[f32]| {
        hasher.update((numbers.len() as u16).to_be_bytes());
        hasher.update([0, 0]);
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        hasher.update(bytes);
    };
    for (index, lead) in vector.lead.chunks(MAX_PART_LENGTH).enumerate() {
        add(lead);
        if index == 0 {
            add(&vector.tail);
        }
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let [half, _] = digest.as_chunks::<16>().0 else {
        unreachable!("two halves")
    };
    Uuid::from_bytes(*half)
}

/// The columns of sketches to be written, as arrays.
struct SketchColumns {
    layers: Vec<i64>,
    keys: Vec<Uuid>,
    debiased: Vec<HalfVector>,
    cka: Vec<HalfVector>,
    debiased_cells: Vec<i32>,
    cka_cells: Vec<i32>,
}

impl SketchColumns {
    fn of(sketches: &[NewSketch]) -> Self {
        let half = |numbers: &[f32]| HalfVector::from_f32_slice(numbers);
        Self {
            layers: sketches.iter().map(|new| new.layer.0).collect(),
            keys: sketches.iter().map(|new| new.key).collect(),
            debiased: sketches.iter().map(|new| half(&new.sketch.debiased.numbers)).collect(),
            cka: sketches.iter().map(|new| half(&new.sketch.cka.numbers)).collect(),
            debiased_cells: sketches.iter().map(|new| new.sketch.debiased.cell).collect(),
            cka_cells: sketches.iter().map(|new| new.sketch.cka.cell).collect(),
        }
    }
}

/// Writes the sketches of new layers, beside what filters look at.
pub(super) async fn insert_sketches(
    connection: &mut PgConnection,
    basis: i64,
    sketches: &[NewSketch],
) -> Result<(), StoreError> {
    let columns = SketchColumns::of(sketches);
    sqlx::query!(
        "insert into layer_sketch (basis_id, layer_id, sketch_id, debiased_sketch, cka_sketch, debiased_cell, cka_cell,
                                   version_id, model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags)
         select $1, new.*, version_id, model_id, version.dataset_id, model.private_to, evaluation.accuracy,
                model.deleted_at is null, layer.kind, model.tags
           from unnest($2::bigint[], $3::uuid[], $4::halfvec[], $5::halfvec[], $6::integer[], $7::integer[])
                as new (layer_id, sketch_id, debiased_sketch, cka_sketch, debiased_cell, cka_cell)
           join layer using (layer_id)
           join version using (version_id)
           join model using (model_id)
           left join evaluation using (version_id, dataset_id)",
        basis,
        &columns.layers,
        &columns.keys,
        &columns.debiased as &[HalfVector],
        &columns.cka as &[HalfVector],
        &columns.debiased_cells,
        &columns.cka_cells,
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
    let columns = SketchColumns::of(sketches);
    sqlx::query!(
        "insert into layer_sketch (basis_id, layer_id, sketch_id, debiased_sketch, cka_sketch, debiased_cell, cka_cell,
                                   version_id, model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags)
         select $1, layer_id, sketch_id, new.debiased_sketch, new.cka_sketch, new.debiased_cell, new.cka_cell, version_id,
                model_id, dataset_id, private_to, accuracy, searchable, layer_kind, tags
           from unnest($2::bigint[], $3::uuid[], $4::halfvec[], $5::halfvec[], $6::integer[], $7::integer[])
                with ordinality
                as new (layer_id, sketch_id, debiased_sketch, cka_sketch, debiased_cell, cka_cell, position)
           join layer_sketch as old using (layer_id, sketch_id)
          where old.basis_id = (select basis_id from sketch_basis where probe_set_id = $8 and state = 'ACTIVE')
          order by new.position
         on conflict do nothing",
        basis,
        &columns.layers,
        &columns.keys,
        &columns.debiased as &[HalfVector],
        &columns.cka as &[HalfVector],
        &columns.debiased_cells,
        &columns.cka_cells,
        probe_set.0,
    )
    .execute(connection)
    .await?;
    Ok(())
}
