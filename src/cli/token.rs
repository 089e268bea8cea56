//! `scv token`

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::table::table;
use super::terminal::Terminal;
use crate::config::Config;
use scv_domain::access::{Access, NewAuditEntry, NewToken, Scope, Token};
use scv_domain::id::TokenId;
use scv_domain::page::Page;
use scv_domain::text::{AccountName, Description};
use scv_service::create_token;
use scv_store::{Database, Store, join};

/// Make, list and end the tokens that a server lets in
///
/// It works on the library itself, beside a server that runs or without one: that is how the first token is made. It has to be
/// the server's library, so give --data-dir or --database-url as `scv serve` has it. Later tokens can be made in the API as well,
/// with one of scope ADMIN.
#[derive(Debug, Args)]
pub(super) struct TokenCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a token; its secret is told only this once
    Create(Create),
    /// List all tokens
    List {
        #[command(flatten)]
        config: Config,
    },
    /// End a token for good
    Revoke {
        /// Its number in the list
        number: i64,
        #[command(flatten)]
        config: Config,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Whose it is; a new account is made with its first token
    #[arg(value_parser = |text: &str| AccountName::try_from(text.to_owned()))]
    account: AccountName,
    /// How much it allows: read, write or admin
    #[arg(long, value_enum, default_value_t = ScopeChoice::Read)]
    scope: ScopeChoice,
    /// Days until it ends by itself; it never does if left out
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    days: Option<u16>,
    /// What it is for
    #[arg(long, default_value = "", value_parser = |text: &str| Description::try_from(text.to_owned()))]
    description: Description,
    #[command(flatten)]
    config: Config,
}

/// How much a token allows; each allows what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScopeChoice {
    /// To read what its account may see, and to ask about images and activations that are brought along.
    Read,
    /// To register models and data sets, to change what its account owns, and to have work done.
    Write,
    /// To see and change everything, to make tokens, and to read the record of changes.
    Admin,
}

impl From<ScopeChoice> for Scope {
    fn from(choice: ScopeChoice) -> Self {
        match choice {
            ScopeChoice::Read => Self::Read,
            ScopeChoice::Write => Self::Write,
            ScopeChoice::Admin => Self::Admin,
        }
    }
}

/// A token as the list tells it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    number: i64,
    account: AccountName,
    scope: Scope,
    description: Description,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    /// Only of one that was made just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<Token> for Listed {
    fn from(token: Token) -> Self {
        Self {
            number: token.id.0,
            account: token.account,
            scope: token.scope,
            description: token.description,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
            revoked_at: token.revoked_at,
            secret: None,
        }
    }
}

impl TokenCommand {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let config = match &self.action {
            Action::Create(create) => &create.config,
            Action::List { config } | Action::Revoke { config, .. } => config,
        };
        let place = match &config.database_url {
            Some(_) => "the database of DATABASE_URL".to_owned(),
            None => format!("the library in {}", config.data_dir.display()),
        };
        let database = join(&config.database()).await?;
        let done = self.perform(&database, terminal, &place).await;
        database.close().await;
        done
    }

    async fn perform(self, Database { store, .. }: &Database, terminal: &Terminal, place: &str) -> anyhow::Result<()> {
        match self.action {
            Action::Create(create) => {
                let now = store.now().await?;
                let new = NewToken {
                    account: create.account,
                    description: create.description,
                    scope: create.scope.into(),
                    expires_at: create.days.map(|days| now + TimeDelta::days(days.into())),
                };
                let (token, secret) = create_token(store, &new).await?;
                let input = json!({ "account": new.account, "scope": new.scope, "id": token.id });
                record(store, "createToken", input).await?;
                let text = format!(
                    "A token of {} is made for {place}. It is told only this once:\n\n    {}\n\nThe commands take it from SCV_TOKEN; \
                     other programs send it as `Authorization: Bearer {}…`.",
                    token.account,
                    secret.reveal(),
                    &secret.reveal()[..8],
                );
                let answer = Listed {
                    secret: Some(secret.reveal().to_owned()),
                    ..token.into()
                };
                terminal.answer(&answer, text)
            }
            Action::List { .. } => {
                let tokens: Vec<Listed> = all(store).await?.into_iter().map(Listed::from).collect();
                let heading = [">number", "account", "scope", "made", "ends", "last used", "for"];
                let rows = tokens.iter().map(|token| {
                    vec![
                        token.number.to_string(),
                        token.account.to_string(),
                        format!("{:?}", token.scope).to_lowercase(),
                        day(Some(token.created_at)),
                        match token.revoked_at {
                            Some(_) => "revoked".to_owned(),
                            None => day(token.expires_at),
                        },
                        day(token.last_used_at),
                        token.description.to_string(),
                    ]
                });
                let text = table(&heading, rows);
                terminal.answer(&tokens, format!("tokens of {place}\n{text}"))
            }
            Action::Revoke { number, .. } => {
                let known = store.tokens_by_id(&[TokenId(number)]).await?.pop();
                let Some(token) = known else {
                    anyhow::bail!("{place} has no token {number}: `scv token list` lists them");
                };
                let mut tx = store.begin().await?;
                tx.revoke_token(token.id).await?;
                tx.commit().await?;
                record(store, "revokeToken", json!({ "id": number })).await?;
                let text = format!("token {number} of {} lets nobody in any more", token.account);
                let ended = store.tokens_by_id(&[token.id]).await?.pop().unwrap_or(token);
                terminal.answer(&Listed::from(ended), text)
            }
        }
    }
}

/// Writes down what was done here, as by nobody and from nowhere: whoever does it may do with the database what they like.
async fn record(store: &Store, mutation: &str, input: serde_json::Value) -> anyhow::Result<()> {
    let entry = NewAuditEntry {
        access: Access::FULL,
        address: None,
        mutation: mutation.to_owned(),
        input,
        code: None,
    };
    Ok(store.put_audit_entry(&entry).await?)
}

async fn all(store: &Store) -> anyhow::Result<Vec<Token>> {
    let (mut tokens, mut after) = (Vec::new(), None);
    loop {
        let slice = store.tokens_page(&Page::new(Some(100), after, None, None)?).await?;
        tokens.extend(slice.entries);
        if !slice.has_next {
            return Ok(tokens);
        }
        after = tokens.last().map(|token| token.id.0);
    }
}

fn day(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| time.format("%Y-%m-%d").to_string())
}
