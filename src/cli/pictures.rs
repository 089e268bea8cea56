//! Pictures that a command shows and writes into a folder.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::table::counted;
use super::terminal::Terminal;

/// A picture as the API gives it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) url: String,
}

impl Picture {
    /// Gives it its whole address.
    pub(super) fn at(&mut self, client: &Client) {
        self.url = client.address(&self.url).into();
    }
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
    /// A picture at a whole address.
    pub(super) fn new(name: String, url: &str) -> Self {
        Self {
            name,
            url: url.to_owned(),
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
    let written = counted(pictures.len(), "picture");
    terminal.note(format!("{written} in {}", folder.display()));
    Ok(())
}
