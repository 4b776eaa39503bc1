//! The state as it was at one place of the log, kept for members that lag behind it.
//!
//! A folder `snapshot-N` beside the state, whose tables are links to the state's own: it costs room only as
//! those are replaced. Removed when the last owner drops it, and at the next start.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use emberfs_meta_server_consensus::{Position, SnapshotId, SnapshotName};
use emberfs_wire::group::SnapshotFile;
use thiserror::Error;

use super::error::OpenError;
use super::install;

const PREFIX: &str = "snapshot-";

/// A state that was set aside.
#[derive(Debug)]
pub struct Checkpoint {
    name: SnapshotName,
    folder: PathBuf,
    files: Vec<SnapshotFile>,
}

/// A piece cannot be read.
#[derive(Debug, Error)]
pub enum PieceError {
    /// There is no such file, or it is not that long.
    #[error("snapshot {id} has no {len} bytes at {offset} of `{name}`")]
    Nowhere {
        /// The snapshot.
        id: SnapshotId,
        /// The file.
        name: String,
        /// From where on.
        offset: u64,
        /// How many.
        len: u32,
    },
    /// The operating system refuses.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Checkpoint {
    /// The files in `folder`, which was made from the state when it had taken in `position`.
    pub(super) fn new(
        id: SnapshotId,
        position: Position,
        folder: PathBuf,
        files: Vec<SnapshotFile>,
    ) -> Self {
        Self { name: SnapshotName { position, id }, folder, files }
    }

    /// Which it is.
    #[must_use]
    pub fn name(&self) -> SnapshotName {
        self.name
    }

    /// All its files.
    #[must_use]
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// Reads a part of one of its files.
    ///
    /// # Errors
    /// [`PieceError`].
    pub fn read(&self, name: &str, offset: u64, len: u32) -> Result<Vec<u8>, PieceError> {
        let file = self.files.iter().find(|file| file.name == name);
        let end = offset.checked_add(u64::from(len));
        let inside = file.zip(end).is_some_and(|(file, end)| end <= file.len);
        if !inside {
            let (id, name) = (self.name.id, name.to_owned());
            return Err(PieceError::Nowhere { id, name, offset, len });
        }
        let path = self.folder.join(name);
        let mut piece = vec![0; len as usize];
        let read = File::open(&path).and_then(|file| file.read_exact_at(&mut piece, offset));
        read.map_err(|source| PieceError::Io { path, source })?;
        Ok(piece)
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if let Err(error) = install::remove(&self.folder) {
            tracing::warn!(%error, "a snapshot that is not needed any more stays until the next start");
        }
    }
}

/// Where the snapshot of this number stands.
pub(super) fn folder(dir: &Path, id: SnapshotId) -> PathBuf {
    dir.join(format!("{PREFIX}{id}"))
}

/// What stands in a folder: plain files alone.
pub(super) fn files(folder: &Path) -> Result<Vec<SnapshotFile>, OpenError> {
    let io = OpenError::io(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(&io)? {
        let (name, meta) = entry.and_then(|e| Ok((e.file_name(), e.metadata()?))).map_err(&io)?;
        let name = name.into_string().ok().filter(|_| meta.is_file());
        let what = || "something else than a file with a plain name in a snapshot".to_owned();
        let name =
            name.ok_or_else(|| OpenError::Damaged { path: folder.to_owned(), what: what() })?;
        files.push(SnapshotFile { name, len: meta.len() });
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Removes what an earlier start set aside.
pub(super) fn remove_all(dir: &Path) -> Result<(), OpenError> {
    let io = OpenError::io(dir);
    for entry in fs::read_dir(dir).map_err(&io)? {
        let entry = entry.map_err(&io)?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            install::remove(&entry.path())?;
        }
    }
    Ok(())
}
