//! What the replicas of a chain ask of each other: forwarding, dirty reads, resync.
//!
//! Every request names the receiving replica with the chain version that its sender goes by; a receiver
//! that knows another refuses with [`WireError::RefreshRouting`](crate::WireError::RefreshRouting).
//!
//! ```text
//!   head ── ForwardUpdate ──► middle ── ForwardUpdate ──► tail      pending, pending, committed
//!        ◄── ForwardReply ──        ◄── ForwardReply ──             the reply commits upstream
//!   any  ── AskCommitted ───────────────────────────────► tail      a read of a dirty chunk
//!   predecessor ── ComparePage, InstallChunk, FinishSync ──► syncing replica
//! ```

use emberfs_buffer::ChunkDigest;
use emberfs_layout::{
    ChainVersion, ChunkId, ChunkOffset, ChunkSize, ChunkVersion, Sequence, TargetId,
};
use minicbor::{Decode, Encode};

use crate::chunk::{ChunkChange, Replica};
use crate::codec::list;
use crate::limits::{CHANGES_MAX, CHUNKS_PAGE_MAX, TAGS_MAX};
use crate::{PayloadSums, Tag};

/// A client's change, as it travels down the chain.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TaggedChange {
    /// Name of the change, the same in every retry.
    #[n(0)]
    pub tag: Tag,
    /// Every request of that session to this chain below this has its reply.
    #[n(1)]
    pub low_water: Sequence,
    /// What to do. The bytes of all writes stand behind each other in the payload.
    #[n(2)]
    pub change: ChunkChange,
}

/// Makes one new version of a chunk out of changes that the head ordered; sent to the successor,
/// answered when it and all behind it have the version durably. Refused (`NoSpace`, `Io`), neither it nor
/// any behind it has the version or will have it: the sender takes it back.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ForwardUpdate {
    /// The receiver.
    #[n(0)]
    pub replica: Replica,
    /// The sender, its predecessor.
    #[n(1)]
    pub from: TargetId,
    /// Which chunk.
    #[n(2)]
    pub chunk: ChunkId,
    /// Size of the file's chunks.
    #[n(3)]
    pub chunk_size: ChunkSize,
    /// The version that the changes make, one above the chunk's committed one.
    #[n(4)]
    pub version: ChunkVersion,
    /// The changes, in order, at most [`CHANGES_MAX`].
    #[cbor(n(5), decode_with = "list::<CHANGES_MAX, _, _>")]
    pub changes: Vec<TaggedChange>,
    /// The tags of earlier versions that still live, as the head has them; the receiver forgets the
    /// chunk's others, so that all replicas keep the same.
    #[cbor(n(6), decode_with = "list::<TAGS_MAX, _, _>")]
    pub kept: Vec<Tag>,
    /// The sender's number of this message, higher than those of all that it sent before: a receiver that
    /// refuses a version for good takes no earlier message any more. `None`: of a sender that goes on until
    /// it succeeds.
    #[n(7)]
    pub attempt: Option<Sequence>,
}

/// Answers [`ForwardUpdate`]: the version is durable from here to the tail, and so committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ForwardReply {
    /// The version.
    #[n(0)]
    pub version: ChunkVersion,
    /// The chunk's length in it; 0 if it was removed.
    #[n(1)]
    pub chunk_len: ChunkOffset,
    /// What the chunk holds in it: a replica with another digest has another chunk.
    #[n(2)]
    pub digest: ChunkDigest,
}

/// Asks the tail which version of a chunk is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AskCommitted {
    /// The tail.
    #[n(0)]
    pub replica: Replica,
    /// Which chunk.
    #[n(1)]
    pub chunk: ChunkId,
}

/// Answers [`AskCommitted`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AskCommittedReply {
    /// The committed version; [`ChunkVersion::NONE`] if there never was one.
    #[n(0)]
    pub version: ChunkVersion,
}

/// What a replica holds of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChunkSummary {
    /// Which chunk.
    #[n(0)]
    pub chunk: ChunkId,
    /// Its committed version.
    #[n(1)]
    pub version: ChunkVersion,
    /// What it holds in it.
    #[n(2)]
    pub digest: ChunkDigest,
    /// The chain's version when that was written.
    #[n(3)]
    pub written_in: ChainVersion,
    /// Whether it is a tombstone: removed, with its version and tags kept.
    #[n(4)]
    pub removed: bool,
}

/// Asks a returning replica what it holds, a page at a time, in the order of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ComparePage {
    /// The syncing replica.
    #[n(0)]
    pub replica: Replica,
    /// The last chunk of the page before; `None` for the first page.
    #[n(1)]
    pub after: Option<ChunkId>,
    /// How many at most; the receiver may answer with fewer, at most [`CHUNKS_PAGE_MAX`].
    #[n(2)]
    pub limit: u32,
}

/// Answers [`ComparePage`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ComparePageReply {
    /// What is there, tombstones too.
    #[cbor(n(0), decode_with = "list::<CHUNKS_PAGE_MAX, _, _>")]
    pub chunks: Vec<ChunkSummary>,
    /// Whether nothing follows.
    #[n(1)]
    pub end: bool,
}

/// A change that was applied, and what its sender is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AppliedTag {
    /// Which change.
    #[n(0)]
    pub tag: Tag,
    /// The version that it made.
    #[n(1)]
    pub version: ChunkVersion,
    /// The chunk's length then.
    #[n(2)]
    pub chunk_len: ChunkOffset,
}

/// Replaces a whole chunk of a syncing replica by the predecessor's; durable when answered. Older than
/// what the receiver got by forwarding, it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InstallChunk {
    /// The syncing replica.
    #[n(0)]
    pub replica: Replica,
    /// The sender, its predecessor.
    #[n(1)]
    pub from: TargetId,
    /// What the predecessor has committed.
    #[n(2)]
    pub summary: ChunkSummary,
    /// Size of the file's chunks.
    #[n(3)]
    pub chunk_size: ChunkSize,
    /// The tags that live.
    #[cbor(n(4), decode_with = "list::<TAGS_MAX, _, _>")]
    pub tags: Vec<AppliedTag>,
    /// The bytes, from the chunk's start to its end, one payload; `None` for a tombstone or no bytes.
    #[n(5)]
    pub data: Option<PayloadSums>,
}

/// Answers [`InstallChunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct InstallChunkReply {
    /// The version that the receiver now has committed: the sent one, or a later.
    #[n(0)]
    pub version: ChunkVersion,
}

/// Tells a syncing replica that it has been sent everything, and asks that all of it be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FinishSync {
    /// The syncing replica.
    #[n(0)]
    pub replica: Replica,
}

/// Answers [`FinishSync`]: from now on the replica reports itself as up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FinishSyncReply {}
