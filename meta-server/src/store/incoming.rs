//! A state that another member sends: gathered in `DIR/incoming`, checked, and then this member's own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use emberfs_meta_server_consensus::Position;
use emberfs_wire::group::SnapshotFile;

use super::error::OpenError;
use super::format::Whose;
use super::install::{self, INCOMING};
use super::state;
use super::sync_directory;
use super::sync_point::{SyncPoint, Syncs};

/// Where a member takes in states of others.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(super) dir: PathBuf,
    pub(super) whose: Whose,
    pub(super) syncs: Syncs,
}

/// A state whose files are still coming. Dropped, it is gone.
#[derive(Debug)]
pub struct Incoming {
    inbox: Inbox,
    files: Vec<SnapshotFile>,
    folder: Folder,
}

/// A state that is whole, on stable storage, and this member's own. Dropped, it is gone.
#[derive(Debug)]
pub struct Received {
    pub(super) folder: Folder,
    /// What it has taken in.
    pub(super) position: Position,
}

/// Removed when dropped, unless it was moved away.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    moved: bool,
}

impl Folder {
    /// It is somewhere else now.
    pub(super) fn moved(mut self) {
        self.moved = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        if let Err(error) = install::remove(&self.path) {
            tracing::warn!(%error, "a received state that is not needed stays until the next start");
        }
    }
}

impl Inbox {
    /// Makes room for a state of these files. One at a time: what came before is gone.
    ///
    /// # Errors
    /// [`OpenError`]; also when a file has no plain name.
    pub fn begin(&self, files: Vec<SnapshotFile>) -> Result<Incoming, OpenError> {
        let path = self.dir.join(INCOMING);
        for (place, file) in files.iter().enumerate() {
            let twice = files[..place].iter().any(|before| before.name == file.name);
            if twice || !is_plain(&file.name) {
                let what = format!("a snapshot has a file `{}`", file.name.escape_debug());
                return Err(OpenError::Damaged { path, what });
            }
        }
        install::remove(&path)?;
        fs::create_dir(&path).map_err(OpenError::io(&path))?;
        let folder = Folder { path, moved: false };
        Ok(Incoming { inbox: self.clone(), files, folder })
    }
}

impl Incoming {
    /// All files that it will have.
    #[must_use]
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// Puts a part of a file to its place.
    ///
    /// # Errors
    /// The operating system's.
    pub fn put(&self, name: &str, offset: u64, piece: &[u8]) -> io::Result<()> {
        let path = self.folder.path.join(name);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.write_all_at(piece, offset)
    }

    /// All parts are there: makes the state durable and this member's, and compares what it has taken in with
    /// `position`.
    ///
    /// # Errors
    /// [`OpenError`], also when it is not the state that was announced.
    pub fn complete(self, position: Position) -> Result<Received, OpenError> {
        let Self { inbox: Inbox { dir, whose, syncs }, files, folder } = self;
        let path = &folder.path;
        for SnapshotFile { name, len } in &files {
            let path = path.join(name);
            let io = OpenError::io(&path);
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
            let file = file.map_err(&io)?;
            let found = file.metadata().map_err(&io)?.len();
            if found != *len {
                let what = format!("{found} bytes of a file of {len} came");
                return Err(OpenError::Damaged { path, what });
            }
            sync_file(&file, &syncs).map_err(&io)?;
        }
        sync_directory(path, &syncs)?;
        let found = state::adopt(path, whose, &syncs)?;
        if found.position != position {
            let what = format!("it has taken in {:?}, not {position:?}", found.position);
            return Err(OpenError::Damaged { path: path.clone(), what });
        }
        sync_directory(path, &syncs)?;
        // Its own name too: the log will say that it is there.
        sync_directory(&dir, &syncs)?;
        Ok(Received { folder, position })
    }
}

impl Received {
    /// What it has taken in.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }
}

/// A part of what the log is cut below.
fn sync_file(file: &File, syncs: &Syncs) -> io::Result<()> {
    if syncs.issues(SyncPoint::State) { file.sync_all() } else { Ok(()) }
}

/// A name as RocksDB gives, that leads nowhere else.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    Path::new(name).file_name().is_some_and(|last| last == name) && name.chars().all(plain)
}
