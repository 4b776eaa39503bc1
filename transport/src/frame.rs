//! A frame in memory: its header, its body, its payload.

use bytes::Bytes;
use emberfs_buffer::Crc32c;
use emberfs_wire::extension::Extension;
use emberfs_wire::header::{DeadlineMs, JobTag, Priority, RequestId, TraceId};
use emberfs_wire::limits::{EXTENSION_BYTES_MAX, MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX};
use emberfs_wire::{DecodeError, FrameError, FrameHeader, FrameKind, Method};

/// What came from a peer; header and body have passed their checks.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) header: FrameHeader,
    /// Extension area and message.
    pub(crate) body: Bytes,
    pub(crate) payload: Bytes,
}

/// What goes to a peer: two pieces of memory, sent behind each other.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// Header, extension area and message.
    pub(crate) head: Bytes,
    pub(crate) payload: Bytes,
}

/// All of a frame but its lengths and sums, which follow from it.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) kind: FrameKind,
    pub(crate) method: Method,
    pub(crate) request: RequestId,
    pub(crate) deadline: Option<DeadlineMs>,
    pub(crate) trace: TraceId,
    pub(crate) job: JobTag,
    pub(crate) priority: Priority,
    pub(crate) extension: Extension,
    pub(crate) message: Vec<u8>,
    pub(crate) payload: Bytes,
}

impl Incoming {
    pub(crate) fn message(&self) -> Bytes {
        self.body.slice(self.header.extension_len as usize..)
    }

    pub(crate) fn extension(&self) -> Result<Extension, DecodeError> {
        Extension::from_bytes(&self.body[..self.header.extension_len as usize])
    }
}

impl Draft {
    /// A frame with nothing but its kind and its number.
    pub(crate) fn bare(kind: FrameKind, request: RequestId) -> Self {
        Self {
            kind,
            method: Method::default(),
            request,
            deadline: None,
            trace: TraceId::default(),
            job: JobTag::default(),
            priority: Priority::default(),
            extension: Extension::default(),
            message: Vec::new(),
            payload: Bytes::new(),
        }
    }

    /// The frame as it is sent.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] if the peer would refuse it.
    pub(crate) fn seal(self) -> Result<Outgoing, FrameError> {
        let mut body = self.extension.to_bytes();
        let extension_len = bounded("extension", body.len(), EXTENSION_BYTES_MAX)?;
        body.extend_from_slice(&self.message);
        let header = FrameHeader {
            kind: self.kind,
            method: self.method,
            request: self.request,
            extension_len,
            message_len: bounded("message", self.message.len(), MESSAGE_BYTES_MAX)?,
            payload_len: bounded("payload", self.payload.len(), PAYLOAD_BYTES_MAX)?,
            deadline: self.deadline,
            trace: self.trace,
            job: self.job,
            priority: self.priority,
            body_sum: Crc32c::of(&body),
        };
        let head = [&header.to_bytes()[..], &body].concat().into();
        Ok(Outgoing { head, payload: self.payload })
    }
}

fn bounded(part: &'static str, len: usize, max: u32) -> Result<u32, FrameError> {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    if len > max { Err(FrameError::TooLarge { part, len, max }) } else { Ok(len) }
}
