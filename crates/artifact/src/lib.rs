//! The artifact store: large objects that are written once.
//!
//! The key of an object is the hash of its bytes ([`ArtifactKey`]). Therefore the same bytes are stored once, an object is
//! never overwritten with other bytes, and damage is detected on reading.

use std::collections::HashSet;
use std::fs::{File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use nix::sys::statvfs::statvfs;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

mod error;
mod key;
mod split;

pub use error::ArtifactError;
use key::ArtifactHasher;
pub use key::{ArtifactKey, ArtifactKeyError, ArtifactKind};
pub use split::SplitKeys;

/// Bytes that are read at a time when an object is streamed.
const CHUNK_BYTES: usize = 8 << 20;

/// The name of the file with the id of a store.
pub const ID: &str = "id";

/// The name of the file that [`ArtifactStore::probe`] writes.
const PROBE: &str = "probe";

/// An object that is read in chunks.
pub struct ObjectStream {
    /// Size of the object in bytes.
    pub size: u64,
    /// Its bytes, some megabytes at a time.
    pub chunks: BoxStream<'static, Result<Bytes, ArtifactError>>,
}

impl ObjectStream {
    /// The same object, which keeps something until it has been sent: the memory that its bytes take.
    #[must_use]
    pub fn holding(self, held: impl Send + 'static) -> Self {
        let chunks = self.chunks.map(move |chunk| {
            let _ = &held;
            chunk
        });
        Self {
            size: self.size,
            chunks: chunks.boxed(),
        }
    }
}

impl From<Vec<u8>> for ObjectStream {
    /// An object in memory, as a single chunk.
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            size: bytes.len() as u64,
            chunks: futures::stream::iter([Ok(bytes.into())]).boxed(),
        }
    }
}

/// A store of objects. A clone is another handle to the same store.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    objects: Arc<dyn ObjectStore>,
    directory: Arc<Path>,
}

impl ArtifactStore {
    /// Opens the store in a directory, which is created if it is missing. Only the user of this process may enter it, because it
    /// has the weights of private models.
    ///
    /// An object is written under a temporary name, synced to disk and then renamed. A crash therefore leaves either the
    /// whole object or nothing.
    ///
    /// # Errors
    /// The directory cannot be created or opened.
    pub fn open(directory: &Path) -> Result<Self, ArtifactError> {
        let refuse = |cause: Box<dyn std::error::Error + Send + Sync>| ArtifactError::Open {
            directory: directory.to_owned(),
            cause,
        };
        std::fs::create_dir_all(directory).map_err(|error| refuse(error.into()))?;
        match std::fs::set_permissions(directory, Permissions::from_mode(0o700)) {
            // It belongs to another user, who decides who may enter.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            outcome => outcome.map_err(|error| refuse(error.into()))?,
        }
        let files = LocalFileSystem::new_with_prefix(directory).map_err(|error| refuse(error.into()))?;
        Ok(Self {
            objects: Arc::new(files.with_fsync(true)),
            directory: directory.into(),
        })
    }

    /// Writes a small object and reads it.
    ///
    /// # Errors
    /// It cannot be written or read.
    pub async fn probe(&self) -> Result<(), ArtifactError> {
        let refuse = |cause| ArtifactError::Own {
            action: "write and read a small object in",
            cause,
        };
        let place = PROBE.into();
        self.objects.put(&place, PROBE.into()).await.map_err(refuse)?;
        let found = self.objects.get(&place).await.map_err(refuse)?;
        found.bytes().await.map(drop).map_err(refuse)
    }

    /// Bytes that are free where the objects are; `None` if the system does not say.
    pub fn free_bytes(&self) -> Option<u64> {
        let found = statvfs(&*self.directory).ok()?;
        Some(found.blocks_available().saturating_mul(found.fragment_size()))
    }

