//! Parses the arguments of the program to a command: help, global options and the settings file.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use super::settings::{SettingsError, SettingsFile};
use super::{Cli, usage};
use crate::config::{self, GLOBAL};

/// Commands that do not talk to a running server.
const LOCAL: [&str; 10] = [
    "analyst-role",
    "bench-ingest",
    "completions",
    "demo",
    "man",
    "migrate",
    "schema",
    "serve",
    "token",
    "trace",
];

/// Commands that open the library themselves.
const OPENS_LIBRARY: [&str; 6] = ["analyst-role", "config", "demo", "migrate", "serve", "token"];

/// Commands that open a library whether or not a server is running on it.
const BESIDE_SERVER: [&str; 3] = ["analyst-role", "migrate", "token"];

/// Headings of the settings that the help of such a command shows: those that say which library it opens.
const LIBRARY_HEADINGS: [&str; 2] = ["Storage", GLOBAL];

/// Options of clients, which are hidden in the help of other commands.
const CLIENT_OPTIONS: [&str; 3] = ["server", "token_file", "token"];

const DATA_DIR: &str = "data_dir";

/// What the program was called with.
pub(super) struct Invocation {
    pub(super) cli: Cli,
    /// The program with the values of the settings file as defaults.
    pub(super) program: Command,
    pub(super) matches: ArgMatches,
    pub(super) file: Option<SettingsFile>,
}

/// Why the arguments are not a command.
pub(super) enum ArgumentError {
    /// A mistake in the arguments, or a request for help.
    Usage(clap::Error),
    /// The settings file is refused.
    Settings(SettingsError),
}

impl From<clap::Error> for ArgumentError {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

/// Whether the arguments request JSON, even if they have mistakes.
pub(super) fn wants_json(arguments: &[OsString]) -> bool {
    options(arguments).any(|argument| argument == "--json")
}

/// The arguments up to `--`.
pub(super) fn options(arguments: &[OsString]) -> impl Iterator<Item = &OsString> {
    arguments.iter().skip(1).take_while(|argument| *argument != "--")
}

/// The settings file to read, and whether it is the default one, which need not exist.
pub(super) fn settings_path(arguments: &[OsString]) -> Option<(PathBuf, bool)> {
    let mut options = options(arguments);
    let mut given = None;
    while let Some(argument) = options.next() {
        if argument == "--config" {
            given = options.next().map(PathBuf::from);
        } else if let Some(path) = argument.to_str().and_then(|text| text.strip_prefix("--config=")) {
            given = Some(PathBuf::from(path));
        }
    }
    let named = given.or_else(config::settings_file_of_environment);
    match named {
        Some(path) => Some((path, false)),
        None => Some((config::default_settings_file()?, true)),
    }
}

/// Parses the arguments to a command, with the settings of the file.
///
/// # Errors
/// Help was requested, the arguments have a mistake, or the settings file is refused and the command needs settings.
pub(super) fn parse(arguments: &[OsString]) -> Result<Invocation, ArgumentError> {
    let program = program(Cli::command());
    let read = match settings_path(arguments) {
        Some((path, is_default)) => SettingsFile::read(&path, is_default, &program),
        None => Ok(None),
    };
    let mut program = match &read {
        Ok(Some(file)) => file.apply(program),
        _ => program,
    };
    let matches = program
        .try_get_matches_from_mut(arguments)
        .map_err(|error| usage::explained(error, &program, arguments))?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    let file = match read {
        Err(error) if cli.command.has_settings() => return Err(ArgumentError::Settings(error)),
        read => read.ok().flatten(),
    };
    if let Some(config) = cli.command.config() {
        config
            .check()
            .map_err(|message| program.error(ErrorKind::MissingRequiredArgument, message))?;
    }
    let is_option = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
    if is_option("token") && is_option("token_file") {
        let message = "--token and --token-file cannot be used together";
        return Err(program.error(ErrorKind::ArgumentConflict, message).into());
    }
    cli.client.is_server_given = is_option("server");
    cli.client.is_token_file_given = is_option("token_file");
    Ok(Invocation {
        cli,
        program,
        matches,
        file,
    })
}

/// Whether a URL, such as `postgres://user:password@host/database`, has a password.
fn has_password(url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.is_some_and(|user| user.contains(':')) || rest.contains("password=")
}

impl Invocation {
    /// The command itself, without the commands around it, with its arguments.
    pub(super) fn leaf(&self) -> (&Command, &ArgMatches) {
        let (mut command, mut matches) = (&self.program, &self.matches);
        while let Some((name, inner)) = matches.subcommand() {
            let Some(found) = command.find_subcommand(name) else {
                break;
            };
            (command, matches) = (found, inner);
        }
        (command, matches)
    }

    /// The secrets among the options, each with the variable that hides it: other users of the machine can read the options of
    /// a running program.
    pub(super) fn exposed_secrets(&self) -> Vec<(&'static str, &'static str)> {
        let matches = self.leaf().1;
        let is_option =
            |id| matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine);
        let has_password = || {
            let url = matches.try_get_one::<String>("database_url").ok().flatten();
            url.is_some_and(|url| has_password(url))
        };
        let mut secrets = Vec::new();
        if is_option("token") {
            secrets.push(("--token", "SCV_TOKEN or --token-file"));
        }
        if is_option("database_url") && has_password() {
            secrets.push(("--database-url", "DATABASE_URL"));
        }
        secrets
    }

