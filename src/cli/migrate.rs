//! `scv migrate`

use clap::Args;
use serde_json::json;

use super::terminal::Terminal;
use crate::config::Config;
use scv_service::worker;
use scv_store::open;

/// Create or upgrade the database of a library, and exit
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    pub(super) config: Config,
}

impl Migrate {
    pub(super) async fn run(self, terminal: &Terminal) -> anyhow::Result<()> {
        let spinner = terminal.spinner("opening the database");
        let database = open(&self.config.database()).await?;
        drop(spinner);
        let migrated = worker::migrate(&database.store).await;
        database.close().await;
        migrated?;
        terminal.print(&json!({ "upToDate": true }), "the database is up to date")
    }
}
