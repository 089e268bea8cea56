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

use super::terminal::Terminal;
use crate::config::Config;
use scv_store::{Database, join, psql};

/// Longest name that PostgreSQL does not cut off.
const MAX_NAME_LENGTH: usize = 63;

/// Random bytes of a password, a multiple of three.
const PASSWORD_BYTES: usize = 24;

/// Make a database role for analysts, which reads the schema analytics and nothing else
///
/// Run again, it renews the role's rights and password. `docs/sql.md` tells what there is to read. It works on the database
/// itself, beside a server that runs or without one.
#[derive(Debug, Args)]
pub(super) struct AnalystRole {
    /// What the role is called
    #[arg(long, default_value = "scv_analyst", value_parser = role_name)]
    name: String,
    /// Read the password from standard input in place of making one
    #[arg(long)]
    password_stdin: bool,
    /// Drop the role
    #[arg(long, conflicts_with = "password_stdin")]
    revoke: bool,
    #[command(flatten)]
    config: Config,
}

/// What was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    role: String,
    /// Only one that was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    /// How clients connect; none if the role was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
}

impl AnalystRole {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let given = match self.password_stdin {
            true => Some(given_password()?),
            false => None,
        };
        let database = join(&self.config.database()).await?;
        let done = match self.revoke {
            true => self.drop_role(&database, terminal).await,
            false => self.make_role(&database, given, terminal).await,
        };
        database.close().await;
        done
    }

    async fn drop_role(&self, database: &Database, terminal: &Terminal) -> anyhow::Result<()> {
        database.store.drop_analyst(&self.name).await?;
        let answer = Answer {
            role: self.name.clone(),
            password: None,
            connection: None,
        };
        terminal.answer(&answer, format_args!("the role {} is gone", self.name))
    }

    async fn make_role(&self, database: &Database, given: Option<String>, terminal: &Terminal) -> anyhow::Result<()> {
        // The embedded database asks nobody for a password: whoever reaches its socket is let in.
        let embedded = self.config.database_url.is_none();
        let made = match given.is_none() && !embedded {
            true => Some(new_password()?),
            false => None,
        };
        let password = given.as_deref().or(made.as_deref());
        database.store.make_analyst(&self.name, password).await?;

        let connection = database.store.connection_string(&self.name);
        let psql = match embedded {
            true => psql(&self.config.database()).map(|path| path.display().to_string()),
            false => None,
        };
        let psql = psql.unwrap_or_else(|| "psql".to_owned());
        let mut text = format!(
            "The role {} may read the schema analytics, and nothing else.\n\n",
            self.name
        );
        if let Some(password) = &made {
            write!(
                text,
                "    password: {password}\n\nIt is told only this once. Connect with\n\n"
            )?;
        } else if embedded {
            text += "While a server runs on the embedded database, whoever may open its socket connects with\n\n";
        } else {
            text += "Connect with\n\n";
        }
        write!(text, "    {} \"{}\"", shell_word(&psql), escaped(&connection))?;
        let answer = Answer {
            role: self.name.clone(),
            password: made,
            connection: Some(connection),
        };
        terminal.answer(&answer, text)
    }
}

fn role_name(name: &str) -> Result<String, String> {
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || name.contains('\0') {
        return Err(format!("a role's name has 1 to {MAX_NAME_LENGTH} bytes"));
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
        bail!("standard input holds no password");
    }
    Ok(password.to_owned())
}

/// A password from the operating system's random numbers: nobody shall be able to make it again.
fn new_password() -> anyhow::Result<String> {
    let mut bytes = [0; PASSWORD_BYTES];
    SysRng
        .try_fill_bytes(&mut bytes)
        .context("the operating system gives no random numbers")?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// A path as a word of a shell's command line.
fn shell_word(path: &str) -> String {
    match path.contains(|c: char| !c.is_alphanumeric() && !"/._-".contains(c)) {
        true => format!("\"{}\"", escaped(path)),
        false => path.to_owned(),
    }
}

/// What may stand between a shell's double quotes.
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
    fn passwords_are_long_and_no_two_are_alike() {
        let passwords: Vec<_> = (0..10).map(|_| new_password().expect("there is a generator")).collect();
        for (index, password) in passwords.iter().enumerate() {
            assert_eq!(password.len(), PASSWORD_BYTES / 3 * 4);
            assert!(!passwords[..index].contains(password));
        }
    }

    #[test]
    fn what_a_shell_would_read_as_its_own_is_escaped() {
        assert_eq!(shell_word("/usr/bin/psql"), "/usr/bin/psql");
        assert_eq!(shell_word("/my programs/$x`y\"\\"), "\"/my programs/\\$x\\`y\\\"\\\\\"");
    }

    #[test]
    fn a_name_that_postgresql_would_cut_off_is_refused() {
        assert!(role_name(&"x".repeat(63)).is_ok());
        assert!(role_name(&"x".repeat(64)).is_err());
        assert!(role_name("").is_err());
    }
}
