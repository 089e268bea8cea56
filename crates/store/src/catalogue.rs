//! The generation: a count of the changes that searches can see.

use sqlx::PgConnection;

use super::{Store, StoreError, Tx};

impl Store {
    /// How often the catalogue has changed. A result that was computed at a generation is valid until the next one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn generation(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("select generation from catalogue")
            .fetch_one(&self.pool)
            .await?)
    }
}

impl Tx {
    /// Counts a change, and notifies every server when the transaction commits.
    ///
    /// # Errors
    /// The database fails.
    pub async fn bump_generation(&mut self) -> Result<(), StoreError> {
        bump_generation(self.connection()).await
    }
}

/// As [`Tx::bump_generation`], in a transaction of a connection that a caller holds.
pub(super) async fn bump_generation(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!(
        "with bumped as (update catalogue set generation = generation + 1 returning generation)
         select pg_notify('scv_catalogue', generation::text) from bumped"
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}
