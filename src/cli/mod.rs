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
    /// Train a few small networks and show which of their layers are alike; needs nothing
    Demo(demo::Demo),
    /// Run the server
    Serve(serve::Serve),
    /// Import a data set
    Import(import::Import),
    /// Train a network on the server and wait for it
    Train(train::Train),
    /// Bring a trained network to the server and wait until it can be searched
    Push(push::Push),
    /// Find the layers of other models that compute most nearly the same as a layer
    Search(search::Search),
    /// Show the versions most like one, or how the layers of two versions match
    Compare(compare::Compare),
    /// Show how well a version does on test images: by class, what it takes for what, and its surest mistakes
    Evaluate(evaluate::Evaluate),
    /// Show what parts of a network look for: synthetic images beside the strongest real ones
    Visualize(visualize::Visualize),
    /// Ask a version what an image shows
    Predict(predict::Predict),
    /// Explain why a layer may compute the same thing as another
    Explain(explain::Explain),
    /// Make the search index of a data set's probe sets anew
    Reindex(reindex::Reindex),
    /// Follow a job until it ends, or stop it
    Job(job::Follow),
    /// Run an ONNX file on tensors and keep what each of its layers makes; needs no server
    Trace(trace::Trace),
    /// Time a pass of images through an ONNX file; needs no server
    BenchIngest(bench_ingest::BenchIngest),
    /// Bring the database up to date and stop
    Migrate(migrate::Migrate),
    /// Make a database role for analysts, which reads the schema analytics and nothing else
    AnalystRole(analyst_role::AnalystRole),
    /// Make, list and end the tokens that a server lets in
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
const OF_LIBRARY: [&str; 2] = ["Storage", "Logging"];

/// The help of a command that works on a library without being its server: without settings of the server.
fn without_service(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_help_heading() {
        Some(heading) if !OF_LIBRARY.contains(&heading) => argument.hide(true),
        _ => argument,
    });
    command.mut_subcommands(without_service)
}

impl Cli {
    /// What the program was called with; help and mistakes end it.
    pub fn from_arguments() -> Self {
        let command = ["token", "analyst-role", "migrate"]
            .into_iter()
            .fold(Self::command(), |command, name| {
                command.mut_subcommand(name, without_service)
            });
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
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
