//! Callers, tokens and the audit log.

use async_graphql::{Context, Enum, ID, Json, Object};
use chrono::{DateTime, Utc};

use super::connection::{ListConnection, Total, connection, empty_slice, page};
use super::cost::page_cost;
use super::error::Result;
use super::id::GlobalId;
use super::loader::{AccountNameOf, load};
use super::plain::ListEntry;
use scv_domain::access as domain;
use scv_domain::id::AccountId;
use scv_domain::page::Page;
use scv_service::Library;

/// The caller of a request.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct Viewer(pub domain::Access);

#[Object(use_type_description)]
impl Viewer {
    /// The account of the caller's token; null for a request without a token, on a server that does not require one.
    async fn account(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        match self.0.account {
            Some(account) => load(ctx, AccountNameOf(account)).await,
            None => Ok(None),
        }
    }

    /// What the caller may do.
    async fn scope(&self) -> TokenScope {
        self.0.scope.into()
    }

    /// The tokens of the caller's account, ordered by creation time. Empty for a request without a token.
    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn tokens(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Return the first N entries, at most 100.")] first: Option<i32>,
        #[graphql(desc = "Return only entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Return the last N entries, at most 100.")] last: Option<i32>,
        #[graphql(desc = "Return only entries before this cursor.")] before: Option<String>,
    ) -> Result<ListConnection<Token>> {
        let page = page(first, after, last, before)?;
        match self.0.account {
            Some(account) => list(ctx, Some(account), &page).await,
            None => Ok(connection(
                empty_slice(&page),
                Total::Known(0),
                |token: &domain::Token| token.id.0,
                Token,
            )),
        }
    }
}

/// A page of the tokens that the caller may see, of one account or of all.
///
/// # Errors
/// The database fails.
pub async fn list(ctx: &Context<'_>, account: Option<AccountId>, page: &Page<i64>) -> Result<ListConnection<Token>> {
    let store = ctx.data_unchecked::<Library>().store();
    let slice = store.tokens_page(account, page).await?;
    Ok(connection(slice, Total::Tokens(account), |token| token.id.0, Token))
}

/// An access token. Its secret is returned only once, when the token is created.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Token(pub domain::Token);

impl ListEntry for Token {}

#[Object(use_type_description)]
impl Token {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// The account that it belongs to.
    async fn account(&self) -> &str {
        self.0.account.as_str()
    }

    /// A description of its purpose.
    async fn description(&self) -> &str {
        self.0.description.as_str()
    }

    /// What it allows.
    async fn scope(&self) -> TokenScope {
        self.0.scope.into()
    }

    /// When it was created.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it expires; null if it does not expire.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When it was last used, to the minute; null if it has never been used.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// When it was revoked; null if it has not been revoked.
    async fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.0.revoked_at
    }
}

/// What a token allows. Each scope includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Scope")]
pub enum TokenScope {
    /// Read what the account may see, and run queries on uploaded images and activations.
    Read,
    /// Register models and data sets, change what the account owns, start jobs, and create tokens of the account.
    Write,
    /// See and change everything, create tokens of all accounts, and read the audit log.
    Admin,
}

/// An entry of the audit log: a change, or the mutations of a request that failed.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct AuditEntry(pub domain::AuditEntry);

impl ListEntry for AuditEntry {}

#[Object(use_type_description)]
impl AuditEntry {
    /// When the entry was written.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// The account of the caller; null for a request without a token.
    async fn account(&self) -> Option<&str> {
        self.0.account.as_ref().map(|account| account.as_str())
    }

    /// Global id of the caller's token; null for a request without a token.
    async fn token_id(&self) -> Option<ID> {
        self.0.token_id.map(GlobalId::encode)
    }

    /// Network address of the client.
    async fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// Name of the mutation.
    async fn mutation(&self) -> &str {
        &self.0.mutation
    }

    /// The scalar members of its input, such as ids, names and numbers. Long texts are truncated; lists and objects are
    /// omitted.
    async fn input(&self) -> Json<&serde_json::Value> {
        Json(&self.0.input)
    }

    /// The code of its error; null for a change. A change and an error of the same mutation have an entry each.
    async fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Number of further mutations of the same request that failed, which have no entries of their own.
    async fn further_failures(&self) -> u32 {
        self.0.further_failures
    }
}
