//! Why a call or a connection ended.

use std::io;
use std::sync::Arc;

use emberfs_wire::handshake::Refusal;
use emberfs_wire::{DecodeError, FrameError, WireError};
use thiserror::Error;

use crate::address::Address;

/// Why a connection is closed; shared by all calls that it cuts short.
#[derive(Clone, Debug, Error)]
pub enum Closed {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    ByPeer,
    /// This side closed it.
    #[error("the connection was closed")]
    ByUs,
    /// Reading or writing failed.
    #[error("connection failed: {0}")]
    Io(Arc<io::Error>),
    /// What came is no frame.
    #[error("the peer sent what is no frame: {0}")]
    Frame(FrameError),
    /// The peer broke the rules of the connection.
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    /// Nothing came for longer than [`Limits::silence_max`](crate::Limits::silence_max).
    #[error("the peer was silent for too long")]
    Silent,
}

/// Why a call has no reply.
#[derive(Debug, Error)]
pub enum CallError {
    /// The peer answered with a failure.
    #[error(transparent)]
    Failed(WireError),
    /// The deadline passed. The peer may or may not have done it.
    #[error("no reply within the deadline")]
    Deadline,
    /// The connection ended. The peer may or may not have done it.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The reply is not what the request's type promises.
    #[error("unreadable reply: {0}")]
    Unreadable(#[from] DecodeError),
    /// The request is beyond the limits of a frame; it was not sent.
    #[error("request too large: {0}")]
    TooLarge(FrameError),
}

/// Why no connection came about.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The address cannot be reached.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// Whom.
        address: Address,
        /// Why.
        source: io::Error,
    },
    /// The peer does not want to speak with us.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The connection ended before both knew each other.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The peer took longer than [`Limits::handshake`](crate::Limits::handshake).
    #[error("no handshake in time")]
    Slow,
    /// What the peer said is no handshake.
    #[error("unreadable handshake: {0}")]
    Unreadable(#[from] DecodeError),
}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        let gone = [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
        ];
        if gone.contains(&error.kind()) { Self::ByPeer } else { Self::Io(Arc::new(error)) }
    }
}