    /// The long options of the command.
    pub(super) fn options(&self) -> Vec<String> {
        let arguments = self.leaf().0.get_arguments();
        arguments
            .filter_map(|argument| argument.get_long().map(str::to_owned))
            .collect()
    }
}

/// The program as it is parsed, from what its types declare.
pub(super) fn program(program: Command) -> Command {
    with_numbers(with_global_options(program))
}

/// Accepts `--data-dir` everywhere, and hides options in the help of commands that do not use them.
fn with_global_options(program: Command) -> Command {
    let find = |command: &Command, id: &str| {
        command
            .get_arguments()
            .find(|argument| argument.get_id() == id)
            .cloned()
    };
    let serve = program.find_subcommand("serve");
    let data_dir = serve
        .and_then(|serve| find(serve, DATA_DIR))
        .map(|argument| argument.global(true).help_heading(GLOBAL));
    let program = program.args(data_dir);
    let hidden = |ids: &[&str]| -> Vec<_> {
        let found = ids.iter().filter_map(|id| find(&program, id));
        found.map(|argument| argument.hide(true)).collect()
    };
    let (of_clients, of_library) = (hidden(&CLIENT_OPTIONS), hidden(&[DATA_DIR]));
    program.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        let is_one_of = |names: &[&str]| names.contains(&name.as_str());
        let mut command = command;
        if is_one_of(&LOCAL) {
            command = command.args(of_clients.clone());
        }
        if !is_one_of(&OPENS_LIBRARY) {
            command = command.args(of_library.clone());
        }
        if is_one_of(&BESIDE_SERVER) {
            command = without_service(command);
        }
        command
    })
}

/// A command whose help leaves out the settings of the server.
fn without_service(command: Command) -> Command {
    let command = command.mut_args(|argument| match argument.get_help_heading() {
        Some(heading) if !LIBRARY_HEADINGS.contains(&heading) => argument.hide(true),
        _ => argument,
    });
    command.mut_subcommands(without_service)
}

/// Accepts `-1` as the value of an option, so that the error says which numbers are accepted.
fn with_numbers(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        if argument.get_action().takes_values() {
            argument.allow_negative_numbers(true)
        } else {
            argument
        }
    });
    command.mut_subcommands(with_numbers)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use super::*;
    use crate::config::server_address;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn matches(line: &str) -> ArgMatches {
        program(Cli::command()).try_get_matches_from(arguments(line)).unwrap()
    }

    #[test]
    fn the_program_is_well_formed() {
        program(Cli::command()).debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in [
            "scv --server here:1 --json --token-file t model list",
            "scv model --server here:1 --json list --token-file t",
            "scv model list --server here:1 --json --token-file t",
        ] {
            let cli = Cli::from_arg_matches(&matches(line)).unwrap();
            assert_eq!(cli.client.server.as_str(), "http://here:1/", "{line}");
            assert_eq!(cli.client.token_file.as_deref(), Some(Path::new("t")), "{line}");
            assert!(cli.json, "{line}");
        }
        for line in [
            "scv --data-dir /d serve",
            "scv serve --data-dir /d",
            "scv token --data-dir /d list",
        ] {
            let cli = Cli::from_arg_matches(&matches(line)).unwrap();
            assert_eq!(cli.command.config().unwrap().data_dir, Path::new("/d"), "{line}");
        }
    }

    #[test]
    fn the_settings_file_is_found_before_the_arguments_are_parsed() {
        let path = |line| settings_path(&arguments(line));
        let named = Some((PathBuf::from("/a.toml"), false));
        assert_eq!(path("scv --config /a.toml serve"), named);
        assert_eq!(path("scv serve --config=/a.toml"), named);
        assert_ne!(path("scv trace -- --config=/a.toml"), named);
    }

    #[test]
    fn the_scheme_of_a_server_may_be_left_out_and_the_path_of_its_endpoint_may_be_given() {
        let address = |text| server_address(text).map(String::from);
        assert_eq!(address("127.0.0.1:8031").unwrap(), "http://127.0.0.1:8031/");
        assert_eq!(address("localhost:8031").unwrap(), "http://localhost:8031/");
        assert_eq!(
            address("https://scv.example.com/api").unwrap(),
            "https://scv.example.com/api"
        );
        for pasted in ["localhost:8031/graphql", "http://localhost:8031/graphql/"] {
            assert_eq!(address(pasted).unwrap(), "http://localhost:8031/", "{pasted}");
        }
        assert_eq!(
            address("https://scv.example.com/api/graphql").unwrap(),
            "https://scv.example.com/api"
        );
        assert!(address("ftp://here").is_err());
        assert!(address("").is_err());
    }

    #[test]
    fn a_password_in_a_database_url_is_found() {
        for (url, expected) in [
            ("postgres://scv:secret@host/scv", true),
            ("postgres://scv:secret@host:5432/scv?sslmode=require", true),
            ("postgres://host/scv?user=scv&password=secret", true),
            ("postgres://scv@host:5432/scv", false),
            ("postgres://host:5432/scv", false),
            ("postgres:///scv?host=/run", false),
        ] {
            assert_eq!(has_password(url), expected, "{url}");
        }
    }
}
