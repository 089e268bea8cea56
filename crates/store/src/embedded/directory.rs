//! The data directory: its lock, and the folder of the socket.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use super::account::Account;
use super::error::{EmbeddedError, io_error};

/// Maximum length of the path of a Unix socket: `sun_path` has 108 bytes on Linux, the last one a zero.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The name of PostgreSQL's socket for the default port.
const SOCKET: &str = ".s.PGSQL.5432";

/// The parent folder of the socket if the path of the data directory is too long.
const FALLBACK_PARENT: &str = "/tmp";

/// A locked data directory: no other server can use it while this value exists.
#[derive(Debug)]
pub(super) struct DataDirectory {
    /// The absolute path, without symbolic links.
    pub path: PathBuf,
    /// Holds the lock, which the kernel releases whenever the process ends.
    _lock: File,
}

impl DataDirectory {
    /// Creates the directory if it is missing, and locks it.
    pub fn open(path: &Path) -> Result<DataDirectory, EmbeddedError> {
        if !path.is_dir() {
            fs::create_dir_all(path).map_err(io_error("create the data directory", path))?;
            // For root, the cluster inside belongs to another user, who has to be able to pass through this folder.
            let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
            fs::set_permissions(path, Permissions::from_mode(mode))
                .map_err(io_error("set the permissions of", path))?;
        }
        let path = fs::canonicalize(path).map_err(io_error("find the data directory", path))?;
        let lock = lock(&path)?;
        Ok(DataDirectory { path, _lock: lock })
    }

    /// The folder of the database cluster.
    pub fn cluster(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// Creates a folder for the socket that only `account` (and root) can open. It is in the data directory, or in `/tmp` if
    /// the path of the socket would be too long. Leftovers of an earlier server are removed.
    pub fn socket_folder(&self, account: &Account) -> Result<PathBuf, EmbeddedError> {
        let folder = socket_folder(&self.path);
        private_folder(&folder, account)?;
        for name in [SOCKET.to_owned(), format!("{SOCKET}.lock")] {
            let leftover = folder.join(name);
            match fs::remove_file(&leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove", &leftover)(error));
                }
                _ => {}
            }
        }
        Ok(folder)
    }

    /// The free disk space in bytes.
    pub fn free_space(&self) -> Result<u64, EmbeddedError> {
        let found =
            statvfs(&self.path).map_err(|error| io_error("determine the free space of", &self.path)(error.into()))?;
        Ok(found.blocks_available().saturating_mul(found.fragment_size()))
    }
}

fn lock(directory: &Path) -> Result<File, EmbeddedError> {
    let path = directory.join("lock");
    // Not truncated on opening: until we have the lock, the file contains the process number of its holder.
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = opened.map_err(io_error("open the lock file", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let pid = file
                .read_to_string(&mut pid)
                .ok()
                .map(|_| pid.trim().to_owned())
                .filter(|pid| !pid.is_empty());
            return Err(EmbeddedError::InUse {
                directory: directory.to_path_buf(),
                pid,
            });
        }
        Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(io_error("write the lock file", &path))?;
    Ok(file)
}

fn socket_folder(data_dir: &Path) -> PathBuf {
    let inside = data_dir.join("socket");
    if inside.join(SOCKET).as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
        return inside;
    }
    let digest = hex::encode(Sha256::digest(data_dir.as_os_str().as_bytes()));
    Path::new(FALLBACK_PARENT).join(format!("scv-{}", &digest[..16]))
}

/// The folder of the socket of an existing cluster. `None` if another user may have created it.
pub(super) fn existing_socket_folder(data_dir: &Path) -> Option<PathBuf> {
    let data_dir = fs::canonicalize(data_dir).ok()?;
    let account = Account::for_cluster(&data_dir.join("postgres")).ok()?;
    let folder = socket_folder(&data_dir);
    let found = fs::symlink_metadata(&folder).ok()?;
    (found.is_dir() && account.owns(&found) && found.mode() & 0o077 == 0).then_some(folder)
}

/// Creates a folder that only `account` can open. An existing folder is checked.
fn private_folder(folder: &Path, account: &Account) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("create the folder of the socket", folder)(error)),
    }
    let found = fs::symlink_metadata(folder).map_err(io_error("inspect", folder))?;
    let refuse = |reason: String| {
        Err(EmbeddedError::NotPrivate {
            path: folder.to_path_buf(),
            reason,
        })
    };
    if !found.is_dir() {
        return refuse("it is not a folder".to_owned());
    }
    // It is ours if an earlier start was interrupted before it changed the owner.
    if !account.owns(&found) && found.uid() != geteuid().as_raw() {
        return refuse(format!("it belongs to user {}", found.uid()));
    }
    if found.mode() & 0o077 != 0 {
        return refuse(format!("its permissions are {:o}", found.mode() & 0o777));
    }
    account.chown(folder)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn account() -> Account {
        Account::for_cluster(Path::new("/nowhere/postgres")).unwrap()
    }

    #[test]
    fn a_second_server_on_the_same_directory_learns_which_process_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDirectory::open(folder.path()).unwrap();
        let error = DataDirectory::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(folder.path().to_str().unwrap()), "{error}");
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        DataDirectory::open(folder.path()).unwrap();
    }

    #[test]
    fn a_file_is_no_data_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataDirectory::open(file.path()).unwrap_err().to_string();
        let expected = format!(
            "cannot create the data directory {}: File exists",
            file.path().display()
        );
        assert!(error.starts_with(&expected), "{error}");
    }

    #[test]
    fn a_data_directory_with_a_short_path_contains_its_socket() {
        assert_eq!(
            socket_folder(Path::new("/var/lib/scv")),
            Path::new("/var/lib/scv/socket")
        );
    }

    #[test]
    fn the_socket_of_a_data_directory_with_a_long_path_is_elsewhere() {
        let long = |end: &str| PathBuf::from(format!("/{}/{end}", "long/".repeat(25)));
        let folder = socket_folder(&long("one"));
        assert!(folder.starts_with(FALLBACK_PARENT), "{}", folder.display());
        assert!(folder.join(SOCKET).as_os_str().len() <= MAX_SOCKET_PATH_BYTES);
        assert_ne!(folder, socket_folder(&long("two")), "each data directory has its own");
    }

    #[test]
    fn only_its_owner_can_open_the_socket_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("socket");
        private_folder(&folder, &account()).unwrap();
        let found = fs::symlink_metadata(&folder).unwrap();
        assert_eq!(found.mode() & 0o777, 0o700);
        assert!(account().owns(&found));
        private_folder(&folder, &account()).unwrap();
    }

    #[test]
    fn a_socket_folder_that_others_can_open_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("socket");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let error = private_folder(&folder, &account()).unwrap_err().to_string();
        assert!(error.contains("its permissions are 755"), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_socket_folder_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (target, link) = (parent.path().join("target"), parent.path().join("socket"));
        DirBuilder::new().mode(0o700).create(&target).unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let error = private_folder(&link, &account()).unwrap_err().to_string();
        assert!(error.contains("it is not a folder"), "{error}");
    }
}
