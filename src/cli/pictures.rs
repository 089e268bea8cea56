//! Pictures that a command lists and writes to a directory.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::table::counted;
use super::terminal::Terminal;

/// A picture of the API.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) url: String,
}

impl Picture {
    /// Makes its URL absolute.
    pub(super) fn resolve(&mut self, client: &Client) {
        self.url = client.url(&self.url).into();
    }
}

/// A picture with the name of its file.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NamedPicture {
    /// Name of its file.
    pub(super) name: String,
    /// Its absolute URL.
    pub(super) url: String,
}

impl NamedPicture {
    /// A picture at an absolute URL.
    pub(super) fn new(name: String, url: &str) -> Self {
        Self {
            name,
            url: url.to_owned(),
        }
    }
}

/// What a text shows for a picture: its file if pictures are written to a directory, else its URL.
pub(super) fn label(pictures: &[NamedPicture], directory: Option<&Path>, url: &str) -> String {
    let named = pictures.iter().find(|picture| picture.url == url);
    match (directory, named) {
        (Some(directory), Some(picture)) => directory.join(&picture.name).display().to_string(),
        _ => url.to_owned(),
    }
}

/// The beginning of the names of files about something: letters, digits and hyphens, which every file system accepts.
pub(super) fn file_stem(name: &str) -> String {
    let safe = |c: char| if c.is_alphanumeric() { c } else { '-' };
    let words: String = name.chars().map(safe).collect();
    let words = words.split('-').filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// Creates the directory for pictures if it does not exist, before the work for them starts.
pub(super) fn prepare(folder: Option<&Path>) -> anyhow::Result<()> {
    folder.map_or(Ok(()), |folder| {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
    })
}

/// Writes pictures to a directory that was prepared.
pub(super) async fn write(
    client: &Client,
    terminal: &Terminal,
    folder: &Path,
    pictures: &[NamedPicture],
) -> anyhow::Result<()> {
    for picture in pictures {
        let path = folder.join(&picture.name);
        let bytes = client.file(&picture.url).await?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let written = counted(pictures.len(), "picture");
    terminal.note(format!("wrote {written} to {}", folder.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names_that_every_file_system_accepts() {
        assert_eq!(file_stem("plain:1 class 0 T-shirt/top"), "plain-1-class-0-T-shirt-top");
        assert_eq!(file_stem("layer 3.main.0, channel 5"), "layer-3-main-0-channel-5");
    }
}
