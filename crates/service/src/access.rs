//! Access: tokens, what they allow, and the audit log.

use std::sync::Arc;
use std::time::Duration;

use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::{Library, ServiceError};
use scv_domain::access::{Access, MAX_TOKENS_PER_ACCOUNT, NewToken, Scope, Secret, Token, TokenRequest};
use scv_domain::id::{ModelId, TokenId};
use scv_domain::model::Model;
use scv_store::{Store, TokenDigest};

/// The prefix of secrets: someone who finds one knows what it is.
const PREFIX: &str = "scv_";

/// How long a browser stays signed in, unless its token ends before.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

impl Library {
    /// The same library for one request of a caller: it sees what the caller may see.
    pub fn on_behalf_of(&self, access: Access) -> Self {
        Self {
            store: self.store.visible_to(access.viewer()),
            device_permits: Arc::new(Semaphore::new(1)),
            access,
            ..self.clone()
        }
    }

    /// The same library for a request of a client, which may use a share of the database's connections at a time.
    pub fn sharing(self, connections: Arc<Semaphore>) -> Self {
        Self {
            store: self.store.shared(connections),
            ..self
        }
    }

    /// The access of the caller.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The access that a token's secret gives.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is not the secret of a token, or if the token has expired or was revoked.
    pub async fn authenticate(&self, secret: &str) -> Result<Access, ServiceError> {
        let token = if secret.starts_with(PREFIX) {
            self.store.use_token(&digest(secret)).await?
        } else {
            None
        };
        let token = token.ok_or_else(|| {
            ServiceError::Unauthenticated(
                "the token is unknown, expired or revoked: `scv token create` makes a new one".to_owned(),
            )
        })?;
        Ok(Access {
            account: Some(token.account_id),
            token: Some(token.id),
            session: None,
            scope: token.scope,
        })
    }

    /// The access that a session's secret gives.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has ended or expired, or its token has.
    pub async fn authenticate_session(&self, secret: &str) -> Result<Access, ServiceError> {
        let access = self.store.session_access(&digest(secret)).await?;
        access.ok_or_else(|| {
            ServiceError::Unauthenticated("the session has ended: sign in again, with a token that is valid".to_owned())
        })
    }

    /// Begins a session that stands for the caller's token. Its secret is returned only here.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a caller without a token.
    pub async fn begin_session(&self) -> Result<Secret, ServiceError> {
        // A session does not beget others, which would outlive it.
        let token = self.access.token.filter(|_| self.access.session.is_none());
        let token = token.ok_or_else(|| {
            ServiceError::Unauthenticated(
                "a token is required to sign in: send `Authorization: Bearer scv_…`".to_owned(),
            )
        })?;
        let secret = new_secret()?;
        let digest = digest(&secret);
        self.store.insert_session(token, &digest, SESSION_LIFETIME).await?;
        Ok(Secret::from(secret))
    }

