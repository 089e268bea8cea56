//! Who asks: tokens, what they allow, and the record of changes.

use std::sync::Arc;

use rand::TryRng as _;
use rand::rngs::SysRng;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::{Library, ServiceError};
use scv_domain::access::{Access, NewAuditEntry, NewToken, Scope, Secret, Token};
use scv_domain::id::{ModelId, TokenId};
use scv_domain::model::Model;
use scv_store::{Store, TokenDigest};

/// What secrets begin with, so that whoever finds one knows what it is.
const PREFIX: &str = "scv_";

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;

impl Library {
    /// The same library on behalf of somebody, for one request.
    pub fn on_behalf_of(&self, access: Access) -> Self {
        Self {
            store: self.store.seen_by(access.viewer()),
            device_turns: Arc::new(Semaphore::new(1)),
            access,
            ..self.clone()
        }
    }

    /// On whose behalf it is asked.
    pub fn access(&self) -> Access {
        self.access
    }

    /// What a secret lets somebody do.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is that of no token, or of one that has ended.
    pub async fn authenticate(&self, secret: &str) -> Result<Access, ServiceError> {
        let token = match secret.starts_with(PREFIX) {
            true => self.store.use_token(&digest(secret)).await?,
            false => None,
        };
        let token = token.ok_or_else(|| {
            ServiceError::Unauthenticated(
                "the token is none of this server, has expired or was revoked: `scv token create` makes one".to_owned(),
            )
        })?;
        Ok(Access {
            account: Some(token.account_id),
            token: Some(token.id),
            scope: token.scope,
        })
    }

    /// Whether what somebody asks with still lets them in.
    ///
    /// # Errors
    /// The database fails.
    pub async fn holds(&self, access: Access) -> Result<bool, ServiceError> {
        match access.token {
            Some(token) => Ok(self.store.token_holds(token).await?),
            None => Ok(true),
        }
    }

    /// Makes a token. Its secret is told here and never again.
    ///
    /// # Errors
    /// `FORBIDDEN` for whoever is no administrator, `BAD_USER_INPUT` for one that would have ended already.
    pub async fn create_token(&self, new: &NewToken) -> Result<(Token, Secret), ServiceError> {
        self.require(Scope::Admin)?;
        create_token(&self.store, new).await
    }

    /// Ends a token for good: the one that is shown, one of the same account that allows no more than it, or any for an
    /// administrator.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none, or it is another account's; `FORBIDDEN` if it allows more.
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

    /// Writes down that somebody changed something, or tried to. What was changed is not undone if that fails.
    pub async fn record(&self, entry: NewAuditEntry) {
        if let Err(error) = self.store.put_audit_entry(&entry).await {
            tracing::error!(%error, ?entry, "an entry of the audit log could not be written");
        }
    }

    /// Lets go on whoever may do so much.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub fn require(&self, scope: Scope) -> Result<(), ServiceError> {
        match self.access.scope >= scope {
            true => Ok(()),
            false => Err(ServiceError::Forbidden(format!(
                "this takes a token of scope {}, and yours is of scope {}: ask an administrator for one",
                word(scope),
                word(self.access.scope)
            ))),
        }
    }

    /// A model, deleted or not, that whoever asks may change.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none or it may not be seen, `FORBIDDEN` if it may not be changed.
    pub(super) async fn changeable(&self, id: ModelId) -> Result<Model, ServiceError> {
        self.require(Scope::Write)?;
        let model = self.store.models_by_id(&[id]).await?.pop();
        let model = model.ok_or_else(|| ServiceError::not_found("model", id))?;
        match self.access.may_change(&model) {
            true => Ok(model),
            false => Err(ServiceError::Forbidden(format!(
                "model {:?} is another account's: only its owner and administrators change it",
                model.name.as_str()
            ))),
        }
    }
}

/// Makes a token in a database, for whoever may do with that what they like.
///
/// # Errors
/// `BAD_USER_INPUT` for one that would have ended already.
pub async fn create_token(store: &Store, new: &NewToken) -> Result<(Token, Secret), ServiceError> {
    let secret = new_secret()?;
    let mut tx = store.begin().await?;
    let token = tx.insert_token(new, &digest(&secret)).await?;
    if token.expires_at.is_some_and(|end| end <= token.created_at) {
        return Err(ServiceError::bad_input(
            "`expiresAt` has passed already: choose a later time",
        ));
    }
    tx.commit().await?;
    Ok((token, Secret::from(secret)))
}

fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "READ",
        Scope::Write => "WRITE",
        Scope::Admin => "ADMIN",
    }
}

/// From the operating system's random numbers: nobody shall be able to make it again.
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
    fn secrets_are_long_and_no_two_are_alike() {
        let secrets: Vec<_> = (0..10).map(|_| new_secret().unwrap()).collect();
        for (index, secret) in secrets.iter().enumerate() {
            assert_eq!(secret.len(), PREFIX.len() + 2 * SECRET_BYTES);
            assert!(secrets[..index].iter().all(|other| digest(other) != digest(secret)));
        }
    }
}
