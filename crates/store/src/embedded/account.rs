//! The user that PostgreSQL runs as.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

use nix::unistd::{Uid, User, getegid, geteuid};
use tokio::process::Command;

use super::error::{EmbeddedError, io_error};

/// Whom root runs PostgreSQL as, the first that exists. PostgreSQL's own user is better, since other programs may run
/// as `nobody` too and could then open the database.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The user that PostgreSQL's processes run as and that owns their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    /// Whether that is another user than the one who runs this program.
    switch: bool,
}

impl Account {
    /// Ourselves, or, for root, the owner of the existing cluster, or else the first of [`CANDIDATES`]. The owner
    /// comes first because a user `postgres` may have been added since the cluster was made.
    pub fn for_cluster(cluster: &Path) -> Result<Account, EmbeddedError> {
        let owner = fs::symlink_metadata(cluster).ok();
        let account = if geteuid().is_root() {
            let owner = owner.as_ref().filter(|owner| owner.uid() != 0);
            match owner {
                Some(owner) => Account::numbered(owner.uid(), owner.gid(), true),
                None => CANDIDATES
                    .iter()
                    .find_map(|name| Account::named(name))
                    .ok_or(EmbeddedError::NoAccount)?,
            }
        } else {
            Account::numbered(geteuid().as_raw(), getegid().as_raw(), false)
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

    fn named(name: &str) -> Option<Account> {
        let user = User::from_name(name).ok().flatten()?;
        Some(Account {
            name: user.name,
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            switch: true,
        })
    }

    fn numbered(uid: u32, gid: u32, switch: bool) -> Account {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let name = user.map_or_else(|| uid.to_string(), |user| user.name);
        Account { name, uid, gid, switch }
    }

    /// A command that runs `program` as this user, in the folder `directory`, with none of our environment: it holds
    /// secrets that are not the database's business, and variables such as `PGDATA` that would mislead it.
    pub fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .env("TZ", "UTC");
        command.current_dir(directory);
        if self.switch {
            // Without a list of groups the standard library drops root's other groups too.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives a file or folder to this user.
    pub fn take(&self, path: &Path) -> Result<(), EmbeddedError> {
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
            let metadata = fs::metadata(folder).map_err(io_error("look at", folder))?;
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

    /// The kernel's rule: the owner's bit counts for the owner, else the group's for its members, else the others'.
    fn may_enter(&self, folder: Permissions) -> bool {
        let bit = match folder {
            _ if self.uid == folder.uid => 0o100,
            _ if self.gid == folder.gid => 0o010,
            _ => 0o001,
        };
        folder.mode & bit != 0
    }
}

/// Who may do what with a folder.
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

    fn somebody() -> Account {
        Account {
            name: "somebody".to_owned(),
            uid: 70_001,
            gid: 70_002,
            switch: true,
        }
    }

    #[test]
    fn a_folder_is_open_to_its_owner_its_group_or_everybody() {
        let folder = |mode, uid, gid| Permissions { mode, uid, gid };
        assert!(somebody().may_enter(folder(0o755, 0, 0)));
        assert!(somebody().may_enter(folder(0o700, 70_001, 0)));
        assert!(somebody().may_enter(folder(0o710, 0, 70_002)));
        assert!(!somebody().may_enter(folder(0o700, 0, 0)));
        assert!(
            !somebody().may_enter(folder(0o701, 0, 70_002)),
            "the group's missing bit counts for its members"
        );
        assert!(
            !somebody().may_enter(folder(0o077, 70_001, 0)),
            "the owner's missing bit counts for the owner"
        );
    }

    #[test]
    fn a_closed_folder_on_the_way_is_named_with_what_to_do() {
        let closed = tempfile::tempdir().unwrap();
        fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let inside = closed.path().join("data");
        fs::create_dir(&inside).unwrap();

        let error = somebody()
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
        somebody().check_reaches(&inside, "").unwrap();
    }

    #[test]
    fn postgres_never_runs_as_root() {
        let account = Account::for_cluster(Path::new("/nowhere/postgres")).unwrap();
        assert_ne!(account.uid, 0);
        assert_eq!(account.switch, geteuid().is_root());
    }

    #[test]
    fn a_cluster_of_somebody_else_is_refused_or_run_as_its_owner() {
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
