//! Frames out of a stream of bytes.
//!
//! ```text
//!   buffer   [ header | body | payload … ][ next header …
//!                               └─► copied, what is there; the rest is read straight to where it goes:
//!                                   a pooled aligned buffer, or the memory of whoever asked
//! ```
//!
//! [`FrameReader::next`] may be dropped at any await and called again: all that was read stays here.
//! Where a payload goes is settled only after header and body have passed their checks; when the pool is
//! used up, the peer waits. What nobody waits for is read past in pieces, and takes no memory.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use emberfs_buffer::{AlignedBuf, Pool, PoolError};
use emberfs_layout::ByteLen;
use emberfs_wire::FrameHeader;
use emberfs_wire::header::HEADER_BYTES;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use crate::arriving::{Arriving, Destination};
use crate::error::Closed;
use crate::frame::Incoming;

/// Read at once while the head of a frame is awaited: many small frames, and no more than this of a
/// payload behind it, which has to be copied.
const READ_BYTES: usize = 16 << 10;
/// How long to wait before asking a pool that is used up again. Only overload comes here, and then
/// a millisecond is short beside the wait for the disk.
const POOL_RETRY: Duration = Duration::from_millis(1);

/// Cuts a stream into frames.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: R,
    pool: Pool,
    buffer: BytesMut,
    /// Read at least so much at once, if it is there.
    ahead: usize,
    header: Option<FrameHeader>,
    arriving: Option<Arriving>,
    heard: Instant,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, pool: Pool) -> Self {
        let buffer = BytesMut::with_capacity(READ_BYTES);
        let heard = Instant::now();
        Self { stream, pool, buffer, ahead: READ_BYTES, header: None, arriving: None, heard }
    }

    /// One that reads not a byte behind the frame that is asked for, so that the stream can be passed on;
    /// it has no memory for payloads.
    pub(crate) fn exact(stream: R) -> Self {
        Self { ahead: 0, ..Self::new(stream, Pool::new(ByteLen::ZERO)) }
    }

    /// When bytes last came, or might have come had there been memory for them.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// The stream again, between two frames of an [`Self::exact`] reader.
    pub(crate) fn into_stream(self) -> R {
        assert!(self.buffer.is_empty() && self.header.is_none(), "bytes would be lost");
        self.stream
    }

    /// The next frame. `land` is asked, with the message of one that has a payload, where that goes; to the
    /// pool's memory if it does not say. Only from there a payload comes with its frame.
    ///
    /// # Errors
    /// [`Closed`]: nothing after it can be read.
    pub(crate) async fn next(
        &mut self,
        land: impl FnOnce(&FrameHeader, &[u8]) -> Option<Destination>,
    ) -> Result<Incoming, Closed> {
        let header = self.read_header().await?;
        if self.arriving.is_none() {
            self.check_body(&header).await?;
            // The body leaves the buffer only after the last await that could be dropped.
            let len = header.payload_len as usize;
            let message = &self.buffer[header.extension_len as usize..header.body_len()];
            let to = match len {
                0 => None,
                _ => Some(match land(&header, message) {
                    Some(to) => to,
                    None => Destination::Pool(self.take_memory(len).await?),
                }),
            };
            let body = self.buffer.split_to(header.body_len()).freeze();
            let Some(to) = to else {
                self.header = None;
                return Ok(Incoming { header, body, payload: Bytes::new() });
            };
            self.arriving = Some(Arriving::new(body, len, to));
        }
        self.fill().await?;
        let (body, payload) = self.arriving.take().expect("filled above").into_parts();
        self.header = None;
        Ok(Incoming { header, body, payload })
    }

    async fn read_header(&mut self) -> Result<FrameHeader, Closed> {
        if let Some(header) = self.header {
            return Ok(header);
        }
        self.buffer_at_least(HEADER_BYTES).await?;
        let bytes = self.buffer.first_chunk().expect("at least a header was read");
        let header = FrameHeader::from_bytes(bytes).map_err(Closed::Frame)?;
        self.buffer.advance(HEADER_BYTES);
        self.header = Some(header);
        Ok(header)
    }

    /// Waits for the body and compares its checksum; it stays in the buffer.
    async fn check_body(&mut self, header: &FrameHeader) -> Result<(), Closed> {
        let len = header.body_len();
        self.buffer_at_least(len).await?;
        header.check_body(&self.buffer[..len]).map_err(Closed::Frame)
    }

    async fn buffer_at_least(&mut self, len: usize) -> Result<(), Closed> {
        while self.buffer.len() < len {
            let wanted = (len - self.buffer.len()).max(self.ahead);
            self.buffer.reserve(wanted);
            if self.stream.read_buf(&mut (&mut self.buffer).limit(wanted)).await? == 0 {
                return Err(Closed::ByPeer);
            }
            self.heard = Instant::now();
        }
        Ok(())
    }

    async fn take_memory(&mut self, len: usize) -> Result<AlignedBuf, Closed> {
        loop {
            match self.pool.take(len) {
                Ok(memory) => return Ok(memory),
                Err(PoolError::TooLarge { .. }) => {
                    return Err(Closed::Protocol("a payload is larger than this server's pool"));
                }
                Err(PoolError::Exhausted { .. } | PoolError::OutOfMemory { .. }) => {
                    tokio::time::sleep(POOL_RETRY).await;
                    self.heard = Instant::now(); // it is we who do not listen
                }
            }
        }
    }

    /// Completes the payload, first with what was read along with its frame's head.
    async fn fill(&mut self) -> Result<(), Closed> {
        let arriving = self.arriving.as_mut().expect("there is one to fill");
        while arriving.missing() > 0 {
            if !self.buffer.is_empty() {
                let there = self.buffer.len().min(arriving.missing());
                let put = arriving.put(&self.buffer[..there]);
                self.buffer.advance(put);
                continue;
            }
            if poll_fn(|cx| arriving.poll_read(&mut self.stream, cx)).await? == 0 {
                return Err(Closed::ByPeer);
            }
            self.heard = Instant::now();
        }
        Ok(())
    }
}
