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
  2    invalid command line, environment or settings file
  3    not found
  4    no valid token, or not allowed
  5    server unreachable, overloaded or too slow
  6    the job failed or was cancelled
  130  interrupted

With --json, an error is a JSON object on standard error: {\"error\": {\"code\": \"NOT_FOUND\", \"message\": \"…\"}}.";

/// Codes of errors that arise in the program itself. Errors of the server have the codes of the API, and the program uses
/// the same ones where it finds the same mistake.
pub(super) mod code {
    pub(in crate::cli) const FAILURE: &str = "FAILURE";
    pub(in crate::cli) const BAD_USER_INPUT: &str = "BAD_USER_INPUT";
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
    let message = in_terms_of_options(&without_numbers(&with_causes(error)), options);
    let line = if is_json {
        as_json(code, &message)
    } else if code == code::INTERRUPTED {
        message
    } else {
        format!("error: {message}")
    };
    write_error(&line);
    ExitCode::from(status(code))
}

/// An error with its causes. A cause that the text has already is not repeated, because many errors quote theirs.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// A message without the numbers that the operating system has for errors, such as ` (os error 2)`: words precede them.
fn without_numbers(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.split_once(')').map_or(part, |(_, rest)| rest);
        text.push_str(rest);
    }
    text
}

/// Reports a mistake in the command line, or prints the help that was requested.
pub(super) fn report_usage(error: &clap::Error, is_json: bool) -> ExitCode {
    if is_json && error.use_stderr() {
        let text = error.render().to_string();
        write_error(&as_json(code::USAGE, reason_of(&text)));
    } else {
        // If the output is closed, there is nowhere to report it.
        let _ = error.print();
    }
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The reason of a mistake, without the usage and the hint that follow it.
fn reason_of(text: &str) -> &str {
    let ends = ["\n\nUsage:", "\n\nFor more information"];
    let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text[..end].trim_start_matches("error: ").trim()
}

fn as_json(code: &str, message: &str) -> String {
    json!({ "error": { "code": code, "message": message } }).to_string()
}

fn write_error(line: &str) {
    // If standard error is closed, there is nowhere to report it.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A message in which fields of the API, such as `channelOrder`, are named as the options that set them.
pub(super) fn in_terms_of_options(message: &str, options: &[String]) -> String {
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
    let prefixes = ["settings.", "filter."];
    match prefixes
        .iter()
        .find_map(|prefix| field.strip_prefix(prefix))
        .unwrap_or(field)
    {
        // Commands that also accept the index of a test image use --file for an image of the user.
        "image" => "file".to_owned(),
        "onnxData" => "data".to_owned(),
        "modelId" | "models" => "model".to_owned(),
        "excludeModels" => "exclude-model".to_owned(),
        field => kebab_case(field),
    }
}

/// The words of a name such as `trainImages`, joined by hyphens.
pub(super) fn kebab_case(name: &str) -> String {
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
    fn causes_appear_once_and_without_numbers() {
        let missing = || std::io::Error::from_raw_os_error(2);
        let quoted = anyhow!("cannot read a.json: {}", missing());
        let doubled = anyhow::Error::new(missing()).context(quoted.to_string());
        let expected = "cannot read a.json: No such file or directory";
        assert_eq!(without_numbers(&with_causes(&doubled)), expected);
        let plain = anyhow::Error::new(missing()).context("cannot read a.json");
        assert_eq!(without_numbers(&with_causes(&plain)), expected);
        let inside = "cannot connect (Connection refused (os error 111)): start it";
        assert_eq!(without_numbers(inside), "cannot connect (Connection refused): start it");
    }

    #[test]
    fn the_reason_of_a_mistake_has_no_usage_and_no_hint() {
        let missing = "error: --blocks is missing\n\nUsage: scv train\n\nFor more information, try '--help'.\n";
        assert_eq!(reason_of(missing), "--blocks is missing");
        let invalid = "error: invalid value 'x'\n\nFor more information, try '--help'.\n";
        assert_eq!(reason_of(invalid), "invalid value 'x'");
        assert_eq!(reason_of("error: no more\n"), "no more");
    }

    #[test]
    fn fields_of_the_api_are_named_as_options() {
        let options = ["output", "height", "data"].map(str::to_owned);
        let message = in_terms_of_options(
            "choose one with `output`; `onnxData` and `preprocessing` are not needed",
            &options,
        );
        assert_eq!(
            message,
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
