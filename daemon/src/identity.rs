//! Whose a data directory is: one small file in it, and the lock on that.
//!
//! # Format, version 1
//! `emberfs-identity.toml`, a text that people can read:
//!
//! ```toml
//! format = 1                                      # of the whole directory
//! kind = "disk"                                   # "disk", "meta" or "storage"
//! cluster = "0123456789abcdef0123456789abcdef"
//! node = 3                                        # absent until it has one
//! disk = "fedcba9876543210fedcba9876543210"       # of a disk
//! ```
//!
//! It is written to a temporary file, synced, renamed, and the directory synced: after a loss of power
//! it is the old one or the new one. Where the directory itself was made for it, so is what holds that.
//! Unknown keys are skipped, a higher `format` is refused.
//!
//! # Lock
//! Whoever uses the directory holds the lock on it (`lock.rs`). Nothing else is looked at or changed before both are
//! in order. What another process wrote here may have been cut off before its last sync: it is synced before it is
//! relied on.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use emberfs_layout::{ClusterId, DiskId, FileId, NodeId};
use rustix::fs::syncfs;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::holder;
use crate::lock::{self, Lock};
use crate::sync_point::SyncPoint;

/// The identity file's name.
const FILE: &str = "emberfs-identity.toml";
/// Where a new one is written before it takes its name.
const NEW_FILE: &str = "emberfs-identity.new";
/// The directory format of this build.
const FORMAT: u32 = 1;
/// What a file system's root may hold before anything of ours.
const HARMLESS: &[&str] = &["lost+found", lock::FILE, NEW_FILE];

/// What a directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectoryKind {
    /// A disk of a storage server.
    Disk,
    /// A metadata member's.
    Meta,
    /// A storage server's own, beside its disks.
    Storage,
}

/// Whose a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is for.
    pub kind: DirectoryKind,
    /// Which cluster's.
    pub cluster: ClusterId,
    /// Which node's; `None` until it has one.
    pub node: Option<NodeId>,
    /// Which disk it is, if it is one.
    pub disk: Option<DiskId>,
}

/// A directory whose lock this process holds. Dropped, it is free again.
#[derive(Debug)]
pub struct Held {
    directory: PathBuf,
    identity: Identity,
    lock: Lock,
}

/// Why a directory is not used. Nothing in it was touched.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was never formatted.
    #[error(
        "{0} is not formatted: it has no {FILE}. If a file system should be mounted there, mount it; to make it \
         new, say `emberfs disk format {0}` for a disk, or `emberfs cluster init --config FILE` for a \
         metadata server",
        directory.display()
    )]
    NotFormatted {
        /// Which directory.
        directory: PathBuf,
    },
    /// It is formatted already.
    #[error("{} is formatted already, for cluster {cluster}: nothing was changed", directory.display())]
    Formatted {
        /// Which directory.
        directory: PathBuf,
        /// Whose.
        cluster: ClusterId,
    },
    /// It holds something else.
    #[error("{} is not empty, it holds `{found}`: give an empty directory", directory.display())]
    NotEmpty {
        /// Which directory.
        directory: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// Another process uses it.
    #[error("{} is in use by {}", directory.display(), who(.holder))]
    InUse {
        /// Which directory.
        directory: PathBuf,
        /// Who uses it, if that can be seen: process number and name.
        holder: Option<String>,
    },
    /// The identity file is damaged.
    #[error("{}: {text}", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// A newer build wrote it.
    #[error(
        "{} has format {found}, this program knows {FORMAT} at most: a newer one wrote it; start a newer version of \
         this program",
        directory.display()
    )]
    Newer {
        /// Which directory.
        directory: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is for something else.
    #[error("{} belongs to {found}, expected {expected}: check the configuration", directory.display())]
    Foreign {
        /// Which directory.
        directory: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
}

/// The file, as it is written.
#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    kind: DirectoryKind,
    cluster: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<String>,
}

impl Held {
    /// Makes an empty or missing directory one of these.
    ///
    /// # Errors
    /// [`IdentityError`] if it is not empty, is formatted already, or is in use.
    pub fn format(directory: &Path, identity: Identity) -> Result<Self, IdentityError> {
        make_durably(directory)?;
        refuse_contents(directory)?;
        let lock = lock(directory)?;
        refuse_contents(directory)?; // again: somebody may have formatted it before the lock was ours
        let held = Self { directory: directory.to_owned(), identity, lock };
        held.write()?;
        Ok(held)
    }

