//! What an engine knows when it opens a disk: all of it from the records, none from the data.
//!
//! Records come in the order of chunks, a chunk's head first, then its pending version, then its map. So
//! one pass suffices, with one chunk in memory beside what is kept of each.

use std::collections::BTreeMap;
use std::rc::Rc;

use emberfs_layout::{BlockSize, ByteLen};

use super::plan::{Changed, affected, change};
use super::snapshot::read_piece;
use super::state::State;
use crate::allocator::Allocator;
use crate::error::{Damage, EngineError};
use crate::format::{
    FORMAT_KEY, FormatRecord, HeadRecord, Part, PendingRecord, VERSION, damaged, decode, encode,
    key, parse_key,
};
use crate::index::{Index, Pending};
use crate::map::{Block, Piece, Place, blocks};
use crate::pieces::Pieces;
use crate::records::{Key, RecordChange, Records, Value};
use crate::sync_point::{SyncPoint, Syncs};
use crate::types::ChunkKey;

/// Records that are read at once.
const PAGE: usize = 1024;

/// The bytes of a region: as the disk was formatted, or, on a new disk, as asked for from now on.
pub(super) async fn format<R: Records>(
    records: &R,
    asked: ByteLen,
    syncs: Syncs,
) -> Result<ByteLen, EngineError> {
    let Some(value) = records.get(FORMAT_KEY.to_vec()).await? else {
        if let Some((key, _)) = records.scan(Vec::new(), 1).await?.first() {
            return Err(damaged(key, Damage::Orphan));
        }
        let record = FormatRecord { version: VERSION, region: asked };
        let put = RecordChange::Put(FORMAT_KEY.to_vec(), encode(&record));
        records.apply(vec![put], syncs.issues(SyncPoint::Records)).await?;
        return Ok(asked);
    };
    let FormatRecord { version, region } = decode(FORMAT_KEY, &value)?;
    if version > VERSION {
        return Err(damaged(FORMAT_KEY, Damage::Version));
    }
    if !super::is_region(region) {
        return Err(damaged(FORMAT_KEY, Damage::Value));
    }
    Ok(region)
}

/// Reads all chunks' records. Also returns the chunks whose pending version is committed.
pub(super) async fn recover<R: Records>(
    records: &R,
    allocator: Allocator,
    pieces: Pieces,
) -> Result<(State, Vec<ChunkKey>), EngineError> {
    let mut recovery = Recovery { index: Index::default(), allocator, committed: Vec::new() };
    let mut chunk: Option<Found> = None;
    let mut last: Key = FORMAT_KEY.to_vec();
    loop {
        let page = records.scan(last.clone(), PAGE).await?;
        let Some((key, _)) = page.last() else { break };
        last.clone_from(key);
        for (key, value) in page {
            let (of, part) = parse_key(&key).ok_or_else(|| damaged(&key, Damage::Key))?;
            if let Some(done) = chunk.take_if(|chunk| chunk.key != of) {
                recovery.add(done)?;
            }
            let found = chunk.get_or_insert_with(|| Found::new(of));
            found.read(part, &key, &value)?;
        }
    }
    chunk.into_iter().try_for_each(|chunk| recovery.add(chunk))?;
    let Recovery { index, allocator, committed } = recovery;
    Ok((State::new(index, allocator, pieces), committed))
}

/// A chunk's records.
struct Found {
    key: ChunkKey,
    head: Option<HeadRecord>,
    pending: Option<PendingRecord>,
    pieces: BTreeMap<u32, Rc<Piece>>,
}

impl Found {
    fn new(key: ChunkKey) -> Self {
        Self { key, head: None, pending: None, pieces: BTreeMap::new() }
    }

    fn read(&mut self, part: Part, key: &[u8], value: &Value) -> Result<(), EngineError> {
        match part {
            Part::Head => self.head = Some(decode(key, value)?),
            Part::Pending => self.pending = Some(decode(key, value)?),
            Part::Piece(number) => {
                let head = self.head.as_ref().filter(|head| !head.state.removed);
                let head = head.ok_or_else(|| damaged(key, Damage::Orphan))?;
                let piece = read_piece(key, value, number, head.chunk_size)?;
                self.pieces.insert(number, Rc::new(piece));
            }
        }
        Ok(())
    }
}

struct Recovery {
    index: Index,
    allocator: Allocator,
    committed: Vec<ChunkKey>,
}

impl Recovery {
    fn add(&mut self, chunk: Found) -> Result<(), EngineError> {
        let Found { key: of, head, pending, pieces } = chunk;
        if let Some(head) = &head {
            for (number, piece) in &pieces {
                let key = key(of, Part::Piece(*number));
                let block = head.chunk_size.block_size();
                piece
                    .blocks(*number)
                    .try_for_each(|(_, found)| self.mark(&key, found.place, block))?;
            }
            self.index.get_or_insert(of, head.chunk_size).committed = Some(head.state);
        }
        let Some(record) = pending else { return Ok(()) };
        if record.committed {
            self.committed.push(of);
        }
        let size = head.as_ref().map_or(record.chunk_size, |head| head.chunk_size);
        let pending = self.pending(of, record, head.as_ref(), &pieces)?;
        self.index.get_or_insert(of, size).pending = Some(Box::new(pending));
        Ok(())
    }

    fn pending(
        &mut self,
        of: ChunkKey,
        record: PendingRecord,
        head: Option<&HeadRecord>,
        pieces: &BTreeMap<u32, Rc<Piece>>,
    ) -> Result<Pending, EngineError> {
        let PendingRecord { chunk_size, state, tags, committed, dropped_from, runs } = record;
        let key = key(of, Part::Pending);
        let block = chunk_size.block_size();
        let new = blocks(&runs, block, chunk_size.blocks());
        let same_size = head.is_none_or(|head| head.chunk_size == chunk_size);
        let sound = same_size && dropped_from.is_none_or(|from| from <= chunk_size.blocks());
        let new = new.filter(|_| sound).ok_or_else(|| damaged(&key, Damage::Value))?;
        let added: Vec<Place> = new.iter().map(|(_, Block { place, .. })| *place).collect();
        added.iter().try_for_each(|place| self.mark(&key, *place, block))?;
        let changed = affected(new.iter().map(|(at, _)| *at), dropped_from, chunk_size.blocks());
        let mut old = pieces.clone();
        old.retain(|number, _| changed.contains(number));
        let Changed { pieces, replaced } = change(&old, dropped_from, &new);
        let replaced = replaced.into_iter().map(|(_, block)| block.place).collect();
        Ok(Pending { state, tags, pieces, replaced, added, durable: true, commit: committed })
    }

    fn mark(&mut self, key: &[u8], place: Place, block: BlockSize) -> Result<(), EngineError> {
        if place.offset().0 / self.allocator.region_len().get() >= self.allocator.regions() as u64 {
            return Err(damaged(key, Damage::Outside));
        }
        let marked = self.allocator.mark(place, block);
        if marked { Ok(()) } else { Err(damaged(key, Damage::Owned)) }
    }
}
