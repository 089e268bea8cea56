//! A whole server on a free port with its own database, built as `scv serve` builds it.

use std::path::Path;

use scv::app::App;
use scv::config::Config;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, PgConnection};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::Client;
use super::cluster;

/// A running server; it stops when dropped.
pub struct Server {
    /// A client of the server.
    pub api: Client,
    /// The settings that the server was built from.
    pub config: Config,
    shutdown: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    _data_dir: tempfile::TempDir,
}

impl Server {
    /// A server whose library has only the digits.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with changed settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let mut config = config(data_dir.path()).await;
        change(&mut config);
        let app = App::build(&config).await.unwrap();
        let address = app.address();
        let shutdown = CancellationToken::new();
        let running = Some(tokio::spawn(app.run(shutdown.clone())));
        Self {
            api: Client::new(format!("http://{address}")),
            config,
            shutdown,
            running,
            _data_dir: data_dir,
        }
    }

    /// Executes a statement on the server's database.
    pub async fn execute(&self, sql: &str) {
        let url = self.config.database_url.as_deref().unwrap();
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// Shuts the server down gracefully and waits for it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.running.take().unwrap().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Settings of a server on a free port with its own, prepared database.
pub async fn config(data_dir: &Path) -> Config {
    let options = cluster::library_database().await;
    Config {
        data_dir: data_dir.to_owned(),
        database_url: Some(options.to_url_lossy().to_string()),
        database_connections: 8,
        cache_dir: cluster::cache_dir(),
        device: "cpu".parse().unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        // No test may use a real language model.
        llm_url: None,
        llm_key: None,
        ..Config::defaults()
    }
}
