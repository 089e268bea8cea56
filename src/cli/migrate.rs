//! `scv migrate`

use clap::Args;

use crate::config::Config;
use crate::store::open;

/// Bring the database up to date and stop
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    config: Config,
}

impl Migrate {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        open(&self.config.database()).await?.close().await;
        tracing::info!("the database is up to date");
        Ok(())
    }
}
