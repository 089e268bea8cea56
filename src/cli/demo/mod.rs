//! `scv demo`

mod compare;
mod zoo;

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use reqwest::Url;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::compare::Pair;
use self::zoo::Network;
use super::client::Client;
use super::layer::layers;
use super::model::percent;
use super::search::{Answer, Filter, Measure, Question, similar};
use super::serve::{on_signal, unless};
use super::table::table;
use super::terminal::Terminal;
use crate::app::App;
use crate::config::{Config, program};

/// The layer whose like is searched: the second convolution of the first network.
const TARGET: (&str, &str) = ("plain-1", "2");

/// What the address of the playground asks; it opens with this query and the target as its variable.
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

/// Train a few small networks and show which of their layers are alike; needs nothing
///
/// Runs a server of its own with a database of its own, in the folder `demo` below the usual data folder unless
/// --data-dir or --database-url names another place. What is trained is kept: a second run trains nothing.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Leave the server running until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Train new versions of all networks, whatever is there
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    config: Config,
}

/// What the demonstration shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    networks: Vec<Network>,
    trained: usize,
    seconds: f64,
    search: Answer,
    pairs: Vec<Pair>,
    data_dir: String,
    /// The playground with a query, if the server stays.
    playground: Option<String>,
}

impl Demo {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let mut config = self.config.clone().for_demo();
        config.listen = free_address(config.listen);
        let stop = on_signal()?;
        let opening = terminal.spinner("starting the database and the server");
        let Some(app) = unless(&stop, App::build(&config)).await else {
            bail!("stopped before the server was up");
        };
        let app = app?;
        drop(opening);
        let client = Client::of(Url::parse(&format!("http://{}", app.address()))?, None)?;
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(app.run(shutdown.clone()));
        let outcome = self.show(terminal, &client, &stop).await;
        if self.serve && outcome.is_ok() {
            // A server that ends by itself cancels its token.
            tokio::select! {
                () = stop.cancelled() => {}
                () = shutdown.cancelled() => {}
            }
        }
        shutdown.cancel();
        // The reason why the demonstration ended comes before any trouble of the server that it ended.
        let ended = running.await?;
        outcome?;
        ended
    }

    async fn show(&self, terminal: &Terminal, client: &Client, stop: &CancellationToken) -> anyhow::Result<()> {
        let begun = Instant::now();
        let (networks, trained) = zoo::ensure(client, terminal, self.fresh, stop).await?;
        let seconds = Duration::as_secs_f64(&begun.elapsed());
        let (model, layer) = TARGET;
        let target = layers(client, &model.parse()?).await?;
        let question = Question {
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
        let shown = Shown {
            search: similar(client, &question).await?,
            playground: self
                .serve
                .then(|| client.playground(QUERY, &question.layer).to_string()),
            networks,
            trained,
            seconds,
            pairs,
            data_dir: self.config.clone().for_demo().data_dir.display().to_string(),
        };
        if stop.is_cancelled() {
            bail!("stopped");
        }
        terminal.answer(&shown, shown.to_text(client))?;
        if self.serve {
            terminal.note("\nThe server runs until you press Ctrl-C.");
        }
        Ok(())
    }
}

/// The address asked for, or a free port beside it if that one is taken.
fn free_address(wanted: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wanted) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => SocketAddr::new(wanted.ip(), 0),
        _ => wanted,
    }
}

impl Shown {
    fn to_text(&self, client: &Client) -> String {
        let mut text = self.networks_text();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n\n2. Which layers of other networks compute the same as one? `scv search {} {}` answers:\n\n{}",
            TARGET.0,
            TARGET.1,
            self.search.to_text()
        );
        let _ = write!(text, "\n\n{}", compare::to_text(&self.pairs));
        let data_dir = &self.data_dir;
        match &self.playground {
            Some(address) => {
                let _ = write!(
                    text,
                    "\n\nTry it yourself:\n  in a browser: {address}\n  in another terminal: {} search plain-2 5 --kind Conv2d --tag residual{}",
                    program(),
                    client.option()
                );
            }
            None => {
                let _ = write!(
                    text,
                    "\n\nAll of it is kept. `{} demo --serve` shows it again and leaves the server running,\nwith queries to try; so does `{} serve --data-dir {data_dir}`.",
                    program(),
                    program()
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
        let made = match self.trained {
            0 => "they were there from an earlier run".to_owned(),
            count => format!("{count} trained in {:.0} s", self.seconds),
        };
        format!(
            "\n1. Networks trained on handwritten digits of 8x8 pixels ({made})\n\n{}",
            table(&head, rows)
        )
    }
}
