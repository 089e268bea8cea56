//! What sketches are made with, and its replacement beside searches and writes.
//!
//! A basis is replaced in four steps: it is inserted as `BUILDING`, after which every new layer gets a sketch of it too; the
//! layers that were there before get theirs, batch by batch; it becomes `ACTIVE`, and the old one is deleted; the old one's
//! partition is dropped. Searches use whichever basis is active when they begin. What an interrupted replacement has left is
//! removed by the next one.

use std::sync::Arc;

use pgvector::Vector;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::layer_sketch::{NewSketch, insert_copied_sketches};
use super::rows::enum_name;
use super::vector::stored_vectors;
use super::{Store, StoreError, Tx, catalogue};
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::similarity::SearchIndex;
use scv_domain::sketch::{MeasureBasis, RINGS, SKETCH_LENGTH, SketchBasis};
use scv_domain::vector::{LayerVector, Measure};

/// Only one replacement at a time may use that much memory and time, in whatever probe set.
const REPLACEMENT_LOCK: &str = "select pg_try_advisory_lock(hashtext('scv sketch basis'))";

/// Held by transactions that write sketches, so that none misses a basis that has just been inserted.
const WRITE_LOCK: &str = "select pg_advisory_xact_lock_shared(hashtext('scv sketches'))";

/// Waits for transactions that write sketches, and keeps new ones waiting.
const EXCLUSIVE_LOCK: &str = "select pg_advisory_xact_lock(hashtext('scv sketches'))";

/// Layers whose sketches are sorted by cell before they are written: neighbours then stand in few pages.
const SORTED_LAYERS: usize = 20_000;

/// Layers whose sketches are written in one transaction, for which other writers wait.
const BATCH_LAYERS: usize = 1_000;

/// Numbers of vectors that are read at a time: 64 MB.
const BATCH_NUMBERS: usize = 16_000_000;

/// Maximum size of all bases in memory.
const CACHE_BYTES: u64 = 512 << 20;

/// A basis that is stored.
#[derive(Debug, PartialEq)]
pub struct StoredBasis {
    /// Its key.
    pub id: i64,
    /// Number of layers of its probe set when it was fitted.
    pub layer_count: usize,
    /// The basis.
    pub basis: SketchBasis,
}

/// Bases by key. They never change, so none is ever out of date.
pub(super) type BasisCache = moka::future::Cache<i64, Arc<StoredBasis>>;

/// A basis that was fitted, with what was seen then.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedBasis {
    /// The basis.
    pub basis: SketchBasis,
    /// Number of layers with a vector on the probe set.
    pub layer_count: usize,
    /// Mean squared length of the rests in the sample: for debiased CKA, and for CKA.
    pub rests: [f64; 2],
}

/// How well the active basis fits the layers of its probe set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BasisFit {
    /// Number of layers when it was fitted.
    pub layer_count: usize,
    /// Number of layers now, or four times as many as then if there are more.
    pub layer_count_now: usize,
    /// Mean squared length of the rests when it was fitted, by measure.
    pub rests: [f64; 2],
    /// The same now, of a sample.
    pub rests_now: [f64; 2],
}

pub(super) fn basis_cache() -> BasisCache {
    moka::future::Cache::builder()
        .max_capacity(CACHE_BYTES)
        .weigher(|_, stored: &Arc<StoredBasis>| stored.basis.byte_count().try_into().unwrap_or(u32::MAX))
        .build()
}

/// The name of the partition with the sketches of a basis. Naming it saves the planner a third of its time.
pub(super) fn partition(basis: i64) -> String {
    format!("layer_sketch_{basis}")
}

impl Store {
    /// A basis by key, from memory if it has been read before. `None` if it has been replaced.
    pub(super) async fn basis(&self, id: i64) -> Result<Option<Arc<StoredBasis>>, StoreError> {
        if let Some(found) = self.bases.get(&id).await {
            return Ok(Some(found));
        }
        let found = read_basis(&mut *self.pool.acquire().await?, id).await?.map(Arc::new);
        if let Some(found) = &found {
            self.bases.insert(id, Arc::clone(found)).await;
        }
        Ok(found)
    }

    /// All probe sets, which have a basis each.
    ///
    /// # Errors
    /// The database fails.
    pub async fn probe_sets_with_basis(&self) -> Result<Vec<ProbeSetId>, StoreError> {
        let ids =
            sqlx::query_scalar!("select probe_set_id from sketch_basis where state = 'ACTIVE' order by probe_set_id")
                .fetch_all(&self.pool)
                .await?;
        Ok(ids.into_iter().map(ProbeSetId).collect())
    }

