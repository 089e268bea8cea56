//! Finds the PostgreSQL installation to run.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::error::EmbeddedError;
use super::package;
use super::version::Version;

/// The bundle that `scripts/setup` downloads, inside the cache directory.
const BUNDLE: &str = "postgres-18.6.3";

/// Where Debian's packages install their versions, each in a folder with a `bin`.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A PostgreSQL with a recent enough pgvector that runs on this machine.
#[derive(Debug)]
pub(super) struct Installation {
    /// The folder with `postgres` and `initdb`.
    pub bin: PathBuf,
    /// The major version, such as 18.
    pub major: u32,
    /// The folder of the Python package that it belongs to, if it does.
    package: Option<PathBuf>,
}

impl Installation {
    /// The installation at `explicit` if given; otherwise the bundle in `cache_dir`; otherwise the Python package next to this
    /// program; otherwise the newest installation on the machine that has pgvector. One of the first three that does not work
    /// is an error; others are skipped.
    pub fn find(explicit: Option<&Path>, cache_dir: &Path) -> Result<Installation, EmbeddedError> {
        if let Some(prefix) = explicit {
            return Installation::at(&prefix.join("bin")).map_err(|reason| bad(prefix, reason));
        }
        let bundle = package::installation(&cache_dir.join(BUNDLE));
        if bundle.exists() {
            return Installation::at(&bundle.join("bin")).map_err(|reason| bad(&bundle, reason));
        }
        let program = std::env::current_exe().ok();
        if let Some(folder) = program.and_then(|program| package::folder_beside(&program)) {
            let prefix = package::installation(&folder);
            let found = Installation::at(&prefix.join("bin")).map_err(|reason| bad(&prefix, reason))?;
            return Ok(Installation {
                package: Some(folder),
                ..found
            });
        }
        let mut looked_at = vec![bundle.display().to_string()];
        for bin in installed(Path::new(DEBIAN)) {
            match Installation::at(&bin) {
                Ok(installation) => return Ok(installation),
                Err(reason) => looked_at.push(format!("{}: {reason}", bin.display())),
            }
        }
        let looked_at = looked_at.join("; ");
        Err(EmbeddedError::NoInstallation { looked_at })
    }

    /// The installation whose programs are in `bin`, or why it cannot be used.
    fn at(bin: &Path) -> Result<Installation, String> {
        let major = major_version(&output_of(Command::new(bin.join("postgres")).arg("--version"))?)?;
        let control = share_directories(bin, major)
            .into_iter()
            .map(|share| share.join("extension/vector.control"))
            .find_map(|path| std::fs::read_to_string(path).ok())
            .ok_or("it has no pgvector")?;
        let pgvector = Version::from_control_file(&control).ok_or("its vector.control names no version")?;
        if pgvector < Version::OLDEST_PGVECTOR {
            return Err(format!(
                "it has pgvector {pgvector}, and {} is required",
                Version::OLDEST_PGVECTOR
            ));
        }
        Ok(Installation {
            bin: bin.to_path_buf(),
            major,
            package: None,
        })
    }

    /// The same installation where every user can reach it: the bundle in `cache_dir` is made from the Python package. Root
    /// may have installed that into a home directory, which the user that PostgreSQL runs as cannot enter.
    pub fn into_cache(self, cache_dir: &Path) -> Result<Installation, EmbeddedError> {
        let Some(folder) = &self.package else { return Ok(self) };
        package::copy(folder, &cache_dir.join(BUNDLE))?;
        Installation::find(None, cache_dir)
    }

    /// A program of this installation.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// The `bin` folders of the installations on this machine: first the one of the `pg_config` on the search path, then the
/// versions in `versions`, newest first.
fn installed(versions: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(versions)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("postgres").exists())
        .collect();
    found.sort_unstable();
    let configured = output_of(Command::new("pg_config").arg("--bindir"))
        .ok()
        .map(PathBuf::from);
    configured
        .filter(|bin| bin.join("postgres").exists())
        .into_iter()
        .chain(found.into_iter().rev().map(|(_, bin)| bin))
        .collect()
}

/// Where the extensions of an installation may be: next to its programs, where its `pg_config` says, or in Debian's own
/// folder.
fn share_directories(bin: &Path, major: u32) -> Vec<PathBuf> {
    let configured = output_of(Command::new(bin.join("pg_config")).arg("--sharedir"))
        .ok()
        .map(PathBuf::from);
    let adjacent = bin
        .parent()
        .map(|prefix| [prefix.join("share"), prefix.join("share/postgresql")]);
    let mut candidates: Vec<PathBuf> = adjacent.into_iter().flatten().chain(configured).collect();
    if bin.starts_with(DEBIAN) {
        candidates.push(PathBuf::from(format!("/usr/share/postgresql/{major}")));
    }
    candidates
}

