//! What one member keeps on disk.
//!
//! ```text
//!   DIR/log/     RocksDB, synced: vote and entries        (log.rs)
//!   DIR/guard    what the log must hold                   (guard.rs)
//!   DIR/state/   RocksDB, without WAL: applied operations (state.rs)
//!
//!   entries   1 ──── cut ──────── applied in tables ──── applied ──── last
//!             gone    │ log                                            │
//!             ◄─────────── state, durable ─────►◄─ again from the log ─►
//! ```
//!
//! The log is cut only below what the state's tables hold. Whatever was lost shows at the next start and
//! is refused there: [`OpenError`].

mod error;
mod format;
mod guard;
mod log;
mod state;
mod sync_point;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use emberfs_meta_server_consensus::{MemberId, Restored};

pub use error::{OpenError, WriteError};
pub use log::LogStore;
pub use state::{Applied, FlushError, StateStore, StateView};
pub use sync_point::{SyncPoint, Syncs};

/// Where and whose.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The member's directory; made if it is not there.
    pub dir: PathBuf,
    /// The member.
    pub member: MemberId,
    /// Which syncs are issued.
    pub syncs: Syncs,
}

/// The open stores, and what the member begins with.
#[derive(Debug)]
pub struct Stores {
    /// The log with its guard.
    pub log: LogStore,
    /// The state.
    pub state: StateStore,
    /// What the log holds and the state has taken in.
    pub restored: Restored,
    /// Whose they are.
    pub member: MemberId,
    /// The member stopped cleanly when it ran last, or never ran.
    pub stopped_cleanly: bool,
}

/// Opens a member's directory, or makes it.
///
/// # Errors
/// [`OpenError`]: also when something is gone that was on stable storage.
pub fn open(options: &StoreOptions) -> Result<Stores, OpenError> {
    let StoreOptions { dir, member, syncs } = options;
    for part in [dir.clone(), dir.join("log"), dir.join("state")] {
        fs::create_dir_all(&part).map_err(|source| OpenError::Io { path: part, source })?;
    }
    sync_directory(dir, syncs)?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_directory(parent, syncs)?;
    }
    let (log, found, known) = LogStore::open(dir, *member, syncs)?;
    let state = StateStore::open(dir, *member, syncs)?;
    let path = dir.join("state");
    let applied = state
        .applied()
        .map_err(|error| OpenError::Damaged { path: path.clone(), what: error.to_string() })?;
    let (applied, cut, last) = (applied.position.index, found.cut.index, found.last());
    if applied < cut || applied > last {
        return Err(OpenError::Apart { path, applied, cut, last });
    }
    let restored = Restored { vote: found.vote, cut: found.cut, entries: found.entries, applied };
    let stopped_cleanly = known.is_none_or(|known| known.clean);
    Ok(Stores { log, state, restored, member: *member, stopped_cleanly })
}

fn sync_directory(dir: &Path, syncs: &Syncs) -> Result<(), OpenError> {
    if !syncs.issues(SyncPoint::Directory) {
        return Ok(());
    }
    let io = |source| OpenError::Io { path: dir.to_owned(), source };
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
}
