//! How the core sees the chunks of its target, and what it asks to be stored.
//!
//! # What the store must keep
//! * A version shows in [`Chunks`] only once it is durable. Commit and discard marks are the exception:
//!   they show at once, become durable with the next batch at the latest by [`Effect::Flush`], and a
//!   crash may lose them: the version is pending again then.
//! * A chunk has at most one pending version, one above its committed one (a chunk that never was counts
//!   as version 0). Both can be read until the commit. A stored-as-committed version replaces both.
//! * A version in which the chunk is absent is a tombstone (`removed`), with its tags. A cut of an absent
//!   chunk makes one too.
//!
//! [`Effect::Flush`]: super::Effect::Flush

use emberfs_buffer::{ChunkDigest, Payload};
use emberfs_layout::{
    BlockSize, ByteLen, ChainVersion, ChunkId, ChunkOffset, ChunkSize, ChunkVersion, DataId,
};
use emberfs_wire::Tag;
use emberfs_wire::chunk::ChunkEnd;
use emberfs_wire::replica::AppliedTag;

/// What a target holds, looked at without I/O.
pub trait Chunks {
    /// How a chunk stands; `None` if it never was, or was swept.
    fn state(&self, chunk: ChunkId) -> Option<ChunkState>;

    /// At most `limit` chunks behind `after`, in the order of ids, tombstones too.
    fn page(&self, after: Option<ChunkId>, limit: usize) -> Vec<(ChunkId, ChunkState)>;

    /// The last chunk of a file whose committed version is not removed.
    fn last_chunk(&self, data: DataId) -> Option<ChunkEnd>;

    /// Whether a put that takes `room` in blocks of this size will find it, whatever the puts under way
    /// take: to be handed on with the put ([`NewVersion::sure_of_room`]), as it asks the system. A put may fail all
    /// the same where something else fills the disk; that of a version that takes no room never does.
    fn has_room(&self, room: ByteLen, block: BlockSize) -> bool;
}

/// How a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkState {
    /// Its committed version.
    pub committed: Option<VersionState>,
    /// The version behind that, if one is under way.
    pub pending: Option<VersionState>,
    /// Size of the file's chunks.
    pub chunk_size: ChunkSize,
}

/// One version of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionState {
    /// Which.
    pub version: ChunkVersion,
    /// The chunk's length in it; 0 if it is removed.
    pub len: ChunkOffset,
    /// What it holds; of a removed one, that of nothing.
    pub digest: ChunkDigest,
    /// The version of the chain under which it was made.
    pub written_in: ChainVersion,
    /// Whether the chunk is absent in it.
    pub removed: bool,
}

/// One change, ready to be stored.
#[derive(Clone, Debug)]
pub enum Change {
    /// Writes the payload.
    Write(Payload),
    /// Cuts what lies behind this length.
    Cut(ChunkOffset),
    /// Removes the chunk.
    Remove,
}

/// A version to be made of the one before it.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// Which: one above the committed one.
    pub version: ChunkVersion,
    /// The version of the chain under which it is made.
    pub written_in: ChainVersion,
    /// Size of the file's chunks.
    pub chunk_size: ChunkSize,
    /// The changes in order, each with its tag. The chunk's length after each goes into its tag's record
    /// and into [`Durable`](super::Durable).
    pub changes: Vec<(Tag, Change)>,
    /// The tags of earlier versions to be kept: with those of `changes` they replace the chunk's list.
    pub kept: Vec<AppliedTag>,
    /// Whether it is stored as committed (at the tail), or as pending.
    pub commit: bool,
    /// Whether a part of a corrupt block may be written, as those behind have it whole. The block is corrupt
    /// after it as before.
    pub keep_damage: bool,
    /// Whether [`Chunks::has_room`] said so in this step, with what its other puts take.
    pub sure_of_room: bool,
}

/// A whole chunk as the predecessor has it, to replace whatever is there, a pending version too.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The version that it has then, committed.
    pub state: VersionState,
    /// Size of the file's chunks.
    pub chunk_size: ChunkSize,
    /// Its tags.
    pub tags: Vec<AppliedTag>,
    /// Its bytes from 0 to its end; `None` if there are none.
    pub data: Option<Payload>,
}

/// Which version is read.
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
    pub state: VersionState,
    /// The asked bytes as far as they exist; `None` if none do.
    pub data: Option<Payload>,
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room: nothing was changed.
    #[error("no space left on the disk")]
    NoSpace,
    /// A block does not match its checksum.
    #[error("a block is corrupt")]
    Corrupt,
    /// There is no such version (any more).
    #[error("no such version")]
    Missing,
    /// The disk failed: what it holds is unknown, and the target is not to be used.
    #[error("the disk failed: {text}")]
    Failed {
        /// How.
        text: String,
    },
}
