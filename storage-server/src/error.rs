//! Why a server does not start, and why a running one ends by itself.

use emberfs_daemon::IdentityError;
use emberfs_daemon::listen::ListenError;
use emberfs_layout::NodeId;
use emberfs_wire::WireError;
use thiserror::Error;

/// Why a server does not start. Nothing on its disks was changed.
#[derive(Debug, Error)]
pub enum StartError {
    /// A directory is not this server's to use.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// None of the disks can be used; the log says why, for each.
    #[error("none of {tried} disks can be used: the log says why for each")]
    NoDisk {
        /// How many were tried.
        tried: usize,
    },
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system gives no thread, or no event loop.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// A thread ended while it started; the log says why.
    #[error("the thread {thread} ended while it started")]
    Ended {
        /// Which thread.
        thread: String,
    },
}

/// Why a running server can do nothing but end.
#[derive(Clone, Debug, Error)]
pub enum Fault {
    /// The cluster does not take this server in.
    #[error("the metadata group does not take this server in: {0}")]
    NotTakenIn(String),
    /// The cluster took this start for dead, or another process runs under the same number.
    #[error("the metadata group no longer knows this start of {node}: {why}")]
    Superseded {
        /// Which node this is.
        node: NodeId,
        /// What the leader said.
        why: WireError,
    },
    /// The server's number is not what its directory says, or cannot be written there.
    #[error("cannot remember the server's number: {0}")]
    NotRemembered(String),
    /// The thread that keeps the lease is gone: it panicked, which the log has.
    #[error("the heartbeats ended: the log says why")]
    NoHeartbeats,
}
