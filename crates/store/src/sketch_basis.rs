//! What sketches are made with.

mod replacement;

use std::sync::Arc;

use pgvector::Vector;
use sqlx::{AssertSqlSafe, PgConnection};

pub use self::replacement::Replacement;
use super::search::active_basis;
use super::{Store, StoreError, Tx};
use scv_domain::id::{LayerId, ProbeSetId};
use scv_domain::sketch::{MeasureBasis, SHORT_LENGTH, SketchBasis};
use scv_domain::vector::Measure;

/// Held by transactions that write sketches, so that none misses a basis that has just been inserted.
const WRITE_LOCK: &str = "select pg_advisory_xact_lock_shared(hashtext('scv sketches'))";

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

/// The name of the partition with the short sketches of a basis. Naming it saves the planner a third of its time.
pub(super) fn partition(basis: i64) -> String {
    format!("layer_sketch_{basis}")
}

/// The same for the long sketches.
pub(super) fn long_partition(basis: i64) -> String {
    format!("long_sketch_{basis}")
}

impl Store {
    /// A basis by key, from memory if it has been read before.
    ///
    /// # Errors
    /// [`StoreError::Overtaken`] if it has been replaced.
    pub(super) async fn basis(&self, connection: &mut PgConnection, id: i64) -> Result<Arc<StoredBasis>, StoreError> {
        known_basis(&self.bases, connection, id).await
    }

    /// A basis by key, for a caller without a connection.
    ///
    /// # Errors
    /// As for [`Store::basis`].
    pub(super) async fn known_basis(&self, id: i64) -> Result<Arc<StoredBasis>, StoreError> {
        match self.bases.get(&id).await {
            Some(known) => Ok(known),
            None => self.basis(&mut *self.pool.acquire().await?, id).await,
        }
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
            "select (select count(*) from (select 1 from {partition} limit {most}) as counted),
                    coalesce(avg(debiased ^ 2), 0), coalesce(avg(cka ^ 2), 0)
               from (select subvector(debiased_sketch, {SHORT_LENGTH}, 1)::real[] as debiaseds,
                            subvector(cka_sketch, {SHORT_LENGTH}, 1)::real[] as ckas
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

    /// Up to `limit` distinct layers of a probe set, chosen at random but always alike, with the number of all.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.sample_layers", skip_all)]
    pub async fn sample_layers(
        &self,
        probe_set: ProbeSetId,
        limit: usize,
    ) -> Result<(Vec<LayerId>, usize), StoreError> {
        let mut connection = self.pool.acquire().await?;
        let partition = partition(active_basis(&mut connection, probe_set).await?);
        let sampled = format!("select distinct on (sketch_id) layer_id from {partition} order by sketch_id limit $1");
        let layers: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sampled))
            .bind(limit as i64)
            .fetch_all(&mut *connection)
            .await?;
        let count = format!("select count(*) from {partition}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(count))
            .fetch_one(&mut *connection)
            .await?;
        Ok((layers.into_iter().map(LayerId).collect(), count as usize))
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
            let known = self.bases.clone();
            bases.push(known_basis(&known, self.connection(), id).await?);
        }
        Ok(bases)
    }
}

/// A basis by key, which is read once however many ask for it at the same time.
async fn known_basis(
    known: &BasisCache,
    connection: &mut PgConnection,
    id: i64,
) -> Result<Arc<StoredBasis>, StoreError> {
    if let Some(found) = known.get(&id).await {
        return Ok(found);
    }
    let reading = async {
        read_basis(connection, id)
            .await?
            .map(Arc::new)
            .ok_or(StoreError::Overtaken)
    };
    known.try_get_with(id, reading).await.map_err(StoreError::Shared)
}

async fn read_basis(connection: &mut PgConnection, id: i64) -> Result<Option<StoredBasis>, StoreError> {
    let row = sqlx::query!(
        "select layer_count, debiased_directions, cka_directions, debiased_short_rest_cosine, cka_short_rest_cosine,
                debiased_long_rest_cosine, cka_long_rest_cosine
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
            short_rest_cosine: row.debiased_short_rest_cosine,
            long_rest_cosine: row.debiased_long_rest_cosine,
            ..SketchBasis::empty().debiased
        },
        cka: MeasureBasis {
            directions: numbers(&row.cka_directions),
            short_rest_cosine: row.cka_short_rest_cosine,
            long_rest_cosine: row.cka_long_rest_cosine,
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
