//! The formats across their layers: a write becomes a frame and a write again, whatever its place and
//! size, and no damage on the way passes unseen.

mod pages;

use bytes::Bytes;
use emberfs_buffer::{Crc32c, Payload, Pool};
use emberfs_layout::{
    ByteLen, ChainId, ChainVersion, ChunkId, ChunkSize, ClientId, DataId, FileLayout, FileOffset,
    Sequence, StripeWidth, TableId, TableVersion, TargetId, chunk_spans,
};
use emberfs_wire::chunk::{ChunkChange, Replica, UpdateChunk};
use emberfs_wire::header::{HEADER_BYTES, JobTag, Priority, RequestId, TraceId};
use emberfs_wire::{Capability, FrameHeader, FrameKind, PayloadSums, Request, Tag, decode, encode};
use proptest::prelude::*;

/// The frame of one update, as it would lie on the wire.
fn frame(chunk: ChunkId, chain: u32, payload: &Payload) -> Vec<u8> {
    let update = UpdateChunk {
        replica: Replica {
            target: TargetId(chain * 3),
            chain: ChainId(chain),
            version: ChainVersion(1),
        },
        tag: Tag { client: ClientId(1), sequence: Sequence(u64::from(chunk.index.0)) },
        low_water: Sequence(0),
        chunk,
        chunk_size: ChunkSize::MIN,
        change: ChunkChange::Write(PayloadSums::of(payload)),
        capability: Capability::default(),
    };
    let mut message = Vec::new();
    encode(&update, &mut message);
    let header = FrameHeader {
        kind: FrameKind::Request,
        method: UpdateChunk::METHOD,
        request: RequestId(1),
        extension_len: 0,
        message_len: u32::try_from(message.len()).expect("small"),
        payload_len: u32::try_from(payload.len()).expect("small"),
        deadline: None,
        trace: TraceId::default(),
        job: JobTag::default(),
        priority: Priority::default(),
        body_sum: Crc32c::of(&message),
    };
    [&header.to_bytes()[..], &message, payload.bytes()].concat()
}

/// What a server gets out of a frame, if every check passes.
fn received(frame: &[u8], pool: &Pool) -> Option<(UpdateChunk, Payload)> {
    let (head, rest) = frame.split_first_chunk::<HEADER_BYTES>()?;
    let header = FrameHeader::from_bytes(head).ok()?;
    let (body, tail) = rest.split_at_checked(header.body_len())?;
    header.check_body(body).ok()?;
    let update: UpdateChunk = decode(body).ok()?;
    let ChunkChange::Write(sums) = &update.change else { return None };
    if tail.len() != header.payload_len as usize {
        return None;
    }
    let mut buffer = pool.take(tail.len()).expect("within the budget");
    buffer.copy_from_slice(tail);
    let payload = sums.bind(buffer.freeze()).ok()?.check().ok()?;
    Some((update, payload))
}

fn layout() -> FileLayout {
    FileLayout {
        chunk_size: ChunkSize::MIN,
        stripe: StripeWidth::new(4).expect("not empty"),
        table: TableId(1),
        table_version: TableVersion(1),
        seed: 5,
    }
}

/// Cuts a write at `offset` into frames, one a chunk.
fn frames(offset: u64, bytes: &Bytes) -> Vec<Vec<u8>> {
    let chains = layout().stripe_order(6).expect("fits");
    let (size, len) = (layout().chunk_size, ByteLen(bytes.len() as u64));
    chunk_spans(size, FileOffset(offset), len)
        .expect("in range")
        .map(|span| {
            let at = usize::try_from(span.at.get()).expect("small");
            let part = bytes.slice(at..at + span.len as usize);
            let payload = Payload::compute(part, span.start, size.block_size()).expect("fits");
            let chain = chains[layout().stripe_place(span.index) as usize];
            frame(ChunkId::new(DataId(9), span.index), chain, &payload)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_write_arrives_as_it_was_sent(
        offset in 0_u64..300_000,
        bytes in prop::collection::vec(any::<u8>(), 1..200_000),
    ) {
        let pool = Pool::new(ByteLen(1 << 20));
        let bytes = Bytes::from(bytes);
        let mut arrived = Vec::new();
        for frame in frames(offset, &bytes) {
            let (update, payload) = received(&frame, &pool).expect("undamaged");
            let chunk_start = u64::from(update.chunk.index.0) * u64::from(ChunkSize::MIN.bytes());
            prop_assert_eq!(chunk_start + u64::from(payload.start().get()), offset + arrived.len() as u64);
            arrived.extend_from_slice(payload.bytes());
        }
        prop_assert_eq!(arrived, bytes);
        prop_assert_eq!(pool.usage().in_use, ByteLen(0));
    }

    #[test]
    fn a_damaged_frame_never_passes(
        offset in 0_u64..70_000,
        bytes in prop::collection::vec(any::<u8>(), 1..20_000),
        place: prop::sample::Index,
        flip in 1_u8..=255,
    ) {
        let pool = Pool::new(ByteLen(1 << 20));
        for mut frame in frames(offset, &Bytes::from(bytes)) {
            let place = place.index(frame.len());
            frame[place] ^= flip;
            prop_assert!(received(&frame, &pool).is_none(), "byte {place} changed by {flip:#x}");
        }
    }

    #[test]
    fn a_cut_frame_never_passes(
        bytes in prop::collection::vec(any::<u8>(), 1..20_000),
        cut: prop::sample::Index,
    ) {
        let pool = Pool::new(ByteLen(1 << 20));
        for frame in frames(0, &Bytes::from(bytes)) {
            prop_assert!(received(&frame[..cut.index(frame.len())], &pool).is_none());
        }
    }
}
