//! What chunks should be: versions as plain bytes.

use std::collections::BTreeMap;

use emberfs_buffer::{ChunkDigest, Crc32c};
use emberfs_layout::{
    BlockSize, ChainVersion, ChunkOffset, ChunkSize, ChunkVersion, ClientId, Sequence,
};

use crate::{AppliedTag, ChunkKey, VersionState};

/// A change, with what it writes.
#[derive(Clone, Debug)]
pub(super) enum PlainChange {
    Write { start: usize, bytes: Vec<u8>, aligned: bool },
    Cut(usize),
    Remove,
}

/// A version as plain bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlainVersion {
    pub(super) version: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) removed: bool,
    pub(super) tags: Vec<AppliedTag>,
}

/// What is there of a chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PlainChunk {
    pub(super) committed: Option<PlainVersion>,
    pub(super) pending: Option<PlainVersion>,
}

/// All chunks: what each is, and what a crash now could make of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Reference {
    pub(super) chunks: BTreeMap<ChunkKey, PlainChunk>,
    pub(super) possible: BTreeMap<ChunkKey, Vec<PlainChunk>>,
    pub(super) last_version: u64,
}

impl PlainVersion {
    /// The next version, with the length after each change.
    pub(super) fn next(
        base: Option<&Self>,
        version: u64,
        changes: &[PlainChange],
    ) -> (Self, Vec<usize>) {
        let nothing = Self { version, bytes: Vec::new(), removed: true, tags: Vec::new() };
        let mut next = base.cloned().unwrap_or(nothing);
        next.version = version;
        // The tags of one earlier version stay.
        next.tags.retain(|tag| tag.version.0 + 1 == version);
        let mut lens = Vec::new();
        for (i, change) in changes.iter().enumerate() {
            match change {
                PlainChange::Write { start, bytes, .. } => {
                    next.removed = false;
                    let end = start + bytes.len();
                    let len = if bytes.is_empty() { 0 } else { end };
                    next.bytes.resize(next.bytes.len().max(len), 0);
                    if !bytes.is_empty() {
                        next.bytes[*start..end].copy_from_slice(bytes);
                    }
                }
                PlainChange::Cut(len) => next.bytes.truncate(*len),
                PlainChange::Remove => (next.bytes, next.removed) = (Vec::new(), true),
            }
            lens.push(next.bytes.len());
            next.tags.push(AppliedTag {
                client: ClientId(i as u64),
                sequence: Sequence(version),
                version: ChunkVersion(version),
                chunk_len: narrow(next.bytes.len()),
            });
        }
        (next, lens)
    }

    /// Its state, all of it computed anew.
    pub(super) fn state(&self, size: ChunkSize) -> VersionState {
        VersionState {
            version: ChunkVersion(self.version),
            len: narrow(self.bytes.len()),
            digest: digest(&self.bytes, size.block_size()),
            written_in: written_in(self.version),
            removed: self.removed,
        }
    }
}

/// The chain version that a version is written in.
pub(super) fn written_in(version: u64) -> ChainVersion {
    ChainVersion(version / 3)
}

fn digest(bytes: &[u8], block: BlockSize) -> ChunkDigest {
    let blocks = bytes.chunks(block.bytes() as usize).zip(0..);
    let sums = blocks.map(|(bytes, number)| {
        let mut whole = bytes.to_vec();
        whole.resize(block.bytes() as usize, 0);
        (number, Crc32c::of(&whole))
    });
    let empty = ChunkDigest::EMPTY.resized(ChunkOffset(0), narrow(bytes.len()));
    sums.fold(empty, |digest, (number, sum)| digest.with(number, sum, block))
}

pub(super) fn narrow(len: usize) -> ChunkOffset {
    ChunkOffset(u32::try_from(len).expect("within a chunk"))
}

impl Reference {
    pub(super) fn get(&self, key: ChunkKey) -> PlainChunk {
        self.chunks.get(&key).cloned().unwrap_or_default()
    }

    /// Something begins that makes the chunk this: a crash may find it done.
    pub(super) fn begin(&mut self, key: ChunkKey, after: &PlainChunk) {
        let possible = self.possible.entry(key).or_insert_with(|| vec![PlainChunk::default()]);
        possible.push(after.clone());
    }

    /// It is visible; if `durable`, every crash finds it.
    pub(super) fn end(&mut self, key: ChunkKey, after: PlainChunk, durable: bool) {
        if durable {
            self.possible.insert(key, vec![after.clone()]);
        }
        self.chunks.insert(key, after);
    }

    /// All that was done before something that is durable now is durable too.
    pub(super) fn all_durable(&mut self) {
        for (key, possible) in &mut self.possible {
            *possible = vec![self.chunks.get(key).cloned().unwrap_or_default()];
        }
    }
}
