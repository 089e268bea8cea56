//! What can go wrong with stored objects. Every variant is the running system's.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::key::{ArtifactKey, ArtifactKeyError, ArtifactKind};

/// Why an object could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The directory cannot be used.
    #[error("the artifact directory {} cannot be used: {source}; check that it is a directory this user may write to", directory.display())]
    Open {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// No room is left.
    #[error(
        "no room is left in the artifact store to write {key}: free some space or enlarge the quota, then try again"
    )]
    Full {
        /// The object that was to be written.
        key: ArtifactKey,
        /// What the store says.
        source: object_store::Error,
    },
    /// There is no such object.
    #[error(
        "{key} is not in the artifact store: was it removed, or is another directory configured than the one it was stored in?"
    )]
    Missing {
        /// The object.
        key: ArtifactKey,
    },
    /// The object is not what was stored.
    #[error(
        "{key} is damaged: its {length} bytes no longer have that SHA-256; restore it from a backup or store it again"
    )]
    Corrupt {
        /// The object.
        key: ArtifactKey,
        /// Bytes it has now.
        length: usize,
    },
    /// The catalogue holds a text that names no object.
    #[error(transparent)]
    Key(#[from] ArtifactKeyError),
    /// Images and labels that do not belong together.
    #[error("{key} has {bytes} bytes, which is no list of {expected}: the catalogue and the artifact store disagree")]
    NotASplit {
        /// The object.
        key: ArtifactKey,
        /// Bytes it has.
        bytes: usize,
        /// What it should be, in words.
        expected: String,
    },
    /// The objects of a kind cannot be listed.
    #[error("cannot list the {kind} in the artifact store: {source}")]
    List {
        /// The kind.
        kind: ArtifactKind,
        /// What the store says.
        source: object_store::Error,
    },
    /// Any other failure of the store.
    #[error("cannot {action} {key} in the artifact store: {source}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The object.
        key: ArtifactKey,
        /// What the store says.
        source: object_store::Error,
    },
    /// The thread that computes hashes was stopped.
    #[error("the hash of an artifact could not be computed: {source}")]
    Hashing {
        /// Why the thread ended.
        source: tokio::task::JoinError,
    },
}

impl ArtifactError {
    pub(super) fn from_store(action: &'static str, key: ArtifactKey, source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { .. } => Self::Missing { key },
            source if no_room(&source) => Self::Full { key, source },
            source => Self::Store { action, key, source },
        }
    }
}

/// Whether a full disk or an exhausted quota is at the bottom of an error.
fn no_room(error: &object_store::Error) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) = kind {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ArtifactKind;

    #[test]
    fn a_full_disk_is_recognised_at_the_bottom_of_an_error() {
        let key = ArtifactKey::of(ArtifactKind::Weights, b"abc");
        let refuse = |kind: io::ErrorKind| {
            let source = object_store::Error::Generic {
                store: "LocalFileSystem",
                source: Box::new(io::Error::from(kind)),
            };
            ArtifactError::from_store("write", key, source)
        };
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(matches!(refuse(kind), ArtifactError::Full { .. }));
        }
        assert!(matches!(
            refuse(io::ErrorKind::PermissionDenied),
            ArtifactError::Store { .. }
        ));
    }
}
