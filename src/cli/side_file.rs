//! The files beside an ONNX file that it keeps weights in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::exit::{code, failure};
use super::network::bytes;
use scv_compute::onnx::file::data_files;

/// A file beside an ONNX file.
#[derive(Debug)]
pub(super) struct SideFile {
    pub(super) path: PathBuf,
    /// Its path as the ONNX file has it, from the folder of that file.
    pub(super) location: String,
}

/// The files that an ONNX file keeps weights in, without those that are `given`. A file that cannot be read as ONNX has none: what
/// reads its network reports it.
///
/// # Errors
/// A file is not there, or a link leads out of the folder.
pub(super) fn side_files(network: &Path, given: &[PathBuf]) -> anyhow::Result<Vec<SideFile>> {
    let Ok(locations) = data_files(&bytes(network)?) else {
        return Ok(Vec::new());
    };
    let is_given = |location: &String| {
        given
            .iter()
            .any(|path| path.file_name() == Path::new(location).file_name())
    };
    let missing = locations.into_iter().filter(|location| !is_given(location));
    missing.map(|location| side_file(network, location)).collect()
}

fn side_file(network: &Path, location: String) -> anyhow::Result<SideFile> {
    let folder = network.parent().unwrap_or(Path::new(""));
    let path = folder.join(location.replace('\\', "/"));
    if !path.is_file() {
        let message = format!(
            "{} keeps weights in {location:?}, which is not beside it: put it there, or name it with --data",
            network.display()
        );
        return Err(failure(code::BAD_USER_INPUT, message));
    }
    // Caches of downloads have links to files that stand together elsewhere.
    let real = |path: &Path| {
        path.canonicalize()
            .with_context(|| format!("cannot read {}", path.display()))
    };
    let folders = [
        real(if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        })?,
        real(network)?,
    ];
    let [own, linked] = [Some(folders[0].as_path()), folders[1].parent()];
    let target = real(&path)?;
    let is_inside = [own, linked]
        .into_iter()
        .flatten()
        .any(|folder| target.starts_with(folder));
    if !is_inside {
        let message = format!(
            "{} is a link to {}, which is not in the folder of the network: name it with --data if it belongs to it",
            path.display(),
            target.display()
        );
        return Err(failure(code::BAD_USER_INPUT, message));
    }
    Ok(SideFile { path, location })
}
