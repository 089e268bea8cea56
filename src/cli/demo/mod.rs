//! `scv demo`

mod compare;
mod zoo;

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use clap::Args;
use reqwest::Url;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::compare::Pair;
use self::zoo::Network;
use super::client::Client;
use super::exit::{self, code};
use super::layer::layers;
use super::search::{Filter, Measure, SearchRequest, SearchResult, similar};
use super::serve::{on_signal, unless};
use super::table::{percent, table};
use super::terminal::Terminal;
use crate::app::App;
use crate::config::{Config, program};
use crate::shell;

/// The layer to find similar layers for: the second convolution of the first network.
const TARGET: (&str, &str) = ("plain-1", "2");

/// The query with which GraphiQL opens; its variable is the target.
const QUERY: &str = "\
query Similar($layer: ID!) {
  layer(id: $layer) {
    name
    kind
    version { accuracy model { name } }
    similar(first: 10) {
      exact
      totalCount
      edges {
        rank
        debiasedCka
        cka
        node { name kind version { number accuracy model { name } } }
      }
    }
  }
}
";

/// Train a few small networks and show which of their layers are similar; needs no setup
///
/// Runs its own server and database. Without --data-dir and --database-url, they are in the subdirectory `demo` of the default
/// data directory. Trained networks are stored: a second run trains nothing.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Keep the server running until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Train new versions of all networks even if there are some
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    pub(super) config: Config,
}

/// The result of the demonstration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    networks: Vec<Network>,
    trained: usize,
    seconds: f64,
    search: SearchResult,
    pairs: Vec<Pair>,
    data_dir: String,
    /// The option with which the demo uses this directory again.
    #[serde(skip)]
    demo_option: String,
    /// The URL of the web page, if the server keeps running.
    page: Option<String>,
    /// The URL of GraphiQL with a query, if the server keeps running.
    playground: Option<String>,
}

impl Demo {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let mut config = self.config.clone().for_demo();
        config.listen = free_address(config.listen);
        let stop = on_signal()?;
        let opening = terminal.spinner("starting the database and the server");
        let Some(app) = unless(&stop, App::build(&config)).await else {
            return Err(exit::failure(
                code::INTERRUPTED,
                "interrupted before the server was ready",
            ));
        };
        let app = app?;
        drop(opening);
        let client = Client::of(Url::parse(&format!("http://{}", app.address()))?, None)?;
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        let outcome = self.show(terminal, &client, &stop).await;
        if self.serve && outcome.is_ok() {
            // A server that ends on its own cancels its token.
            tokio::select! {
                () = stop.cancelled() => {}
                () = shutdown.cancelled() => {}
            }
        }
        shutdown.cancel();
        // An error of the demonstration matters more than one of the server that it stopped.
        let ended = running.await?;
        outcome?;
        ended
    }

    async fn show(&self, terminal: &Terminal, client: &Client, stop: &CancellationToken) -> anyhow::Result<()> {
        let start = Instant::now();
        let (networks, trained) = zoo::ensure(client, terminal, self.fresh, stop).await?;
        let seconds = Duration::as_secs_f64(&start.elapsed());
        let (model, layer) = TARGET;
        let target = layers(client, &model.parse()?).await?;
        let request = SearchRequest {
            layer: target.find(layer)?.id.clone(),
            first: 10,
            measure: Measure::default(),
            exact: false,
            filter: Filter::default(),
        };
        let mut pairs = Vec::new();
        for (a, b) in zoo::twins() {
            pairs.push(compare::pair(client, a, b).await?);
        }
        let report = Report {
            search: similar(client, &request).await?,
            page: self.serve.then(|| client.page().to_string()),
            playground: self.serve.then(|| client.graphiql(QUERY, &request.layer).to_string()),
            networks,
            trained,
            seconds,
            pairs,
            demo_option: self.config.library_option(),
            data_dir: self.config.clone().for_demo().data_dir.display().to_string(),
        };
        if stop.is_cancelled() {
            return Err(exit::failure(code::INTERRUPTED, "interrupted"));
        }
        terminal.print(&report, report.to_text(client))?;
        if self.serve {
            terminal.note("\nPress Ctrl-C to stop the server.");
        }
        Ok(())
    }
}

/// The requested address, or a free port if it is in use.
fn free_address(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => SocketAddr::new(wanted.ip(), 0),
        _ => wanted,
    }
}

impl Report {
    fn to_text(&self, client: &Client) -> String {
        let mut text = self.networks_text();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n\n2. Which layers of other networks compute the same as one of them? `scv search {} {}` prints:\n\n{}",
            TARGET.0,
            TARGET.1,
            self.search.to_text()
        );
        let _ = write!(text, "\n\n{}", compare::to_text(&self.pairs));
        let data_dir = &self.data_dir;
        match (&self.page, &self.playground) {
            (Some(page), Some(query)) => {
                let _ = write!(
                    text,
                    "\n\nTry it yourself:\n  in a browser: {page}\n  as a query: {query}\n  in another terminal: {} search plain-2 5 --kind Conv2d --tag residual{}",
                    shell::word(&program()),
                    client.option()
                );
            }
            _ => {
                let _ = write!(
                    text,
                    "\n\nEverything is stored. To keep the server running, and see it in a browser: {0} demo --serve{2}\n\
                     To start a server on the same library: {0} serve --data-dir {1}",
                    shell::word(&program()),
                    shell::word(data_dir),
                    self.demo_option
                );
            }
        }
        text
    }

    fn networks_text(&self) -> String {
        let rows = self.networks.iter().map(|network| {
            vec![
                network.version.to_string(),
                network.about.to_owned(),
                network.layers.to_string(),
                network.parameters.to_string(),
                network.epochs.to_string(),
                percent(network.version.accuracy),
            ]
        });
        let head = [
            "model",
            "architecture",
            ">layers",
            ">parameters",
            ">epochs",
            ">accuracy",
        ];
        let origin = match self.trained {
            0 => "from an earlier run".to_owned(),
            count => format!("{count} trained in {:.0} s", self.seconds),
        };
        format!(
            "\n1. Networks trained on handwritten digits of 8x8 pixels ({origin})\n\n{}",
            table(&head, rows)
        )
    }
}
