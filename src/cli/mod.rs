//! The command line: one file per command.

mod analyst_role;
mod arguments;
mod bench_ingest;
mod blocks;
mod catalogue;
mod client;
mod compare;
mod completions;
mod config;
mod dataset;
mod demo;
mod diff;
mod evaluate;
mod exit;
mod explain;
mod import;
mod job;
mod layer;
mod log;
mod man;
mod migrate;
mod model;
mod network;
mod npy;
mod page;
mod pictures;
mod predict;
mod preprocessing;
mod push;
mod reindex;
mod schema;
mod search;
mod serve;
mod settings;
mod side_file;
mod status;
mod table;
mod terminal;
mod token;
mod trace;
mod train;
mod usage;
mod version_name;
mod visualize;
mod weights;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::{COMMAND_LOG, ClientConfig, Config, GLOBAL, LogConfig, SERVER_LOG, SettingsConfig};
use arguments::{ArgumentError, Invocation};
use client::Client;
use exit::code;
use terminal::Terminal;

/// Finds which layers of which trained vision networks have learned to compute the same thing
///
/// Most commands talk to a running server. `scv demo` shows what SCV does and needs no server. Every setting can be given as
/// an option, in the environment, or in a settings file, in this order of precedence; `scv config show` lists them.
#[derive(Debug, Parser)]
#[command(name = "scv", version, max_term_width = 100, after_long_help = exit::EXIT_CODES)]
pub(crate) struct Cli {
    /// Print results and errors as JSON
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    #[command(flatten)]
    settings: SettingsConfig,
    #[command(flatten)]
    client: ClientConfig,
    #[command(flatten)]
    log: LogConfig,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Status(status::Status),
    /// Print the account and scope of the token
    Whoami,
    #[command(alias = "models")]
    Model(catalogue::model::ModelCommand),
    #[command(alias = "versions")]
    Version(catalogue::version::VersionCommand),
    #[command(alias = "datasets")]
    Dataset(catalogue::dataset::DatasetCommand),
    #[command(alias = "layers")]
    Layer(catalogue::layer::LayerCommand),
    #[command(alias = "jobs")]
    Job(catalogue::job::JobCommand),
    Train(train::Train),
    Push(push::Push),
    #[command(hide = true)]
    Import(import::Import),
    Search(search::Search),
    Compare(compare::Compare),
    Diff(diff::Diff),
    Explain(explain::Explain),
    Evaluate(evaluate::Evaluate),
    Visualize(visualize::Visualize),
    Predict(predict::Predict),
    Trace(trace::Trace),
    #[command(alias = "tokens")]
    Token(token::TokenCommand),
    Config(config::ConfigCommand),
    AnalystRole(analyst_role::AnalystRole),
    Migrate(migrate::Migrate),
    Reindex(reindex::Reindex),
    BenchIngest(bench_ingest::BenchIngest),
    Completions(completions::Completions),
    Man(man::Man),
    /// Print the GraphQL schema
    Schema,
}

