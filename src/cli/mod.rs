//! The command line: one file a command.

mod analyst_role;
mod bench_ingest;
mod blocks;
mod client;
mod compare;
mod demo;
mod evaluate;
mod explain;
mod import;
mod job;
mod layer;
mod log;
mod migrate;
mod model;
mod network;
mod npy;
mod pictures;
mod predict;
mod push;
mod reindex;
mod schema;
mod search;
mod serve;
mod table;
mod terminal;
mod token;
mod trace;
mod train;
mod visualize;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{COMMAND_LOG, LogConfig, SERVER_LOG};
use terminal::Terminal;

/// Finds which layers of which trained vision networks have learned to compute the same thing.
#[derive(Debug, Parser)]
#[command(name = "scv", version, max_term_width = 100)]
pub struct Cli {
    /// Answer with one JSON document in place of text
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    log: LogConfig,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Import(import::Import),
    Train(train::Train),
    Push(push::Push),
    Search(search::Search),
    Compare(compare::Compare),
    Evaluate(evaluate::Evaluate),
    Visualize(visualize::Visualize),
    Predict(predict::Predict),
    Explain(explain::Explain),
    Reindex(reindex::Reindex),
    Job(job::Follow),
    Trace(trace::Trace),
    BenchIngest(bench_ingest::BenchIngest),
    Migrate(migrate::Migrate),
    AnalystRole(analyst_role::AnalystRole),
    Token(token::TokenCommand),
    /// Print the GraphQL schema
    Schema,
}

impl Command {
    /// Which log lines it shows if nothing is said.
    fn usual_log(&self) -> &'static str {
        match self {
            Self::Serve(_) | Self::Migrate(_) => SERVER_LOG,
            _ => COMMAND_LOG,
        }
    }
}

/// Headings of the settings that say which library is meant.
const LIBRARY_HEADINGS: [&str; 2] = ["Storage", "Logging"];

/// The help of a command that works on a library without being its server: without settings of the server.
fn without_service(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_help_heading() {
        Some(heading) if !LIBRARY_HEADINGS.contains(&heading) => argument.hide(true),
        _ => argument,
    });
    command.mut_subcommands(without_service)
}

/// Takes `-1` for a number that an option is given, and not for an option: so it is told why that number cannot be.
fn with_numbers(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_action().takes_values() {
        true => argument.allow_negative_numbers(true),
        false => argument,
    });
    command.mut_subcommands(with_numbers)
}

impl Cli {
    /// What the program was called with; help and mistakes end it.
    pub fn from_arguments() -> Self {
        let command = ["token", "analyst-role", "migrate"]
            .into_iter()
            .fold(Self::command(), |command, name| {
                command.mut_subcommand(name, without_service)
            });
        Self::from_arg_matches(&with_numbers(command).get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// What went wrong, for the person at the terminal.
    pub fn run(self) -> anyhow::Result<()> {
        let terminal = Terminal::new(self.json);
        let _traces = log::start(&self.log, self.command.usual_log(), &terminal)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            match self.command {
                Command::Demo(demo) => demo.run(&terminal).await,
                Command::Serve(serve) => serve.run().await,
                Command::Import(import) => import.run(&terminal).await,
                Command::Train(train) => train.run(&terminal).await,
                Command::Push(push) => push.run(&terminal).await,
                Command::Search(search) => search.run(&terminal).await,
                Command::Compare(compare) => compare.run(&terminal).await,
                Command::Evaluate(evaluate) => evaluate.run(&terminal).await,
                Command::Visualize(visualize) => visualize.run(&terminal).await,
                Command::Predict(predict) => predict.run(&terminal).await,
                Command::Explain(explain) => explain.run(&terminal).await,
                Command::Reindex(reindex) => reindex.run(&terminal).await,
                Command::Job(job) => job.run(&terminal).await,
                Command::Trace(trace) => trace.run(&terminal),
                Command::BenchIngest(bench) => bench.run(&terminal),
                Command::Migrate(migrate) => migrate.run().await,
                Command::AnalystRole(role) => role.run(&terminal).await,
                Command::Token(token) => token.run(&terminal).await,
                Command::Schema => schema::run(),
            }
        })
    }
}