/// The number 18 in `postgres (PostgreSQL) 18.6` or `postgres (PostgreSQL) 18.6 (Debian 18.6-1)`.
fn major_version(output: &str) -> Result<u32, String> {
    output
        .split_once("(PostgreSQL) ")
        .map(|(_, version)| version.chars().take_while(char::is_ascii_digit).collect::<String>())
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("its postgres reports the version `{output}`"))
}

/// The trimmed standard output of a program.
fn output_of(command: &mut Command) -> Result<String, String> {
    let program = PathBuf::from(command.get_program());
    let failed = |reason: String| format!("{} does not run: {reason}", program.display());
    let Output { status, stdout, stderr } = command.output().map_err(|error: io::Error| failed(error.to_string()))?;
    if !status.success() {
        return Err(failed(format!("{status}: {}", String::from_utf8_lossy(&stderr).trim())));
    }
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

fn bad(prefix: &Path, reason: String) -> EmbeddedError {
    EmbeddedError::BadInstallation {
        path: prefix.to_path_buf(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;

    /// An installation in `prefix` whose `postgres` is a script that prints the given version.
    fn fake_installation(prefix: &Path, postgres: &str, pgvector: Option<&str>) {
        fs::create_dir_all(prefix.join("bin")).unwrap();
        fs::create_dir_all(prefix.join("share/extension")).unwrap();
        // Written by another process: a program cannot be run while it is open for writing, and a process that another test
        // starts briefly has the same files open as this one.
        let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {postgres}'\n");
        let write = "printf %s \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(write).arg(prefix.join("bin/postgres")).arg(script);
        assert!(shell.status().unwrap().success());
        if let Some(version) = pgvector {
            let control = prefix.join("share/extension/vector.control");
            fs::write(control, format!("default_version = '{version}'\n")).unwrap();
        }
    }

    #[test]
    fn without_an_installation_the_error_recommends_scripts_setup() {
        let empty = tempfile::tempdir().unwrap();
        // If the machine has a PostgreSQL of its own, it is found, and there is no error.
        if let Err(error) = Installation::find(None, empty.path()) {
            assert!(error.to_string().contains("run scripts/setup"), "{error}");
            assert!(error.to_string().contains(empty.path().to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_bundle_without_its_programs_is_an_error_and_not_skipped() {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(package::installation(&cache.path().join(BUNDLE))).unwrap();
        let error = Installation::find(None, cache.path()).unwrap_err().to_string();
        assert!(
            error.contains("does not run") && error.contains("run scripts/setup again"),
            "{error}"
        );
    }

    #[test]
    fn an_explicit_installation_is_used_as_it_is() {
        let prefix = tempfile::tempdir().unwrap();
        fake_installation(prefix.path(), "17.9 (Debian 17.9-1.pgdg12+1)", Some("0.8.5"));
        let found = Installation::find(Some(prefix.path()), Path::new("/nowhere")).unwrap();
        assert_eq!(found.major, 17);
        assert_eq!(found.program("initdb"), prefix.path().join("bin/initdb"));
    }

    #[test]
    fn an_installation_needs_a_recent_pgvector() {
        let prefix = tempfile::tempdir().unwrap();
        fake_installation(prefix.path(), "18.1", None);
        let error = Installation::find(Some(prefix.path()), Path::new("/nowhere"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("it has no pgvector"), "{error}");

        fake_installation(prefix.path(), "18.1", Some("0.8.1"));
        let error = Installation::find(Some(prefix.path()), Path::new("/nowhere"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("it has pgvector 0.8.1, and 0.8.4 is required"),
            "{error}"
        );
    }

    #[test]
    fn the_newest_installed_version_comes_first() {
        let versions = tempfile::tempdir().unwrap();
        for version in ["9", "18", "17"] {
            fake_installation(&versions.path().join(version), "18.1", Some("0.8.6"));
        }
        let found: Vec<PathBuf> = installed(versions.path())
            .into_iter()
            .filter(|bin| bin.starts_with(versions.path()))
            .collect();
        let expected: Vec<PathBuf> = ["18", "17", "9"]
            .iter()
            .map(|version| versions.path().join(version).join("bin"))
            .collect();
        assert_eq!(found, expected);
    }
}
