//! All chunks of a disk, in memory: 64 bytes each and the tree's own.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use emberfs_layout::{ChunkId, ChunkIndex, ChunkSize, DataId, TargetId};

use crate::map::{Piece, Place};
use crate::types::{AppliedTag, ChunkKey, ChunkState, VersionState};

/// What is known of a chunk without its map.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) committed: Option<VersionState>,
    pub(crate) pending: Option<Box<Pending>>,
    /// Another one after each change: whoever waited for something learns that the chunk is another.
    pub(crate) stamp: Stamp,
    pub(crate) chunk_size: ChunkSize,
}

/// Tells states of a chunk apart while an operation lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) u32);

/// A version on its way to be committed, with all that the commit needs, so that it needs no I/O.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) state: VersionState,
    pub(crate) tags: Vec<AppliedTag>,
    /// The pieces of its map that are not the committed version's.
    pub(crate) pieces: BTreeMap<u32, Rc<Piece>>,
    /// Blocks of the committed version that it no longer has.
    pub(crate) replaced: Vec<Place>,
    /// Blocks that only it has.
    pub(crate) added: Vec<Place>,
    /// Whether its record is durable; before that nobody may see it.
    pub(crate) durable: bool,
    /// Whether it is committed as soon as its record is durable.
    pub(crate) commit: bool,
}

impl Entry {
    /// What the chunk's replica may know; `None` if nothing of it is durable yet.
    pub(crate) fn state(&self) -> Option<ChunkState> {
        let durable = self.pending.as_deref().filter(|pending| pending.durable);
        let pending = durable.map(|pending| pending.state);
        let (committed, chunk_size) = (self.committed, self.chunk_size);
        let known = committed.is_some() || pending.is_some();
        known.then_some(ChunkState { committed, pending, chunk_size })
    }

    /// Whether the committed version has blocks.
    pub(crate) fn has_map(&self) -> bool {
        self.committed.is_some_and(|state| !state.removed)
    }
}

/// A key in 16 bytes that sorts like the chunk: target, data id, index, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packed([u8; 16]);

impl Packed {
    fn new(key: ChunkKey) -> Self {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&key.target.0.to_be_bytes());
        bytes[4..].copy_from_slice(&key.chunk.to_bytes()[..12]);
        Self(bytes)
    }

    fn chunk(self) -> ChunkId {
        let mut bytes = [0; ChunkId::BYTES];
        bytes[..12].copy_from_slice(&self.0[4..]);
        ChunkId::from_bytes(bytes).expect("the reserved bytes are zero")
    }
}

/// All chunks of a disk.
#[derive(Debug, Default)]
pub(crate) struct Index {
    entries: BTreeMap<Packed, Entry>,
}

impl Index {
    /// How many chunks there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What they take in memory, without pending versions.
    pub(crate) fn bytes(&self) -> u64 {
        (self.entries.len() * (size_of::<Packed>() + size_of::<Entry>())) as u64
    }

    pub(crate) fn get(&self, key: ChunkKey) -> Option<&Entry> {
        self.entries.get(&Packed::new(key))
    }

    pub(crate) fn get_mut(&mut self, key: ChunkKey) -> Option<&mut Entry> {
        self.entries.get_mut(&Packed::new(key))
    }

    /// The chunk's entry, a new one with nothing in it if there is none.
    pub(crate) fn get_or_insert(&mut self, key: ChunkKey, chunk_size: ChunkSize) -> &mut Entry {
        self.entries.entry(Packed::new(key)).or_insert_with(|| Entry {
            committed: None,
            pending: None,
            stamp: Stamp::default(),
            chunk_size,
        })
    }

    pub(crate) fn remove(&mut self, key: ChunkKey) -> Option<Entry> {
        self.entries.remove(&Packed::new(key))
    }

    /// A target's chunks in order, those behind `after`.
    pub(crate) fn of_target(
        &self,
        target: TargetId,
        after: Option<ChunkId>,
    ) -> impl Iterator<Item = (ChunkId, &Entry)> {
        let key = |chunk| Packed::new(ChunkKey { target, chunk });
        let first = ChunkId::default();
        let start = after.map_or(Bound::Included(key(first)), |after| Bound::Excluded(key(after)));
        let last = ChunkId::new(DataId(u64::MAX), ChunkIndex(u32::MAX));
        let range = (start, Bound::Included(key(last)));
        self.entries.range(range).map(|(key, entry)| (key.chunk(), entry))
    }

    /// The chunks of one file, last first.
    pub(crate) fn of_file_backwards(
        &self,
        target: TargetId,
        data: DataId,
    ) -> impl Iterator<Item = (ChunkIndex, &Entry)> {
        let key = |index| {
            let chunk = ChunkId::new(data, ChunkIndex(index));
            Packed::new(ChunkKey { target, chunk })
        };
        let all = self.entries.range(key(0)..=key(u32::MAX));
        all.rev().map(|(key, entry)| (key.chunk().index, entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_to_its_size() {
        assert_eq!(size_of::<Packed>() + size_of::<Entry>(), 64);
    }

    #[test]
    fn chunks_are_found_by_target_and_file() {
        let mut index = Index::default();
        let key = |target, data, index| ChunkKey {
            target: TargetId(target),
            chunk: ChunkId::new(DataId(data), ChunkIndex(index)),
        };
        for one in [key(1, 5, 0), key(1, 5, 7), key(1, 6, 1), key(2, 5, 9), key(0, u64::MAX, 3)] {
            index.get_or_insert(one, ChunkSize::MIN);
        }
        let all: Vec<_> = index.of_target(TargetId(1), None).map(|(chunk, _)| chunk).collect();
        assert_eq!(all, [key(1, 5, 0), key(1, 5, 7), key(1, 6, 1)].map(|key| key.chunk));
        let later = index.of_target(TargetId(1), Some(all[0])).map(|(chunk, _)| chunk);
        assert!(later.eq(all[1..].iter().copied()));
        let mut back = index.of_file_backwards(TargetId(1), DataId(5)).map(|(index, _)| index.0);
        assert_eq!((back.next(), back.next(), back.next()), (Some(7), Some(0), None));
    }
}