    /// How well the active basis of a probe set fits.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.basis_fit", skip_all)]
    pub async fn basis_fit(&self, probe_set: ProbeSetId, sample: usize) -> Result<BasisFit, StoreError> {
        let row = sqlx::query!(
            "select basis_id, layer_count, debiased_rest, cka_rest
               from sketch_basis
              where probe_set_id = $1
                and state = 'ACTIVE'",
            probe_set.0,
        )
        .fetch_one(&self.pool)
        .await?;
        // Keys are digests, so those that come first are a random sample.
        let partition = partition(row.basis_id);
        let most = 1_000.max(4 * row.layer_count);
        let seen = format!(
            "select (select count(*) from (select 1 from {partition} limit {most}) as counted), coalesce(avg(debiased ^ 2), 0), coalesce(avg(cka ^ 2), 0)
               from (select subvector(debiased_sketch, {SKETCH_LENGTH}, 1)::real[] as debiaseds,
                            subvector(cka_sketch, {SKETCH_LENGTH}, 1)::real[] as ckas
                       from {partition}
                      order by sketch_id
                      limit {sample}) as sampled
              cross join lateral (select debiaseds[1]::float8 as debiased, ckas[1]::float8 as cka) as rest"
        );
        let (layers, debiased, cka): (i64, f64, f64) =
            sqlx::query_as(AssertSqlSafe(seen)).fetch_one(&self.pool).await?;
        Ok(BasisFit {
            layer_count: row.layer_count as usize,
            layer_count_now: layers as usize,
            rests: [row.debiased_rest.into(), row.cka_rest.into()],
            rests_now: [debiased, cka],
        })
    }

    /// Vectors of up to `limit` distinct layers of a probe set, chosen at random but always alike, with the number of all.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.sample_vectors", skip_all)]
    pub async fn sample_layers(
        &self,
        probe_set: ProbeSetId,
        limit: usize,
    ) -> Result<(Vec<LayerId>, usize), StoreError> {
        let basis = sqlx::query_scalar!(
            "select basis_id from sketch_basis where probe_set_id = $1 and state = 'ACTIVE'",
            probe_set.0,
        )
        .fetch_one(&self.pool)
        .await?;
        let partition = partition(basis);
        let sampled = format!("select distinct on (sketch_id) layer_id from {partition} order by sketch_id limit $1");
        let layers: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sampled))
            .bind(limit as i64)
            .fetch_all(&self.pool)
            .await?;
        let count = format!("select count(*) from {partition}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&self.pool).await?;
        Ok((layers.into_iter().map(LayerId).collect(), count as usize))
    }

    /// Replaces the basis of a probe set. `None` if another replacement is running.
    ///
    /// Concurrent searches do not wait, and writes only for single batches.
    ///
    /// # Errors
    /// The database fails. The old basis stays in use.
    #[tracing::instrument(name = "store.replace_basis", skip_all)]
    pub async fn replace_basis(
        &self,
        probe_set: ProbeSetId,
        fitted: FittedBasis,
    ) -> Result<Option<SearchIndex>, StoreError> {
        // Detached, so that its lock does not return to the pool.
        let mut connection = self.work.acquire().await?.detach();
        let locked: bool = sqlx::query_scalar(REPLACEMENT_LOCK).fetch_one(&mut connection).await?;
        let index = if locked {
            Some(replace(&mut connection, probe_set, fitted).await?)
        } else {
            None
        };
        connection.close().await?;
        Ok(index)
    }
}

impl Tx {
    /// Begins to write sketches: until the transaction ends, no basis is inserted or becomes active.
    pub(super) async fn lock_sketches(&mut self) -> Result<(), StoreError> {
        sqlx::query(WRITE_LOCK).execute(self.connection()).await?;
        Ok(())
    }

    /// The bases for which layers of a probe set get sketches. The caller has begun to write sketches.
    pub(super) async fn bases_of(&mut self, probe_set: ProbeSetId) -> Result<Vec<Arc<StoredBasis>>, StoreError> {
        let ids = sqlx::query_scalar!("select basis_id from sketch_basis where probe_set_id = $1", probe_set.0)
            .fetch_all(self.connection())
            .await?;
        let mut bases = Vec::new();
        for id in ids {
            let known = self.bases.get(&id).await;
            let basis = match known {
                Some(basis) => Some(basis),
                None => read_basis(self.connection(), id).await?.map(Arc::new),
            };
            if let Some(basis) = basis {
                self.bases.insert(id, Arc::clone(&basis)).await;
                bases.push(basis);
            }
        }
        Ok(bases)
    }
}