    /// Takes a formatted directory of this kind and cluster into use.
    ///
    /// # Errors
    /// [`IdentityError`] if it is not one, or is in use.
    pub fn open(
        directory: &Path,
        kind: DirectoryKind,
        cluster: ClusterId,
    ) -> Result<Self, IdentityError> {
        // First as it stands, so that no file is made in what is not ours; then under the lock, as whoever held
        // it until now may have bound it to a node.
        read_as(directory, kind, cluster)?;
        let lock = lock(directory)?;
        sync_directory(directory)?;
        let identity = read_as(directory, kind, cluster)?;
        Ok(Self { directory: directory.to_owned(), identity, lock })
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file by whose lock this process alone uses it; `None` if the system does not say.
    #[must_use]
    pub fn lock_id(&self) -> Option<FileId> {
        self.lock.id()
    }

    /// Binds it to `node`: durably, when this returns.
    ///
    /// # Errors
    /// [`IdentityError::Foreign`] if it is bound to another: a disk does not move between nodes by itself.
    pub fn bind(&mut self, node: NodeId) -> Result<(), IdentityError> {
        match self.identity.node {
            Some(bound) if bound == node => Ok(()),
            Some(bound) => Err(IdentityError::Foreign {
                directory: self.directory.clone(),
                found: bound.to_string(),
                expected: node.to_string(),
            }),
            None => {
                self.identity.node = Some(node);
                self.write()
            }
        }
    }

    fn write(&self) -> Result<(), IdentityError> {
        let Identity { kind, cluster, node, disk } = self.identity;
        let record = Record {
            format: FORMAT,
            kind,
            cluster: cluster.to_string(),
            node: node.map(NodeId::get),
            disk: disk.map(|disk| disk.to_string()),
        };
        let text = toml::to_string(&record).expect("a flat record of numbers and words");
        let (new, file) = (self.directory.join(NEW_FILE), self.directory.join(FILE));
        write_synced(&new, text.as_bytes()).map_err(io_at(&new))?;
        fs::rename(&new, &file).map_err(io_at(&file))?;
        sync_directory(&self.directory)
    }
}

/// Whose `directory` is, without taking it into use.
///
/// # Errors
/// [`IdentityError`] if it is nobody's, damaged or newer.
pub fn read(directory: &Path) -> Result<Identity, IdentityError> {
    let file = directory.join(FILE);
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(IdentityError::NotFormatted { directory: directory.to_owned() });
        }
        text => text.map_err(io_at(&file))?,
    };
    let damaged = |text: String| IdentityError::Damaged { file: file.clone(), text };
    let format = toml::from_str::<toml::Table>(&text)
        .map_err(|error| damaged(error.to_string()))?
        .get("format")
        .and_then(toml::Value::as_integer)
        .and_then(|format| u32::try_from(format).ok())
        .ok_or_else(|| damaged("no `format` in it".to_owned()))?;
    if format > FORMAT {
        return Err(IdentityError::Newer { directory: directory.to_owned(), found: format });
    }
    let record: Record = toml::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let cluster = record.cluster.parse().map_err(|error| damaged(format!("cluster: {error}")))?;
    let disk = record.disk.map(|disk| disk.parse()).transpose();
    let disk = disk.map_err(|error| damaged(format!("disk: {error}")))?;
    Ok(Identity { kind: record.kind, cluster, node: record.node.map(NodeId), disk })
}

fn read_as(
    directory: &Path,
    kind: DirectoryKind,
    cluster: ClusterId,
) -> Result<Identity, IdentityError> {
    let identity = read(directory)?;
    if (identity.kind, identity.cluster) == (kind, cluster) {
        return Ok(identity);
    }
    let said = |kind: DirectoryKind, cluster: ClusterId| {
        format!("cluster {cluster} as a {kind:?} directory").to_lowercase()
    };
    Err(IdentityError::Foreign {
        directory: directory.to_owned(),
        found: said(identity.kind, identity.cluster),
        expected: said(kind, cluster),
    })
}

