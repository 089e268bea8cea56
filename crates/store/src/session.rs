//! Browsers that have signed in. Sessions do not change the catalogue, so kept answers stay.

use std::time::Duration;

use super::rows::RowContext;
use super::{Store, StoreError, TokenDigest};
use scv_domain::access::{Access, Scope};
use scv_domain::id::{AccountId, SessionId, TokenId};

impl Store {
    /// The access that the session of a digest gives, if it and its token are valid.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.session_access", skip_all)]
    pub async fn session_access(&self, digest: &TokenDigest) -> Result<Option<Access>, StoreError> {
        let row = sqlx::query!(
            "select session_id, token_id, account_id, scope
               from session
               join token using (token_id)
              where session.digest = $1
                and session.expires_at > now()
                and revoked_at is null
                and (token.expires_at is null or token.expires_at > now())",
            digest,
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let row_context = RowContext {
            table: "token",
            row: row.token_id,
        };
        let scope: Scope = row_context.enum_value("scope", &row.scope)?;
        Ok(Some(Access {
            account: Some(AccountId(row.account_id)),
            token: Some(TokenId(row.token_id)),
            session: Some(SessionId(row.session_id)),
            scope,
        }))
    }

    /// Whether a session has neither ended nor expired. Its token may have.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.has_session", skip_all)]
    pub async fn has_session(&self, id: SessionId) -> Result<bool, StoreError> {
        let has = sqlx::query_scalar!(
            r#"select exists (select from session where session_id = $1 and expires_at > now()) as "has!""#,
            id.0,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(has)
    }

    /// Begins a session for a token, and deletes those that have expired.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.insert_session", skip_all)]
    pub async fn insert_session(
        &self,
        token: TokenId,
        digest: &TokenDigest,
        lifetime: Duration,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "with expired as (delete from session where expires_at < now())
             insert into session (token_id, digest, expires_at) values ($1, $2, now() + make_interval(secs => $3))",
            token.0,
            digest,
            lifetime.as_secs_f64(),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ends a session. One that has ended already is none.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.delete_session", skip_all)]
    pub async fn delete_session(&self, id: SessionId) -> Result<(), StoreError> {
        sqlx::query!("delete from session where session_id = $1", id.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
