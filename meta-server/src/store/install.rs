//! How a received state takes the place of the present one, so that a crash leaves the one or the other.
//!
//! ```text
//!   log:  S = position, synced          from here on the new state counts
//!   DIR/state    ──► DIR/state-old      sync DIR
//!   DIR/incoming ──► DIR/state          sync DIR
//!   log:  cut = position, no entry, no S: one synced batch
//!   DIR/state-old is removed
//! ```
//!
//! Nobody may have the present state open meanwhile: RocksDB removes files by their names when it closes.
//! At a start the log says whether an install had begun; then [`replace`] goes on where it was cut off. If the new state
//! is gone by then, as when an operator removed it, the member begins with an empty one and the others send theirs again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::checkpoint;
use super::error::OpenError;
use super::sync_directory;
use super::sync_point::Syncs;

/// Where a received state is gathered.
pub(super) const INCOMING: &str = "incoming";
/// Where the state stands.
pub(super) const STATE: &str = "state";
/// Where the state that was replaced waits for its removal.
const OLD: &str = "state-old";

/// Puts the received state in the place of the present one; goes on where it was cut off, and does nothing if
/// it was done.
pub(super) fn replace(dir: &Path, syncs: &Syncs) -> Result<(), OpenError> {
    let (incoming, state, old) = (dir.join(INCOMING), dir.join(STATE), dir.join(OLD));
    if !incoming.exists() {
        return Ok(());
    }
    if state.exists() {
        remove(&old)?;
        fs::rename(&state, &old).map_err(OpenError::io(&state))?;
        sync_directory(dir, syncs)?;
    }
    fs::rename(&incoming, &state).map_err(OpenError::io(&incoming))?;
    sync_directory(dir, syncs)
}

/// Removes what nobody needs any more: a state that was replaced, one that never came whole, and those that
/// were made for others.
pub(super) fn remove_leftovers(dir: &Path) -> Result<(), OpenError> {
    remove(&dir.join(OLD))?;
    remove(&dir.join(INCOMING))?;
    checkpoint::remove_all(dir)
}

/// The state that was replaced. Removed when this is dropped, which takes its time; no other may be replaced before.
#[derive(Debug)]
pub struct Replaced {
    folder: PathBuf,
}

impl Replaced {
    pub(super) fn of(dir: &Path) -> Self {
        Self { folder: dir.join(OLD) }
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.folder) {
            tracing::warn!(%error, "a state that was replaced stays until the next start");
        }
    }
}

/// Removes a folder, if it is there.
pub(super) fn remove(folder: &Path) -> Result<(), OpenError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io(folder)(error)),
        _ => Ok(()),
    }
}
