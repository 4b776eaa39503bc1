//! Samples of what clients and storage servers say, and of the handshake.

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_layout::{
    BlockSize, BootNumber, ChainId, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ChunkSize,
    ChunkVersion, ClientId, ClusterId, DataId, NodeId, Sequence, TargetId,
};

use super::{Sample, bytes_of};
use crate::chunk::{
    ChunkChange, ChunkEnd, ChunkRead, LastChunk, LastChunkReply, ReadChunks, ReadChunksReply,
    ReadOutcome, Replica, UpdateChunk, UpdateChunkReply,
};
use crate::extension::Extension;
use crate::handshake::{
    Hello, HelloReply, Identity, Refusal, Role, ShardIndex, ShardTargets, Welcome,
};
use crate::protocol::{Features, ProtocolRange};
use crate::{Capability, FsError, PayloadSums, Tag, WireError};

pub(super) fn sums() -> PayloadSums {
    let bytes = Bytes::from_static(b"EmberFS keeps what it acknowledged");
    let payload = Payload::compute(bytes, ChunkOffset(4090), BlockSize::MIN);
    PayloadSums::of(&payload.expect("fits"))
}

pub(super) fn replica() -> Replica {
    Replica { target: TargetId(11), chain: ChainId(4), version: ChainVersion(70_000) }
}

pub(super) fn chunk() -> ChunkId {
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

fn hellos() -> Vec<Sample> {
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

fn updates() -> Vec<Sample> {
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

fn reads() -> Vec<Sample> {
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
        (
            "LastChunkReply",
            bytes_of(&LastChunkReply { last: Some(end), pending: Some(ChunkIndex(5)) }),
        ),
        ("LastChunkReply", bytes_of(&LastChunkReply { last: None, pending: None })),
    ]
}

/// Each kind of failure and the extension area: sent beside the messages of the table.
pub(super) fn beside() -> Vec<Sample> {
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
        WireError::NotLeader { leader: Some(NodeId(2)) },
        WireError::NotLeader { leader: None },
    ];
    let failures = failures.iter().map(|failure| ("WireError", bytes_of(failure)));
    let extension = Extension { credential: vec![9, 8, 7] };
    failures.chain([("Extension", extension.to_bytes())]).collect()
}

pub(super) fn samples() -> Vec<Sample> {
    [hellos(), reads(), updates()].concat()
}
