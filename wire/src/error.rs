//! What a request can be answered with instead of its reply.
//!
//! [`WireError`] is ordered by the reaction that it asks for, so that a client matches on seven cases and
//! no more. [`FsError`] is what a file system says to its user; the mount turns it into an errno, in
//! one file of its own.

use emberfs_layout::{ChainId, ChainVersion, ChunkId, NodeId, TargetId};
use minicbor::{Decode, Encode};
use thiserror::Error;

/// A failure, by the reaction that it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Error)]
pub enum WireError {
    /// Send the same request again, after a moment.
    #[n(0)]
    #[error("try again: {text}")]
    Retry {
        /// How long to wait at least, in milliseconds.
        #[n(0)]
        after_ms: u32,
        /// Why.
        #[n(1)]
        text: String,
    },
    /// The sender's picture of this chain is not the receiver's: ask the metadata server, then retry.
    #[n(1)]
    #[error("{chain} is at version {known} here, not {asked}")]
    RefreshRouting {
        /// Which chain.
        #[n(0)]
        chain: ChainId,
        /// The version in the request.
        #[n(1)]
        asked: ChainVersion,
        /// The version that the receiver knows, which may be older.
        #[n(2)]
        known: ChainVersion,
    },
    /// Nothing is wrong with the request, but something must come back first. The client waits as long
    /// as its user lets it, and says for what.
    #[n(2)]
    #[error("waiting: {text}")]
    Wait {
        /// For what.
        #[n(0)]
        text: String,
    },
    /// The answer is no.
    #[n(3)]
    #[error("{why}")]
    Refuse {
        /// What to tell the user.
        #[n(0)]
        why: FsError,
    },
    /// This replica's bytes do not match their checksums: ask another.
    #[n(4)]
    #[error("chunk {chunk} is corrupt on {target}")]
    Corrupt {
        /// Which replica.
        #[n(0)]
        target: TargetId,
        /// Which chunk.
        #[n(1)]
        chunk: ChunkId,
    },
    /// One side broke the protocol: a fault in the software, to be reported, not retried.
    #[n(5)]
    #[error("protocol fault: {text}")]
    Bug {
        /// What was seen.
        #[n(0)]
        text: String,
    },
    /// This member of the metadata group does not lead it, or no more. Send the same to the one that does: it was not
    /// done, or where its slot or id shows that it was, it is not done again.
    #[n(6)]
    #[error("{}", not_leading(*leader))]
    NotLeader {
        /// Which member leads, if this one knows.
        #[n(0)]
        leader: Option<NodeId>,
    },
}

fn not_leading(leader: Option<NodeId>) -> String {
    match leader {
        Some(leader) => format!("member {} leads the metadata group", leader.get()),
        None => "no member leads the metadata group yet".to_owned(),
    }
}

/// What a file system says to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Error)]
#[cbor(index_only)]
pub enum FsError {
    /// A name or an inode that is not there.
    #[n(0)]
    #[error("no such file or directory")]
    NotFound,
    /// A name that is taken.
    #[n(1)]
    #[error("file exists")]
    Exists,
    /// A directory was needed.
    #[n(2)]
    #[error("not a directory")]
    NotADirectory,
    /// Anything but a directory was needed.
    #[n(3)]
    #[error("is a directory")]
    IsADirectory,
    /// A directory that still has entries.
    #[n(4)]
    #[error("directory not empty")]
    NotEmpty,
    /// The mode bits say no.
    #[n(5)]
    #[error("permission denied")]
    PermissionDenied,
    /// Only the owner or root may.
    #[n(6)]
    #[error("operation not permitted")]
    NotPermitted,
    /// An argument that makes no sense here.
    #[n(7)]
    #[error("invalid argument")]
    InvalidArgument,
    /// A name over 255 bytes, or a path over 4,096.
    #[n(8)]
    #[error("file name too long")]
    NameTooLong,
    /// Past the largest file.
    #[n(9)]
    #[error("file too large")]
    FileTooLarge,
    /// The disks are full.
    #[n(10)]
    #[error("no space left on device")]
    NoSpace,
    /// More hard links than an inode counts.
    #[n(11)]
    #[error("too many links")]
    TooManyLinks,
    /// Too many symbolic links in a path.
    #[n(12)]
    #[error("too many levels of symbolic links")]
    SymlinkLoop,
    /// The inode was removed while a handle named it.
    #[n(13)]
    #[error("stale file handle")]
    Stale,
    /// In use in a way that excludes this.
    #[n(14)]
    #[error("device or resource busy")]
    Busy,
    /// Mounted or served read-only.
    #[n(15)]
    #[error("read-only file system")]
    ReadOnly,
    /// This file system does not have the call.
    #[n(16)]
    #[error("operation not supported")]
    NotSupported,
    /// Bytes that every replica lost.
    #[n(17)]
    #[error("input/output error")]
    Io,
    /// A limit on the user's or tree's bytes or inodes.
    #[n(18)]
    #[error("disk quota exceeded")]
    QuotaExceeded,
}

impl WireError {
    /// A protocol fault, with words cut to their limit.
    #[must_use]
    pub fn bug(text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(crate::limits::ERROR_TEXT_BYTES_MAX));
        Self::Bug { text }
    }

    /// Whether the same request may succeed later without anyone's doing on the client's side.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Retry { .. } | Self::RefreshRouting { .. } | Self::Wait { .. } => true,
            Self::Corrupt { .. } | Self::NotLeader { .. } => true, // of another replica or member
            Self::Refuse { .. } | Self::Bug { .. } => false,
        }
    }
}

impl From<FsError> for WireError {
    fn from(why: FsError) -> Self {
        Self::Refuse { why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_between_characters() {
        let WireError::Bug { text } = WireError::bug("é".repeat(600)) else { panic!("a bug") };
        assert_eq!(text.len(), crate::limits::ERROR_TEXT_BYTES_MAX);
        let WireError::Bug { text } = WireError::bug("€".repeat(600)) else { panic!("a bug") };
        assert_eq!(text.len(), 1023);
    }

    #[test]
    fn a_refusal_is_final_and_a_wait_is_not() {
        assert!(!WireError::from(FsError::NoSpace).is_transient());
        assert!(WireError::Wait { text: "a tail".into() }.is_transient());
    }
}
