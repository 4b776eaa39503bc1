//! Making a version of a chunk durable.
//!
//! 1. The changes become a draft: which blocks are new, which are gone.
//! 2. New blocks are allocated and written, all at once.
//! 3. The version's record is journalled, if the chunk is still what the draft was made from.
//! 4. When it is durable, the version is there: pending, or committed.
//!
//! Nothing is known of the new blocks until the record is, so a failure or a crash before that leaves the
//! chunk as it was.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use emberfs_buffer::{ALIGNMENT, ChunkDigest, Crc32c, PoolError};
use emberfs_layout::ChunkOffset;
use tokio::time::sleep;

use super::core::Core;
use super::draft::{Draft, Source};
use super::journal::JournalEntry;
use super::order::Order;
use super::plan::{Changed, affected, change};
use super::promise::Promise;
use super::snapshot::Snapshot;
use crate::disk::{Disk, DiskWrite};
use crate::error::EngineError;
use crate::format::{Part, PendingRecord, encode, key};
use crate::index::{Pending, Stamp};
use crate::map::{Block, Piece, Place, Runs};
use crate::records::{RecordChange, Records, Value};
use crate::types::{AppliedTag, ChunkKey, PutResult, VersionState, Which};

/// How long to wait before a pool that is used up is asked again. What holds its memory are reads that
/// are being sent, so it comes back by itself.
const MEMORY_PAUSE: Duration = Duration::from_millis(1);

