//! Accounts and their tokens.

use chrono::{DateTime, Utc};

use super::rows::{RowContext, enum_name, raw};
use super::{Store, StoreError, Tx};
use scv_domain::access::{NewToken, Token};
use scv_domain::id::{AccountId, TokenId};
use scv_domain::page::{Page, Slice};

/// The SHA-256 digest of a token's secret. The secret itself is not stored.
pub type TokenDigest = [u8; 32];

struct TokenRow {
    token_id: i64,
    account_id: i64,
    account: String,
    description: String,
    scope: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl TryFrom<TokenRow> for Token {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let row_context = RowContext {
            table: "token",
            row: row.token_id,
        };
        Ok(Self {
            id: TokenId(row.token_id),
            account_id: AccountId(row.account_id),
            account: row_context.text("account", row.account)?,
            description: row_context.text("description", row.description)?,
            scope: row_context.enum_value("scope", &row.scope)?,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        })
    }
}

impl Store {
    /// The token of a digest, if it is valid. Records the time of use, at most once per minute.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.use_token", skip_all)]
    pub async fn use_token(&self, digest: &TokenDigest) -> Result<Option<Token>, StoreError> {
        sqlx::query_as!(
            TokenRow,
            "with noted as (
                update token
                   set last_used_at = now()
                 where digest = $1
                   and revoked_at is null
                   and (expires_at is null or expires_at > now())
                   and (last_used_at is null or last_used_at < now() - interval '1 minute'))
             select token_id, account_id, account.name as account, description, scope, token.created_at, expires_at,
                    last_used_at, revoked_at
               from token
               join account using (account_id)
              where digest = $1
                and revoked_at is null
                and (expires_at is null or expires_at > now())",
            digest,
        )
        .fetch_optional(&self.pool)
        .await?
        .map(Token::try_from)
        .transpose()
    }

    /// Whether a token is valid: not revoked and not expired.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.is_token_valid", skip_all)]
    pub async fn is_token_valid(&self, id: TokenId) -> Result<bool, StoreError> {
        let holds = sqlx::query_scalar!(
            r#"select exists (select from token
                               where token_id = $1
                                 and revoked_at is null
                                 and (expires_at is null or expires_at > now())) as "holds!""#,
            id.0,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(holds)
    }

    /// The time of the database's clock, which all servers share.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.now", skip_all)]
    pub async fn now(&self) -> Result<DateTime<Utc>, StoreError> {
        let now = sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(&self.pool);
        Ok(now.await?)
    }

    /// Whether any token is valid.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.has_tokens", skip_all)]
    pub async fn has_tokens(&self) -> Result<bool, StoreError> {
        let any = sqlx::query_scalar!(
            r#"select exists (select from token
                               where revoked_at is null
                                 and (expires_at is null or expires_at > now())) as "any!""#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(any)
    }

    /// Tokens by key that the viewer may see: those of its account, or all tokens.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.tokens_by_id", skip_all)]
    pub async fn tokens_by_id(&self, ids: &[TokenId]) -> Result<Vec<Token>, StoreError> {
        sqlx::query_as!(
            TokenRow,
            "select token_id, account_id, account.name as account, description, scope, token.created_at, expires_at,
                    last_used_at, revoked_at
               from token
               join account using (account_id)
              where token_id = any($1)
                and ($2::bigint is null or account_id = $2)",
            &raw(ids, |id| id.0),
            self.viewer(),
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(Token::try_from)
        .collect()
    }

    /// One page of the tokens that the viewer may see, of one account or of all, by key.
    ///
    /// # Errors
    /// The database fails or holds an unknown value.
    #[tracing::instrument(name = "store.tokens_page", skip_all)]
    pub async fn tokens_page(&self, account: Option<AccountId>, page: &Page<i64>) -> Result<Slice<Token>, StoreError> {
        let rows = sqlx::query_as!(
            TokenRow,
            "select token_id, account_id, account.name as account, description, scope, token.created_at, expires_at,
                    last_used_at, revoked_at
               from token
               join account using (account_id)
              where ($1::bigint is null or account_id = $1)
                and ($2::bigint is null or account_id = $2)
                and ($3::bigint is null or token_id > $3)
                and ($4::bigint is null or token_id < $4)
              order by case when $5 then -token_id else token_id end
              limit $6",
            self.viewer(),
            account.map(|account| account.0),
            page.after,
            page.before,
            page.from_end,
            page.limit as i64 + 1,
        )
        .fetch_all(&self.pool)
        .await?;
        let tokens = rows.into_iter().map(Token::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(Slice::from_rows(tokens, page))
    }

    /// Counts the tokens that the viewer may see, of one account or of all.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.count_tokens", skip_all)]
    pub async fn count_tokens(&self, account: Option<AccountId>) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!"
                 from token
                where ($1::bigint is null or account_id = $1)
                  and ($2::bigint is null or account_id = $2)"#,
            self.viewer(),
            account.map(|account| account.0),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(count)
    }

    /// The names of accounts, by key.
    ///
    /// # Errors
    /// The database fails.
    #[tracing::instrument(name = "store.account_names", skip_all)]
    pub async fn account_names(&self, ids: &[AccountId]) -> Result<Vec<(AccountId, String)>, StoreError> {
        let rows = sqlx::query!(
            "select account_id, name from account where account_id = any($1)",
            &raw(ids, |id| id.0),
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| (AccountId(row.account_id), row.name))
            .collect())
    }
}

impl Tx {
    /// Stores a token under the digest of its secret. Creates the account if there is none of that name, and otherwise takes
    /// its row lock, so that no other transaction creates tokens of the account until this one ends.
    ///
    /// # Errors
    /// The database fails.
    pub async fn insert_token(&mut self, new: &NewToken, digest: &TokenDigest) -> Result<Token, StoreError> {
        sqlx::query!(
            "insert into account (name) values ($1) on conflict (name) do nothing",
            new.account.as_str(),
        )
        .execute(self.connection())
        .await?;
        sqlx::query!(
            "select account_id from account where name = $1 for no key update",
            new.account.as_str(),
        )
        .fetch_one(self.connection())
        .await?;
        sqlx::query_as!(
            TokenRow,
            "with made as (
                insert into token (account_id, digest, description, scope, expires_at)
                select account_id, $2, $3, $4, $5
                  from account
                 where name = $1
                returning *)
             select token_id, account_id, account.name as account, description, scope, made.created_at, expires_at,
                    last_used_at, revoked_at
               from made
               join account using (account_id)",
            new.account.as_str(),
            digest,
            new.description.as_str(),
            enum_name(new.scope),
            new.expires_at,
        )
        .fetch_one(self.connection())
        .await?
        .try_into()
    }

    /// Counts the tokens of an account that are neither revoked nor expired.
    ///
    /// # Errors
    /// The database fails.
    pub async fn count_valid_tokens(&mut self, account: AccountId) -> Result<i64, StoreError> {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!"
                 from token
                where account_id = $1
                  and revoked_at is null
                  and (expires_at is null or expires_at > now())"#,
            account.0,
        )
        .fetch_one(self.connection())
        .await?;
        Ok(count)
    }

    /// Revokes a token. Does nothing if it was revoked already.
    ///
    /// # Errors
    /// The database fails.
    pub async fn revoke_token(&mut self, id: TokenId) -> Result<(), StoreError> {
        sqlx::query!(
            "update token set revoked_at = now() where token_id = $1 and revoked_at is null",
            id.0
        )
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
