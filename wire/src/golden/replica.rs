//! Samples of what replicas say to each other.

use emberfs_buffer::ChunkDigest;
use emberfs_layout::{
    ChainVersion, ChunkOffset, ChunkSize, ChunkVersion, ClientId, Sequence, TargetId,
};

use super::chunk::{chunk, replica, sums};
use super::{Sample, bytes_of};
use crate::Tag;
use crate::chunk::ChunkChange;
use crate::replica::{
    AppliedTag, AskCommitted, AskCommittedReply, ChunkSummary, ComparePage, ComparePageReply,
    FinishSync, FinishSyncReply, ForwardReply, ForwardUpdate, InstallChunk, InstallChunkReply,
    TaggedChange,
};

const TAG: Tag = Tag { client: ClientId(900), sequence: Sequence(41) };

fn summary(removed: bool) -> ChunkSummary {
    ChunkSummary {
        chunk: chunk(),
        version: ChunkVersion(6),
        digest: ChunkDigest(0x0123_4567_89ab_cdef),
        written_in: ChainVersion(70_000),
        removed,
    }
}

fn writes() -> Vec<Sample> {
    let change = |change| TaggedChange { tag: TAG, low_water: Sequence(40), change };
    let forward = ForwardUpdate {
        replica: replica(),
        from: TargetId(10),
        chunk: chunk(),
        chunk_size: ChunkSize::DEFAULT,
        version: ChunkVersion(6),
        changes: vec![change(ChunkChange::Write(sums())), change(ChunkChange::Cut(ChunkOffset(7)))],
        kept: vec![TAG],
        attempt: Some(Sequence(43)),
    };
    let reply = ForwardReply {
        version: ChunkVersion(6),
        chunk_len: ChunkOffset(7),
        digest: ChunkDigest(0xfedc_ba98_7654_3210),
    };
    let ask = AskCommitted { replica: replica(), chunk: chunk() };
    vec![
        ("ForwardUpdate", bytes_of(&forward)),
        ("ForwardReply", bytes_of(&reply)),
        ("AskCommitted", bytes_of(&ask)),
        ("AskCommittedReply", bytes_of(&AskCommittedReply { version: ChunkVersion(5) })),
    ]
}

fn resync() -> Vec<Sample> {
    let page = ComparePage { replica: replica(), after: Some(chunk()), limit: 1000 };
    let found = ComparePageReply { chunks: vec![summary(false), summary(true)], end: true };
    let applied = AppliedTag { tag: TAG, version: ChunkVersion(6), chunk_len: ChunkOffset(4124) };
    let install = |removed| InstallChunk {
        replica: replica(),
        from: TargetId(10),
        summary: summary(removed),
        chunk_size: ChunkSize::DEFAULT,
        tags: vec![applied],
        data: (!removed).then(sums),
    };
    vec![
        ("ComparePage", bytes_of(&page)),
        ("ComparePageReply", bytes_of(&found)),
        ("InstallChunk", bytes_of(&install(false))),
        ("InstallChunk", bytes_of(&install(true))),
        ("InstallChunkReply", bytes_of(&InstallChunkReply { version: ChunkVersion(6) })),
        ("FinishSync", bytes_of(&FinishSync { replica: replica() })),
        ("FinishSyncReply", bytes_of(&FinishSyncReply {})),
    ]
}

pub(super) fn samples() -> Vec<Sample> {
    [writes(), resync()].concat()
}
