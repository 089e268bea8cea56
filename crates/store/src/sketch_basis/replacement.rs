//! The replacement of a basis beside searches and writes.
//!
//! It takes four steps: the new basis is inserted as `BUILDING`, after which every new layer gets a sketch of it too; the layers
//! that were there before get theirs, batch by batch; it becomes `ACTIVE`, and the old one is deleted; the old one's partitions
//! are dropped. Searches use whichever basis is active when they begin. What an interrupted replacement has left is removed by
//! the next one.

use std::collections::HashSet;
use std::sync::Arc;

use pgvector::Vector;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::task::JoinHandle;

use super::{FittedBasis, long_partition, partition};
use crate::generation::{Generations, bump_generation};
use crate::layer_sketch::{NewSketch, insert_copied_sketches};
use crate::rows::{enum_name, raw};
use crate::vector::stored_vectors;
use crate::{Store, StoreError};
use scv_domain::id::ProbeSetId;
use scv_domain::similarity::SearchIndex;
use scv_domain::sketch::{RINGS, SHORT_LENGTH, SketchBasis};
use scv_domain::vector::Measure;

/// Only one replacement at a time may use that much memory and time, in whatever probe set.
const REPLACEMENT_LOCK: &str = "select pg_try_advisory_lock(hashtext('scv sketch basis'))";

/// Held meanwhile, so that others see which probe set it is.
const PROBE_SET_LOCK: &str = "select pg_advisory_lock(hashtext('scv search index ' || $1::bigint))";

/// The probe sets whose basis is being replaced. The shared locks that this takes of others end with the statement.
const LOCKED_PROBE_SETS: &str = "select id
                                   from unnest($1::bigint[]) as id
                                  where not pg_try_advisory_xact_lock_shared(hashtext('scv search index ' || id))";

/// Waits for transactions that write sketches, and keeps new ones waiting.
const EXCLUSIVE_LOCK: &str = "select pg_advisory_xact_lock(hashtext('scv sketches'))";

/// Layers whose sketches are sorted by cell before they are written: neighbours then stand in few pages.
const SORTED_LAYERS: usize = 20_000;

/// Layers whose sketches are written in one transaction, for which other writers wait.
const BATCH_LAYERS: usize = 1_000;

/// Numbers of vectors that are read at a time: 32 MB, twice while one batch is read and another one sketched.
const BATCH_NUMBERS: usize = 8_000_000;

impl Store {
    /// Begins to replace the basis of a probe set, before it is fitted. `None` if another replacement is running, in whatever
    /// probe set.
    ///
    /// # Errors
    /// The database fails.
    pub async fn begin_replacement(&self, probe_set: ProbeSetId) -> Result<Option<Replacement>, StoreError> {
        // Detached, so that its locks do not return to the pool.
        let mut connection = self.work.acquire().await?.detach();
        let locked: bool = sqlx::query_scalar(REPLACEMENT_LOCK).fetch_one(&mut connection).await?;
        if !locked {
            return Ok(None);
        }
        sqlx::query(PROBE_SET_LOCK)
            .bind(probe_set.0)
            .execute(&mut connection)
            .await?;
        Ok(Some(Replacement {
            connection,
            probe_set,
            generations: self.generations.clone(),
        }))
    }

    /// The search indexes of probe sets.
    ///
    /// # Errors
    /// The database fails.
    pub async fn search_indexes(
        &self,
        probe_sets: &[ProbeSetId],
    ) -> Result<Vec<(ProbeSetId, SearchIndex)>, StoreError> {
        let keys = raw(probe_sets, |id| id.0);
        // The locks are read first. In the other order, a rebuild that ends in between would look like one that failed.
        let rebuilt: HashSet<i64> = sqlx::query_scalar(LOCKED_PROBE_SETS)
            .bind(&keys)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .collect();
        let rows = sqlx::query!(
            "select probe_set_id, created_at from sketch_basis where probe_set_id = any($1) and state = 'ACTIVE'",
            &keys,
        )
        .fetch_all(&self.pool)
        .await?;
        let indexes = rows.into_iter().map(|row| {
            let index = SearchIndex {
                fitted_at: row.created_at,
                is_being_rebuilt: rebuilt.contains(&row.probe_set_id),
            };
            (ProbeSetId(row.probe_set_id), index)
        });
        Ok(indexes.collect())
    }
}

/// The right to replace a basis. Dropping it gives it back.
#[derive(Debug)]
pub struct Replacement {
    connection: PgConnection,
    probe_set: ProbeSetId,
    generations: Generations,
}

