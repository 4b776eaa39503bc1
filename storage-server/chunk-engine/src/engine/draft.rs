//! A version in the making: changes, in order, on top of a committed version.
//!
//! What a change writes as a whole block is taken from its payload as it lies. A part of a block is merged
//! with what the block had: read, checked, joined with the sums combined. The last block of a chunk is
//! filled up with zeros.

use std::collections::BTreeMap;

use bytes::Bytes;
use emberfs_buffer::{Payload, grid, join};
use emberfs_layout::{BlockSize, ChunkOffset};

use super::snapshot::Snapshot;
use crate::disk::Disk;
use crate::error::EngineError;
use crate::records::Records;
use crate::types::Change;

/// The largest block, in bytes.
const LARGEST_BLOCK: usize = 64 << 10;
static ZEROS: [u8; LARGEST_BLOCK] = [0; LARGEST_BLOCK];

/// Where the bytes of a new block are.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// In the payload of the change of this number, as a whole block.
    Whole(usize),
    /// Here.
    Merged(Payload),
    /// Here, but what it was to be merged with is corrupt: it stays so.
    Damaged(Payload),
}

/// A block that is written in part.
enum Old {
    /// It is not there: zeros.
    None,
    Block(Payload),
    /// Its bytes are lost.
    Damaged,
}

impl Old {
    fn bytes(&self) -> Option<&Payload> {
        if let Self::Block(payload) = self { Some(payload) } else { None }
    }

    fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged)
    }

    /// The new block that was made of it.
    fn source(&self, merged: Payload) -> Source {
        if self.is_damaged() { Source::Damaged(merged) } else { Source::Merged(merged) }
    }
}

/// A version in the making.
pub(super) struct Draft<'c> {
    block: BlockSize,
    changes: &'c [Change],
    pub(super) len: ChunkOffset,
    pub(super) removed: bool,
    /// Blocks of the committed version from this number on are gone.
    pub(super) dropped_from: Option<u32>,
    /// New blocks.
    pub(super) blocks: BTreeMap<u32, Source>,
    /// The length after each change.
    pub(super) lens: Vec<ChunkOffset>,
    /// Whether a part of a corrupt block may be written: the block stays corrupt.
    keep_damage: bool,
}

impl<'c> Draft<'c> {
    /// The committed version with these changes.
    pub(super) async fn make<D: Disk, R: Records>(
        base: &mut Snapshot<'_, D, R>,
        changes: &'c [Change],
        keep_damage: bool,
    ) -> Result<Self, EngineError> {
        let block = base.chunk_size().block_size();
        let (len, removed) = base.version().map_or((ChunkOffset(0), true), |v| (v.len, v.removed));
        let (blocks, lens) = (BTreeMap::new(), Vec::with_capacity(changes.len()));
        let dropped_from = None;
        let mut draft =
            Self { block, changes, len, removed, dropped_from, blocks, lens, keep_damage };
        for (i, change) in changes.iter().enumerate() {
            match change {
                Change::Write(payload) => draft.write(base, i, payload).await?,
                Change::Cut(len) if !draft.removed && *len < draft.len => {
                    draft.cut(base, *len).await?;
                }
                Change::Cut(_) => {}
                Change::Remove => {
                    draft.drop_from(0);
                    (draft.len, draft.removed) = (ChunkOffset(0), true);
                }
            }
            draft.lens.push(draft.len);
        }
        Ok(draft)
    }

    async fn write<D: Disk, R: Records>(
        &mut self,
        base: &mut Snapshot<'_, D, R>,
        change: usize,
        payload: &Payload,
    ) -> Result<(), EngineError> {
        self.removed = false;
        for piece in grid::pieces(self.block, payload.start(), payload.len()) {
            let at = |i: usize| ChunkOffset(payload.start().get() + narrow(i));
            let (start, end) = (at(piece.start), at(piece.end));
            let number = self.block.index_of(start);
            let source = if end.get() - start.get() == self.block.bytes() {
                Source::Whole(change)
            } else {
                let old = self.content(base, number).await?;
                let part = payload.slice(start, end);
                old.source(self.merge(base, number, old.bytes(), &part)?)
            };
            self.blocks.insert(number, source);
        }
        if !payload.is_empty() {
            self.len = self.len.max(payload.end());
        }
        Ok(())
    }

