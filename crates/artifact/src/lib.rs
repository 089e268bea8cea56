//! The object store: large things that are written once.
//!
//! An object is named by the hash of its bytes ([`ArtifactKey`]). The same bytes are therefore
//! stored once, nothing is ever overwritten with something else, and damage shows when reading.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};

mod error;
mod key;
mod split;

pub use error::ArtifactError;
use key::ArtifactHasher;
pub use key::{ArtifactKey, ArtifactKeyError, ArtifactKind};
pub use split::SplitKeys;

/// Bytes of an object that are read at a time where it is not needed whole.
const PIECE: usize = 8 << 20;

/// An object as it is read.
pub struct Stored {
    /// Bytes of all pieces.
    pub size: u64,
    /// Its bytes, some megabytes at a time.
    pub pieces: BoxStream<'static, Result<Bytes, ArtifactError>>,
}

impl From<Vec<u8>> for Stored {
    /// What was just made.
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            size: bytes.len() as u64,
            pieces: futures::stream::iter([Ok(bytes.into())]).boxed(),
        }
    }
}

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
        // What has been damaged is replaced by the good bytes.
        if !self.is_intact(&key).await? {
            self.write(&key, bytes).await?;
        }
        Ok(key)
    }

    /// Whether an object is there, undamaged.
    async fn is_intact(&self, key: &ArtifactKey) -> Result<bool, ArtifactError> {
        match self.check(key).await {
            Ok(_) => Ok(true),
            Err(ArtifactError::Missing { .. } | ArtifactError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that an object is what was stored, reading it in pieces; says how many bytes it has.
    async fn check(&self, key: &ArtifactKey) -> Result<u64, ArtifactError> {
        let refuse = |source| ArtifactError::from_store("read", *key, source);
        let location = location(key);
        let size = self.objects.head(&location).await.map_err(refuse)?.size;
        let mut hasher = ArtifactHasher::default();
        for start in (0..size).step_by(PIECE) {
            let range = start..size.min(start + PIECE as u64);
            let piece = self.objects.get_range(&location, range).await.map_err(refuse)?;
            let hashed = tokio::task::spawn_blocking(move || hasher.and(&piece)).await;
            hasher = hashed.map_err(|source| ArtifactError::Hashing { source })?;
        }
        match hasher.key(key.kind()) == *key {
            true => Ok(size),
            false => Err(ArtifactError::Corrupt {
                key: *key,
                length: size as usize,
            }),
        }
    }

    /// Reads an object in pieces, after it was made sure that it is what was stored.
    ///
    /// # Errors
    /// As [`ArtifactStore::get`].
    pub async fn stream(&self, key: &ArtifactKey) -> Result<Stored, ArtifactError> {
        let size = self.check(key).await?;
        let (key, objects) = (*key, Arc::clone(&self.objects));
        let starts = futures::stream::iter((0..size).step_by(PIECE));
        let pieces = starts.then(move |start| {
            let objects = Arc::clone(&objects);
            async move {
                let range = start..size.min(start + PIECE as u64);
                let piece = objects.get_range(&location(&key), range).await;
                piece.map_err(|source| ArtifactError::from_store("read", key, source))
            }
        });
        Ok(Stored {
            size,
            pieces: pieces.boxed(),
        })
    }

    /// Stores `bytes` whether they are there or not, so that they are young again for [`ArtifactStore::trim`].
    ///
    /// # Errors
    /// As [`ArtifactStore::put`].
    pub async fn put_again(&self, kind: ArtifactKind, bytes: impl Into<Bytes>) -> Result<ArtifactKey, ArtifactError> {
        let bytes: Bytes = bytes.into();
        let key = key_of(kind, bytes.clone()).await?;
        self.write(&key, bytes).await?;
        Ok(key)
    }

    async fn write(&self, key: &ArtifactKey, bytes: Bytes) -> Result<(), ArtifactError> {
        let written = self.objects.put(&location(key), bytes.into()).await;
        written
            .map(drop)
            .map_err(|source| ArtifactError::from_store("write", *key, source))
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

    /// Deletes objects of a kind, the oldest first, until the others take at most `limit` bytes; says how many. The `spared`
    /// stay, and so does what was written within `grace`.
    ///
    /// # Errors
    /// The store fails; what is deleted by then is deleted.
    pub async fn trim(
        &self,
        kind: ArtifactKind,
        limit: u64,
        spared: &HashSet<ArtifactKey>,
        grace: Duration,
    ) -> Result<usize, ArtifactError> {
        let folder = object_store::path::Path::from(kind.folder());
        let list = self.objects.list(Some(&folder));
        let mut objects: Vec<_> = list
            .try_collect()
            .await
            .map_err(|source| ArtifactError::List { kind, source })?;
        objects.sort_by_key(|object| object.last_modified);
        let mut bytes: u64 = objects.iter().map(|object| object.size).sum();
        #[expect(
            clippy::disallowed_methods,
            reason = "it is this machine's clock that files are stamped with"
        )]
        let latest = Utc::now() - grace;
        let mut deleted = 0;
        for object in objects {
            if bytes <= limit || object.last_modified > latest {
                break;
            }
            let Ok(key) = object.location.to_string().parse::<ArtifactKey>() else {
                continue;
            };
            if spared.contains(&key) {
                continue;
            }
            match self.objects.delete(&object.location).await {
                // Another server on the same store may have been faster.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => return Err(ArtifactError::from_store("delete", key, source)),
            }
            bytes -= object.size;
            deleted += 1;
        }
        Ok(deleted)
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
