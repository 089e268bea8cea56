//! Accounts, tokens and audit entries: what a caller may see and do.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{AccountId, AuditEntryId, SessionId, TokenId};
use super::model::Model;
use super::text::{AccountName, Description};

/// Maximum number of valid tokens of an account.
pub const MAX_TOKENS_PER_ACCOUNT: usize = 100;

/// The permissions of a token. Each scope includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// Read what its account may see, and run queries on uploaded images and activations.
    Read,
    /// Register models and data sets, change what its account owns, start jobs, and create tokens of its account.
    Write,
    /// See and change everything, create tokens of all accounts, and read the audit log.
    Admin,
}

/// A token or a key. Its `Debug` output hides the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The caller of an operation and its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// The caller's account; `None` on a server that is open to everyone, and for the program itself.
    pub account: Option<AccountId>,
    /// The token the caller authenticated with.
    pub token: Option<TokenId>,
    /// The session that stands for the token, if the caller is a browser that has signed in.
    pub session: Option<SessionId>,
    /// What the caller may do.
    pub scope: Scope,
}

impl Access {
    /// Full access: the program itself, and every caller of a server that is open to everyone.
    pub const FULL: Self = Self {
        account: None,
        token: None,
        session: None,
        scope: Scope::Admin,
    };

    /// Read access for an account, or for an anonymous caller.
    pub fn reader(account: Option<AccountId>) -> Self {
        Self {
            account,
            token: None,
            session: None,
            scope: Scope::Read,
        }
    }

    /// The account whose private models are visible in addition to public ones; `None` if everything is visible.
    pub fn viewer(&self) -> Option<AccountId> {
        match self.scope {
            Scope::Admin => None,
            // No account has this key, so no model is private to it.
            Scope::Read | Scope::Write => Some(self.account.unwrap_or(AccountId(-1))),
        }
    }

    /// Whether the caller may change a model it can see: writers may change their own models and models without an
    /// owner.
    pub fn can_change(&self, model: &Model) -> bool {
        match self.scope {
            Scope::Admin => true,
            Scope::Write => model.owner.is_none() || model.owner == self.account,
            Scope::Read => false,
        }
    }
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Key.
    pub id: TokenId,
    /// Key of the account.
    pub account_id: AccountId,
    /// Name of the account.
    pub account: AccountName,
    /// What the token is for.
    pub description: Description,
    /// What it allows.
    pub scope: Scope,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A token to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Name of the account; it is created if it does not exist.
    pub account: AccountName,
    /// See [`Token::description`].
    pub description: Description,
    /// See [`Token::scope`].
    pub scope: Scope,
    /// See [`Token::expires_at`].
    pub expires_at: Option<DateTime<Utc>>,
}

/// A request for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRequest {
    /// Name of the account; the caller's own if `None`.
    pub account: Option<AccountName>,
    /// See [`Token::description`].
    pub description: Description,
    /// See [`Token::scope`].
    pub scope: Scope,
    /// When it expires. `None`: never for an administrator, and otherwise with the token of the caller.
    pub expires_at: Option<DateTime<Utc>>,
}

/// An entry of the audit log: a change, or the mutations of a request that failed.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Key.
    pub id: AuditEntryId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The account; `None` on a server that is open to everyone.
    pub account: Option<AccountName>,
    /// The token the caller authenticated with.
    pub token_id: Option<TokenId>,
    /// The client's address.
    pub address: Option<String>,
    /// Name of the mutation.
    pub mutation: String,
    /// The scalar fields of its input: ids, names, numbers. Long texts are truncated; lists and objects are omitted.
    pub input: serde_json::Value,
    /// The error code; `None` if the mutation changed something.
    pub code: Option<String>,
    /// How many further mutations of the same request failed.
    pub further_failures: u32,
}

/// An audit entry to write.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAuditEntry {
    /// The caller.
    pub access: Access,
    /// See [`AuditEntry::address`].
    pub address: Option<String>,
    /// See [`AuditEntry::mutation`].
    pub mutation: String,
    /// See [`AuditEntry::input`].
    pub input: serde_json::Value,
    /// See [`AuditEntry::code`].
    pub code: Option<String>,
    /// See [`AuditEntry::further_failures`].
    pub further_failures: u32,
}

/// How much of the audit log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditRetention {
    /// For how many days.
    pub days: u32,
    /// How many entries of changes, and as many of mutations that failed.
    pub entries: u32,
}

#[cfg(test)]
mod tests {
    use crate::id::ModelId;
    use crate::model::Visibility;
    use crate::text::ModelName;

    use super::*;

    fn model(owner: Option<i64>) -> Option<Model> {
        Some(Model {
            id: ModelId(1),
            name: ModelName::try_from("m".to_owned()).ok()?,
            description: Description::try_from(String::new()).ok()?,
            tags: Vec::new(),
            visibility: Visibility::Public,
            owner: owner.map(AccountId),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            deleted_at: None,
        })
    }

    #[test]
    fn writers_can_change_their_own_and_unowned_models_and_administrators_all_models() {
        let access = |scope| Access {
            account: Some(AccountId(7)),
            token: None,
            session: None,
            scope,
        };
        let changes = |scope, owner| model(owner).map(|model| access(scope).can_change(&model));
        for (scope, owner, expected) in [
            (Scope::Read, Some(7), false),
            (Scope::Read, None, false),
            (Scope::Write, Some(7), true),
            (Scope::Write, None, true),
            (Scope::Write, Some(8), false),
            (Scope::Admin, Some(8), true),
        ] {
            assert_eq!(changes(scope, owner), Some(expected), "{scope:?} {owner:?}");
        }
    }

    #[test]
    fn only_administrators_see_the_private_models_of_others() {
        let viewer = |account: Option<i64>, scope| {
            let account = account.map(AccountId);
            Access {
                account,
                token: None,
                session: None,
                scope,
            }
            .viewer()
        };
        assert_eq!(viewer(Some(7), Scope::Write), Some(AccountId(7)));
        assert_eq!(viewer(None, Scope::Read), Some(AccountId(-1)));
        assert_eq!(viewer(Some(7), Scope::Admin), None);
        assert_eq!(Access::FULL.viewer(), None);
    }
}