    async fn cut<D: Disk, R: Records>(
        &mut self,
        base: &mut Snapshot<'_, D, R>,
        len: ChunkOffset,
    ) -> Result<(), EngineError> {
        let number = self.block.index_of(len);
        let start = self.block.round_down(len);
        let kept = if start == len { Old::None } else { self.content(base, number).await? };
        self.drop_from(number);
        let part = kept.bytes().map(|bytes| bytes.slice(start, len));
        if let Some(part) =
            part.or_else(|| kept.is_damaged().then(|| zeros(start, len, self.block)))
        {
            let merged = self.merge(base, number, None, &part)?;
            self.blocks.insert(number, kept.source(merged));
        }
        self.len = len;
        Ok(())
    }

    fn drop_from(&mut self, number: u32) {
        drop(self.blocks.split_off(&number));
        self.dropped_from = Some(self.dropped_from.map_or(number, |from| from.min(number)));
    }

    /// The whole block as it is now.
    async fn content<D: Disk, R: Records>(
        &self,
        base: &mut Snapshot<'_, D, R>,
        number: u32,
    ) -> Result<Old, EngineError> {
        match self.blocks.get(&number) {
            Some(Source::Damaged(_)) => return Ok(Old::Damaged),
            Some(source) => return Ok(Old::Block(self.bytes(number, source))),
            None => {}
        }
        let piece = base.piece(number / crate::map::PIECE_BLOCKS).await?;
        let dropped = self.dropped_from.is_some_and(|from| from <= number);
        if dropped || piece.get(number).is_none() {
            return Ok(Old::None);
        }
        match base.blocks(number..number + 1).await {
            Err(EngineError::Corrupt { .. }) if self.keep_damage => Ok(Old::Damaged),
            read => read.map(Old::Block),
        }
    }

    /// The bytes of a new block.
    pub(super) fn bytes(&self, number: u32, source: &Source) -> Payload {
        match source {
            Source::Merged(payload) | Source::Damaged(payload) => payload.clone(),
            Source::Whole(change) => {
                let start = ChunkOffset(number * self.block.bytes());
                let end = ChunkOffset(start.get() + self.block.bytes());
                self.payload(*change).slice(start, end)
            }
        }
    }

    /// What a change writes.
    pub(super) fn payload(&self, change: usize) -> &Payload {
        match &self.changes[change] {
            Change::Write(payload) => payload,
            Change::Cut(_) | Change::Remove => unreachable!("blocks come from writes"),
        }
    }

    /// Block `number` with `part` put over what it had, which is zeros if it had nothing.
    fn merge<D: Disk, R: Records>(
        &self,
        base: &Snapshot<'_, D, R>,
        number: u32,
        old: Option<&Payload>,
        part: &Payload,
    ) -> Result<Payload, EngineError> {
        let begin = ChunkOffset(number * self.block.bytes());
        let end = ChunkOffset(begin.get() + self.block.bytes());
        let kept = |from, to| match old {
            Some(old) => old.slice(from, to),
            None => zeros(from, to, self.block),
        };
        let parts = [kept(begin, part.start()), part.clone(), kept(part.end(), end)];
        let into = base.buffer(self.block.bytes() as usize)?;
        Ok(join(&parts, into).expect("three parts of one block"))
    }
}

fn zeros(from: ChunkOffset, to: ChunkOffset, block: BlockSize) -> Payload {
    let bytes = Bytes::from_static(&ZEROS[..(to.get() - from.get()) as usize]);
    Payload::compute(bytes, from, block).expect("within a block of a chunk")
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("within a chunk")
}
