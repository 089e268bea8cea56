//! `scv token`

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::analyst_role::open_existing;
use super::exit::not_found;
use super::table::table;
use super::terminal::Terminal;
use crate::config::Config;
use crate::config::value::whole;
use scv_domain::access::{Access, NewAuditEntry, NewToken, Scope, Token};
use scv_domain::id::TokenId;
use scv_domain::page::Page;
use scv_domain::text::{AccountName, Description};
use scv_service::create_token;
use scv_store::{CurrentChange, Database, Store};

/// Create, list and revoke access tokens
///
/// These commands open the library themselves, whether or not a server is running, so that the first token can be created.
/// Use the same --data-dir or --database-url as for `scv serve`. With a token of scope admin, tokens can also be created
/// through the API.
#[derive(Debug, Args)]
pub(super) struct TokenCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a token; its secret will not be shown again
    Create(Create),
    /// List all tokens
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        config: Config,
    },
    /// Revoke a token for good
    #[command(visible_alias = "rm")]
    Revoke {
        /// Number of the token in the list
        #[arg(value_parser = whole::<i64>(1..=u64::MAX))]
        number: i64,
        #[command(flatten)]
        config: Config,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Account of the token; a new account is created with its first token
    #[arg(value_parser = |text: &str| AccountName::try_from(text.to_owned()))]
    account: AccountName,
    /// What the token allows
    #[arg(long, value_enum, default_value_t = ScopeChoice::Read)]
    scope: ScopeChoice,
    /// Days until the token expires [default: never]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=65_535))]
    days: Option<u16>,
    /// What the token is for
    #[arg(long, default_value = "", hide_default_value = true, value_parser = |text: &str| Description::try_from(text.to_owned()))]
    description: Description,
    #[command(flatten)]
    config: Config,
}

/// What a token allows; each scope includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScopeChoice {
    /// Read what its account may see, and analyse uploaded images and activations
    Read,
    /// Register models and data sets, change what its account owns, start jobs, and create tokens of its account
    Write,
    /// See and change everything, create tokens of all accounts, and read the audit log
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

/// A token as it is listed.
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
    /// Only of a token that has just been created.
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

/// The library that the command opens.
struct Place {
    /// For messages.
    name: String,
    /// The option that another command needs to open it.
    option: String,
}

impl TokenCommand {
    /// The settings of the library.
    pub(super) fn config(&self) -> &Config {
        match &self.action {
            Action::Create(create) => &create.config,
            Action::List { config } | Action::Revoke { config, .. } => config,
        }
    }

    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let config = self.config();
        let place = Place {
            name: match &config.database_url {
                Some(_) => "the database at --database-url".to_owned(),
                None => format!("the library in {}", config.data_dir.display()),
            },
            option: config.library_option(),
        };
        let spinner = terminal.spinner("opening the library");
        let database = open_existing(config).await?;
        drop(spinner);
        let done = self.perform(&database, terminal, &place).await;
        database.close().await;
        done
    }

    async fn perform(
        self,
        Database { store, .. }: &Database,
        terminal: &Terminal,
        place: &Place,
    ) -> anyhow::Result<()> {
        let Place { name: place, option } = place;
        match self.action {
            Action::Create(create) => {
                let now = store.now().await?;
                let new = NewToken {
                    account: create.account,
                    description: create.description,
                    scope: create.scope.into(),
                    expires_at: create.days.map(|days| now + TimeDelta::days(days.into())),
                };
                let input = json!({ "account": new.account, "scope": new.scope });
                let (token, secret) = create_token(&recording(store, "createToken", input), &new).await?;
                let text = format!(
                    "created a token of {} for {place}; it will not be shown again:\n\n    {}\n\nset SCV_TOKEN to it for the scv commands; \
                     other programs send it in the header `Authorization: Bearer {}…`",
                    token.account,
                    secret.reveal(),
                    &secret.reveal()[..8],
                );
                let created = Listed {
                    secret: Some(secret.reveal().to_owned()),
                    ..token.into()
                };
                terminal.print(&created, text)
            }
            Action::List { .. } => {
                let tokens: Vec<Listed> = all(store).await?.into_iter().map(Listed::from).collect();
                let heading = [
                    ">number",
                    "account",
                    "scope",
                    "created",
                    "expires",
                    "last used",
                    "description",
                ];
                let rows = tokens.iter().map(|token| {
                    vec![
                        token.number.to_string(),
                        token.account.to_string(),
                        format!("{:?}", token.scope).to_lowercase(),
                        day(Some(token.created_at)),
                        if token.revoked_at.is_some() {
                            "revoked".to_owned()
                        } else {
                            day(token.expires_at)
                        },
                        day(token.last_used_at),
                        token.description.to_string(),
                    ]
                });
                let text = table(&heading, rows);
                terminal.print(&tokens, format!("tokens of {place}\n{text}"))
            }
            Action::Revoke { number, .. } => {
                let known = store.tokens_by_id(&[TokenId(number)]).await?.pop();
                let Some(token) = known else {
                    return Err(not_found(format!(
                        "{place} has no token {number}: list them with `scv token list{option}`"
                    )));
                };
                let mut tx = recording(store, "revokeToken", json!({ "id": number })).begin().await?;
                tx.revoke_token(token.id).await?;
                tx.commit().await?;
                let text = format!("revoked token {number} of {}", token.account);
                let revoked = store.tokens_by_id(&[token.id]).await?.pop().unwrap_or(token);
                terminal.print(&Listed::from(revoked), text)
            }
        }
    }
}

/// The same library for a change that is recorded without an account and an address: a user who can open the library can do
/// anything with it.
fn recording(store: &Store, mutation: &str, input: serde_json::Value) -> Store {
    let change = CurrentChange::default();
    change.begin(Some(NewAuditEntry {
        access: Access::FULL,
        address: None,
        mutation: mutation.to_owned(),
        input,
        code: None,
        further_failures: 0,
    }));
    store.recording(change)
}

async fn all(store: &Store) -> anyhow::Result<Vec<Token>> {
    let (mut tokens, mut after) = (Vec::new(), None);
    loop {
        let slice = store
            .tokens_page(None, &Page::new(Some(100), after, None, None)?)
            .await?;
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
