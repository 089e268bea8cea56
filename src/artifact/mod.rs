//! The object store: large things that are written once and read whole.
//!
//! An object is named by the hash of its bytes ([`ArtifactKey`]). The same bytes are therefore
//! stored once, nothing is ever overwritten with something else, and damage shows when reading.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};

mod error;
mod key;
mod split;

pub use error::ArtifactError;
pub use key::{ArtifactKey, ArtifactKeyError, ArtifactKind};
pub use split::SplitKeys;

/// A store of objects; a clone is another handle to the same one.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    objects: Arc<dyn ObjectStore>,
}

impl ArtifactStore {
    /// Opens the store in a directory, which is made if there is none.
    ///
    /// An object is written beside its place under another name, brought to the disk and then
    /// renamed, so that a crash leaves either the whole object or none.
    ///
    /// # Errors
    /// A directory that cannot be made or opened.
    pub fn open(directory: &Path) -> Result<Self, ArtifactError> {
        let refuse = |source: Box<dyn std::error::Error + Send + Sync>| ArtifactError::Open {
            directory: directory.to_owned(),
            source,
        };
        std::fs::create_dir_all(directory).map_err(|source| refuse(source.into()))?;
        let files = LocalFileSystem::new_with_prefix(directory).map_err(|source| refuse(source.into()))?;
        Ok(Self {
            objects: Arc::new(files.with_fsync(true)),
        })
    }

    /// Stores `bytes` and returns their key. What is already there, undamaged, is not written again.
    ///
    /// # Errors
    /// [`ArtifactError::Full`] or another failure to write; then nothing is stored.
    pub async fn put(&self, kind: ArtifactKind, bytes: impl Into<Bytes>) -> Result<ArtifactKey, ArtifactError> {
        let bytes: Bytes = bytes.into();
        let key = key_of(kind, bytes.clone()).await?;
        let location = location(&key);
        match self.get(&key).await {
            Ok(_) => return Ok(key),
            // What has been damaged is replaced by the good bytes.
            Err(ArtifactError::Missing { .. } | ArtifactError::Corrupt { .. }) => {}
            Err(other) => return Err(other),
        }
        match self.objects.put(&location, bytes.into()).await {
            Ok(_) => Ok(key),
            Err(source) => Err(ArtifactError::from_store("write", key, source)),
        }
    }

    /// Reads an object and makes sure that it is what was stored.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], [`ArtifactError::Corrupt`], or a failure to read.
    pub async fn get(&self, key: &ArtifactKey) -> Result<Bytes, ArtifactError> {
        let refuse = |source| ArtifactError::from_store("read", *key, source);
        let object = self.objects.get(&location(key)).await.map_err(refuse)?;
        let bytes = object.bytes().await.map_err(refuse)?;
        let actual = key_of(key.kind(), bytes.clone()).await?;
        if actual != *key {
            return Err(ArtifactError::Corrupt {
                key: *key,
                length: bytes.len(),
            });
        }
        Ok(bytes)
    }
}

fn location(key: &ArtifactKey) -> object_store::path::Path {
    object_store::path::Path::from(key.to_string())
}

/// Hashing gigabytes takes seconds: it is done away from the threads that answer requests.
async fn key_of(kind: ArtifactKind, bytes: Bytes) -> Result<ArtifactKey, ArtifactError> {
    tokio::task::spawn_blocking(move || ArtifactKey::of(kind, &bytes))
        .await
        .map_err(|source| ArtifactError::Hashing { source })
}

#[cfg(test)]
mod tests;
