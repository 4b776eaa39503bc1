//! The nouns of the engine's interface.

use emberfs_buffer::{ChunkDigest, Corrupt, Payload};
use emberfs_layout::{
    ByteLen, ChainVersion, ChunkId, ChunkOffset, ChunkSize, ChunkVersion, ClientId, Sequence,
    TargetId,
};
use minicbor::{Decode, Encode};

/// A chunk of one target: a disk may carry the same chunk for two of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    /// Whose replica.
    pub target: TargetId,
    /// Which chunk.
    pub chunk: ChunkId,
}

/// One version of a chunk: all that is known of it without its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct VersionState {
    /// The version.
    #[n(0)]
    pub version: ChunkVersion,
    /// The chunk's length in it; 0 if it was removed.
    #[n(1)]
    pub len: ChunkOffset,
    /// Fingerprint of its length and bytes.
    #[n(2)]
    pub digest: ChunkDigest,
    /// The chain's version when it was written.
    #[n(3)]
    pub written_in: ChainVersion,
    /// Whether it is a tombstone: the chunk is gone, version and tags stay.
    #[n(4)]
    pub removed: bool,
}

/// What a disk holds of one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkState {
    /// What reads answer; `None` while the first version is pending.
    pub committed: Option<VersionState>,
    /// A durable version that is not committed yet.
    pub pending: Option<VersionState>,
    /// Size of the file's chunks: it settles the block size.
    pub chunk_size: ChunkSize,
}

/// A change that was applied, and what its sender is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AppliedTag {
    /// The session that made it.
    #[n(0)]
    pub client: ClientId,
    /// Its number there.
    #[n(1)]
    pub sequence: Sequence,
    /// The version that it went into.
    #[n(2)]
    pub version: ChunkVersion,
    /// The chunk's length just after it.
    #[n(3)]
    pub chunk_len: ChunkOffset,
}

/// A change of one chunk.
#[derive(Clone, Debug)]
pub enum Change {
    /// Writes these bytes; creates the chunk where it is absent. A gap behind its end reads as zeros.
    Write(Payload),
    /// Cuts what lies behind this length; a chunk that is shorter, or absent, stays as it is.
    Cut(ChunkOffset),
    /// Removes the chunk.
    Remove,
}

/// A change with the name of the request that asked for it.
#[derive(Clone, Debug)]
pub struct TaggedChange {
    /// The session.
    pub client: ClientId,
    /// The request within it.
    pub sequence: Sequence,
    /// What to do.
    pub change: Change,
}

/// The next version of a chunk: its committed version with some changes, in order.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// Above the committed one.
    pub version: ChunkVersion,
    /// The chain's version now.
    pub written_in: ChainVersion,
    /// Size of the file's chunks, the same in all versions.
    pub chunk_size: ChunkSize,
    /// The changes. The engine makes a tag of each, with the length that it found.
    pub changes: Vec<TaggedChange>,
    /// The live tags of earlier versions; all others are forgotten with this one.
    pub kept_tags: Vec<AppliedTag>,
    /// Whether it is stored as committed: at the tail.
    pub commit: bool,
    /// Whether a part of a corrupt block may be written. The block is corrupt after it as before: all of
    /// it must be written to end that.
    pub keep_damage: bool,
    /// Whether [`Engine::has_room`](crate::Engine::has_room) has said so, and nothing was begun since but what was
    /// counted with it. The system is not asked again then.
    pub sure_of_room: bool,
}

/// What a put made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutResult {
    /// The version.
    pub state: VersionState,
    /// The chunk's length after each change.
    pub lens: Vec<ChunkOffset>,
}

/// Which version of a chunk to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The committed one.
    Committed,
    /// The pending one.
    Pending,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct ReadResult {
    /// The version that was read.
    pub version: VersionState,
    /// The bytes, checked: holes are zeros, and it ends with the chunk. Empty for a tombstone.
    pub data: Payload,
}

/// A whole chunk as its chain has it, to replace what is here.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The version to have: the bytes must have its digest and length.
    pub state: VersionState,
    /// Size of the file's chunks.
    pub chunk_size: ChunkSize,
    /// The tags that live.
    pub tags: Vec<AppliedTag>,
    /// All bytes from the chunk's start to its end; `None` for a tombstone or no bytes.
    pub data: Option<Payload>,
}

/// Blocks of a disk that did not have their checksums when they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBlocks {
    /// In how many chunks (a count).
    pub chunks: usize,
    /// The chunk that was found last.
    pub key: ChunkKey,
    /// The block in it.
    pub corrupt: Corrupt,
}

/// How much an engine has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Chunks in the index.
    pub chunks: usize,
    /// What the index takes, without versions that are pending.
    pub index: ByteLen,
    /// Pieces of chunks' maps.
    pub pieces: usize,
}

/// How full a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// How many bytes of blocks it can have.
    pub capacity: ByteLen,
    /// How many are taken, those that are about to be freed included.
    pub used: ByteLen,
    /// By how much of the capacity the data file has yet to grow: what else lies in the file system may be
    /// faster.
    pub growth: ByteLen,
    /// By how much the file system would let it.
    pub room: ByteLen,
}
