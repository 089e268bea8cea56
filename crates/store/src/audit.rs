//! The audit log: which account changed what.
//!
//! The entry of a change is written in the transaction of the change, so that there is never one without the other.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgExecutor};

use super::rows::RowContext;
use super::{Store, StoreError};
use scv_domain::access::{AuditEntry, AuditRetention, NewAuditEntry};
use scv_domain::id::{AuditEntryId, TokenId};
use scv_domain::page::{Page, Slice};

/// The change that a request is about to make. The first transaction that commits meanwhile writes its entry.
#[derive(Debug, Clone, Default)]
pub struct CurrentChange(Arc<Mutex<Option<NewAuditEntry>>>);

impl CurrentChange {
    /// A change begins; that before has ended, whether it was made or not.
    pub fn begin(&self, entry: Option<NewAuditEntry>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = entry;
    }

    /// Its entry, unless it has been taken.
    pub(super) fn take(&self) -> Option<NewAuditEntry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Writes an entry.
pub(super) async fn insert(database: impl PgExecutor<'_>, entry: &NewAuditEntry) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into audit_entry (account_id, token_id, address, mutation, input, code, further_failures)
         values ($1, $2, $3, $4, $5, $6, $7)",
        entry.access.account.map(|account| account.0),
        entry.access.token.map(|token| token.0),
        entry.address,
        entry.mutation,
        entry.input,
        entry.code,
        entry.further_failures as i32,
    )
    .execute(database)
    .await?;
    Ok(())
}

struct AuditRow {
    audit_entry_id: i64,
    at: DateTime<Utc>,
    account: Option<String>,
    token_id: Option<i64>,
    address: Option<String>,
    mutation: String,
    input: serde_json::Value,
    code: Option<String>,
    further_failures: i32,
}

impl TryFrom<AuditRow> for AuditEntry {
    type Error = StoreError;

    fn try_from(row: AuditRow) -> Result<Self, StoreError> {
        let row_context = RowContext {
            table: "audit_entry",
            row: row.audit_entry_id,
        };
        Ok(Self {
            id: AuditEntryId(row.audit_entry_id),
            at: row.at,
            account: row.account.map(|name| row_context.text("account", name)).transpose()?,
            token_id: row.token_id.map(TokenId),
            address: row.address,
            mutation: row.mutation,
            input: row.input,
            code: row.code,
            further_failures: row.further_failures as u32,
        })
    }
}

impl Store {
    /// The same catalogue for a request whose changes are recorded.
    pub fn recording(&self, change: CurrentChange) -> Self {
        Self {
            change: Some(change),
            ..self.clone()
        }
    }

    /// Writes an entry by itself: of mutations that failed, or of a change outside the catalogue.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.put_audit_entry", skip_all)]
    pub async fn put_audit_entry(&self, entry: &NewAuditEntry) -> Result<(), StoreError> {
        insert(&self.pool, entry).await
    }

    /// Writes the entry of the change in progress, which has no transaction of its own.
    ///
    /// # Errors
    /// The database fails.
    pub async fn record_change(&self) -> Result<(), StoreError> {
        match self.change.as_ref().and_then(CurrentChange::take) {
            Some(entry) => self.put_audit_entry(&entry).await,
            None => Ok(()),
        }
    }

    /// Removes the entries that need not be kept, and returns how many that were.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.trim_audit_log", skip_all)]
    pub async fn trim_audit_log(&self, retention: AuditRetention) -> Result<u64, StoreError> {
        let old = sqlx::query("delete from audit_entry where at < now() - make_interval(days => $1)")
            .bind(i32::try_from(retention.days).unwrap_or(i32::MAX))
            .execute(&self.work)
            .await?;
        let mut removed = old.rows_affected();
        for kind in ["code is null", "code is not null"] {
            let beyond = format!(
                "delete from audit_entry
                  where {kind}
                    and audit_entry_id <= (select audit_entry_id
                                             from audit_entry
                                            where {kind}
                                            order by audit_entry_id desc
                                           offset $1
                                            limit 1)"
            );
            let beyond = sqlx::query(AssertSqlSafe(beyond)).bind(i64::from(retention.entries));
            removed += beyond.execute(&self.work).await?.rows_affected();
        }
        Ok(removed)
    }

    /// One page of the log, newest entry first.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.audit_page", skip_all)]
    pub async fn audit_page(&self, page: &Page<i64>) -> Result<Slice<AuditEntry>, StoreError> {
        let rows = sqlx::query_as!(
            AuditRow,
            r#"select audit_entry_id, at, account.name as "account?", token_id, address, mutation, input, code,
                      further_failures
                 from audit_entry
                 left join account using (account_id)
                where ($1::bigint is null or audit_entry_id < $1)
                  and ($2::bigint is null or audit_entry_id > $2)
                order by case when $3 then audit_entry_id else -audit_entry_id end
                limit $4"#,
            page.after,
            page.before,
            page.from_end,
            page.limit as i64 + 1,
        )
        .fetch_all(&self.pool)
        .await?;
        let entries = rows
            .into_iter()
            .map(AuditEntry::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Slice::from_rows(entries, page))
    }

    /// Counts the entries of the log.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_audit_entries", skip_all)]
    pub async fn count_audit_entries(&self) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar!(r#"select count(*) as "count!" from audit_entry"#)
            .fetch_one(&self.pool)
            .await?;
        Ok(count)
    }
}
