//! Pictures that a command shows and writes into a folder.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::terminal::Terminal;

/// A picture as the API gives it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) url: String,
}

/// A picture that is shown under a name.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Shown {
    /// Name of its file.
    pub(super) name: String,
    /// Its whole address.
    pub(super) url: String,
}

impl Shown {
    /// A picture at a path of the server.
    pub(super) fn new(client: &Client, name: String, path: &str) -> Self {
        Self {
            name,
            url: client.address(path).into(),
        }
    }
}

/// Writes pictures into a folder, which is made if it is not there.
pub(super) async fn write(
    client: &Client,
    terminal: &Terminal,
    folder: &Path,
    pictures: &[Shown],
) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for picture in pictures {
        let path = folder.join(&picture.name);
        let bytes = client.file(&picture.url).await?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    terminal.note(format!("{} pictures in {}", pictures.len(), folder.display()));
    Ok(())
}
