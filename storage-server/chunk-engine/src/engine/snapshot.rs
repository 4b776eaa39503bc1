//! One version of a chunk, held while its map and blocks are read.
//!
//! Pieces of the map that are not in memory are read from the records. Meanwhile the chunk may change:
//! then what was found may be of either version, and the snapshot is over
//! ([`EngineError::Superseded`]). Blocks that it has seen stay as they are until it is dropped.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use emberfs_buffer::{AlignedBuf, Crc32c, Payload, Unchecked};
use emberfs_layout::{ChunkOffset, ChunkSize};

use super::core::Core;
use crate::disk::{Disk, Segment};
use crate::error::{Damage, EngineError};
use crate::format::{Part, PieceRecord, damaged, decode, key};
use crate::index::Stamp;
use crate::map::{Block, Piece, blocks};
use crate::readers::Epoch;
use crate::records::Records;
use crate::types::{ChunkKey, VersionState, Which};

/// One version of a chunk, which may be "none".
pub(super) struct Snapshot<'a, D: Disk, R: Records> {
    core: &'a Core<D, R>,
    key: ChunkKey,
    which: Which,
    version: Option<VersionState>,
    chunk_size: ChunkSize,
    stamp: Option<Stamp>,
    /// What was read from the records.
    found: BTreeMap<u32, Rc<Piece>>,
    /// `None` once it has let go.
    epoch: Option<Epoch>,
}

impl<'a, D: Disk, R: Records> Snapshot<'a, D, R> {
    /// The version as it is now; of a chunk that is not there, `chunk_size` is what it would have.
    pub(super) fn take(
        core: &'a Core<D, R>,
        key: ChunkKey,
        which: Which,
        chunk_size: ChunkSize,
    ) -> Self {
        let mut state = core.state.borrow_mut();
        let epoch = Some(state.readers.enter());
        let entry = state.index.get(key);
        let version = entry.and_then(|entry| match which {
            Which::Committed => entry.committed,
            Which::Pending => entry.state().and_then(|state| state.pending),
        });
        let chunk_size = entry.map_or(chunk_size, |entry| entry.chunk_size);
        let stamp = entry.map(|entry| entry.stamp);
        drop(state);
        Self { core, key, which, version, chunk_size, stamp, found: BTreeMap::new(), epoch }
    }

    pub(super) fn version(&self) -> Option<VersionState> {
        self.version
    }

    pub(super) fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// No more blocks are read: others may have those that the version has no more.
    pub(super) fn let_go(&mut self) {
        if let Some(epoch) = self.epoch.take() {
            let mut state = self.core.state.borrow_mut();
            state.readers.leave(epoch);
            state.release_blocks();
        }
    }

    /// A buffer of whole blocks.
    pub(super) fn buffer(&self, len: usize) -> Result<AlignedBuf, EngineError> {
        Ok(self.core.pool.take(len)?)
    }

    /// Whether the chunk is still as it was.
    pub(super) fn is_current(&self) -> bool {
        self.core.state.borrow().stamp(self.key) == self.stamp
    }

    /// A piece of the version's map.
    pub(super) async fn piece(&mut self, number: u32) -> Result<Rc<Piece>, EngineError> {
        if let Some(piece) = self.in_memory(number)? {
            return Ok(piece);
        }
        let key = key(self.key, Part::Piece(number));
        let record = self.core.records.get(key.clone()).await?;
        self.check_current()?;
        let piece = Rc::new(match record {
            None => Piece::EMPTY,
            Some(value) => read_piece(&key, &value, number, self.chunk_size)?,
        });
        self.core.state.borrow_mut().pieces.insert(self.key, number, Rc::clone(&piece));
        self.found.insert(number, Rc::clone(&piece));
        Ok(piece)
    }

    fn in_memory(&self, number: u32) -> Result<Option<Rc<Piece>>, EngineError> {
        if let Some(piece) = self.found.get(&number) {
            return Ok(Some(Rc::clone(piece)));
        }
        self.check_current()?;
        let mut state = self.core.state.borrow_mut();
        let entry = state.index.get(self.key);
        if let Some(pending) = entry.and_then(|entry| entry.pending.as_ref())
            && self.which == Which::Pending
            && let Some(piece) = pending.pieces.get(&number)
        {
            return Ok(Some(Rc::clone(piece)));
        }
        if !entry.is_some_and(|entry| entry.has_map()) {
            return Ok(Some(Rc::new(Piece::EMPTY)));
        }
        Ok(state.pieces.get(self.key, number))
    }

    fn check_current(&self) -> Result<(), EngineError> {
        let (key, version) = (self.key, self.version.map(|state| state.version));
        let version = version.unwrap_or_default();
        if self.is_current() { Ok(()) } else { Err(EngineError::Superseded { key, version }) }
    }

    /// The bytes of these whole blocks, checked; blocks that are not there are zeros.
    pub(super) async fn blocks(&mut self, numbers: Range<u32>) -> Result<Payload, EngineError> {
        let mut found = Vec::with_capacity(numbers.len());
        for number in numbers.clone() {
            found.push(self.piece(Piece::of(number)).await?.get(number));
        }
        let block = self.chunk_size.block_size();
        let size = block.bytes() as usize;
        let mut buf = self.buffer(found.len() * size)?;
        let mut segments: Vec<Segment> = Vec::new();
        let mut next = None;
        for (i, found) in found.iter().enumerate() {
            let bytes = i * size..(i + 1) * size;
            match (found, segments.last_mut()) {
                (None, _) => buf[bytes].fill(0),
                (Some(Block { place, .. }), Some(last)) if next == Some((i, *place)) => {
                    last.range.end = bytes.end;
                }
                (Some(Block { place, .. }), _) => {
                    segments.push(Segment { at: place.offset(), range: bytes });
                }
            }
            next = found.map(|Block { place, .. }| (i + 1, place.after(block)));
        }
        if !segments.is_empty() {
            let bytes = segments.iter().map(|segment| segment.range.len()).sum();
            let began = Instant::now();
            buf = self.core.disk.read(buf, segments).await?;
            self.core.meters.read(began, bytes);
        }
        let zeros = Crc32c::of_zeros(size);
        let sums: Vec<_> = found.iter().map(|found| found.map_or(zeros, |b| b.sum)).collect();
        let start = ChunkOffset(numbers.start * block.bytes());
        let read = Unchecked::new(buf.freeze(), start, block, sums);
        let read = read.expect("whole blocks of a chunk, a sum for each");
        read.check().map_err(|corrupt| {
            self.core.bad.borrow_mut().add(self.key, corrupt);
            EngineError::Corrupt { key: self.key, corrupt }
        })
    }
}

impl<D: Disk, R: Records> Drop for Snapshot<'_, D, R> {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// A piece from its record.
pub(super) fn read_piece(
    key: &[u8],
    value: &[u8],
    number: u32,
    size: ChunkSize,
) -> Result<Piece, EngineError> {
    let record: PieceRecord = decode(key, value)?;
    let found = blocks(&record.runs, size.block_size(), size.blocks());
    let mut piece = Piece::EMPTY;
    for (at, block) in found.ok_or_else(|| damaged(key, Damage::Value))? {
        if Piece::of(at) != number {
            return Err(damaged(key, Damage::Value));
        }
        piece.set(at, Some(block));
    }
    Ok(piece)
}