/// Makes a directory, and what is missing above it, so that no loss of power takes it away again.
fn make_durably(directory: &Path) -> Result<(), IdentityError> {
    // A relative path ends with nothing, which stands for where the process is.
    let all: Vec<&Path> =
        directory.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    let missing = all.iter().take_while(|path| !path.exists()).count();
    // The first that is there may have been made just now, by one that was killed before it came to a sync.
    for path in all[..all.len().min(missing + 1)].iter().rev() {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(io_at(path))?,
        }
        sync_name(path)?;
    }
    Ok(())
}

/// Makes the name of a directory durable, in the one that holds it. Whoever may not read that one has all of the
/// file system synced instead.
fn sync_name(directory: &Path) -> Result<(), IdentityError> {
    let above = directory.parent().unwrap_or(directory);
    match sync_directory(if above.as_os_str().is_empty() { Path::new(".") } else { above }) {
        Err(IdentityError::Io { source, .. })
            if source.kind() == io::ErrorKind::PermissionDenied =>
        {
            File::open(directory).and_then(|opened| Ok(syncfs(opened)?)).map_err(io_at(directory))
        }
        synced => synced,
    }
}

/// Makes the names in a directory durable, whoever wrote them.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), IdentityError> {
    if !SyncPoint::Directory.is_issued() {
        return Ok(());
    }
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(io_at(directory))
}

