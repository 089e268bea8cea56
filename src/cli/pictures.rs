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

/// What the files about something named begin with everywhere.
pub(super) fn file_stem(name: &str) -> String {
    let usual = |c: char| if c.is_alphanumeric() { c } else { '-' };
    let words: String = name.chars().map(usual).collect();
    let words = words.split('-').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// Makes a folder for pictures if it is not there: before the work whose pictures it is for.
pub(super) fn prepare(folder: Option<&Path>) -> anyhow::Result<()> {
    folder.map_or(Ok(()), |folder| {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
    })
}

/// Writes pictures into a folder that was prepared.
pub(super) async fn write(
    client: &Client,
    terminal: &Terminal,
    folder: &Path,
    pictures: &[Shown],
) -> anyhow::Result<()> {
    for picture in pictures {
        let path = folder.join(&picture.name);
        let bytes = client.file(&picture.url).await?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let written = counted(pictures.len(), "picture");
    terminal.note(format!("{written} in {}", folder.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_that_every_system_takes() {
        assert_eq!(file_stem("plain:1 class 0 T-shirt/top"), "plain-1-class-0-T-shirt-top");
        assert_eq!(file_stem("layer 3.main.0, channel 5"), "layer-3-main-0-channel-5");
    }
}