    /// The id of the store; `None` if it has none yet.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn id(&self) -> Result<Option<String>, ArtifactError> {
        let refuse = |cause| ArtifactError::Own {
            action: "read the id of",
            cause,
        };
        let bytes = match self.objects.get(&ID.into()).await {
            Ok(found) => found.bytes().await.map_err(refuse)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(refuse(error)),
        };
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// Gives the store an id. One that it has is not replaced.
    ///
    /// # Errors
    /// It has one, or it cannot be written.
    pub async fn set_id(&self, id: &str) -> Result<(), ArtifactError> {
        let place = ID.into();
        let written = self
            .objects
            .put_opts(&place, format!("{id}\n").into(), PutMode::Create.into());
        written.await.map(drop).map_err(|cause| ArtifactError::Own {
            action: "write the id of",
            cause,
        })
    }

    /// Whether there is an object of this key. Its content is not checked.
    ///
    /// # Errors
    /// The store fails.
    pub async fn contains(&self, key: &ArtifactKey) -> Result<bool, ArtifactError> {
        match self.objects.head(&location(key)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(ArtifactError::from_store("find", *key, error)),
        }
    }

    /// Stores `bytes` and returns their key. An intact object that exists already is not written again, but counts as new for
    /// [`ArtifactStore::trim`].
    ///
    /// # Errors
    /// [`ArtifactError::Full`] or another failure to write; then nothing is stored.
    pub async fn put(&self, kind: ArtifactKind, bytes: impl Into<Bytes>) -> Result<ArtifactKey, ArtifactError> {
        let bytes: Bytes = bytes.into();
        let key = key_of(kind, bytes.clone()).await?;
        // Marked first: then it is not deleted while it is checked. A damaged object is replaced.
        if !self.touch(&key).await? || !self.is_intact(&key).await? {
            self.write(&key, bytes).await?;
        }
        Ok(key)
    }

