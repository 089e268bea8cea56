//! `scv config`

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Subcommand};
use reqwest::Url;
use serde::Serialize;
use serde_json::json;

use super::arguments::{self, Invocation};
use super::exit::not_found;
use super::settings::{SettingsFile, is_setting};
use super::table::table;
use super::terminal::Terminal;
use crate::config::{self, Config};
use scv_domain::access::Secret;

/// Shown in the place of a secret.
const HIDDEN: &str = "***";

/// Show the settings and where they come from
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all settings with their values and sources; secrets are hidden
    #[command(visible_alias = "list", alias = "ls")]
    Show(Box<Show>),
    /// Print the path of the settings file, which need not exist
    Path,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    config: Config,
}

/// One setting.
#[derive(Debug, Serialize)]
struct Setting {
    setting: String,
    /// None if it has no value.
    value: Option<String>,
    source: String,
}

impl ConfigCommand {
    /// Whether the settings file must be valid.
    pub(super) fn has_settings(&self) -> bool {
        matches!(self.action, Action::Show(_))
    }

    pub(super) fn run(&self, invocation: &Invocation, terminal: &Terminal) -> anyhow::Result<()> {
        match &self.action {
            Action::Show(show) => show.run(invocation, terminal),
            Action::Path => path(terminal),
        }
    }
}

fn path(terminal: &Terminal) -> anyhow::Result<()> {
    let Some((path, _)) = arguments::settings_path(&config::arguments()) else {
        return Err(not_found(
            "there is no home directory: name a settings file with --config or SCV_CONFIG",
        ));
    };
    terminal.print(&json!({ "path": path, "exists": path.exists() }), path.display())
}

impl Show {
    fn run(&self, invocation: &Invocation, terminal: &Terminal) -> anyhow::Result<()> {
        let (command, matches) = invocation.leaf();
        let arguments = command.get_arguments().filter(|argument| is_setting(argument));
        let mut settings: Vec<_> = arguments
            .filter_map(|argument| setting(argument, matches, invocation.file.as_ref()))
            .collect();
        let client = &invocation.cli.client;
        let is_option = client.token.is_some();
        let token = client.token.as_ref().or(client.environment_token.as_ref());
        settings.push(secret("token", "SCV_TOKEN", token, is_option));
        settings.push(secret("llm-key", "SCV_LLM_KEY", self.config.llm_key.as_ref(), false));
        settings.sort_by(|a, b| a.setting.cmp(&b.setting));
        let rows = settings.iter().map(|setting| {
            let value = setting.value.clone().unwrap_or_else(|| "-".to_owned());
            vec![setting.setting.clone(), value, setting.source.clone()]
        });
        let text = table(&["setting", "value", "source"], rows);
        terminal.print(&settings, text)
    }
}

fn setting(argument: &Arg, matches: &ArgMatches, file: Option<&SettingsFile>) -> Option<Setting> {
    let (id, option) = (argument.get_id().as_str(), argument.get_long()?);
    let source = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "option".to_owned(),
        Some(ValueSource::EnvVariable) => {
            let variable = argument.get_env().unwrap_or_default();
            format!("environment variable {}", variable.to_string_lossy())
        }
        _ => match file.and_then(|file| Some((&file.path, file.get(option)?.line))) {
            Some((path, line)) => format!("file {}:{line}", path.display()),
            None => "default".to_owned(),
        },
    };
    let values = matches.get_raw(id).map(|values| {
        let texts = values.map(|value| shown(argument, &OsString::from(value)));
        texts.collect::<Vec<_>>().join(",")
    });
    Some(Setting {
        setting: option.to_owned(),
        value: values,
        source,
    })
}

/// A value without the password that it may contain.
fn shown(argument: &Arg, value: &OsString) -> String {
    let text = value.to_string_lossy().into_owned();
    if !argument.is_hide_env_values_set() {
        return text;
    }
    let Some(mut url) = text.parse::<Url>().ok().filter(|url| url.password().is_some()) else {
        return text;
    };
    // A URL with a password has a host, and so can have another password.
    if url.set_password(Some(HIDDEN)).is_ok() {
        url.into()
    } else {
        HIDDEN.to_owned()
    }
}

fn secret(name: &str, variable: &str, value: Option<&Secret>, is_option: bool) -> Setting {
    let source = match value {
        None => "default".to_owned(),
        Some(_) if is_option => "option".to_owned(),
        Some(_) => format!("environment variable {variable}"),
    };
    Setting {
        setting: name.to_owned(),
        value: value.map(|_| HIDDEN.to_owned()),
        source,
    }
}