fn refuse_contents(directory: &Path) -> Result<(), IdentityError> {
    match read(directory) {
        Ok(Identity { cluster, .. }) => {
            return Err(IdentityError::Formatted { directory: directory.to_owned(), cluster });
        }
        Err(IdentityError::NotFormatted { .. }) => {}
        Err(other) => return Err(other),
    }
    for entry in fs::read_dir(directory).map_err(io_at(directory))? {
        let name = entry.map_err(io_at(directory))?.file_name();
        if !HARMLESS.iter().any(|harmless| name == *harmless) {
            return Err(IdentityError::NotEmpty {
                directory: directory.to_owned(),
                found: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<Lock, IdentityError> {
    Lock::take(directory).map_err(|error| match error {
        TryLockError::WouldBlock => IdentityError::InUse {
            directory: directory.to_owned(),
            holder: holder::of_lock(&directory.join(lock::FILE)),
        },
        TryLockError::Error(source) => {
            IdentityError::Io { path: directory.join(lock::FILE), source }
        }
    })
}

fn who(holder: &Option<String>) -> String {
    holder.as_ref().map_or("another process".to_owned(), |holder| format!("process {holder}"))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    if SyncPoint::File.is_issued() { file.sync_all() } else { Ok(()) }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    |source| IdentityError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;

    /// A user who owns nothing.
    const NOBODY: u32 = 65_534;
    const DISK: Identity = Identity {
        kind: DirectoryKind::Disk,
        cluster: ClusterId(7),
        node: None,
        disk: Some(DiskId(9)),
    };

    fn empty() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    fn reopened(directory: &Path) -> Result<Held, IdentityError> {
        Held::open(directory, DirectoryKind::Disk, ClusterId(7))
    }

    #[test]
    fn the_file_is_pinned() {
        let directory = empty();
        let mut held = Held::format(directory.path(), DISK).expect("empty");
        held.bind(NodeId(3)).expect("bound to none");
        let text = fs::read_to_string(directory.path().join(FILE)).expect("written");
        let golden = "format = 1\nkind = \"disk\"\ncluster = \"00000000000000000000000000000007\"\n\
                      node = 3\ndisk = \"00000000000000000000000000000009\"\n";
        assert_eq!(text, golden);
    }

    #[test]
    fn one_process_at_a_time_and_the_same_again() {
        let directory = empty();
        let held = Held::format(directory.path(), DISK).expect("empty");
        let busy = reopened(directory.path()).expect_err("held");
        let holder = format!("is in use by process {} (", std::process::id());
        assert!(busy.to_string().contains(&holder), "{busy}");
        drop(held);
        assert_eq!(reopened(directory.path()).expect("free").identity(), DISK);
    }

    /// How many descriptors of this process are of `file`.
    fn opened(file: &Path) -> usize {
        let all = fs::read_dir("/proc/self/fd").expect("a process has them").filter_map(Result::ok);
        all.filter_map(|one| fs::read_link(one.path()).ok()).filter(|link| link == file).count()
    }

    #[test]
    fn who_comes_while_another_still_dies_waits_a_little_and_finds_what_that_one_left() {
        let directory = empty();
        let mut held = Held::format(directory.path(), DISK).expect("empty");
        let file = directory.path().canonicalize().expect("there").join(lock::FILE);
        thread::scope(|scope| {
            let next = scope.spawn(|| reopened(directory.path()));
            while opened(&file) < 2 {
                thread::yield_now();
            }
            held.bind(NodeId(3)).expect("bound to none");
            drop(held);
            let next = next.join().expect("no panic").expect("free soon");
            assert_eq!(next.identity().node, Some(NodeId(3)));
        });
    }

    /// Runs `work` as a user who may do nothing special, where this process may.
    fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        use rustix::{process::Uid, thread::set_thread_res_uid};
        let become_nobody = || {
            if rustix::process::geteuid().is_root() {
                let nobody = Uid::from_raw(NOBODY);
                set_thread_res_uid(nobody, nobody, nobody).expect("root may");
            }
        };
        thread::scope(|scope| {
            let nobody = scope.spawn(|| {
                become_nobody();
                work()
            });
            nobody.join().expect("no panic")
        })
    }

    #[test]
    fn a_directory_is_formatted_below_one_that_cannot_be_read() {
        let above = empty();
        let directory = above.path().join("disk");
        fs::create_dir(&directory).expect("made");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&directory, Some(NOBODY), None).expect("root may");
        }
        let allow = |mode| {
            fs::set_permissions(above.path(), fs::Permissions::from_mode(mode)).expect("ours");
        };
        allow(0o311);
        let formatted = as_nobody(|| Held::format(&directory, DISK).map(|held| held.identity()));
        allow(0o700);
        assert_eq!(formatted.expect("its own directory"), DISK);
    }

    #[test]
    fn what_was_never_formatted_is_left_alone_and_the_next_step_is_said() {
        let directory = empty();
        let said = reopened(directory.path()).expect_err("nothing there").to_string();
        let step = format!("`emberfs disk format {}`", directory.path().display());
        assert!(said.contains(&step) && said.contains("cluster init"), "{said}");
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 0);
    }

    #[test]
    fn a_bound_directory_stays_with_its_node() {
        let directory = empty();
        let mut held = Held::format(directory.path(), DISK).expect("empty");
        held.bind(NodeId(3)).expect("bound to none");
        drop(held);
        let mut held = reopened(directory.path()).expect("free");
        held.bind(NodeId(3)).expect("the same");
        let moved = held.bind(NodeId(4)).expect_err("another");
        assert!(moved.to_string().contains("belongs to node-3, expected node-4"), "{moved}");
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_alone() {
        let directory = empty();
        fs::write(directory.path().join("photo.jpg"), b"x").expect("written");
        let full = Held::format(directory.path(), DISK).expect_err("not empty");
        assert!(full.to_string().contains("photo.jpg"), "{full}");
        assert_eq!(fs::read_dir(directory.path()).expect("there").count(), 1);
        assert!(matches!(reopened(directory.path()), Err(IdentityError::NotFormatted { .. })));

        let directory = empty();
        drop(Held::format(directory.path(), DISK).expect("empty"));
        let again = Held::format(directory.path(), DISK).expect_err("formatted");
        assert!(matches!(again, IdentityError::Formatted { .. }), "{again}");
        let other = Held::open(directory.path(), DirectoryKind::Disk, ClusterId(8));
        assert!(matches!(other, Err(IdentityError::Foreign { .. })));
        let other = Held::open(directory.path(), DirectoryKind::Meta, ClusterId(7));
        assert!(matches!(other, Err(IdentityError::Foreign { .. })));
    }

    #[test]
    fn a_newer_or_damaged_file_is_refused() {
        let directory = empty();
        for (text, said) in [
            ("format = 2\nnew = true\n", "start a newer version of this program"),
            ("kind = \"disk\"\n", "no `format`"),
            ("format = 1\nkind = \"disk\"\ncluster = \"7\"\n", "cluster"),
            ("\u{0}", "emberfs-identity.toml"),
        ] {
            fs::write(directory.path().join(FILE), text).expect("written");
            let refused = reopened(directory.path()).expect_err("refused").to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
