//! What clients ask of a storage server: reading and changing chunks.
//!
//! Every request names the chain with its version, and is refused with
//! [`WireError::RefreshRouting`] by a replica that knows another one. A change carries a
//! [`Tag`], so that a retry is applied once, and the session's low-water mark for the chain: every
//! request of the session to it below that has its reply, so its tags can be forgotten.

use emberfs_layout::{
    ChainId, ChainVersion, ChunkId, ChunkIndex, ChunkOffset, ChunkSize, ChunkVersion, DataId,
    Sequence, TargetId,
};
use minicbor::{Decode, Encode};

use crate::codec::list;
use crate::limits::READS_MAX;
use crate::{Capability, PayloadSums, Tag, WireError};

/// Which replica of which chain a request is for, as its sender sees the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Replica {
    /// The replica.
    #[n(0)]
    pub target: TargetId,
    /// Its chain.
    #[n(1)]
    pub chain: ChainId,
    /// The version of the chain that the sender knows.
    #[n(2)]
    pub version: ChainVersion,
}

/// Reads parts of chunks; the reply's payload holds the found bytes of all, in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReadChunks {
    /// Proof of the right to read.
    #[n(0)]
    pub capability: Capability,
    /// What to read, at most [`READS_MAX`].
    #[cbor(n(1), decode_with = "list::<READS_MAX, _, _>")]
    pub reads: Vec<ChunkRead>,
}

/// One part of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChunkRead {
    /// Where.
    #[n(0)]
    pub replica: Replica,
    /// Which chunk.
    #[n(1)]
    pub chunk: ChunkId,
    /// Where in the chunk to begin.
    #[n(2)]
    pub start: ChunkOffset,
    /// How many bytes; fewer come back where the chunk is shorter.
    #[n(3)]
    pub len: ChunkOffset,
}

/// Answers [`ReadChunks`]: one outcome a read, in order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReadChunksReply {
    /// What became of each read.
    #[cbor(n(0), decode_with = "list::<READS_MAX, _, _>")]
    pub outcomes: Vec<ReadOutcome>,
}

/// What became of one read. Whether missing bytes are zeros or lost is for the reader to say: it knows
/// up to where the file was written densely.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ReadOutcome {
    /// The chunk is there.
    #[n(0)]
    Found {
        /// Its committed version.
        #[n(0)]
        version: ChunkVersion,
        /// Its length.
        #[n(1)]
        chunk_len: ChunkOffset,
        /// The bytes of it that were asked for and exist.
        #[n(2)]
        data: PayloadSums,
    },
    /// The chunk was never written, or was removed.
    #[n(1)]
    Absent,
    /// This read failed; the others stand.
    #[n(2)]
    Failed(#[n(0)] WireError),
}

/// Changes one chunk: sent to the head of its chain, answered when all replicas have it durably.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UpdateChunk {
    /// Where: the head.
    #[n(0)]
    pub replica: Replica,
    /// Name of this change, the same in every retry.
    #[n(1)]
    pub tag: Tag,
    /// Every request of the session to this chain below this has its reply.
    #[n(2)]
    pub low_water: Sequence,
    /// Which chunk.
    #[n(3)]
    pub chunk: ChunkId,
    /// Size of the file's chunks: it settles the block size of one that is created.
    #[n(4)]
    pub chunk_size: ChunkSize,
    /// What to do.
    #[n(5)]
    pub change: ChunkChange,
    /// Proof of the right to write.
    #[n(6)]
    pub capability: Capability,
}

/// A change of one chunk.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ChunkChange {
    /// Writes the payload; a chunk that is absent is created, a gap behind its end reads as zeros.
    #[n(0)]
    Write(#[n(0)] PayloadSums),
    /// Cuts what lies behind this length. A chunk that is shorter, or absent, stays as it is.
    #[n(1)]
    Cut(#[n(0)] ChunkOffset),
    /// Removes the chunk.
    #[n(2)]
    Remove,
}

/// Answers [`UpdateChunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UpdateChunkReply {
    /// The version that the change made.
    #[n(0)]
    pub version: ChunkVersion,
    /// The chunk's length then; 0 if it was removed.
    #[n(1)]
    pub chunk_len: ChunkOffset,
}

/// Asks a replica for the last chunk of a file that its chain holds: the file's length follows from the
/// answers of all its chains' heads. What sessions that have ended left under way is waited for (`Retry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastChunk {
    /// Where.
    #[n(0)]
    pub replica: Replica,
    /// Whose chunks.
    #[n(1)]
    pub data: DataId,
}

/// Answers [`LastChunk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastChunkReply {
    /// The highest index among the chunks that exist, and that chunk's length; `None`: there are none.
    #[n(0)]
    pub last: Option<ChunkEnd>,
    /// The highest index among the chunks that sessions are changing: those may be there soon.
    #[n(1)]
    pub pending: Option<ChunkIndex>,
}

/// A chunk and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChunkEnd {
    /// Which chunk of its file.
    #[n(0)]
    pub index: ChunkIndex,
    /// How long it is.
    #[n(1)]
    pub len: ChunkOffset,
}
