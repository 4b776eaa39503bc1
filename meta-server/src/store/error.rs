//! Why a member's directory is not opened, or can no longer be used.
//!
//! A directory that has lost something which was on stable storage is refused: this member has
//! acknowledged it, and would deny it now. The words say what can be done. A member of several whose log has
//! lost its end or its vote, or does not reach its state, is opened all the same: the others bring it up to date before
//! it votes.

use std::io;
use std::path::{Path, PathBuf};

use emberfs_meta_server_consensus::{Index, MemberId, Term};
use emberfs_meta_server_state::StoreError;
use thiserror::Error;

/// What can be done about a directory that has lost something.
const ADVICE: &str = "this member must not start on it, because it has acknowledged what is gone: \
    find out what damaged the disk, and restore the whole directory from a copy that was taken after the \
    member's last stop; in a group of several the others go on without it, and where `state` alone is \
    damaged that folder may be removed, as they send it again; where there is no copy it may be formatted anew with \
    `emberfs-meta format --cluster ID`, one member at a time and while a majority of the others runs";

/// Why a member's directory is not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The operating system refuses.
    #[error("{}: {source}", .path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// RocksDB refuses: another process has it open, the disk fails, or it is damaged.
    #[error("{}: {text}; if this says that it is damaged: {ADVICE}", .path.display())]
    Rocks {
        /// Which of the two.
        path: PathBuf,
        /// What RocksDB says.
        text: String,
    },
    /// A record that does not decode or does not stand where it must.
    #[error("{}: {what}; {ADVICE}", .path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Written by a newer build.
    #[error("{} has format {found}, this build reads up to {ours}: start a newer one", .path.display())]
    Format {
        /// What.
        path: PathBuf,
        /// Its format.
        found: u16,
        /// What this build reads.
        ours: u16,
    },
    /// The directory of another member.
    #[error("{} belongs to member {found}, not {wanted}", .path.display())]
    OtherMember {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: MemberId,
        /// Who wants it.
        wanted: MemberId,
    },
    /// The directory of a member of another group, or of this one when it had another number of members.
    #[error("{} belongs to a member of a group of {found}, and `members` in the configuration lists \
        {wanted}: a group keeps the number of members that it began with", .path.display())]
    OtherGroup {
        /// The directory.
        path: PathBuf,
        /// How many members its group has.
        found: u8,
        /// How many the configuration says.
        wanted: u8,
    },
    /// One of the three parts is not there, but another that came after it.
    #[error("{} is missing beside what belongs to it; {ADVICE}", .path.display())]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// The log ends before what the guard knows to have been on stable storage.
    #[error("the log in {} ends at entry {last}, but entry {synced} was on stable storage; {ADVICE}",
        .path.display())]
    LogShortened {
        /// The log.
        path: PathBuf,
        /// Where it ends.
        last: Index,
        /// What was there.
        synced: Index,
    },
    /// The log does not hold the vote that the guard knows.
    #[error("the log in {} knows a vote of term {found} at most, but one of term {synced} was on \
        stable storage; {ADVICE}", .path.display())]
    VoteLost {
        /// The log.
        path: PathBuf,
        /// Its term.
        found: Term,
        /// The term that was there.
        synced: Term,
    },
    /// State and log do not belong together, and no other member has what is missing.
    #[error("the state in {} holds entry {applied}, but the log begins behind {cut} and ends at \
        {last}; {ADVICE}", .path.display())]
    Apart {
        /// The state.
        path: PathBuf,
        /// What it has taken in.
        applied: Index,
        /// Where the log was cut.
        cut: Index,
        /// Where the log ends.
        last: Index,
    },
}

impl OpenError {
    /// The operating system refuses at `path`.
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path: path.clone(), source }
    }
}

/// A write failed: nothing is known about what stands on the disk, and the member must stop.
#[derive(Debug, Error)]
pub enum WriteError {
    /// RocksDB says so.
    #[error("the {what} cannot be written: {source}")]
    Rocks {
        /// Log or state.
        what: &'static str,
        /// Why.
        source: rocksdb::Error,
    },
    /// The operating system says so.
    #[error("the guard cannot be written: {source}")]
    Guard {
        /// Why.
        #[from]
        source: io::Error,
    },
}

pub(super) fn failed(error: &rocksdb::Error) -> StoreError {
    StoreError::Failed { text: error.to_string() }
}