impl Replacement {
    /// Replaces the basis. Concurrent searches do not wait, and writes only for single batches.
    ///
    /// # Errors
    /// The database fails, and the old basis stays in use.
    #[tracing::instrument(name = "store.replace_basis", skip_all)]
    pub async fn finish(mut self, fitted: FittedBasis) -> Result<(), StoreError> {
        replace(&mut self.connection, &self.generations, self.probe_set, fitted).await?;
        // Closing gives the right back. If that fails, the connection is gone already.
        let _ = self.connection.close().await;
        Ok(())
    }
}

async fn replace(
    connection: &mut PgConnection,
    generations: &Generations,
    probe_set: ProbeSetId,
    fitted: FittedBasis,
) -> Result<(), StoreError> {
    remove(connection, "BUILDING", probe_set).await?;
    drop_orphans(connection).await?;
    let id = insert_building(connection, probe_set, &fitted).await?;
    write_sketches(connection, probe_set, id, &Arc::new(fitted.basis)).await?;
    for partition in [partition(id), long_partition(id)] {
        run(connection, &format!("vacuum analyze {partition}")).await?;
    }

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
    let generation = bump_generation(&mut tx, false).await?;
    let commit = generations.committing();
    tx.commit().await?;
    commit.succeeded(generation);

    // The next replacement tries again.
    if let Err(error) = drop_orphans(connection).await {
        tracing::warn!(%probe_set, error = format!("{error:#}"), "old sketches could not be removed");
    }
    Ok(())
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
    let orphans = "select table_name, relname::text, relispartition, coalesce(inhdetachpending, false)
                     from (values ('layer_sketch'), ('long_sketch')) as sketches (table_name)
                     join pg_class on relname ~ ('^' || table_name || '_[0-9]+$')
                     left join pg_inherits on inhrelid = pg_class.oid
                    where relkind = 'r'
                      and relnamespace = (select relnamespace from pg_class where oid = 'layer_sketch'::regclass)
                      and substring(relname from '[0-9]+$')::bigint not in (select basis_id from sketch_basis)";
    let orphans: Vec<(String, String, bool, bool)> = sqlx::query_as(orphans).fetch_all(&mut *connection).await?;
    for (table, partition, is_attached, is_pending) in orphans {
        if is_attached {
            let how = if is_pending { "finalize" } else { "concurrently" };
            run(
                connection,
                &format!("alter table {table} detach partition {partition} {how}"),
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
                                   cka_rest, debiased_short_rest_cosine, cka_short_rest_cosine,
                                   debiased_long_rest_cosine, cka_long_rest_cosine)
         values ($1, 'BUILDING', $2, $3, $4, $5, $6, $7, $8, $9, $10)
         returning basis_id",
        probe_set.0,
        *layer_count as i64,
        bytes(&basis.debiased.directions),
        bytes(&basis.cka.directions),
        rests[0] as f32,
        rests[1] as f32,
        basis.debiased.short_rest_cosine,
        basis.cka.short_rest_cosine,
        basis.debiased.long_rest_cosine,
        basis.cka.long_rest_cosine,
    )
    .fetch_one(&mut *tx)
    .await?;
    for (measure, of_measure) in [(Measure::DebiasedCka, &basis.debiased), (Measure::Cka, &basis.cka)] {
        let centres: Vec<_> = of_measure
            .centres
            .chunks_exact(SHORT_LENGTH)
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
    let mut sketching: Option<JoinHandle<Vec<NewSketch>>> = None;
    for batch in layers.chunks((BATCH_NUMBERS / length).max(1)) {
        // The batch before is sketched meanwhile.
        let vectors = stored_vectors(&mut *connection, probe_set, batch).await?;
        if let Some(before) = sketching.take() {
            sketches.extend(finished(before).await?);
        }
        let basis = Arc::clone(basis);
        sketching = Some(tokio::task::spawn_blocking(move || {
            let layers: Vec<_> = vectors.iter().map(|(layer, vector)| (*layer, vector)).collect();
            NewSketch::all(&layers, &basis)
        }));
    }
    if let Some(last) = sketching {
        sketches.extend(finished(last).await?);
    }
    Ok(sketches)
}

async fn finished(sketching: JoinHandle<Vec<NewSketch>>) -> Result<Vec<NewSketch>, StoreError> {
    sketching.await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // The runtime is shutting down.
        Err(_) => StoreError::Busy,
    })
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), StoreError> {
    sqlx::query(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}
