//! Who asks, what they see and what they may do.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::id::{AccountId, AuditEntryId, TokenId};
use super::model::Model;
use super::text::{AccountName, Description};

/// How much a token allows; each allows what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Scope {
    /// To read what its account may see, and to ask about images and activations that are brought along.
    Read,
    /// To register models and data sets, to change what its account owns, and to have work done.
    Write,
    /// To see and change everything, to make tokens, and to read the record of changes.
    Admin,
}

/// What must not be shown: a token or a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for whoever it is shown to.
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

/// On whose behalf something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// Who asks; nobody in particular where a server answers anybody, and none for the program itself.
    pub account: Option<AccountId>,
    /// What they asked with.
    pub token: Option<TokenId>,
    /// How much they may do.
    pub scope: Scope,
}

impl Access {
    /// The program itself, and whoever asks a server that answers anybody.
    pub const FULL: Self = Self {
        account: None,
        token: None,
        scope: Scope::Admin,
    };

    /// Somebody of an account, or of none, who only reads.
    pub fn of_reader(account: Option<AccountId>) -> Self {
        Self {
            account,
            token: None,
            scope: Scope::Read,
        }
    }

    /// Whose private models are seen beside those that everybody may see; `None`: everything is.
    pub fn viewer(&self) -> Option<AccountId> {
        match self.scope {
            Scope::Admin => None,
            // No account has this key, and no model is private to it.
            Scope::Read | Scope::Write => Some(self.account.unwrap_or(AccountId(-1))),
        }
    }

    /// Whether a model that is seen may be changed as well: one's own, and one that is nobody's.
    pub fn may_change(&self, model: &Model) -> bool {
        match self.scope {
            Scope::Admin => true,
            Scope::Write => model.owner.is_none() || model.owner == self.account,
            Scope::Read => false,
        }
    }
}

/// What somebody asks with, but for the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Key.
    pub id: TokenId,
    /// Key of the account.
    pub account_id: AccountId,
    /// Whose it is.
    pub account: AccountName,
    /// What it is for.
    pub description: Description,
    /// How much it allows.
    pub scope: Scope,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was ended.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Whose it is; an account that is not there yet is made with it.
    pub account: AccountName,
    /// See [`Token::description`].
    pub description: Description,
    /// See [`Token::scope`].
    pub scope: Scope,
    /// See [`Token::expires_at`].
    pub expires_at: Option<DateTime<Utc>>,
}

/// What somebody changed, or tried to.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Key.
    pub id: AuditEntryId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who; `None` where a server answers anybody.
    pub account: Option<AccountName>,
    /// With which token.
    pub token_id: Option<TokenId>,
    /// From where.
    pub address: Option<String>,
    /// Name of the mutation.
    pub mutation: String,
    /// The plain members of its input: ids, names, numbers. Texts are cut off, lists and objects left out.
    pub input: serde_json::Value,
    /// The code of its error; `None` if there was none.
    pub code: Option<String>,
}

/// An entry to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAuditEntry {
    /// On whose behalf.
    pub access: Access,
    /// See [`AuditEntry::address`].
    pub address: Option<String>,
    /// See [`AuditEntry::mutation`].
    pub mutation: String,
    /// See [`AuditEntry::input`].
    pub input: serde_json::Value,
    /// See [`AuditEntry::code`].
    pub code: Option<String>,
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
            deleted_at: None,
        })
    }

    #[test]
    fn writers_change_what_is_theirs_or_nobodys_and_administrators_everything() {
        let access = |scope| Access {
            account: Some(AccountId(7)),
            token: None,
            scope,
        };
        let changes = |scope, owner| model(owner).map(|model| access(scope).may_change(&model));
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
    fn only_administrators_see_what_is_private_to_others() {
        let viewer = |account: Option<i64>, scope| {
            let account = account.map(AccountId);
            Access {
                account,
                token: None,
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
