//! Golden files of the message set, and what no input may do to a decoder.
//!
//! `golden/protocol_N.txt` holds the table of methods and a sample of every message, in hexadecimal.
//! A change there is a change of the protocol: give it a new number, write its file beside the old
//! one, and keep reading the old one from version 0.2 on. `UPDATE_GOLDEN=1` writes the file.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_layout::{
    BlockSize, BootNumber, ChainId, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ChunkSize,
    ChunkVersion, ClientId, ClusterId, DataId, NodeId, Sequence, TargetId,
};
use minicbor::{Decode, Encode};
use proptest::prelude::*;

use crate::chunk::{
    ChunkChange, ChunkEnd, ChunkRead, LastChunk, LastChunkReply, ReadChunks, ReadChunksReply,
    ReadOutcome, Replica, UpdateChunk, UpdateChunkReply,
};
use crate::extension::Extension;
use crate::handshake::{
    Hello, HelloReply, Identity, Refusal, Role, ShardIndex, ShardTargets, Welcome,
};
use crate::limits::READS_MAX;
use crate::method::{CODECS, METHODS};
use crate::protocol::{Features, ProtocolRange};
use crate::{Capability, FsError, PayloadSums, Tag, WireError, decode, encode};

/// Decodes bytes as one type and encodes the result again; `None` if they are refused.
pub(crate) type Recode = fn(&[u8]) -> Option<Vec<u8>>;

pub(crate) fn recode<T: Encode<()> + for<'b> Decode<'b, ()>>(bytes: &[u8]) -> Option<Vec<u8>> {
    let message: T = decode(bytes).ok()?;
    let mut again = Vec::new();
    encode(&message, &mut again);
    Some(again)
}

fn bytes_of<T: Encode<()>>(message: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    bytes
}

fn sums() -> PayloadSums {
    let bytes = Bytes::from_static(b"EmberFS keeps what it acknowledged");
    let payload = Payload::compute(bytes, ChunkOffset(4090), BlockSize::MIN);
    PayloadSums::of(&payload.expect("fits"))
}

fn replica() -> Replica {
    Replica { target: TargetId(11), chain: ChainId(4), version: ChainVersion(70_000) }
}

fn chunk() -> ChunkId {
    ChunkId::new(DataId(0x0001_0000_0000_0005), ChunkIndex(3))
}

fn identity(role: Role) -> Identity {
    Identity {
        cluster: Some(ClusterId(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff)),
        role,
        node: (role != Role::Client).then_some(NodeId(2)),
        boot: (role != Role::Client).then_some(BootNumber(17)),
        client: (role == Role::Client).then_some(ClientId(900)),
    }
}

fn hellos() -> Vec<(&'static str, Vec<u8>)> {
    let hello = Hello {
        protocol: ProtocolRange::OURS,
        features: Features::OURS,
        identity: identity(Role::Client),
        expected_role: Role::Storage,
        expected_node: Some(NodeId(2)),
        shard: Some(ShardIndex(1)),
    };
    let shard = ShardTargets { shard: ShardIndex(1), targets: vec![TargetId(11), TargetId(12)] };
    let welcome = HelloReply::Welcome(Welcome {
        protocol: ProtocolRange::OURS.newest,
        features: Features::OURS,
        identity: identity(Role::Storage),
        shard: ShardIndex(1),
        shards: vec![shard],
    });
    let other = Refusal::OtherNode { ours: Some(NodeId(2)), expected: NodeId(3) };
    let refused = HelloReply::Refused(other);
    vec![
        ("Hello", bytes_of(&hello)),
        ("HelloReply", bytes_of(&welcome)),
        ("HelloReply", bytes_of(&refused)),
    ]
}

fn updates() -> Vec<(&'static str, Vec<u8>)> {
    let update = |change| UpdateChunk {
        replica: replica(),
        tag: Tag { client: ClientId(900), sequence: Sequence(41) },
        low_water: Sequence(40),
        chunk: chunk(),
        chunk_size: ChunkSize::DEFAULT,
        change,
        capability: Capability::default(),
    };
    let reply = UpdateChunkReply { version: ChunkVersion(6), chunk_len: ChunkOffset(4124) };
    vec![
        ("UpdateChunk", bytes_of(&update(ChunkChange::Write(sums())))),
        ("UpdateChunk", bytes_of(&update(ChunkChange::Cut(ChunkOffset(100))))),
        ("UpdateChunk", bytes_of(&update(ChunkChange::Remove))),
        ("UpdateChunkReply", bytes_of(&reply)),
    ]
}

