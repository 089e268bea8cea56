//! Making and ending tokens.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use scv_domain::access::NewToken;
use scv_domain::id::TokenId;
use scv_domain::text::{AccountName, Description};
use crate::graphql::error::Result;
use crate::graphql::id::GlobalId;
use crate::graphql::token::{Token, TokenScope};
use scv_service::Library;

/// Writes on tokens.
#[derive(Debug, Default, async_graphql::Description)]
pub struct TokenMutation;

#[Object(use_type_description)]
impl TokenMutation {
    /// Makes a token; for administrators. Its secret is told here and never again.
    async fn create_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to make.")] input: CreateTokenInput,
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

    /// Ends a token for good: one's own, or any for an administrator.
    async fn revoke_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which token.")] input: RevokeTokenInput,
    ) -> Result<RevokeTokenPayload> {
        let id = TokenId::decode(&input.id)?;
        let token = ctx.data_unchecked::<Library>().revoke_token(id).await?;
        Ok(RevokeTokenPayload { token: Token(token) })
    }
}

/// A token to make.
#[derive(Debug, InputObject)]
pub struct CreateTokenInput {
    /// Whose it is: one line of 1 to 64 characters. An account that is not there yet is made with it.
    account: String,
    /// What it is for, at most 10,000 characters.
    #[graphql(default)]
    description: String,
    /// How much it allows; READ if left out.
    #[graphql(default_with = "TokenScope::Read")]
    scope: TokenScope,
    /// When it ends by itself; never if left out.
    expires_at: Option<DateTime<Utc>>,
}

/// The token made.
#[derive(Debug, SimpleObject)]
pub struct CreateTokenPayload {
    /// The token.
    token: Token,
    /// What is to be sent as `Authorization: Bearer SECRET`. It is kept nowhere.
    secret: String,
}

/// A token to end.
#[derive(Debug, InputObject)]
pub struct RevokeTokenInput {
    /// Which token.
    id: ID,
}

/// The token ended.
#[derive(Debug, SimpleObject)]
pub struct RevokeTokenPayload {
    /// The token.
    token: Token,
}
