//! The user that PostgreSQL runs as.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, getegid, geteuid};
use tokio::process::Command;

use super::error::{EmbeddedError, io_error};

/// The users that root may run PostgreSQL as, in order of preference. `postgres` is safer, because other programs may also run
/// as `nobody` and could then open the database.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The user that PostgreSQL's processes run as and that owns their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// Whether this is a different user than the one that runs this program.
    switch: bool,
}

impl Account {
    /// The current user. For root, the owner of the existing cluster, or the first of [`CANDIDATES`] that exists. The owner
    /// comes first, because a user `postgres` may have been added after the cluster was created.
    pub fn for_cluster(cluster: &Path) -> Result<Account, EmbeddedError> {
        let owner = fs::symlink_metadata(cluster).ok();
        let account = if geteuid().is_root() {
            let owner = owner.as_ref().filter(|owner| owner.uid() != 0);
            match owner {
                Some(owner) => Account::from_ids(owner.uid(), owner.gid(), true),
                None => CANDIDATES
                    .iter()
                    .find_map(|name| Account::from_name(name))
                    .ok_or(EmbeddedError::NoAccount)?,
            }
        } else {
            Account::from_ids(geteuid().as_raw(), getegid().as_raw(), false)
        };
        match owner {
            Some(owner) if owner.uid() != account.uid => Err(EmbeddedError::WrongOwner {
                cluster: cluster.to_path_buf(),
                owner: owner.uid(),
                account: account.name,
            }),
            _ => Ok(account),
        }
    }

    fn from_name(name: &str) -> Option<Account> {
        let user = User::from_name(name).ok().flatten()?;
        Some(Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            switch: true,
        })
    }

    fn from_ids(uid: u32, gid: u32, switch: bool) -> Account {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = user.map_or_else(|| uid.to_string(), |user| user.name);
        Account { name, uid, gid, switch }
    }

    /// A command that runs `program` as this user, in the folder `directory`, without our environment. That contains secrets
    /// that the database does not need, and may contain variables such as `PGDATA` that would mislead it.
    pub fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        command.current_dir(directory);
        if self.switch {
            // If no groups are given, the standard library also drops root's supplementary groups.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Makes this user the owner of a file or folder.
    pub fn chown(&self, path: &Path) -> Result<(), EmbeddedError> {
        if !self.switch {
            return Ok(());
        }
        lchown(path, Some(self.uid), Some(self.gid)).map_err(io_error("change the owner of", path))
    }

    /// Whether this user owns the file.
    pub fn owns(&self, file: &Metadata) -> bool {
        file.uid() == self.uid
    }

    /// Checks that this user may enter `path` and every folder above it.
    pub fn check_reaches(&self, path: &Path, advice: &'static str) -> Result<(), EmbeddedError> {
        if !self.switch {
            return Ok(());
        }
        let path = fs::canonicalize(path).map_err(io_error("find", path))?;
        let mut folders: Vec<&Path> = path.ancestors().collect();
        folders.reverse();
        for folder in folders {
            let metadata = fs::metadata(folder).map_err(io_error("inspect", folder))?;
            let permissions = Permissions {
                mode: metadata.mode(),
                uid: metadata.uid(),
                gid: metadata.gid(),
            };
            if metadata.is_dir() && !self.may_enter(permissions) {
                let account = self.name.clone();
                let blocked_at = PathBuf::from(folder);
                return Err(EmbeddedError::Unreachable {
                    account,
                    path,
                    blocked_at,
                    advice,
                });
            }
        }
        Ok(())
    }

    /// The rule of the kernel: the owner's bit counts for the owner, the group's bit for members of the group, and the last bit
    /// for all others.
    fn may_enter(&self, folder: Permissions) -> bool {
        let bit = match folder {
            _ if self.uid == folder.uid => 0o100,
            _ if self.gid == folder.gid => 0o010,
            _ => 0o001,
        };
        folder.mode & bit != 0
    }
}

/// The permissions of a folder.
#[derive(Clone, Copy)]
struct Permissions {
    mode: u32,
    uid: u32,
    gid: u32,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn other_user() -> Account {
        Account {
            name: "other".to_owned(),
            uid: 70_001,
            gid: 70_002,
            switch: true,
        }
    }

    #[test]
    fn a_folder_is_open_to_its_owner_its_group_or_all_users() {
        let folder = |mode, uid, gid| Permissions { mode, uid, gid };
        assert!(other_user().may_enter(folder(0o755, 0, 0)));
        assert!(other_user().may_enter(folder(0o700, 70_001, 0)));
        assert!(other_user().may_enter(folder(0o710, 0, 70_002)));
        assert!(!other_user().may_enter(folder(0o700, 0, 0)));
        assert!(
            !other_user().may_enter(folder(0o701, 0, 70_002)),
            "the group's missing bit counts for its members"
        );
        assert!(
            !other_user().may_enter(folder(0o077, 70_001, 0)),
            "the owner's missing bit counts for the owner"
        );
    }

    #[test]
    fn the_error_names_the_closed_folder_and_what_to_do() {
        let closed = tempfile::tempdir().unwrap();
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let inside = closed.path().join("data");
        fs::create_dir(&inside).unwrap();

        let error = other_user()
            .check_reaches(&inside, "choose another one with --data-dir")
            .unwrap_err()
            .to_string();
        let expected = format!("may not enter {}", fs::canonicalize(closed.path()).unwrap().display());
        assert!(
            error.contains(&expected) && error.contains("choose another one with --data-dir"),
            "{error}"
        );

        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o711)).unwrap();
        other_user().check_reaches(&inside, "").unwrap();
    }

    #[test]
    fn postgres_never_runs_as_root() {
        let account = Account::for_cluster(Path::new("/nowhere/postgres")).unwrap();
        assert_ne!(account.uid, 0);
        assert_eq!(account.switch, geteuid().is_root());
    }

    #[test]
    fn a_cluster_of_another_user_is_refused_or_run_as_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            lchown(folder.path(), Some(70_001), Some(70_002)).unwrap();
            let account = Account::for_cluster(folder.path()).unwrap();
            assert_eq!((account.uid, account.gid, account.switch), (70_001, 70_002, true));
            lchown(folder.path(), Some(0), Some(0)).unwrap();
            assert!(matches!(
                Account::for_cluster(folder.path()),
                Err(EmbeddedError::WrongOwner { owner: 0, .. })
            ));
        } else {
            let of_root = Account::for_cluster(Path::new("/"));
            assert!(matches!(of_root, Err(EmbeddedError::WrongOwner { owner: 0, .. })));
        }
    }
}
