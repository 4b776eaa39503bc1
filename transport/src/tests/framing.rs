//! The reader against any bytes, cut in any way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::ByteLen;
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::runtime::Builder;

use super::{Echo, request_bytes};
use crate::error::Closed;
use crate::reader::FrameReader;

/// A stream that gives its bytes in pieces of given sizes, and says "not yet" before each.
pub(super) struct Pieces {
    bytes: Bytes,
    sizes: Vec<usize>,
    turn: usize,
}

impl Pieces {
    pub(super) fn new(bytes: Vec<u8>, sizes: Vec<usize>) -> Self {
        Self { bytes: bytes.into(), sizes, turn: 0 }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.turn += 1;
        if self.turn % 2 == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let size = self.sizes[self.turn / 2 % self.sizes.len()];
        let len = size.min(into.remaining()).min(self.bytes.len());
        into.put_slice(&self.bytes.split_to(len));
        Poll::Ready(Ok(()))
    }
}

/// All frames that a reader finds, each future dropped at its first await and made again, as the
/// connection's loop does.
fn frames(bytes: Vec<u8>, sizes: Vec<usize>) -> (Vec<(Bytes, Bytes)>, Closed) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _inside = runtime.enter();
    let mut reader = FrameReader::new(Pieces::new(bytes, sizes), Pool::new(ByteLen(1 << 20)));
    let mut found = Vec::new();
    loop {
        match reader.next(|_, _| None).now_or_never() {
            None => {}
            Some(Ok(frame)) => found.push((frame.message(), frame.payload)),
            Some(Err(closed)) => return (found, closed),
        }
    }
}

proptest! {
    #[test]
    fn frames_do_not_depend_on_how_the_stream_is_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40_000), 1..5),
        sizes in prop::collection::vec(1_usize..30_000, 1..10),
    ) {
        let bytes = payloads.iter().zip(1..).flat_map(|(p, i)| request_bytes(i, Echo(i), p)).collect();
        let (found, closed) = frames(bytes, sizes);
        prop_assert!(matches!(closed, Closed::ByPeer), "{closed}");
        prop_assert_eq!(found.len(), payloads.len());
        for (((message, payload), sent), i) in found.iter().zip(&payloads).zip(1..) {
            prop_assert_eq!(emberfs_wire::decode::<Echo>(message).expect("whole"), Echo(i));
            prop_assert_eq!(payload, sent);
        }
    }

    #[test]
    fn any_bytes_end_in_words(
        good in 0_u64..3,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        sizes in prop::collection::vec(1_usize..100, 1..5),
    ) {
        let mut stream: Vec<u8> = (0..good).flat_map(|i| request_bytes(i, Echo(i), b"x")).collect();
        stream.extend_from_slice(&bytes);
        let (found, closed) = frames(stream, sizes);
        prop_assert_eq!(found.len() as u64, good);
        prop_assert!(matches!(closed, Closed::Frame(_) | Closed::ByPeer), "{closed}");
    }
}
