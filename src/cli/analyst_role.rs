//! `scv analyst-role`

use std::fmt::Write as _;
use std::io;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Args;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::Serialize;

use super::exit::not_found;
use super::terminal::Terminal;
use crate::config::Config;
use crate::shell;
use scv_store::{Database, join, psql};

/// The longest name that PostgreSQL does not truncate.
const MAX_NAME_LENGTH: usize = 63;

/// Number of random bytes of a password: a multiple of three, so that base64 needs no padding.
const PASSWORD_BYTES: usize = 24;

/// Create a database role for analysts, which can only read the schema analytics
///
/// If the role exists, its privileges and its password are set again. docs/sql.md describes the schema. The command opens
/// the database itself, whether or not a server is running.
#[derive(Debug, Args)]
pub(super) struct AnalystRole {
    /// Name of the role
    #[arg(long, default_value = "scv_analyst", value_parser = role_name)]
    name: String,
    /// Read the password from standard input instead of generating one
    #[arg(long)]
    password_stdin: bool,
    /// Drop the role
    #[arg(long, conflicts_with = "password_stdin")]
    revoke: bool,
    #[command(flatten)]
    pub(super) config: Config,
}

/// The result.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleResult {
    role: String,
    /// Only a generated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// The connection string; none if the role was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
}

/// Opens the database of a library that exists already. If it is not running, it is started for this command.
///
/// # Errors
/// There is no library, or it cannot be opened.
pub(super) async fn open_existing(config: &Config) -> anyhow::Result<Database> {
    if !config.has_library() {
        let directory = config.data_dir.display();
        return Err(not_found(format!(
            "there is no library in {directory}: check --data-dir, or create one with `scv migrate --data-dir {}`",
            shell::word(&directory.to_string())
        )));
    }
    Ok(join(&config.database()).await?)
}

impl AnalystRole {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let given = if self.password_stdin {
            Some(given_password()?)
        } else {
            None
        };
        let spinner = terminal.spinner("opening the library");
        let database = open_existing(&self.config).await?;
        drop(spinner);
        let done = if self.revoke {
            self.drop_role(&database, terminal).await
        } else {
            self.create_role(&database, given, terminal).await
        };
        database.close().await;
        done
    }

    async fn drop_role(&self, database: &Database, terminal: &Terminal) -> anyhow::Result<()> {
        database.store.drop_analyst(&self.name).await?;
        let result = RoleResult {
            role: self.name.clone(),
            password: None,
            connection: None,
        };
        terminal.print(&result, format_args!("dropped the role {}", self.name))
    }

    async fn create_role(&self, database: &Database, given: Option<String>, terminal: &Terminal) -> anyhow::Result<()> {
        // The embedded database needs no password: access to its socket is enough.
        let is_embedded = self.config.database_url.is_none();
        let generated = if given.is_none() && !is_embedded {
            Some(new_password()?)
        } else {
            None
        };
        let password = given.as_deref().or(generated.as_deref());
        database.store.make_analyst(&self.name, password).await?;

        let connection = database.store.connection_string(&self.name);
        let psql = if is_embedded {
            psql(&self.config.database())
        } else {
            None
        };
        let psql = psql.map(|path| path.display().to_string());
        let psql = psql.unwrap_or_else(|| "psql".to_owned());
        let mut text = format!(
            "The role {} can read the schema analytics, and nothing else.\n\n",
            self.name
        );
        if let Some(password) = &generated {
            write!(
                text,
                "    password: {password}\n\nIt will not be shown again. Connect with\n\n"
            )?;
        } else if is_embedded {
            text +=
                "While a server is running on the embedded database, users with access to its socket connect with\n\n";
        } else {
            text += "Connect with\n\n";
        }
        write!(text, "    {} \"{}\"", shell::word(&psql), escaped(&connection))?;
        let result = RoleResult {
            role: self.name.clone(),
            password: generated,
            connection: Some(connection),
        };
        terminal.print(&result, text)
    }
}

fn role_name(name: &str) -> Result<String, String> {
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || name.contains('\0') {
        return Err(format!("the name of a role must have 1 to {MAX_NAME_LENGTH} bytes"));
    }
    Ok(name.to_owned())
}

/// The first line of standard input.
fn given_password() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin()
        .read_line(&mut line)
        .context("cannot read the password from standard input")?;
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() || password.contains('\0') {
        bail!("standard input contains no password");
    }
    Ok(password.to_owned())
}

/// A password from the operating system's random number generator, so that it cannot be guessed.
fn new_password() -> anyhow::Result<String> {
    let mut bytes = [0; PASSWORD_BYTES];
    SysRng
        .try_fill_bytes(&mut bytes)
        .context("the operating system has no random numbers")?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// A text between a shell's double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if "\"\\$`".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_distinct() {
        let passwords: Vec<_> = (0..10)
            .map(|_| new_password().expect("there is a random number generator"))
            .collect();
        for (index, password) in passwords.iter().enumerate() {
            assert_eq!(password.len(), PASSWORD_BYTES / 3 * 4);
            assert!(!passwords[..index].contains(password));
        }
    }

    #[test]
    fn characters_that_a_shell_would_interpret_are_escaped() {
        assert_eq!(escaped("/my programs/$x`y\"\\"), "/my programs/\\$x\\`y\\\"\\\\");
    }

    #[test]
    fn a_name_that_postgresql_would_truncate_is_refused() {
        assert!(role_name(&"x".repeat(63)).is_ok());
        assert!(role_name(&"x".repeat(64)).is_err());
        assert!(role_name("").is_err());
    }
}
