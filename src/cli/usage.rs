//! Mistakes in the command line, as the user made them. The parser names an option even if its value comes from the
//! environment, and its usage lists every option that is set anywhere, as if all of them were required.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

use super::arguments::options;

/// The error with the environment variable that an invalid value comes from, and with the usage of the command.
pub(super) fn explained(mut error: Error, program: &Command, arguments: &[OsString]) -> Error {
    if let Some(variable) = variable(&error, program, arguments) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    let usage = error.get(ContextKind::Usage).and_then(|usage| match usage {
        ContextValue::StyledStr(usage) => Some(command(program, &usage.to_string()).render_usage()),
        _ => None,
    });
    if let Some(usage) = usage {
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    error
}

/// The environment variable that an invalid value comes from; none if it was given as an argument.
fn variable(error: &Error, program: &Command, arguments: &[OsString]) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    // Such as `--max-depth <N>`.
    let option = argument.split(' ').next()?;
    let is_option = |given: &str| {
        let rest = given.strip_prefix(option);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if options(arguments).any(|given| given.to_str().is_some_and(is_option)) {
        return None;
    }
    let setting = setting(program, option.strip_prefix("--")?)?;
    Some(setting.get_env()?.to_string_lossy().into_owned())
}

/// The setting with a long option, of the program or of a command.
fn setting<'a>(program: &'a Command, option: &str) -> Option<&'a Arg> {
    let is_setting = |argument: &&Arg| argument.get_long() == Some(option) && argument.get_env().is_some();
    let own = program.get_arguments().find(is_setting);
    own.or_else(|| {
        let mut commands = program.get_subcommands();
        commands.find_map(|command| setting(command, option))
    })
}

/// The command whose usage begins in this way, such as `Usage: scv model delete …`.
fn command(program: &Command, usage: &str) -> Command {
    let mut program = program.clone();
    // Adds the names of the commands before it to each command.
    program.build();
    let mut command = &program;
    for word in usage.split_whitespace().skip(2) {
        let Some(found) = command.find_subcommand(word) else {
            break;
        };
        command = found;
    }
    command.clone()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn program() -> Command {
        let depth = Arg::new("depth")
            .long("max-depth")
            .env("SCV_TEST_OF_A_VARIABLE")
            .value_parser(crate::config::value::whole::<u32>(1..=60));
        let server = Arg::new("server").long("server").global(true);
        let model = Arg::new("model").required(true);
        let run = Command::new("run").args([depth, model]);
        Command::new("scv").arg(server).subcommand(run)
    }

    fn message(line: &str) -> String {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let mut program = program();
        let error = program.try_get_matches_from_mut(&arguments).unwrap_err();
        explained(error, &program, &arguments).to_string()
    }

    #[test]
    fn an_invalid_value_is_reported_with_its_option() {
        for line in ["scv run m --max-depth deep", "scv run m --max-depth=deep"] {
            let output = message(line);
            assert!(output.contains("invalid value 'deep' for '--max-depth"), "{output}");
            assert!(output.contains("expected a whole number from 1 to 60"), "{output}");
        }
    }

    #[test]
    fn an_invalid_value_that_is_not_an_argument_is_reported_with_its_variable() {
        let mut program = program();
        let given: Vec<OsString> = ["scv", "run", "m", "--max-depth", "deep"].map(OsString::from).to_vec();
        let error = program.try_get_matches_from_mut(&given).unwrap_err();
        let output = explained(error, &program, &["scv", "run", "m"].map(OsString::from)).to_string();
        assert!(
            output.contains("invalid value 'deep' for 'SCV_TEST_OF_A_VARIABLE': expected"),
            "{output}"
        );
    }

    #[test]
    fn the_usage_does_not_require_what_is_optional() {
        let output = message("scv run --server here");
        assert!(output.contains("Usage: scv run [OPTIONS] <model>"), "{output}");
        assert!(!output.contains("--server"), "{output}");
    }
}
