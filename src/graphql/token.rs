//! Who asks: tokens, and the record of what they changed.

use async_graphql::{Context, Enum, ID, Json, Object};
use chrono::{DateTime, Utc};

use super::error::Result;
use super::id::GlobalId;
use super::loader::{NameOf, load};
use scv_domain::access as domain;

/// Who asks.
#[derive(Debug, Clone, Copy, async_graphql::Description)]
pub struct Viewer(pub domain::Access);

#[Object(use_type_description)]
impl Viewer {
    /// The account whose token was shown; null if none was, to a server that answers anybody.
    async fn account(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        match self.0.account {
            Some(account) => load(ctx, NameOf(account)).await,
            None => Ok(None),
        }
    }

    /// How much they may do.
    async fn scope(&self) -> TokenScope {
        self.0.scope.into()
    }
}

/// What somebody asks with. Its secret is told once, to whoever makes it.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct Token(pub domain::Token);

#[Object(use_type_description)]
impl Token {
    /// Global id.
    pub async fn id(&self) -> ID {
        self.0.id.encode()
    }

    /// Whose it is.
    async fn account(&self) -> &str {
        self.0.account.as_str()
    }

    /// What it is for.
    async fn description(&self) -> &str {
        self.0.description.as_str()
    }

    /// How much it allows.
    async fn scope(&self) -> TokenScope {
        self.0.scope.into()
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// When it ends by itself; null if it does not.
    async fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.0.expires_at
    }

    /// When it was last used, to the minute; null if it never was.
    async fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.0.last_used_at
    }

    /// When it was ended; null if it was not.
    async fn revoked_at(&self) -> Option<DateTime<Utc>> {
        self.0.revoked_at
    }
}

/// How much a token allows; each allows what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "domain::Scope")]
pub enum TokenScope {
    /// To read what its account may see, and to ask about images and activations that are brought along.
    Read,
    /// To register models and data sets, to change what its account owns, and to have work done.
    Write,
    /// To see and change everything, to make tokens, and to read the record of changes.
    Admin,
}

/// What somebody changed, or tried to.
#[derive(Debug, Clone, async_graphql::Description)]
pub struct AuditEntry(pub domain::AuditEntry);

#[Object(use_type_description)]
impl AuditEntry {
    /// When.
    async fn at(&self) -> DateTime<Utc> {
        self.0.at
    }

    /// Who; null where a server answers anybody.
    async fn account(&self) -> Option<&str> {
        self.0.account.as_ref().map(|account| account.as_str())
    }

    /// Global id of the token that was shown.
    async fn token_id(&self) -> Option<ID> {
        self.0.token_id.map(GlobalId::encode)
    }

    /// The address that asked.
    async fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// Name of the mutation.
    async fn mutation(&self) -> &str {
        &self.0.mutation
    }

    /// The plain members of its input: ids, names, numbers. Texts are cut off, lists and objects left out.
    async fn input(&self) -> Json<&serde_json::Value> {
        Json(&self.0.input)
    }

    /// The code of its error; null if there was none.
    async fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }
}
