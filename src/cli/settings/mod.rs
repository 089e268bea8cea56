//! The settings file: TOML whose keys are the long options of the settings.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use toml::de::{DeTable, DeValue};

/// Keys that must not be in a file, with what to use instead.
const SECRETS: [(&str, &str); 2] = [
    (
        "token",
        "set SCV_TOKEN, or name a file that contains the token with token-file",
    ),
    ("llm-key", "set SCV_LLM_KEY"),
];

/// The settings of a file.
#[derive(Debug)]
pub(super) struct SettingsFile {
    /// Where it is.
    pub(super) path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// One setting of a file, in the form of the command line.
#[derive(Debug)]
pub(super) struct Entry {
    /// The values: several for a list.
    values: Vec<String>,
    /// The line of the key, from 1.
    pub(super) line: usize,
}

/// Why a settings file is refused: each error with its file and line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct SettingsError(String);

/// Whether an argument is a setting: it can be given in the environment and in a file.
pub(super) fn is_setting(argument: &Arg) -> bool {
    argument.get_env().is_some() && argument.get_id() != "config"
}

impl SettingsFile {
    /// Reads a file, and checks its keys and values against the settings of a program. There may be no file at a default
    /// path.
    ///
    /// # Errors
    /// The file cannot be read, or has errors: all of them.
    pub(super) fn read(path: &Path, is_default: bool, program: &Command) -> Result<Option<Self>, SettingsError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if is_default && error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let path = path.display();
                return Err(SettingsError(format!("cannot read the settings file {path}: {error}")));
            }
        };
        Self::parse(path, &text, program).map(Some)
    }

    fn parse(path: &Path, text: &str, program: &Command) -> Result<Self, SettingsError> {
        let at = |offset: usize| text[..offset].matches('\n').count() + 1;
        let located = |line: usize, message: String| format!("{}:{line}: {message}", path.display());
        let table = DeTable::parse(text).map_err(|error| {
            let line = at(error.span().map_or(0, |span| span.start).min(text.len()));
            let content = text.lines().nth(line - 1).unwrap_or_default();
            SettingsError(located(line, syntax_error(error.message(), content)))
        })?;
        let known = known_settings(program);
        let (mut entries, mut errors) = (BTreeMap::new(), Vec::new());
        for (key, value) in table.get_ref() {
            let line = at(key.span().start);
            match check(&known, key.get_ref(), value.get_ref()) {
                Ok(values) => {
                    entries.insert(key.get_ref().to_string(), Entry { values, line });
                }
                Err(message) => errors.push((line, message)),
            }
        }
        if errors.is_empty() {
            let path = path.to_owned();
            return Ok(Self { path, entries });
        }
        errors.sort_unstable();
        let errors = errors.into_iter().map(|(line, message)| located(line, message));
        Err(SettingsError(errors.collect::<Vec<_>>().join("\n")))
    }

    /// The setting of a long option.
    pub(super) fn get(&self, option: &str) -> Option<&Entry> {
        self.entries.get(option)
    }

    /// The program with the values of the file as defaults: options and the environment take precedence.
    pub(super) fn apply(&self, program: Command) -> Command {
        let program = program.mut_args(|argument| {
            let entry = argument.get_long().and_then(|option| self.get(option));
            match entry {
                Some(entry) if is_setting(&argument) => argument.default_values(entry.values.clone()),
                _ => argument,
            }
        });
        program.mut_subcommands(|command| self.apply(command))
    }
}

/// A program that has all settings of another one as options, and nothing else.
fn known_settings(program: &Command) -> Command {
    let mut known: BTreeMap<String, Arg> = BTreeMap::new();
    let mut pending = vec![program];
    while let Some(command) = pending.pop() {
        for argument in command.get_arguments().filter(|argument| is_setting(argument)) {
            if let Some(option) = argument.get_long() {
                known
                    .entry(option.to_owned())
                    .or_insert_with(|| as_option(option, argument));
            }
        }
        pending.extend(command.get_subcommands());
    }
    Command::new("settings")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(known.into_values())
}