async fn read_basis(connection: &mut PgConnection, id: i64) -> Result<Option<StoredBasis>, StoreError> {
    let row = sqlx::query!(
        "select layer_count, debiased_directions, cka_directions, debiased_rest_cosine, cka_rest_cosine
           from sketch_basis
          where basis_id = $1",
        id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut basis = SketchBasis {
        debiased: MeasureBasis {
            directions: numbers(&row.debiased_directions),
            rest_cosine: row.debiased_rest_cosine,
            ..SketchBasis::empty().debiased
        },
        cka: MeasureBasis {
            directions: numbers(&row.cka_directions),
            rest_cosine: row.cka_rest_cosine,
            ..SketchBasis::empty().cka
        },
    };
    let centres = sqlx::query!(
        r#"select measure, centre as "centre: Vector", ring_shares from sketch_centre where basis_id = $1 order by index"#,
        id,
    )
    .fetch_all(connection)
    .await?;
    for centre in centres {
        let of_measure = if centre.measure == Measure::Cka.as_str() {
            &mut basis.cka
        } else {
            &mut basis.debiased
        };
        of_measure.centres.extend_from_slice(centre.centre.as_slice());
        of_measure.cell_shares.extend(centre.ring_shares);
    }
    Ok(Some(StoredBasis {
        id,
        layer_count: row.layer_count as usize,
        basis,
    }))
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

async fn replace(
    connection: &mut PgConnection,
    probe_set: ProbeSetId,
    fitted: FittedBasis,
) -> Result<SearchIndex, StoreError> {
    remove(connection, "BUILDING", probe_set).await?;
    drop_orphans(connection).await?;
    let id = insert_building(connection, probe_set, &fitted).await?;
    write_sketches(connection, probe_set, id, &Arc::new(fitted.basis)).await?;
    let partition = partition(id);
    run(connection, &format!("vacuum analyze {partition}")).await?;

    let mut tx = connection.begin().await?;
    sqlx::query(EXCLUSIVE_LOCK).execute(&mut *tx).await?;
    sqlx::query!(
        "delete from sketch_basis where probe_set_id = $1 and state = 'ACTIVE'",
        probe_set.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("update sketch_basis set state = 'ACTIVE' where basis_id = $1", id)
        .execute(&mut *tx)
        .await?;
    catalogue::bump_generation(&mut tx).await?;
    tx.commit().await?;

    drop_orphans(connection).await?;
    let facts =
        format!("select count(*) filter (where searchable), pg_total_relation_size('{partition}') from {partition}");
    let (layers, bytes) = sqlx::query_as(AssertSqlSafe(facts)).fetch_one(connection).await?;
    Ok(SearchIndex { layers, bytes })
}

/// Deletes the bases of a probe set that are in a state. Their partitions stay.
async fn remove(connection: &mut PgConnection, state: &str, probe_set: ProbeSetId) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    sqlx::query(EXCLUSIVE_LOCK).execute(&mut *tx).await?;
    sqlx::query!(
        "delete from sketch_basis where probe_set_id = $1 and state = $2",
        probe_set.0,
        state
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Drops the partitions whose basis is gone, without making searches and writes wait for one another.
async fn drop_orphans(connection: &mut PgConnection) -> Result<(), StoreError> {
    let orphans = "select relname::text, relispartition, coalesce(inhdetachpending, false)
                     from pg_class
                     left join pg_inherits on inhrelid = pg_class.oid
                    where relname ~ '^layer_sketch_[0-9]+$'
                      and relkind = 'r'
                      and relnamespace = (select relnamespace from pg_class where oid = 'layer_sketch'::regclass)
                      and substring(relname from 14)::bigint not in (select basis_id from sketch_basis)";
    let orphans: Vec<(String, bool, bool)> = sqlx::query_as(orphans).fetch_all(&mut *connection).await?;
    for (partition, is_attached, is_pending) in orphans {
        if is_attached {
            let how = if is_pending { "finalize" } else { "concurrently" };
            run(
                connection,
                &format!("alter table layer_sketch detach partition {partition} {how}"),
            )
            .await?;
        }
        run(connection, &format!("drop table {partition}")).await?;
    }
    Ok(())
}

async fn insert_building(
    connection: &mut PgConnection,
    probe_set: ProbeSetId,
    fitted: &FittedBasis,
) -> Result<i64, StoreError> {
    let FittedBasis {
        basis,
        layer_count,
        rests,
    } = fitted;
    let mut tx = connection.begin().await?;
    sqlx::query(EXCLUSIVE_LOCK).execute(&mut *tx).await?;
    let id = sqlx::query_scalar!(
        "insert into sketch_basis (probe_set_id, state, layer_count, debiased_directions, cka_directions, debiased_rest,
                                   cka_rest, debiased_rest_cosine, cka_rest_cosine)
         values ($1, 'BUILDING', $2, $3, $4, $5, $6, $7, $8)
         returning basis_id",
        probe_set.0,
        *layer_count as i64,
        bytes(&basis.debiased.directions),
        bytes(&basis.cka.directions),
        rests[0] as f32,
        rests[1] as f32,
        basis.debiased.rest_cosine,
        basis.cka.rest_cosine,
    )
    .fetch_one(&mut *tx)
    .await?;
    for (measure, of_measure) in [(Measure::DebiasedCka, &basis.debiased), (Measure::Cka, &basis.cka)] {
        let centres: Vec<_> = of_measure
            .centres
            .chunks_exact(SKETCH_LENGTH)
            .map(|c| Vector::from(c.to_vec()))
            .collect();
        // PostgreSQL has no arrays of arrays of different owners: the shares go as one array and are cut there.
        sqlx::query!(
            "insert into sketch_centre (basis_id, measure, index, centre, ring_shares)
             select $1, $2, ordinality - 1, centre, ($4::real[])[(ordinality - 1) * $5 + 1 : ordinality * $5]
               from unnest($3::vector[]) with ordinality as given (centre, ordinality)",
            id,
            enum_name(measure),
            &centres as &[Vector],
            &of_measure.cell_shares,
            RINGS as i32,
        )
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query!("select create_sketch_partition($1)", id)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(id)
}

/// Writes the sketches of the layers that had none when the basis was inserted.
async fn write_sketches(
    connection: &mut PgConnection,
    probe_set: ProbeSetId,
    id: i64,
    basis: &Arc<SketchBasis>,
) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let layers = sqlx::query_scalar!(
            "select layer_id
               from layer_vector
              where probe_set_id = $1
                and layer_id > $2
                and part = 0
              order by layer_id
              limit $3",
            probe_set.0,
            after,
            SORTED_LAYERS as i64,
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(&last) = layers.last() else { return Ok(()) };
        after = last;
        let mut sketches = sketches_of(connection, probe_set, &layers, basis).await?;
        sketches.sort_by_key(|new| (new.sketch.debiased.cell, new.layer));
        for batch in sketches.chunks(BATCH_LAYERS) {
            let mut tx = connection.begin().await?;
            sqlx::query(EXCLUSIVE_LOCK).execute(&mut *tx).await?;
            insert_copied_sketches(&mut tx, probe_set, id, batch).await?;
            tx.commit().await?;
        }
    }
}

async fn sketches_of(
    connection: &mut PgConnection,
    probe_set: ProbeSetId,
    layers: &[i64],
    basis: &Arc<SketchBasis>,
) -> Result<Vec<NewSketch>, StoreError> {
    let Some(&first) = layers.first() else {
        return Ok(Vec::new());
    };
    let sample = stored_vectors(&mut *connection, probe_set, &[first]).await?;
    let length = sample
        .first()
        .map_or(1, |(_, vector)| vector.lead.len() + vector.tail.len());
    let mut sketches = Vec::with_capacity(layers.len());
    for batch in layers.chunks((BATCH_NUMBERS / length).max(1)) {
        let vectors = stored_vectors(&mut *connection, probe_set, batch).await?;
        let basis = Arc::clone(basis);
        let sketching = tokio::task::spawn_blocking(move || {
            let of_layer = |(layer, vector): &(LayerId, LayerVector)| NewSketch::of(*layer, vector, &basis);
            vectors.iter().map(of_layer).collect::<Vec<_>>()
        });
        match sketching.await {
            Ok(batch) => sketches.extend(batch),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => return Err(StoreError::Busy),
            },
        }
    }
    Ok(sketches)
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), StoreError> {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