impl<D: Disk, R: Records> Core<D, R> {
    /// Makes a version durable, as soon as there is memory for it; what it may take stays promised to it. One
    /// at a time a chunk.
    pub(super) async fn make_version(
        self: &Rc<Self>,
        key: ChunkKey,
        order: Order,
        promise: Promise,
    ) -> Result<PutResult, EngineError> {
        promise.turn().await;
        loop {
            match self.try_version(key, &order, &promise).await {
                Err(EngineError::Memory(PoolError::Exhausted { .. })) => {
                    promise.set_open(true);
                    sleep(MEMORY_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_version(
        self: &Rc<Self>,
        key: ChunkKey,
        order: &Order,
        promise: &Promise,
    ) -> Result<PutResult, EngineError> {
        let mut base = Snapshot::take(self, key, Which::Committed, order.chunk_size);
        order.check(key, (base.version(), base.chunk_size()))?;
        if self.state.borrow().journal.has_failed() {
            return Err(EngineError::Failed);
        }
        let draft = Draft::make(&mut base, &order.changes, order.keep_damage).await?;
        let block = order.block();
        let old_len = base.version().map(|state| state.len).unwrap_or_default();
        let old_blocks = block.index_of(block.round_up(old_len));
        let mut old = BTreeMap::new();
        for number in affected(draft.blocks.keys().copied(), draft.dropped_from, old_blocks) {
            old.insert(number, base.piece(number).await?);
        }
        base.let_go();
        let count = u32::try_from(draft.blocks.len()).expect("a chunk has few blocks");
        let places = self.allocate(block, count, order.shrinks(), promise.is_sure()).await?;
        promise.set_open(false);
        let made = match self.write_version(key, order, &base, &draft, &old, &places).await {
            Ok(made) => made,
            Err(error) => {
                let mut state = self.state.borrow_mut();
                places.into_iter().for_each(|place| state.allocator.free(place));
                return Err(error);
            }
        };
        drop(base);
        let (state, stamp, durable) = made;
        durable.await.map_err(|_| EngineError::Failed)?;
        let settled = self.state.borrow_mut().settle_version(key, stamp);
        let version = order.version;
        let folded = settled.ok_or(EngineError::Superseded { key, version })?;
        folded.into_iter().for_each(|entry| self.journal(entry));
        Ok(PutResult { state, lens: draft.lens })
    }

    /// Writes the blocks and journals the record. After an error nobody knows of the blocks.
    async fn write_version(
        self: &Rc<Self>,
        key: ChunkKey,
        order: &Order,
        base: &Snapshot<'_, D, R>,
        draft: &Draft<'_>,
        old: &BTreeMap<u32, Rc<Piece>>,
        places: &[Place],
    ) -> Result<(VersionState, Stamp, tokio::sync::oneshot::Receiver<()>), EngineError> {
        let new: Vec<(u32, Block)> = new_blocks(draft, order, places);
        let Changed { pieces, replaced } = change(old, draft.dropped_from, &new);
        let digest = digest(base.version(), order, draft.len, &replaced, &new);
        let (len, removed) = (draft.len, draft.removed);
        let (version, written_in) = (order.version, order.written_in);
        let state = VersionState { version, len, digest, written_in, removed };
        if order.expected.is_some_and(|expected| expected != state) {
            return Err(EngineError::OtherDigest { key });
        }
        if !new.is_empty() {
            let writes = self.writes(draft, order, places)?;
            let (began, bytes) = (Instant::now(), writes.iter().map(|one| one.bytes.len()).sum());
            self.disk.write(writes).await?;
            self.meters.written(began, bytes);
            self.state.borrow_mut().journal.data_written = true;
        }
        if self.state.borrow().journal.has_failed() {
            return Err(EngineError::Failed);
        }
        if !base.is_current() {
            return Err(EngineError::Superseded { key, version });
        }
        let replaced = replaced.into_iter().map(|(_, block)| block.place).collect();
        let (tags, added) = (order.tags(&draft.lens), places.to_vec());
        let record = pending_record(order, draft, state, &tags, &new);
        let commit = order.commit;
        let pending = Pending { state, tags, pieces, replaced, added, durable: false, commit };
        let (stamp, retired) = self.state.borrow_mut().stage(key, order.chunk_size, pending);
        let put = RecordChange::Put(self::key(key, Part::Pending), record);
        let entry = JournalEntry { changes: vec![put], retired, ..JournalEntry::default() };
        Ok((state, stamp, self.journal_now(entry)))
    }

    /// The new blocks as writes: what lies together in memory and on the disk goes as one. Whole blocks
    /// are written from where they lie, where that is aligned, else they are copied once.
    fn writes(
        &self,
        draft: &Draft<'_>,
        order: &Order,
        places: &[Place],
    ) -> Result<Vec<DiskWrite>, EngineError> {
        let block = order.block();
        let mut writes = Vec::new();
        let mut all = draft.blocks.iter().zip(places).peekable();
        while let Some(((first, source), place)) = all.next() {
            let Source::Whole(change) = source else {
                let bytes = draft.bytes(*first, source).bytes().clone();
                writes.push(DiskWrite { at: place.offset(), bytes });
                continue;
            };
            let mut end = (*first + 1, place.after(block));
            while let Some(((number, Source::Whole(next)), place)) = all.peek()
                && next == change
                && (**number, **place) == end
            {
                end = (end.0 + 1, end.1.after(block));
                all.next();
            }
            let payload = draft.payload(*change);
            let within = |number: u32| (number * block.bytes() - payload.start().get()) as usize;
            let bytes = payload.bytes().slice(within(*first)..within(end.0));
            writes.push(DiskWrite { at: place.offset(), bytes: self.aligned(bytes)? });
        }
        Ok(writes)
    }

    /// The bytes at an address that direct I/O takes.
    fn aligned(&self, bytes: Bytes) -> Result<Bytes, EngineError> {
        if bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
            return Ok(bytes);
        }
        let mut buf = self.pool.take(bytes.len())?;
        buf.copy_from_slice(&bytes);
        Ok(buf.freeze())
    }
}

/// The new blocks with their places and the sums that came with their bytes.
fn new_blocks(draft: &Draft<'_>, order: &Order, places: &[Place]) -> Vec<(u32, Block)> {
    let block = order.block();
    let sum = |number: u32, source: &Source| -> Crc32c {
        match source {
            Source::Merged(payload) => payload.sums()[0],
            // No bytes have this sum together with these.
            Source::Damaged(payload) => Crc32c(!payload.sums()[0].0),
            Source::Whole(change) => {
                let payload = draft.payload(*change);
                payload.sums()[(number - block.index_of(payload.start())) as usize]
            }
        }
    };
    let blocks = draft.blocks.iter().zip(places);
    blocks
        .map(|((number, source), place)| {
            (*number, Block { place: *place, sum: sum(*number, source) })
        })
        .collect()
}

fn digest(
    base: Option<VersionState>,
    order: &Order,
    len: ChunkOffset,
    replaced: &[(u32, Block)],
    new: &[(u32, Block)],
) -> ChunkDigest {
    let block = order.block();
    let (old_len, old) = base.map_or_else(Default::default, |base| (base.len, base.digest));
    let rest = replaced.iter().fold(old, |sum, (at, gone)| sum.without(*at, gone.sum, block));
    let all = new.iter().fold(rest, |sum, (at, new)| sum.with(*at, new.sum, block));
    all.resized(old_len, len)
}

fn pending_record(
    order: &Order,
    draft: &Draft<'_>,
    state: VersionState,
    tags: &[AppliedTag],
    new: &[(u32, Block)],
) -> Value {
    let chunk_size = order.chunk_size;
    encode(&PendingRecord {
        chunk_size,
        state,
        tags: tags.to_vec(),
        committed: order.commit,
        dropped_from: draft.dropped_from,
        runs: Runs { blocks: new.iter().copied(), size: order.block() },
    })
}
