#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;
use crate::cli::arguments::program;

fn parse(text: &str) -> Result<SettingsFile, SettingsError> {
    SettingsFile::parse(Path::new("config.toml"), text, &program(Cli::command()))
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn settings_are_strings_numbers_booleans_and_lists() {
    let text = "listen = \"0.0.0.0:8000\"\nmax-depth = 30\nno-introspection = true\nallow-origin = [\"https://a\", \"https://b\"]\n\
                max-body-bytes = 0x10_0000\nmax-file-bytes = \"2 GiB\"\n";
    let file = parse(text).unwrap();
    let values = |key| file.get(key).unwrap().values.clone();
    assert_eq!(values("listen"), ["0.0.0.0:8000"]);
    assert_eq!(values("max-depth"), ["30"]);
    assert_eq!(values("no-introspection"), ["true"]);
    assert_eq!(values("allow-origin"), ["https://a", "https://b"]);
    assert_eq!(values("max-body-bytes"), ["1048576"]);
    assert_eq!(values("max-file-bytes"), ["2 GiB"]);
    assert_eq!(file.get("allow-origin").unwrap().line, 4);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let message = refused("# limits\n\nmax-dept = 30\n");
    assert_eq!(
        message,
        "config.toml:3: unknown setting max-dept; the nearest known one is max-depth"
    );
    let message = refused("epochs = 3\n");
    assert!(
        message.starts_with("config.toml:1: unknown setting epochs"),
        "{message}"
    );
}

#[test]
fn a_value_that_does_not_parse_is_named_with_what_is_accepted() {
    let message = refused("max-depth = 99\n");
    assert_eq!(
        message,
        "config.toml:1: invalid value \"99\" for max-depth: expected a whole number from 1 to 60"
    );
    let message = refused("access = \"closed\"\n");
    assert!(
        message.ends_with("for access: expected one of open, tokens"),
        "{message}"
    );
    let message = refused("server = \"ftp://here\"\n");
    assert!(message.contains("expected an http or https URL"), "{message}");
    let message = refused("listen = 8000\n");
    assert!(message.contains("for listen: expected HOST:PORT"), "{message}");
    let message = refused("no-introspection = \"perhaps\"\n");
    assert!(message.ends_with("expected yes or no, or true or false"), "{message}");
    let message = refused("max-body-bytes = \"2 megabytes\"\n");
    assert!(
        message.contains("for max-body-bytes: expected a number of bytes"),
        "{message}"
    );
    let message = refused("max-depth = 2026-01-01\n");
    assert!(
        message.contains("max-depth must be text in quotes, a number"),
        "{message}"
    );
    let message = refused("max-depth = [1, 2]\n");
    assert!(message.contains("takes one value, not a list"), "{message}");
    let message = refused("[limits]\nmax-depth = 1\n");
    assert!(
        message.starts_with("config.toml:1: settings have no sections"),
        "{message}"
    );
}

#[test]
fn all_faults_are_reported_in_the_order_of_the_file() {
    let message = refused("listen = 1\nmax-depth = \"deep\"\ncolour = \"red\"\n");
    let lines: Vec<_> = message.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["config.toml:1:", "config.toml:2:", "config.toml:3:"]);
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line() {
    let message = refused("listen = \"here\"\nmax-depth =\n");
    assert!(
        message.starts_with("config.toml:2: max-depth: not valid TOML ("),
        "{message}"
    );
    let message = refused("# A comment\nllm-key = k3y\n");
    assert!(
        message.starts_with("config.toml:2: llm-key: not valid TOML ("),
        "{message}"
    );
    assert!(
        message.contains("expected KEY = VALUE with text in quotes"),
        "{message}"
    );
    assert!(!message.contains("k3y"), "{message}");
    let message = refused("max-depth = 30\nmax-depth = 31\n");
    assert_eq!(
        message,
        "config.toml:2: max-depth is set twice: remove one of the two lines"
    );
}

#[test]
fn secrets_must_not_be_in_a_file() {
    let message = refused("token = \"scv_1\"\n");
    assert!(
        message.contains("SCV_TOKEN") && message.contains("token-file") && !message.contains("scv_1"),
        "{message}"
    );
    let message = refused("llm-key = \"k3y\"\n");
    assert!(message.contains("SCV_LLM_KEY") && !message.contains("k3y"), "{message}");
}

#[test]
fn an_option_takes_precedence_over_the_file_and_the_file_over_the_default() {
    let file = parse("max-depth = 30\nmax-fields = 40\n").unwrap();
    let program = file.apply(program(Cli::command()));
    let matches = program
        .try_get_matches_from(["scv", "serve", "--max-depth", "31"])
        .unwrap();
    let (_, serve) = matches.subcommand().unwrap();
    let values = ["depth", "fields", "aliases"].map(|id| serve.get_raw(id).unwrap().next().unwrap().to_owned());
    assert_eq!(values, ["31", "40", "64"]);
}

#[test]
fn a_missing_file_is_an_error_only_where_it_was_named() {
    let program = program(Cli::command());
    let nowhere = Path::new("/nonexistent/config.toml");
    assert!(SettingsFile::read(nowhere, true, &program).unwrap().is_none());
    let message = SettingsFile::read(nowhere, false, &program).unwrap_err().to_string();
    assert!(
        message.contains("cannot read the settings file /nonexistent/config.toml"),
        "{message}"
    );
}
