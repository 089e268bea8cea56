//! How a command ends: its exit code, and its error as text or as JSON.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::json;

use super::client::ClientError;

/// Exit codes, for the help and the manual page.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    failure
  2    invalid command line or settings file
  3    not found
  4    no valid token, or not allowed
  5    server unreachable, overloaded or too slow
  6    the job failed or was cancelled
  130  interrupted

With --json, an error is a JSON object on standard error: {\"error\": {\"code\": \"NOT_FOUND\", \"message\": \"…\"}}.";

/// Codes of errors that arise in the program itself; errors of the server have the codes of the API.
pub(super) mod code {
    pub(in crate::cli) const FAILURE: &str = "FAILURE";
    pub(in crate::cli) const USAGE: &str = "USAGE";
    pub(in crate::cli) const NOT_FOUND: &str = "NOT_FOUND";
    pub(in crate::cli) const UNREACHABLE: &str = "UNREACHABLE";
    pub(in crate::cli) const JOB_FAILED: &str = "JOB_FAILED";
    pub(in crate::cli) const INTERRUPTED: &str = "INTERRUPTED";
}

/// An error with a code. Errors without one have the code `FAILURE`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    code: &'static str,
    message: String,
}

/// An error with one of the codes of [`code`].
pub(super) fn failure(code: &'static str, message: impl Display) -> anyhow::Error {
    let message = message.to_string();
    Failure { code, message }.into()
}

/// An error about something that does not exist.
pub(super) fn not_found(message: impl Display) -> anyhow::Error {
    failure(code::NOT_FOUND, message)
}

/// The code of an error.
fn code_of(error: &anyhow::Error) -> &str {
    let own = error.downcast_ref::<Failure>().map(|failure| failure.code);
    let of_server = || error.downcast_ref::<ClientError>().map(ClientError::code);
    own.or_else(of_server).unwrap_or(code::FAILURE)
}

/// The exit code for the code of an error.
fn status(code: &str) -> u8 {
    match code {
        code::USAGE => 2,
        code::NOT_FOUND => 3,
        "UNAUTHENTICATED" | "FORBIDDEN" => 4,
        code::UNREACHABLE | "OVERLOADED" | "TIMEOUT" => 5,
        code::JOB_FAILED => 6,
        code::INTERRUPTED => 130,
        _ => 1,
    }
}

/// Reports an error on standard error. Fields of the API that it names become `options` of the command.
pub(super) fn report(error: &anyhow::Error, is_json: bool, options: &[String]) -> ExitCode {
    let code = code_of(error);
    let message = in_terms_of_options(&format!("{error:#}"), options);
    let line = if is_json {
        as_json(code, &message)
    } else if code == code::INTERRUPTED {
        message
    } else {
        format!("error: {message}")
    };
    say(&line);
    ExitCode::from(status(code))
}

/// Reports a mistake in the command line, or prints the help that was requested.
pub(super) fn report_usage(error: &clap::Error, is_json: bool) -> ExitCode {
    if is_json && error.use_stderr() {
        let text = error.render().to_string();
        let text = text.split("\n\nUsage:").next().unwrap_or(&text);
        let text = text.strip_prefix("error: ").unwrap_or(text).trim();
        say(&as_json(code::USAGE, text));
    } else {
        // If the output is closed, there is nowhere to report it.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn as_json(code: &str, message: &str) -> String {
    json!({ "error": { "code": code, "message": message } }).to_string()
}

fn say(line: &str) {
    // If standard error is closed, there is nowhere to report it.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A message in which fields of the API, such as `channelOrder`, are named as the options that set them.
fn in_terms_of_options(message: &str, options: &[String]) -> String {
    let parts: Vec<&str> = message.split('`').collect();
    // An unpaired backtick quotes nothing.
    if parts.len().is_multiple_of(2) {
        return message.to_owned();
    }
    let mut text = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index.is_multiple_of(2) {
            text.push_str(part);
            continue;
        }
        let option = option_of(part);
        if options.contains(&option) {
            text.push_str("--");
            text.push_str(&option);
        } else {
            text.push('`');
            text.push_str(part);
            text.push('`');
        }
    }
    text
}

/// The option that sets a field of the API.
fn option_of(field: &str) -> String {
    match field.strip_prefix("settings.").unwrap_or(field) {
        // Commands that take a test image by its index, too, call an image of the user's own a file.
        "image" => "file".to_owned(),
        "onnxData" => "data".to_owned(),
        "modelId" => "model".to_owned(),
        field => kebab_case(field),
    }
}

fn kebab_case(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let codes = [
            ("FAILURE", 1),
            ("BAD_USER_INPUT", 1),
            ("CONFLICT", 1),
            ("INTERNAL", 1),
            ("USAGE", 2),
            ("NOT_FOUND", 3),
            ("UNAUTHENTICATED", 4),
            ("FORBIDDEN", 4),
            ("UNREACHABLE", 5),
            ("OVERLOADED", 5),
            ("TIMEOUT", 5),
            ("JOB_FAILED", 6),
            ("INTERRUPTED", 130),
        ];
        for (code, expected) in codes {
            assert_eq!(status(code), expected, "{code}");
        }
    }

    #[test]
    fn an_error_keeps_its_code_under_a_context() {
        let error = not_found("there is no model \"a\"").context("cannot compare");
        assert_eq!(code_of(&error), "NOT_FOUND");
        assert_eq!(code_of(&anyhow!("the disk is full")), "FAILURE");
    }

    #[test]
    fn fields_of_the_api_are_named_as_options() {
        let options = ["output", "height", "data"].map(str::to_owned);
        let said = in_terms_of_options(
            "choose one with `output`; `onnxData` and `preprocessing` are not needed",
            &options,
        );
        assert_eq!(
            said,
            "choose one with --output; --data and `preprocessing` are not needed"
        );
        let options = ["learning-rate", "file", "image"].map(str::to_owned);
        assert_eq!(
            in_terms_of_options(
                "`settings.learningRate` must be above 0; `image` is not an image",
                &options
            ),
            "--learning-rate must be above 0; --file is not an image"
        );
        assert_eq!(
            in_terms_of_options("an unpaired ` stays", &options),
            "an unpaired ` stays"
        );
    }
}