/// A setting as an option that takes one value, whatever other options there are.
fn as_option(option: &str, argument: &Arg) -> Arg {
    let is_list = matches!(argument.get_action(), ArgAction::Append);
    Arg::new(option.to_owned())
        .long(option.to_owned())
        .value_parser(argument.get_value_parser().clone())
        .action(if is_list { ArgAction::Append } else { ArgAction::Set })
        .num_args(1)
        .allow_hyphen_values(true)
}

/// The values of a setting, checked.
fn check(known: &Command, key: &str, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    if let Some((_, instead)) = SECRETS.iter().find(|(secret, _)| *secret == key) {
        return Err(format!(
            "{key} must not be in a settings file, because it is a secret: {instead}"
        ));
    }
    if value.is_table() {
        return Err(format!(
            "settings have no sections: write the settings of [{key}] at the top level"
        ));
    }
    let Some(setting) = known.get_arguments().find(|argument| argument.get_long() == Some(key)) else {
        return Err(unknown(known, key));
    };
    let values = values_of(value).ok_or_else(|| format!("{key} must be text in quotes, a number, true or false"))?;
    if values.len() != 1 && !matches!(setting.get_action(), ArgAction::Append) {
        return Err(format!("{key} takes one value, not a list"));
    }
    for value in &values {
        let arguments = [format!("--{key}={value}")];
        if let Err(error) = known.clone().try_get_matches_from(arguments) {
            let reason = error.source().map(ToString::to_string);
            let reason = reason.unwrap_or_else(|| expected(setting));
            return Err(format!("invalid value {value:?} for {key}: {reason}"));
        }
    }
    Ok(values)
}

/// The error about a line that is not TOML. Of its content only the key is quoted: the value can be a secret.
fn syntax_error(message: &str, content: &str) -> String {
    let key = content.split_once('=').map_or("", |(key, _)| key.trim());
    // What is not a key can be a part of a value.
    let is_key = key
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let key = if is_key { key } else { "" };
    if message == "duplicate key" && !key.is_empty() {
        return format!("{key} is set twice: remove one of the two lines");
    }
    let place = if key.is_empty() {
        String::new()
    } else {
        format!("{key}: ")
    };
    // The rest of the message lists grammar.
    let reason = message.split(", expected").next().unwrap_or(message);
    format!(
        "{place}not valid TOML ({reason}); expected KEY = VALUE with text in quotes, such as \
         listen = \"127.0.0.1:8000\" or max-depth = 30"
    )
}

/// The error about an unknown key, with the nearest known one.
fn unknown(known: &Command, key: &str) -> String {
    let error = known.clone().try_get_matches_from([format!("--{key}=")]).err();
    let nearest = error.as_ref().and_then(|error| error.get(ContextKind::SuggestedArg));
    match nearest {
        Some(ContextValue::String(option)) => {
            let nearest = option.trim_start_matches('-');
            format!("unknown setting {key}; the nearest known one is {nearest}")
        }
        _ => format!("unknown setting {key}; list the known ones with `scv config show`"),
    }
}

/// A value as the command line would give it; none for values that no setting has.
fn values_of(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::Array(values) => values.iter().map(|value| scalar(value.get_ref())).collect(),
        value => Some(vec![scalar(value)?]),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(is_set) => Some(is_set.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// What a setting accepts whose parser does not say so itself: one of a few words.
fn expected(setting: &Arg) -> String {
    let possible = setting.get_value_parser().possible_values().into_iter().flatten();
    let names: Vec<_> = possible.map(|value| value.get_name().to_owned()).collect();
    if names.is_empty() {
        "expected a value that is not empty".to_owned()
    } else {
        format!("expected one of {}", names.join(", "))
    }
}
