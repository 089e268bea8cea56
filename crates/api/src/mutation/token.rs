//! Creates and revokes tokens.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::id::GlobalId;
use crate::token::{Token, TokenScope};
use scv_domain::access::NewToken;
use scv_domain::id::TokenId;
use scv_domain::text::{AccountName, Description};
use scv_service::Library;

/// Mutations of tokens.
#[derive(Debug, Default, async_graphql::Description)]
pub struct TokenMutation;

#[Object(use_type_description)]
impl TokenMutation {
    /// Creates a token. For administrators only. Its secret is returned only here and cannot be retrieved later.
    async fn create_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The token to create.")] input: CreateTokenInput,
    ) -> Result<CreateTokenPayload> {
        let new = NewToken {
            account: AccountName::try_from(input.account)?,
            description: Description::try_from(input.description)?,
            scope: input.scope.into(),
            expires_at: input.expires_at,
        };
        let (token, secret) = ctx.data_unchecked::<Library>().create_token(&new).await?;
        Ok(CreateTokenPayload {
            token: Token(token),
            secret: secret.reveal().to_owned(),
        })
    }

    /// Revokes a token permanently: one of the caller's account that allows no more than the caller's token, or any
    /// token for an administrator.
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
    /// Name of its account: one line of 1 to 64 characters. The account is created if it does not exist.
    account: String,
    /// A description of its purpose, at most 10,000 characters.
    #[graphql(default)]
    description: String,
    /// What it allows. Default: READ.
    #[graphql(default_with = "TokenScope::Read")]
    scope: TokenScope,
    /// When it expires. Default: never.
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
