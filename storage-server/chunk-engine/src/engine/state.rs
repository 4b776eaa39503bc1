//! What an engine knows in memory, and the transitions of a chunk that need no I/O.
//!
//! ```text
//!                 stage                    settle                  fold
//!   committed ────────────► not durable ───────────► pending ────────────► committed
//!               its record     seen by    record is     │ discard     head and pieces written
//!               is journalled  nobody     durable       ▼             with some later group
//!                                                    committed, as before
//! ```
//!
//! Memory is always what the records will be once all that is journalled is written. So blocks that a
//! transition drops retire with its journal entry.

use std::rc::Rc;

use emberfs_layout::{ChunkSize, ChunkVersion};
use tokio::sync::Notify;

use super::journal::{Journal, JournalEntry};
use crate::allocator::Allocator;
use crate::format::{HeadRecord, Part, PieceRecord, encode, key};
use crate::index::{Index, Pending, Stamp};
use crate::map::{PIECE_BLOCKS, Piece, Place, Runs};
use crate::pieces::{BatchId, Pieces};
use crate::readers::Readers;
use crate::records::RecordChange;
use crate::types::ChunkKey;

/// All that an engine knows in memory. Never borrowed across an await.
#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Index,
    pub(super) allocator: Allocator,
    pub(super) pieces: Pieces,
    pub(super) readers: Readers,
    pub(super) journal: Journal,
    /// Told whenever blocks have become free.
    pub(super) released: Rc<Notify>,
    last_stamp: Stamp,
    last_batch: BatchId,
}

impl State {
    pub(super) fn new(index: Index, allocator: Allocator, pieces: Pieces) -> Self {
        let (readers, journal) = (Readers::default(), Journal::default());
        let (last_stamp, last_batch) = (Stamp::default(), BatchId::default());
        let released = Rc::default();
        Self { index, allocator, pieces, readers, journal, released, last_stamp, last_batch }
    }

    fn next_stamp(&mut self) -> Stamp {
        // It tells states apart while an operation lasts: wrapping after 2³² of them is no matter.
        self.last_stamp = Stamp(self.last_stamp.0.wrapping_add(1));
        self.last_stamp
    }

    /// The chunk's stamp; `None` if there is no such chunk.
    pub(super) fn stamp(&self, key: ChunkKey) -> Option<Stamp> {
        self.index.get(key).map(|entry| entry.stamp)
    }

    /// A new version's record is being journalled: it takes the place of an older pending one, whose
    /// blocks are returned, to be retired with that record.
    pub(super) fn stage(
        &mut self,
        key: ChunkKey,
        chunk_size: ChunkSize,
        pending: Pending,
    ) -> (Stamp, Vec<Place>) {
        let stamp = self.next_stamp();
        let entry = self.index.get_or_insert(key, chunk_size);
        entry.stamp = stamp;
        let older = entry.pending.replace(Box::new(pending));
        (stamp, older.map(|older| older.added).unwrap_or_default())
    }

    /// The record of the version staged with this stamp is durable. What is to be journalled, if it
    /// commits the version; `None` if the version was given up meanwhile.
    pub(super) fn settle_version(
        &mut self,
        key: ChunkKey,
        stamp: Stamp,
    ) -> Option<Option<JournalEntry>> {
        let entry = self.index.get_mut(key).filter(|entry| entry.stamp == stamp)?;
        let pending = entry.pending.as_mut()?;
        pending.durable = true;
        let commit = pending.commit;
        Some(if commit { self.fold(key) } else { None })
    }

    /// Commits a pending version; one whose record is not durable yet is committed as soon as it is.
    pub(super) fn commit(&mut self, key: ChunkKey, version: ChunkVersion) -> Option<JournalEntry> {
        let entry = self.index.get_mut(key)?;
        let pending = entry.pending.as_mut().filter(|pending| pending.state.version == version)?;
        pending.commit = true;
        if pending.durable { self.fold(key) } else { None }
    }

    /// Makes the pending version the committed one.
    pub(super) fn fold(&mut self, chunk: ChunkKey) -> Option<JournalEntry> {
        let stamp = self.next_stamp();
        let entry = self.index.get_mut(chunk)?;
        let Pending { state, tags, pieces, replaced: retired, .. } = *entry.pending.take()?;
        entry.committed = Some(state);
        entry.stamp = stamp;
        let (chunk_size, block) = (entry.chunk_size, entry.chunk_size.block_size());
        let head = HeadRecord { chunk_size, state, tags };
        let mut changes = vec![
            RecordChange::Put(key(chunk, Part::Head), encode(&head)),
            RecordChange::Delete(key(chunk, Part::Pending)),
        ];
        self.last_batch.0 += 1;
        let id = self.last_batch;
        let mut written = Vec::with_capacity(pieces.len());
        for (number, piece) in pieces {
            let key = key(chunk, Part::Piece(number));
            changes.push(if piece.is_empty() {
                RecordChange::Delete(key)
            } else {
                let runs = Runs { blocks: piece.blocks(number), size: block };
                RecordChange::Put(key, encode(&PieceRecord { runs }))
            });
            written.push((chunk, number));
            self.pieces.insert_unwritten(chunk, number, piece, id);
        }
        Some(JournalEntry { changes, retired, pieces: written, id })
    }

    /// Gives a pending version up.
    pub(super) fn discard(&mut self, chunk: ChunkKey) -> Option<JournalEntry> {
        let stamp = self.next_stamp();
        let entry = self.index.get_mut(chunk)?;
        let pending = entry.pending.take()?;
        entry.stamp = stamp;
        if entry.committed.is_none() {
            self.index.remove(chunk);
        }
        let changes = vec![RecordChange::Delete(key(chunk, Part::Pending))];
        Some(JournalEntry { changes, retired: pending.added, ..JournalEntry::default() })
    }

    /// Forgets a chunk whose committed map is made of these pieces.
    pub(super) fn forget(&mut self, chunk: ChunkKey, map: &[Rc<Piece>]) -> Option<JournalEntry> {
        let entry = self.index.remove(chunk)?;
        let pieces = piece_count(entry.chunk_size);
        self.pieces.forget(chunk, pieces);
        let mut retired = entry.pending.map(|pending| pending.added).unwrap_or_default();
        let places = map.iter().flat_map(|piece| piece.blocks(0));
        retired.extend(places.map(|(_, block)| block.place));
        let parts = [Part::Head, Part::Pending].into_iter().chain((0..pieces).map(Part::Piece));
        let changes = parts.map(|part| RecordChange::Delete(key(chunk, part))).collect();
        Some(JournalEntry { changes, retired, ..JournalEntry::default() })
    }
}

/// How many pieces the map of a full chunk has.
pub(super) fn piece_count(size: ChunkSize) -> u32 {
    size.blocks().div_ceil(PIECE_BLOCKS)
}
