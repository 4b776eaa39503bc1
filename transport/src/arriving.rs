//! A payload on its way in: where its bytes go, and how many have come.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use emberfs_buffer::AlignedBuf;
use tokio::io::{AsyncRead, ReadBuf};

use crate::landing::Lease;

/// Read at once of a payload that nobody wants any more, in bytes.
const NOWHERE_BYTES: usize = 16 << 10;

/// A payload in the making, behind a body that has passed its check.
#[derive(Debug)]
pub(crate) struct Arriving {
    body: Bytes,
    len: usize,
    filled: usize,
    to: Destination,
}

/// Where a payload goes.
#[derive(Debug)]
pub(crate) enum Destination {
    /// A buffer of the connection's pool.
    Pool(AlignedBuf),
    /// The memory of whoever asked.
    Caller(Arc<Lease>),
    /// Nobody waits for it any more, or who asked is gone.
    Nowhere,
}

impl Arriving {
    pub(crate) fn new(body: Bytes, len: usize, to: Destination) -> Self {
        Self { body, len, filled: 0, to }
    }

    /// How many bytes are still to come.
    pub(crate) fn missing(&self) -> usize {
        self.len - self.filled
    }

    /// Takes in the next bytes, as many as go to one place; how many that were.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> usize {
        let copy = |into: &mut [u8]| {
            let len = into.len().min(bytes.len());
            into[..len].copy_from_slice(&bytes[..len]);
            len
        };
        let put = match &mut self.to {
            Destination::Pool(memory) => copy(&mut memory[self.filled..]),
            Destination::Caller(lease) => lease.with_rest(self.filled, copy).unwrap_or_else(|| {
                self.to = Destination::Nowhere;
                0
            }),
            Destination::Nowhere => bytes.len(),
        };
        self.filled += put;
        put
    }

    /// Reads more of it from the stream; 0 bytes at its end.
    pub(crate) fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        let mut read = |into: &mut [u8]| {
            let mut into = ReadBuf::new(into);
            let done = Pin::new(&mut *stream).poll_read(cx, &mut into);
            done.map_ok(|()| into.filled().len())
        };
        let done = match &mut self.to {
            Destination::Pool(memory) => read(&mut memory[self.filled..]),
            Destination::Caller(lease) => match lease.with_rest(self.filled, &mut read) {
                Some(done) => done,
                None => {
                    self.to = Destination::Nowhere;
                    return self.poll_read(stream, cx);
                }
            },
            Destination::Nowhere => {
                let missing = self.missing().min(NOWHERE_BYTES);
                read(&mut [0; NOWHERE_BYTES][..missing])
            }
        };
        let read = ready!(done)?;
        self.filled += read;
        Poll::Ready(Ok(read))
    }

    /// The body, and the payload if it went to the pool.
    pub(crate) fn into_parts(self) -> (Bytes, Bytes) {
        let payload = match self.to {
            Destination::Pool(memory) => memory.freeze(),
            Destination::Caller(_) | Destination::Nowhere => Bytes::new(),
        };
        (self.body, payload)
    }
}
