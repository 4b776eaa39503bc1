//! What one member keeps on disk.
//!
//! ```text
//!   DIR/log/         RocksDB, synced: vote and entries        (log.rs)
//!   DIR/guard        what the log must hold                   (guard.rs)
//!   DIR/state/       RocksDB, without WAL: applied operations (state.rs)
//!   DIR/snapshot-N/  the state as it was, for those that lag  (checkpoint.rs)
//!   DIR/incoming/    a state that another member sends        (incoming.rs, install.rs)
//!
//!   entries   1 ──── cut ──────── applied in tables ──── applied ──── last
//!             gone    │ log                                            │
//!             ◄─────────── state, durable ─────►◄─ again from the log ─►
//! ```
//!
//! The log is cut only below what the state's tables hold. Whatever was lost shows at the next start: a member
//! that is alone is refused then ([`OpenError`]); one of several whose log lost its end, or its vote, begins in
//! debt ([`Stores::must_reach`]). So does one of several whose state and log do not reach each other: what the state has
//! taken in is committed, so the log may begin anew behind that, as behind a received state, and the debt is all that
//! the log held and all that the guard knows. So it is too where a received state is gone that had taken its place. One
//! of several whose log holds nothing is [new](Stores::is_new), and its guard knows that until the core says otherwise.

mod checkpoint;
mod error;
mod format;
mod guard;
mod incoming;
mod install;
mod log;
mod loss;
mod state;
mod sync_point;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use emberfs_meta_server_consensus::{Index, MemberId, Restored};

pub use checkpoint::{Checkpoint, PieceError};
pub use error::{OpenError, WriteError};
use format::Whose;
pub use incoming::{Inbox, Incoming, Received};
pub use install::Replaced;
pub use log::LogStore;
pub use loss::{Loss, accept_loss};
pub use state::{Applied, FlushError, StateStore, StateView};
pub use sync_point::{SyncPoint, Syncs};

/// Where and whose.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The member's directory; made if it is not there.
    pub dir: PathBuf,
    /// The member.
    pub member: MemberId,
    /// How many members its group has, this one among them: those from 1 to this.
    pub members: u8,
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
    /// Where states of other members come in.
    pub inbox: Inbox,
    /// What the log holds and the state has taken in.
    pub restored: Restored,
    /// Whose they are.
    pub member: MemberId,
    /// How many members the group has.
    pub members: u8,
    /// No leader has brought the member up to date since its directory was made, and its guard knows that.
    pub is_new: bool,
    /// The log held this much and has lost it: the member is in debt until it holds as much again. None usually.
    pub must_reach: Index,
}

/// Opens a member's directory, or makes it. An install that was cut off is finished.
///
/// # Errors
/// [`OpenError`]: also when something is gone that was on stable storage and that no other member has.
pub fn open(options: &StoreOptions) -> Result<Stores, OpenError> {
    let StoreOptions { dir, member, members, syncs } = options;
    let whose = Whose { member: *member, members: *members };
    make(dir)?;
    make(&dir.join("log"))?;
    sync_directory(dir, syncs)?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_directory(parent, syncs)?;
    }
    let (mut log, mut found) = LogStore::open(dir, whose, syncs)?;
    let path = dir.join(install::STATE);
    if found.installing.is_some() {
        install::replace(dir, syncs)?;
    }
    install::remove_leftovers(dir)?;
    make(&path)?;
    sync_directory(dir, syncs)?;
    let state = StateStore::open(dir, whose, syncs)?;
    let mut must_reach = found.lost;
    let damaged = |what: String| OpenError::Damaged { path: path.clone(), what };
    let applied = state.applied().map_err(|error| damaged(error.to_string()))?.position;
    if let Some(at) = found.installing {
        // What was installed is this member's own from then on, and behind all that the log holds: if it is gone, the
        // member owes it. The log is of no use without it.
        if applied.index < at.index && *members > 1 {
            must_reach = must_reach.max(found.last()).max(at.index);
        } else if applied != at {
            return Err(damaged(format!("it has taken in {applied:?}, and {at:?} was installed")));
        } else {
            log.finish_install(at, &[]).map_err(|error| damaged(error.to_string()))?;
        }
        (found.cut, found.entries) = (at, Vec::new());
    }
    let (index, cut, last) = (applied.index, found.cut.index, found.last());
    // How much a log had that ends before the state nobody knows, so what this member owes is not known either.
    if index > last || (index < cut && *members == 1) {
        return Err(OpenError::Apart { path, applied: index, cut, last });
    }
    if index < cut {
        tracing::warn!(
            state = %path.display(), applied = index.get(), cut = cut.get(), last = last.get(),
            "the log begins behind what the state has taken in: it begins anew there, and the others have the rest"
        );
        must_reach = must_reach.max(last);
        log.begin_anew(applied, must_reach).map_err(|error| damaged(error.to_string()))?;
        (found.cut, found.entries) = (applied, Vec::new());
    }
    let applied = index;
    let restored = Restored { vote: found.vote, cut: found.cut, entries: found.entries, applied };
    let inbox = Inbox { dir: dir.clone(), whose, syncs: syncs.clone() };
    let is_new = found.is_new;
    Ok(Stores {
        log,
        state,
        inbox,
        restored,
        member: *member,
        members: *members,
        is_new,
        must_reach,
    })
}

fn make(folder: &Path) -> Result<(), OpenError> {
    fs::create_dir_all(folder).map_err(OpenError::io(folder))
}

fn sync_directory(dir: &Path, syncs: &Syncs) -> Result<(), OpenError> {
    if !syncs.issues(SyncPoint::Directory) {
        return Ok(());
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(OpenError::io(dir))
}