    /// Makes an object count as new. Returns whether there is one.
    async fn touch(&self, key: &ArtifactKey) -> Result<bool, ArtifactError> {
        let file = self.directory.join(key.to_string());
        #[expect(
            clippy::disallowed_methods,
            reason = "the timestamps of files come from the clock of this machine"
        )]
        let touched = tokio::task::spawn_blocking(move || File::open(file)?.set_modified(SystemTime::now())).await;
        match touched.map_err(|cause| ArtifactError::Hashing { cause })? {
            Ok(()) => Ok(true),
            // Whatever is wrong with it shows when it is read or written.
            Err(_) => Ok(false),
        }
    }

    /// Whether an object exists and is intact.
    async fn is_intact(&self, key: &ArtifactKey) -> Result<bool, ArtifactError> {
        match self.check(key).await {
            Ok(_) => Ok(true),
            Err(ArtifactError::Missing { .. } | ArtifactError::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Verifies the hash of an object, reading it in chunks. Returns its size in bytes.
    async fn check(&self, key: &ArtifactKey) -> Result<u64, ArtifactError> {
        let refuse = |error| ArtifactError::from_store("read", *key, error);
        let location = location(key);
        let size = self.objects.head(&location).await.map_err(refuse)?.size;
        let mut hasher = ArtifactHasher::default();
        for start in (0..size).step_by(CHUNK_BYTES) {
            let range = start..size.min(start + CHUNK_BYTES as u64);
            let chunk = self.objects.get_range(&location, range).await.map_err(refuse)?;
            let hashed = tokio::task::spawn_blocking(move || hasher.update(&chunk)).await;
            hasher = hashed.map_err(|cause| ArtifactError::Hashing { cause })?;
        }
        if hasher.key(key.kind()) != *key {
            return Err(ArtifactError::Corrupt {
                key: *key,
                length: size as usize,
            });
        }
        Ok(size)
    }

    /// Reads an object in chunks, after verifying its hash.
    ///
    /// # Errors
    /// As [`ArtifactStore::get`].
    pub async fn stream(&self, key: &ArtifactKey) -> Result<ObjectStream, ArtifactError> {
        let size = self.check(key).await?;
        let (key, objects) = (*key, Arc::clone(&self.objects));
        let starts = futures::stream::iter((0..size).step_by(CHUNK_BYTES));
        let chunks = starts.then(move |start| {
            let objects = Arc::clone(&objects);
            async move {
                let range = start..size.min(start + CHUNK_BYTES as u64);
                let chunk = objects.get_range(&location(&key), range).await;
                chunk.map_err(|error| ArtifactError::from_store("read", key, error))
            }
        });
        Ok(ObjectStream {
            size,
            chunks: chunks.boxed(),
        })
    }

    /// Stores `bytes` even if the object exists, so that it counts as new for [`ArtifactStore::trim`].
    ///
    /// # Errors
    /// As [`ArtifactStore::put`].
    pub async fn rewrite(&self, kind: ArtifactKind, bytes: impl Into<Bytes>) -> Result<ArtifactKey, ArtifactError> {
        let bytes: Bytes = bytes.into();
        let key = key_of(kind, bytes.clone()).await?;
        self.write(&key, bytes).await?;
        Ok(key)
    }

    async fn write(&self, key: &ArtifactKey, bytes: Bytes) -> Result<(), ArtifactError> {
        let written = self.objects.put(&location(key), bytes.into()).await;
        written
            .map(drop)
            .map_err(|error| ArtifactError::from_store("write", *key, error))
    }

    /// The size of an object in bytes.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], or a failure to read.
    pub async fn size(&self, key: &ArtifactKey) -> Result<u64, ArtifactError> {
        let head = self.objects.head(&location(key)).await;
        let object = head.map_err(|error| ArtifactError::from_store("read", *key, error))?;
        Ok(object.size)
    }

    /// Reads an object and verifies its hash.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], [`ArtifactError::Corrupt`], or a failure to read.
    pub async fn get(&self, key: &ArtifactKey) -> Result<Bytes, ArtifactError> {
        let refuse = |error| ArtifactError::from_store("read", *key, error);
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

    /// Deletes an object. One that does not exist counts as deleted: another server that uses the same store may have been first.
    ///
    /// # Errors
    /// The store fails.
    pub async fn delete(&self, key: &ArtifactKey) -> Result<(), ArtifactError> {
        match self.objects.delete(&location(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ArtifactError::from_store("delete", *key, error)),
        }
    }

    /// Deletes objects of a kind, oldest first, until the rest takes at most `limit` bytes. Returns how many were deleted. The
    /// `kept` objects stay, and so do objects that were put within `grace`.
    ///
    /// # Errors
    /// The store fails; some objects may have been deleted.
    pub async fn trim(
        &self,
        kind: ArtifactKind,
        limit: u64,
        kept: &HashSet<ArtifactKey>,
        grace: Duration,
    ) -> Result<usize, ArtifactError> {
        let folder = object_store::path::Path::from(kind.folder());
        let list = self.objects.list(Some(&folder));
        let mut objects: Vec<_> = list
            .try_collect()
            .await
            .map_err(|cause| ArtifactError::List { kind, cause })?;
        objects.sort_by_key(|object| object.last_modified);
        let mut bytes: u64 = objects.iter().map(|object| object.size).sum();
        #[expect(
            clippy::disallowed_methods,
            reason = "the timestamps of files come from the clock of this machine"
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
            if kept.contains(&key) || self.is_newer(&key, latest).await? {
                continue;
            }
            self.delete(&key).await?;
            bytes -= object.size;
            deleted += 1;
        }
        Ok(deleted)
    }
}

impl ArtifactStore {
    /// Whether an object was put after a time. One that is gone was not.
    async fn is_newer(&self, key: &ArtifactKey, time: DateTime<Utc>) -> Result<bool, ArtifactError> {
        match self.objects.head(&location(key)).await {
            Ok(found) => Ok(found.last_modified > time),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(ArtifactError::from_store("find", *key, error)),
        }
    }
}

fn location(key: &ArtifactKey) -> object_store::path::Path {
    object_store::path::Path::from(key.to_string())
}

/// Hashes on a blocking thread: gigabytes take seconds, which would hold up the threads that serve requests.
async fn key_of(kind: ArtifactKind, bytes: Bytes) -> Result<ArtifactKey, ArtifactError> {
    tokio::task::spawn_blocking(move || ArtifactKey::of(kind, &bytes))
        .await
        .map_err(|cause| ArtifactError::Hashing { cause })
}

#[cfg(test)]
mod tests;
