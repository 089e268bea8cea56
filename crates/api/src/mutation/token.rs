//! Creates and revokes tokens.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::id::GlobalId;
use crate::token::{Token, TokenScope};
use scv_domain::access::TokenRequest;
use scv_domain::id::TokenId;
use scv_domain::text::{AccountName, Description};
use scv_service::Library;

/// Mutations of tokens.
#[derive(Debug, Default, async_graphql::Description)]
pub struct TokenMutation;

#[Object(use_type_description)]
impl TokenMutation {
    /// Creates a token. Its secret is returned only here and cannot be retrieved later. A token of scope WRITE can create
    /// others of the same account that allow no more and are valid no longer; an administrator can create any. An account
    /// has at most `serverInfo.maxTokensPerAccount` valid tokens.
    async fn create_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to create.")] input: CreateTokenInput,
    ) -> Result<CreateTokenPayload> {
        let request = TokenRequest {
            account: input.account.map(AccountName::try_from).transpose()?,
            description: Description::try_from(input.description)?,
            scope: input.scope.into(),
            expires_at: input.expires_at,
        };
        let (token, secret) = ctx.data_unchecked::<Library>().create_token(request).await?;
        Ok(CreateTokenPayload {
            token: Token(token),
            secret: secret.reveal().to_owned(),
        })
    }

    /// Revokes a token permanently: the caller's own; with the scope WRITE one of the caller's account that allows no more
    /// than the caller's token; for an administrator any.
    async fn revoke_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token.")] input: RevokeTokenInput,
    ) -> Result<RevokeTokenPayload> {
        let id = TokenId::decode(&input.id)?;
        let token = ctx.data_unchecked::<Library>().revoke_token(id).await?;
        Ok(RevokeTokenPayload { token: Token(token) })
    }
}

/// A token to create.
#[derive(Debug, InputObject)]
pub struct CreateTokenInput {
    /// Name of its account: one line of 1 to 64 characters. Default: the caller's own. Only an administrator can name
    /// another, which is created if it does not exist.
    account: Option<String>,
    /// A description of its purpose, at most 10,000 characters.
    #[graphql(default)]
    description: String,
    /// What it allows: no more than the caller's token does, unless the caller is an administrator. Default: READ.
    #[graphql(default_with = "TokenScope::Read")]
    scope: TokenScope,
    /// When it expires: no later than the caller's token, unless the caller is an administrator. Default: when the caller's
    /// token does; for an administrator never.
    expires_at: Option<DateTime<Utc>>,
}

/// The created token.
#[derive(Debug, SimpleObject)]
pub struct CreateTokenPayload {
    /// The token.
    token: Token,
    /// The secret to send as `Authorization: Bearer SECRET`. The server does not store it.
    secret: String,
}

/// A token to revoke.
#[derive(Debug, InputObject)]
pub struct RevokeTokenInput {
    /// Global id of the token.
    id: ID,
}

/// The revoked token.
#[derive(Debug, SimpleObject)]
pub struct RevokeTokenPayload {
    /// The token.
    token: Token,
}