fn reads() -> Vec<(&'static str, Vec<u8>)> {
    let read = ChunkRead {
        replica: replica(),
        chunk: chunk(),
        start: ChunkOffset(4090),
        len: ChunkOffset(100),
    };
    let ask = ReadChunks { capability: Capability(vec![1, 2]), reads: vec![read, read] };
    let found =
        ReadOutcome::Found { version: ChunkVersion(6), chunk_len: ChunkOffset(4124), data: sums() };
    let corrupt = WireError::Corrupt { target: TargetId(11), chunk: chunk() };
    let outcomes = vec![found, ReadOutcome::Absent, ReadOutcome::Failed(corrupt)];
    let last = LastChunk { replica: replica(), data: chunk().data };
    let end = ChunkEnd { index: ChunkIndex(3), len: ChunkOffset(4124) };
    vec![
        ("ReadChunks", bytes_of(&ask)),
        ("ReadChunksReply", bytes_of(&ReadChunksReply { outcomes })),
        ("LastChunk", bytes_of(&last)),
        ("LastChunkReply", bytes_of(&LastChunkReply { last: Some(end) })),
        ("LastChunkReply", bytes_of(&LastChunkReply { last: None })),
    ]
}

/// Each kind of failure and the extension area: sent beside the messages of the table.
fn beside() -> Vec<(&'static str, Vec<u8>)> {
    let failures = [
        WireError::Retry { after_ms: 20, text: "64 tags of this chunk are live".into() },
        WireError::RefreshRouting {
            chain: ChainId(4),
            asked: ChainVersion(7),
            known: ChainVersion(8),
        },
        WireError::Wait { text: "chain-4 has 1 of 2 replicas".into() },
        WireError::Refuse { why: FsError::NoSpace },
        WireError::bug("a reply without a request"),
    ];
    let failures = failures.iter().map(|failure| ("WireError", bytes_of(failure)));
    let extension = Extension { credential: vec![9, 8, 7] };
    failures.chain([("Extension", extension.to_bytes())]).collect()
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    [hellos(), reads(), updates(), beside()].concat()
}

fn codecs() -> impl Iterator<Item = (&'static str, Recode)> {
    let beside: [(&str, Recode); 2] =
        [("WireError", recode::<WireError>), ("Extension", recode::<Extension>)];
    CODECS.iter().copied().chain(beside)
}

fn codec_of(name: &str) -> Recode {
    codecs().find(|(codec, _)| *codec == name).expect("every sample has a codec").1
}

#[test]
#[expect(clippy::disallowed_methods, reason = "rewriting the golden file is the point")]
fn the_message_set_is_pinned() {
    let version = ProtocolRange::OURS.newest;
    let mut text = format!("protocol {version}\n\n");
    for row in METHODS {
        let (number, retry) = (row.method.get(), row.retry);
        writeln!(text, "{number:#06x} {} => {}, {retry:?}", row.name, row.reply).expect("memory");
    }
    for (name, bytes) in samples() {
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        write!(text, "\n{name}\n{hex}\n").expect("memory");
    }
    let file = format!("{}/golden/protocol_{version}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).expect("the golden folder is writable");
    }
    let golden = std::fs::read_to_string(Path::new(&file)).expect("each version has its file");
    assert_eq!(text, golden, "the protocol changed: see the head of this module");
}

#[test]
fn every_message_has_a_sample_that_survives_the_trip() {
    for (name, _) in codecs() {
        assert!(samples().iter().any(|(sample, _)| *sample == name), "{name} has no sample");
    }
    for (name, bytes) in samples() {
        assert_eq!(codec_of(name)(&bytes).as_ref(), Some(&bytes), "{name}");
    }
}

#[test]
fn a_claimed_length_takes_no_memory() {
    // Arrays and strings that claim 2^63 elements, alone and behind an outer array.
    for claim in [0x9b, 0x5b, 0x7b, 0xbb_u8] {
        let huge = [&[claim][..], &[0x7f; 8]].concat();
        for (name, recode) in codecs() {
            assert_eq!(recode(&huge), None, "{name}");
            assert_eq!(recode(&[&[0x82, 0x80][..], &huge].concat()), None, "{name}");
        }
    }
}

#[test]
fn a_batch_beyond_its_limit_is_refused() {
    let outcomes = |count| ReadChunksReply { outcomes: vec![ReadOutcome::Absent; count] };
    assert!(decode::<ReadChunksReply>(&bytes_of(&outcomes(READS_MAX))).is_ok());
    assert!(decode::<ReadChunksReply>(&bytes_of(&outcomes(READS_MAX + 1))).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for (_, recode) in codecs() {
            recode(&bytes);
        }
    }

    /// What decodes encodes to something that decodes to the same: no decoder takes in what its
    /// encoder would not stand by.
    #[test]
    fn damaged_samples_are_refused_or_stable(
        which: prop::sample::Index,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let samples = samples();
        let (name, bytes) = &samples[which.index(samples.len())];
        let mut bytes = bytes.clone();
        for (place, value) in edits {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let recode = codec_of(name);
        if let Some(again) = recode(&bytes) {
            prop_assert_eq!(recode(&again), Some(again.clone()));
        }
    }
}
