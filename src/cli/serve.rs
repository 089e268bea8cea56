//! `scv serve`

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Config;

/// Start the server
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) config: Config,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let shutdown = on_signal()?;
        let Some(app) = unless(&shutdown, App::build(&self.config)).await else {
            return Ok(());
        };
        let app = app?;
        // Uploads are written there, without a name. The system's folder is in memory on many machines.
        if let Err(folder) = tempfile::env::override_temp_dir(&self.config.data_dir) {
            tracing::warn!(folder = %folder.display(), "uploads are written to another folder than the data directory");
        }
        tracing::info!("listening on http://{}", app.address());
        app.run(shutdown).await
    }
}

/// The output of a future, unless the program is stopped first.
pub(super) async fn unless<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        outcome = work => Some(outcome),
        () = stop.cancelled() => None,
    }
}

/// A token that Ctrl-C or SIGTERM cancels.
pub(super) fn on_signal() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        cancelled.cancel();
    });
    Ok(token)
}