    /// Ends the session of the caller, if there is one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn end_session(&self) -> Result<(), ServiceError> {
        if let Some(session) = self.access.session {
            self.store.delete_session(session).await?;
        }
        Ok(())
    }

    /// Whether the token of an access is still valid, and its session if it has one.
    ///
    /// # Errors
    /// The database fails.
    pub async fn is_still_valid(&self, access: Access) -> Result<bool, ServiceError> {
        if let Some(session) = access.session
            && !self.store.has_session(session).await?
        {
            return Ok(false);
        }
        match access.token {
            Some(token) => Ok(self.store.is_token_valid(token).await?),
            None => Ok(true),
        }
    }

    /// Makes a token. Its secret is returned only here. Callers with the scope `WRITE` make tokens of their own account, which
    /// allow no more than the token that they are called with, and are valid no longer. Administrators make any.
    ///
    /// # Errors
    /// `FORBIDDEN` for a token that the caller may not make, `BAD_USER_INPUT` without an account and for a token that would have
    /// expired already, `CONFLICT` if the account has [`MAX_TOKENS_PER_ACCOUNT`] valid ones.
    pub async fn create_token(&self, request: TokenRequest) -> Result<(Token, Secret), ServiceError> {
        let own = match self.access.token {
            Some(token) => self.store.tokens_by_id(&[token]).await?.pop(),
            None => None,
        };
        let account = request
            .account
            .or_else(|| own.as_ref().map(|own| own.account.clone()))
            .ok_or_else(|| ServiceError::bad_input("`account` is required, because the request has no token"))?;
        let mut new = NewToken {
            account,
            description: request.description,
            scope: request.scope,
            expires_at: request.expires_at,
        };
        if self.access.scope < Scope::Admin {
            self.require(new.scope.max(Scope::Write))?;
            let own = own.filter(|own| own.account == new.account).ok_or_else(|| {
                ServiceError::Forbidden(
                    "only an administrator can create tokens of another account: omit `account` for one of your own"
                        .to_owned(),
                )
            })?;
            new.expires_at = new.expires_at.or(own.expires_at);
            if let (Some(last), Some(end)) = (own.expires_at, new.expires_at)
                && end > last
            {
                return Err(ServiceError::Forbidden(format!(
                    "your token expires at {}, and one that it creates cannot be valid longer: choose an earlier `expiresAt`, \
                     or omit it",
                    last.to_rfc3339()
                )));
            }
        }
        create_token(&self.store, &new).await
    }

    /// Revokes a token. A caller may revoke its own token, and with the scope `WRITE` tokens of its account that allow no more
    /// than its own does; an administrator may revoke any.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none, or if it is another account's; `FORBIDDEN` if it allows more than the caller's.
    pub async fn revoke_token(&self, id: TokenId) -> Result<Token, ServiceError> {
        let missing = || ServiceError::not_found("token", id);
        let token = self.store.tokens_by_id(&[id]).await?.pop().ok_or_else(missing)?;
        if self.access.token != Some(id) {
            self.require(token.scope.max(Scope::Write))?;
        }
        let mut tx = self.store.begin().await?;
        tx.revoke_token(id).await?;
        tx.commit().await?;
        self.store.tokens_by_id(&[id]).await?.pop().ok_or_else(missing)
    }

    /// Checks that the caller's token has a scope.
    ///
    /// # Errors
    /// `FORBIDDEN` if it has less.
    pub fn require(&self, scope: Scope) -> Result<(), ServiceError> {
        if self.access.scope >= scope {
            return Ok(());
        }
        Err(ServiceError::Forbidden(format!(
            "a token of scope {} is required, and yours has scope {}: ask an administrator for one",
            scope_name(scope),
            scope_name(self.access.scope)
        )))
    }

    /// A model, deleted or not, that the caller may change.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or the caller may not see it, `FORBIDDEN` if the caller may not change it.
    pub(super) async fn changeable_model(&self, id: ModelId) -> Result<Model, ServiceError> {
        self.require(Scope::Write)?;
        let model = self.store.models_by_id(&[id]).await?.pop();
        let model = model.ok_or_else(|| ServiceError::not_found("model", id))?;
        if self.access.can_change(&model) {
            return Ok(model);
        }
        Err(ServiceError::Forbidden(format!(
            "model {:?} belongs to another account: only its owner and administrators can change it",
            model.name.as_str()
        )))
    }
}

/// Makes a token in a database, without a check of the caller's access.
///
/// # Errors
/// `BAD_USER_INPUT` for a token that would have expired already, `CONFLICT` if the account has [`MAX_TOKENS_PER_ACCOUNT`] valid ones.
pub async fn create_token(store: &Store, new: &NewToken) -> Result<(Token, Secret), ServiceError> {
    let secret = new_secret()?;
    let mut tx = store.begin().await?;
    let token = tx.insert_token(new, &digest(&secret)).await?;
    if token.expires_at.is_some_and(|end| end <= token.created_at) {
        return Err(ServiceError::bad_input(
            "`expiresAt` is in the past: choose a later time",
        ));
    }
    if tx.count_valid_tokens(token.account_id).await? > MAX_TOKENS_PER_ACCOUNT as i64 {
        return Err(ServiceError::Conflict(format!(
            "account {:?} has {MAX_TOKENS_PER_ACCOUNT} valid tokens, which is the limit: revoke one that is no longer used, with `revokeToken` or \
             `scv token revoke`",
            token.account.as_str()
        )));
    }
    tx.commit().await?;
    Ok((token, Secret::from(secret)))
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "READ",
        Scope::Write => "WRITE",
        Scope::Admin => "ADMIN",
    }
}

/// A secret from the operating system's random numbers, so that nobody can predict it.
fn new_secret() -> Result<String, ServiceError> {
    let mut bytes = [0; SECRET_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(ServiceError::internal)?;
    Ok(format!("{PREFIX}{}", hex::encode(bytes)))
}

/// A secret of 256 random bits cannot be guessed from its digest, however fast digests are computed.
fn digest(secret: &str) -> TokenDigest {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn secrets_are_long_and_all_different() {
        let secrets: Vec<_> = (0..10).map(|_| new_secret().unwrap()).collect();
        for (index, secret) in secrets.iter().enumerate() {
            assert_eq!(secret.len(), PREFIX.len() + 2 * SECRET_BYTES);
            assert!(secrets[..index].iter().all(|other| digest(other) != digest(secret)));
        }
    }
}
