//! The audit log: which account changed what.

use chrono::{DateTime, Utc};

use super::rows::RowContext;
use super::{Store, StoreError};
use scv_domain::access::{AuditEntry, NewAuditEntry};
use scv_domain::id::{AuditEntryId, TokenId};
use scv_domain::page::{Page, Slice};

struct AuditRow {
    audit_entry_id: i64,
    at: DateTime<Utc>,
    account: Option<String>,
    token_id: Option<i64>,
    address: Option<String>,
    mutation: String,
    input: serde_json::Value,
    code: Option<String>,
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
        })
    }
}

impl Store {
    /// Writes an entry.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.put_audit_entry", skip_all)]
    pub async fn put_audit_entry(&self, entry: &NewAuditEntry) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into audit_entry (account_id, token_id, address, mutation, input, code)
             values ($1, $2, $3, $4, $5, $6)",
            entry.access.account.map(|account| account.0),
            entry.access.token.map(|token| token.0),
            entry.address,
            entry.mutation,
            entry.input,
            entry.code,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// One page of the log, newest entry first.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.audit_page", skip_all)]
    pub async fn audit_page(&self, page: &Page<i64>) -> Result<Slice<AuditEntry>, StoreError> {
        let rows = sqlx::query_as!(
            AuditRow,
            r#"select audit_entry_id, at, account.name as "account?", token_id, address, mutation, input, code
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
