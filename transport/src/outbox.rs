//! Frames that wait to be sent.
//!
//! Each turn hands as much as one system call takes to the socket (`writev`), whatever mixture of
//! heads and payloads that is. The queue needs no limit of its own: requests in it are limited where
//! they are made, replies by the requests that they answer, and of pings one is open.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::frame::Outgoing;

/// Pieces handed over in one call; Linux takes up to 1,024, and 64 are some MiB.
const SLICES_MAX: usize = 64;

/// What waits to be sent, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<Bytes>,
}

impl Outbox {
    pub(crate) fn push(&mut self, frame: Outgoing) {
        let pieces = [frame.head, frame.payload];
        self.pieces.extend(pieces.into_iter().filter(|piece| !piece.is_empty()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Sends some of what waits. Dropped at its await, it has sent nothing.
    pub(crate) async fn write_some<W: AsyncWrite + Unpin>(&mut self, to: &mut W) -> io::Result<()> {
        let slices: Vec<IoSlice<'_>> =
            self.pieces.iter().take(SLICES_MAX).map(|piece| IoSlice::new(piece)).collect();
        let written = to.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        Ok(())
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
        assert_eq!(written, 0, "no more is written than there was");
    }
}