impl Command {
    /// The default log filter of the command.
    fn default_log(&self) -> &'static str {
        match self {
            Self::Serve(_) | Self::Migrate(_) => SERVER_LOG,
            _ => COMMAND_LOG,
        }
    }

    /// Whether the command handles requests, whose traces a collector receives.
    fn handles_requests(&self) -> bool {
        matches!(self, Self::Serve(_))
    }

    /// Whether the command uses settings, so that a settings file with errors stops it.
    fn has_settings(&self) -> bool {
        match self {
            Self::Completions(_) | Self::Man(_) | Self::Schema => false,
            Self::Config(config) => config.has_settings(),
            _ => true,
        }
    }

    /// The settings of the server or of the library, for commands that have them.
    fn config(&self) -> Option<&Config> {
        match self {
            Self::Demo(demo) => Some(&demo.config),
            Self::Serve(serve) => Some(&serve.config),
            Self::Token(token) => Some(token.config()),
            Self::AnalystRole(role) => Some(&role.config),
            Self::Migrate(migrate) => Some(&migrate.config),
            _ => None,
        }
    }

    /// Runs the command.
    async fn run(self, client: ClientConfig, terminal: &Terminal) -> anyhow::Result<()> {
        match self {
            Self::Demo(demo) => demo.run(terminal).await,
            Self::Serve(serve) => serve.run().await,
            Self::Trace(trace) => trace.run(terminal),
            Self::BenchIngest(bench) => bench.run(terminal),
            Self::Migrate(migrate) => migrate.run(terminal).await,
            Self::AnalystRole(role) => role.run(terminal).await,
            Self::Token(token) => token.run(terminal).await,
            remote => {
                let client = Client::new(&client)?;
                tokio::select! {
                    outcome = remote.request(&client, terminal) => outcome,
                    signal = tokio::signal::ctrl_c() => {
                        signal?;
                        Err(terminal.interrupted())
                    }
                }
            }
        }
    }

    /// Runs a command that talks to a server. It can be interrupted at any time.
    async fn request(self, client: &Client, terminal: &Terminal) -> anyhow::Result<()> {
        match self {
            Self::Status(status) => status.run(client, terminal).await,
            Self::Whoami => status::whoami(client, terminal).await,
            Self::Model(model) => model.run(client, terminal).await,
            Self::Version(version) => version.run(client, terminal).await,
            Self::Dataset(dataset) => dataset.run(client, terminal).await,
            Self::Layer(layer) => layer.run(client, terminal).await,
            Self::Job(job) => job.run(client, terminal).await,
            Self::Train(train) => train.run(client, terminal).await,
            Self::Push(push) => push.run(client, terminal).await,
            Self::Import(import) => import.run(client, terminal).await,
            Self::Search(search) => search.run(client, terminal).await,
            Self::Compare(compare) => compare.run(client, terminal).await,
            Self::Diff(diff) => diff.run(client, terminal).await,
            Self::Explain(explain) => explain.run(client, terminal).await,
            Self::Evaluate(evaluate) => evaluate.run(client, terminal).await,
            Self::Visualize(visualize) => visualize.run(client, terminal).await,
            Self::Predict(predict) => predict.run(client, terminal).await,
            Self::Reindex(reindex) => reindex.run(client, terminal).await,
            _ => unreachable!("a command that talks to no server"),
        }
    }
}

/// The program: parses its arguments, runs the command and reports how it ended.
pub fn main() -> ExitCode {
    let arguments = crate::config::arguments();
    let is_json = arguments::wants_json(&arguments);
    match arguments::parse(&arguments) {
        Ok(invocation) => {
            let options = invocation.options();
            match run(invocation) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => exit::report(&error, is_json, &options),
            }
        }
        Err(ArgumentError::Usage(error)) => exit::report_usage(&error, is_json),
        Err(ArgumentError::Settings(error)) => exit::report(&exit::failure(code::USAGE, error), is_json, &[]),
    }
}

/// Runs a command.
fn run(invocation: Invocation) -> anyhow::Result<()> {
    let terminal = Terminal::new(invocation.cli.json);
    match &invocation.cli.command {
        Command::Config(config) => return config.run(&invocation, &terminal),
        Command::Schema => return schema::run(&terminal),
        _ => {}
    }
    let secrets = invocation.exposed_secrets();
    let Cli {
        client, log, command, ..
    } = invocation.cli;
    match command {
        Command::Completions(completions) => completions.run(arguments::program(Cli::command()), &terminal),
        Command::Man(man) => man.run(arguments::program(Cli::command()), &terminal),
        command => {
            scv_llm::use_ring();
            let collector = log.otlp_endpoint.as_ref().filter(|_| command.handles_requests());
            let _traces = log::start(&log, command.default_log(), collector, &terminal)?;
            for (option, variable) in secrets {
                tracing::warn!("other users of this machine can read the secret in {option}: use {variable} instead");
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(command.run(client, &terminal))
        }
    }
}
