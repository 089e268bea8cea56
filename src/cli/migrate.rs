//! `scv migrate`

use clap::Args;

use crate::config::Config;
use scv_service::worker;
use scv_store::open;

/// Bring the database up to date and stop
#[derive(Debug, Args)]
pub(super) struct Migrate {
    #[command(flatten)]
    config: Config,
}

impl Migrate {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let database = open(&self.config.database()).await?;
        let migrated = worker::migrate(&database.store).await;
        database.close().await;
        migrated?;
        tracing::info!("the database is up to date");
        Ok(())
    }
}
