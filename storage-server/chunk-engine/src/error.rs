//! Why the engine refuses or fails.

use emberfs_buffer::{Corrupt, PoolError};
use emberfs_layout::{ByteLen, ChunkOffset, ChunkSize, ChunkVersion};
use thiserror::Error;

use crate::disk::DiskError;
use crate::records::RecordsError;
use crate::types::ChunkKey;

/// Why an operation of the engine failed. Unless it says otherwise, nothing has changed.
#[derive(Clone, Debug, Error)]
pub enum EngineError {
    /// There is no such version of the chunk.
    #[error("{key:?} has no such version")]
    Absent {
        /// Which chunk.
        key: ChunkKey,
    },
    /// The version is not above the committed one.
    #[error("version {version} of {key:?} is not above the committed {committed}")]
    Stale {
        /// Which chunk.
        key: ChunkKey,
        /// What was to be put.
        version: ChunkVersion,
        /// What is committed.
        committed: ChunkVersion,
    },
    /// The chunk changed while this version was made from it: its caller did two things at once.
    #[error("{key:?} changed while version {version} was made from it")]
    Superseded {
        /// Which chunk.
        key: ChunkKey,
        /// What was to be put.
        version: ChunkVersion,
    },
    /// The chunk is there with another chunk size, or the bytes came with another block size.
    #[error("{key:?} does not have chunks of {asked} with the blocks that go with it")]
    OtherSize {
        /// Which chunk.
        key: ChunkKey,
        /// What the caller said.
        asked: ChunkSize,
    },
    /// The bytes reach past the chunk's size.
    #[error("bytes up to {end} do not fit {key:?}, a chunk of {size}")]
    TooLong {
        /// Which chunk.
        key: ChunkKey,
        /// Where the bytes end.
        end: ChunkOffset,
        /// The chunk's size.
        size: ChunkSize,
    },
    /// What was to be installed is not what its digest says.
    #[error("the bytes to install for {key:?} do not have their digest")]
    OtherDigest {
        /// Which chunk.
        key: ChunkKey,
    },
    /// The disk is full. Reads and removals go on.
    #[error("no room for {wanted} of blocks: {used} of {capacity} are taken")]
    NoSpace {
        /// What was asked for.
        wanted: ByteLen,
        /// What is taken.
        used: ByteLen,
        /// What the disk can have.
        capacity: ByteLen,
    },
    /// A block on the disk is not what was written there: another replica has it.
    #[error("{key:?}: {corrupt}")]
    Corrupt {
        /// Which chunk.
        key: ChunkKey,
        /// Where, and which sums.
        corrupt: Corrupt,
    },
    /// No buffer to be had now.
    #[error(transparent)]
    Memory(#[from] PoolError),
    /// The disk failed a read or a write.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The records failed.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// A record that no engine writes: the disk is not opened.
    #[error("a damaged record {key:02x?}: {what}")]
    Damaged {
        /// Its key.
        key: Vec<u8>,
        /// What is wrong with it.
        what: Damage,
    },
    /// A sync failed before: what is durable is unknown, so nothing more is written until the disk was
    /// opened again. Reads go on.
    #[error("the disk takes no more writes, since a sync failed")]
    Failed,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Damage {
    /// A key that is none of ours.
    #[error("a key that is none of ours")]
    Key,
    /// A value that does not decode, or holds what cannot be.
    #[error("a value that does not decode")]
    Value,
    /// Written by a later version of the engine.
    #[error("written by a later version")]
    Version,
    /// A block past the end of the data file.
    #[error("a block outside the data file")]
    Outside,
    /// A block that two chunks own, or of two sizes.
    #[error("a block that something else owns")]
    Owned,
    /// Pieces of a map without the chunk that they belong to.
    #[error("a piece of a map without its chunk")]
    Orphan,
}
