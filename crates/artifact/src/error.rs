//! Errors of the artifact store. The operator of the server can fix every variant, its callers cannot.
//!
//! A message contains its cause. So a cause is not called `source`: a caller that prints an error with all of its
//! sources would print it twice.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::key::{ArtifactKey, ArtifactKeyError, ArtifactKind};

/// Why an object could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The directory cannot be used.
    #[error("the artifact directory {} cannot be used: {cause}; check that it is a directory this user may write to", directory.display())]
    Open {
        /// The directory.
        directory: PathBuf,
        /// The error of the system.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// No space is left.
    #[error(
        "no space is left in the artifact store to write {key}: free some space or increase the quota, then try again"
    )]
    Full {
        /// The object that could not be written.
        key: ArtifactKey,
        /// The error of the store.
        cause: object_store::Error,
    },
    /// There is no such object.
    #[error(
        "{key} is missing from the artifact store: it was removed, or a different directory is configured than when it was stored"
    )]
    Missing {
        /// The object.
        key: ArtifactKey,
    },
    /// The object has changed since it was stored.
    #[error(
        "{key} is damaged: its {length} bytes no longer have that SHA-256; restore it from a backup or store it again"
    )]
    Corrupt {
        /// The object.
        key: ArtifactKey,
        /// Its size in bytes now.
        length: usize,
    },
    /// The catalogue contains an invalid key.
    #[error(transparent)]
    Key(#[from] ArtifactKeyError),
    /// The images or labels of a split have the wrong size.
    #[error(
        "{key} has {bytes} bytes, which is not a list of {expected}: the catalogue and the artifact store disagree"
    )]
    NotASplit {
        /// The object.
        key: ArtifactKey,
        /// Its size in bytes.
        bytes: usize,
        /// A description of the expected content.
        expected: String,
    },
    /// The objects of a kind cannot be listed.
    #[error("cannot list the {kind} in the artifact store: {cause}")]
    List {
        /// The kind.
        kind: ArtifactKind,
        /// The error of the store.
        cause: object_store::Error,
    },
    /// A file of the store's own, beside the objects, cannot be read or written.
    #[error("cannot {action} the artifact store: {cause}")]
    Own {
        /// The action that failed.
        action: &'static str,
        /// The error of the store.
        cause: object_store::Error,
    },
    /// Any other failure of the store.
    #[error("cannot {action} {key} in the artifact store: {cause}")]
    Store {
        /// The action that failed.
        action: &'static str,
        /// The object.
        key: ArtifactKey,
        /// The error of the store.
        cause: object_store::Error,
    },
    /// The thread that computes hashes has stopped.
    #[error("the hash of an artifact could not be computed: {cause}")]
    Hashing {
        /// Why the thread ended.
        cause: tokio::task::JoinError,
    },
}

impl ArtifactError {
    pub(super) fn from_store(action: &'static str, key: ArtifactKey, cause: object_store::Error) -> Self {
        match cause {
            object_store::Error::NotFound { .. } => Self::Missing { key },
            cause if is_out_of_space(&cause) => Self::Full { key, cause },
            cause => Self::Store { action, key, cause },
        }
    }
}

/// Whether a full disk or an exhausted quota is the cause of an error.
fn is_out_of_space(error: &object_store::Error) -> bool {
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
    fn a_full_disk_is_recognised_as_the_cause_of_an_error() {
        let key = ArtifactKey::of(ArtifactKind::Weights, b"abc");
        let refuse = |kind: io::ErrorKind| {
            let cause = object_store::Error::Generic {
                store: "LocalFileSystem",
                source: Box::new(io::Error::from(kind)),
            };
            ArtifactError::from_store("write", key, cause)
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
