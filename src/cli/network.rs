//! ONNX files on the command line.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Args;

use super::side_file::{SideFile, side_files};
use crate::config::value::{MAX_INT, whole};
use scv_compute::error::OnnxError;
use scv_compute::onnx::file::{NamedFile, read};
use scv_compute::onnx::import::{ImportOptions, import};
use scv_compute::onnx::types::Imported;
use scv_domain::image::ImageShape;
use scv_memory::MemoryBudget;

/// How to read an ONNX file.
#[derive(Debug, Clone, Args)]
pub(super) struct NetworkOptions {
    /// File with weights of the network; can be repeated
    #[arg(long = "data", value_name = "FILE")]
    data: Vec<PathBuf>,
    /// Output to use if the network has several [default: the first]
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    /// Height of an image if the network does not define it
    #[arg(long, value_name = "ROWS", value_parser = whole::<usize>(1..=MAX_INT), requires = "width")]
    height: Option<usize>,
    /// Width of an image if the network does not define it
    #[arg(long, value_name = "COLUMNS", value_parser = whole::<usize>(1..=MAX_INT), requires = "height")]
    width: Option<usize>,
}

impl NetworkOptions {
    /// Reads the network in a file. `images` stands in for what the file leaves open.
    ///
    /// # Errors
    /// A file cannot be read, or the network is refused.
    pub(super) fn import(&self, model: &Path, images: Option<ImageShape>) -> anyhow::Result<Imported> {
        let mut files = Vec::new();
        for path in std::iter::once(model).chain(self.data.iter().map(PathBuf::as_path)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(NamedFile {
                name,
                bytes: bytes(path)?.into(),
            });
        }
        for SideFile { path, location } in side_files(model, &self.data)? {
            files.push(NamedFile {
                name: location,
                bytes: bytes(&path)?.into(),
            });
        }
        ensure!(files[0].bytes.len() > 1, "{} is empty", model.display());
        let options = ImportOptions {
            size: self.height.zip(self.width).map(|(height, width)| [height, width]),
            images,
            output: self.output_name.clone(),
            memory: MemoryBudget::default(),
        };
        let subject = || format!("cannot read the network in {}", model.display());
        let network = read(files, &MemoryBudget::default().empty()).with_context(subject)?;
        match import(&network, &options) {
            // The layers are the same for every output.
            Err(OnnxError::Outputs(outputs)) if !outputs.is_empty() => {
                let output = outputs.into_iter().next().map(|output| output.name);
                import(&network, &ImportOptions { output, ..options }).with_context(subject)
            }
            outcome => outcome.with_context(subject),
        }
    }
}

/// The bytes of a file.
///
/// # Errors
/// It cannot be read.
pub(super) fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
