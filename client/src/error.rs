//! What a call can fail with.

use std::fmt;
use std::io;

use emberfs_layout::{ChainId, ChunkId, SpanError};
use emberfs_transport::CallError;
use emberfs_wire::meta::NameError;
use emberfs_wire::{FsError, WireError};
use thiserror::Error;

use crate::directory::DirectoryError;
use emberfs_client_session::{Failure, RouteError};

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The file system says no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Bytes that were written, and that no serving replica has.
    #[error("chunk {chunk} is lost: no serving replica of {chain} has all of it")]
    Lost {
        /// Which chunk.
        chunk: ChunkId,
        /// Its chain.
        chain: ChainId,
    },
    /// A chunk of which every serving replica's copy is damaged, or not whole and some damaged.
    #[error("chunk {chunk} is damaged: no serving replica of {chain} has a sound copy")]
    Damaged {
        /// Which chunk.
        chunk: ChunkId,
        /// Its chain.
        chain: ChainId,
    },
    /// The deadline passed. A change may or may not have been made, or be made still.
    #[error("the deadline passed while waiting for {what}")]
    Deadline {
        /// For what.
        what: WaitingFor,
    },
    /// The metadata group ended this client's session, as it had not heard of it for too long. Files that
    /// were open for writing must be opened again; what was acknowledged stands. A change that was under
    /// way may or may not have been made.
    #[error("the session ended: open files for writing again")]
    SessionLost,
    /// The file or the client was closed.
    #[error("already closed")]
    Closed,
    /// One side broke the protocol: a fault in the software.
    #[error("a fault in the software: {text}")]
    Fault {
        /// What was seen.
        text: String,
    },
    /// No cluster was found to connect to.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// What a call waits for; also the words of its log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitingFor {
    /// A metadata server.
    MetadataGroup {
        /// What the last try said.
        last: String,
    },
    /// A chain.
    Chain {
        /// Which.
        chain: ChainId,
        /// What the last try said.
        last: String,
    },
    /// Routing that knows a file's chains.
    Routing {
        /// What is not known.
        last: String,
    },
    /// Other mutations of this client: all its slots are taken.
    Slot,
    /// An earlier write: to the chunk, of which nobody waits for the end, or which may still arrive; or, where many to
    /// the chunk are under way, the first to its chain.
    EarlierWrite {
        /// Which chunk.
        chunk: ChunkId,
    },
    /// Earlier writes of which nobody waits for the end: those of a file, or too many to a chain or of all.
    EarlierWrites,
    /// Another call on the same file.
    File,
}

/// Why one try failed.
#[derive(Clone, Debug)]
pub(crate) enum Try {
    Answered(WireError),
    Closed(String),
    Unreachable(String),
    Slow,
    Damaged(String),
    NoRoute(RouteError),
}

impl ClientError {
    /// The nearest that a file system can say: for callers that have no other words.
    #[must_use]
    pub fn as_fs(&self) -> FsError {
        match self {
            Self::Fs(error) => *error,
            Self::SessionLost | Self::Closed => FsError::Stale,
            Self::Lost { .. }
            | Self::Damaged { .. }
            | Self::Deadline { .. }
            | Self::Fault { .. }
            | Self::Directory(_) => FsError::Io,
        }
    }
}

impl From<NameError> for ClientError {
    fn from(error: NameError) -> Self {
        Self::Fs(error.into())
    }
}

impl From<SpanError> for ClientError {
    fn from(_: SpanError) -> Self {
        Self::Fs(FsError::FileTooLarge)
    }
}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            ClientError::Fs(FsError::NotFound) => io::ErrorKind::NotFound,
            ClientError::Fs(FsError::Exists) => io::ErrorKind::AlreadyExists,
            ClientError::Fs(FsError::PermissionDenied | FsError::NotPermitted) => {
                io::ErrorKind::PermissionDenied
            }
            ClientError::Fs(FsError::NoSpace) => io::ErrorKind::StorageFull,
            ClientError::Deadline { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for WaitingFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MetadataGroup { last } => write!(f, "the metadata servers ({last})"),
            Self::Chain { chain, last } => write!(f, "{chain} ({last})"),
            Self::Routing { last } => write!(f, "newer routing ({last})"),
            Self::Slot => f.write_str("earlier changes of this client"),
            Self::EarlierWrite { chunk } => {
                write!(f, "an earlier write to chunk {chunk}, or to its chain")
            }
            Self::EarlierWrites => f.write_str("earlier writes, whose callers went away"),
            Self::File => f.write_str("another call on the same file"),
        }
    }
}

impl Try {
    /// Whether nothing is heard of whoever was asked.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Unreachable(_) | Self::Slow)
    }

    /// As the table of decisions knows it.
    pub(crate) fn as_failure(&self) -> Failure<'_> {
        match self {
            Self::Answered(error) => Failure::Answered(error),
            Self::Closed(_) => Failure::Closed,
            Self::Unreachable(_) => Failure::Unreachable,
            Self::Slow => Failure::Slow,
            Self::Damaged(_) => Failure::Damaged,
            Self::NoRoute(_) => Failure::NoRoute,
        }
    }
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(error) => error.fmt(f),
            Self::Closed(why) | Self::Unreachable(why) | Self::Damaged(why) => f.write_str(why),
            Self::Slow => f.write_str("no answer in time"),
            Self::NoRoute(error) => error.fmt(f),
        }
    }
}

impl From<CallError> for Try {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Failed(error) => Self::Answered(error),
            CallError::Deadline => Self::Slow,
            CallError::Closed(why) => Self::Closed(why.to_string()),
            CallError::Unreadable(error) => Self::Damaged(error.to_string()),
            CallError::TooLarge(error) => Self::Answered(WireError::bug(error.to_string())),
        }
    }
}

impl From<RouteError> for Try {
    fn from(error: RouteError) -> Self {
        Self::NoRoute(error)
    }
}
