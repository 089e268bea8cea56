//! How many explanations the language model wrote for each account in a day.

use super::{Store, StoreError};
use scv_domain::id::AccountId;

impl Store {
    /// Counts an explanation for an account, or for all callers without one. Returns false, and counts nothing, if as many as
    /// `limit` have been counted today.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.use_explanation", skip_all)]
    pub async fn use_explanation(&self, account: Option<AccountId>, limit: u32) -> Result<bool, StoreError> {
        let counted = sqlx::query(
            "insert into explanation_use as used (account_id, day, count)
             select $1, current_date, 1 where $2 > 0
             on conflict on constraint explanation_use_key do update
                set count = used.count + 1
              where used.count < $2",
        )
        .bind(account.map(|account| account.0))
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(counted.rows_affected() == 1)
    }

    /// Forgets the days before today.
    ///
    /// # Errors
    /// The database fails.
    pub async fn forget_explanation_use(&self) -> Result<(), StoreError> {
        sqlx::query("delete from explanation_use where day < current_date")
            .execute(&self.work)
            .await?;
        Ok(())
    }
}
