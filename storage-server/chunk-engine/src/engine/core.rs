//! What an engine's handles and tasks share, and the operations that read or forget.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;

use bytes::Bytes;
use emberfs_buffer::{Payload, Pool};
use emberfs_layout::{ByteLen, ChunkId, ChunkOffset, ChunkSize, TargetId};
use tokio::sync::{Mutex, Notify};

use super::Options;
use super::bad_blocks::Found;
use super::promise::Promises;
use super::snapshot::Snapshot;
use super::state::{State, piece_count};
use crate::disk::Disk;
use crate::error::EngineError;
use crate::format::{HeadRecord, Part, PendingRecord, decode, parse_key, target_start};
use crate::meters::Meters;
use crate::records::Records;
use crate::sync_point::Syncs;
use crate::types::{AppliedTag, ChunkKey, ReadResult, Which};

/// Records that are read at once for the tags of a target.
const TAGS_PAGE: usize = 1024;
/// Chunks of a target that are dropped before their records are waited for.
const DROPS_AT_ONCE: usize = 1024;

/// What an engine's tasks hold.
pub(super) struct Core<D, R> {
    pub(super) disk: D,
    pub(super) records: R,
    pub(super) pool: Pool,
    pub(super) syncs: Syncs,
    pub(super) capacity: Option<ByteLen>,
    pub(super) region: ByteLen,
    pub(super) meters: Meters,
    pub(super) state: RefCell<State>,
    /// Blocks that were found damaged.
    pub(super) bad: RefCell<Found>,
    /// Chunks that a version is being made of.
    locks: RefCell<HashMap<ChunkKey, Rc<Mutex<()>>>>,
    /// Blocks that puts under way may take.
    pub(super) promised: Rc<Promises>,
    /// Held while the file grows.
    pub(super) growth: Mutex<()>,
    /// Whether the task that grows ahead runs.
    pub(super) growing: Cell<bool>,
    /// Whether nothing more is done ahead of need.
    pub(super) closing: Cell<bool>,
    /// Operations that are carried through, whether or not their callers still wait.
    pub(super) under_way: Cell<usize>,
    /// Told when one of them, or a background task, has ended.
    pub(super) ended: Notify,
}

impl<D: Disk, R: Records> Core<D, R> {
    pub(super) fn new(disk: D, records: R, options: Options, state: State) -> Self {
        let Options { capacity, pool, syncs, region, name } = options;
        let (state, locks, promised) = (RefCell::new(state), RefCell::default(), Rc::default());
        let (growth, ended) = (Mutex::new(()), Notify::new());
        let (growing, closing, under_way) = (Cell::new(false), Cell::new(false), Cell::new(0));
        Self {
            disk,
            records,
            pool,
            syncs,
            capacity,
            region,
            meters: Meters::of(&name),
            state,
            bad: RefCell::default(),
            locks,
            promised,
            growth,
            growing,
            closing,
            under_way,
            ended,
        }
    }

    /// Begins this now and carries it through, also where its caller stops waiting: blocks that are being written must
    /// not be given to others meanwhile.
    pub(super) fn whole<T: 'static, F: Future<Output = T> + 'static>(
        self: &Rc<Self>,
        work: F,
    ) -> impl Future<Output = T> + use<T, F, D, R> {
        let under_way = UnderWay::begin(self);
        let done = tokio::task::spawn_local(async move {
            let _under_way = under_way;
            work.await
        });
        async move {
            match done.await {
                Ok(done) => done,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime is stopping, and with it the caller.
                    Err(_) => std::future::pending().await,
                },
            }
        }
    }

    /// Does this while nobody else makes a version of the chunk.
    pub(super) async fn locked<T>(&self, key: ChunkKey, work: impl Future<Output = T>) -> T {
        let lock = Rc::clone(self.locks.borrow_mut().entry(key).or_default());
        let done = {
            let _alone = lock.lock().await;
            work.await
        };
        let mut locks = self.locks.borrow_mut();
        if Rc::strong_count(&lock) == 2 {
            locks.remove(&key);
        }
        done
    }

    /// Reads one version; `Superseded` if the chunk changed meanwhile.
    pub(super) async fn read(
        &self,
        key: ChunkKey,
        which: Which,
        start: ChunkOffset,
        len: ChunkOffset,
    ) -> Result<ReadResult, EngineError> {
        let mut snapshot = Snapshot::take(self, key, which, ChunkSize::DEFAULT);
        let version = snapshot.version().ok_or(EngineError::Absent { key })?;
        let size = snapshot.chunk_size();
        let end = ChunkOffset(start.get().saturating_add(len.get())).min(version.len);
        if start >= end {
            return Ok(ReadResult { version, data: no_bytes(size) });
        }
        let block = size.block_size();
        let numbers = block.index_of(start)..block.index_of(block.round_up(end));
        let data = snapshot.blocks(numbers).await?.slice(start, end);
        Ok(ReadResult { version, data })
    }

    /// All tags of a target that the records have.
    pub(super) async fn tags(
        &self,
        target: TargetId,
    ) -> Result<Vec<(ChunkId, AppliedTag)>, EngineError> {
        let mut found: Vec<(ChunkId, AppliedTag)> = Vec::new();
        let mut last = target_start(target);
        loop {
            let page = self.records.scan(last.clone(), TAGS_PAGE).await?;
            let Some((key, _)) = page.last() else { return Ok(found) };
            last.clone_from(key);
            for (key, value) in page {
                let Some((of, part)) = parse_key(&key) else { continue };
                if of.target != target {
                    return Ok(found);
                }
                let tags = match part {
                    Part::Head => decode::<HeadRecord>(&key, &value)?.tags,
                    Part::Pending => decode::<PendingRecord>(&key, &value)?.tags,
                    Part::Piece(_) => continue,
                };
                // A pending record stands behind its head.
                let others = found.iter().rposition(|(chunk, _)| *chunk != of.chunk);
                found.truncate(others.map_or(0, |last| last + 1));
                found.extend(tags.into_iter().map(|tag| (of.chunk, tag)));
            }
        }
    }

    pub(super) async fn drop_target(self: &Rc<Self>, target: TargetId) -> Result<(), EngineError> {
        loop {
            let page: Vec<ChunkId> = {
                let state = self.state.borrow();
                let all = state.index.of_target(target, None);
                all.take(DROPS_AT_ONCE).map(|(chunk, _)| chunk).collect()
            };
            for chunk in &page {
                let key = ChunkKey { target, chunk: *chunk };
                self.locked(key, self.forget(key)).await?;
            }
            self.flush().await?;
            if page.is_empty() {
                return Ok(());
            }
        }
    }

    /// Forgets the chunk if it is a tombstone and nothing more.
    pub(super) async fn sweep(self: &Rc<Self>, key: ChunkKey) -> Result<(), EngineError> {
        let is_tombstone = {
            let state = self.state.borrow();
            let entry = state.index.get(key).filter(|entry| entry.pending.is_none());
            entry.and_then(|entry| entry.committed).is_some_and(|version| version.removed)
        };
        if is_tombstone { self.forget(key).await } else { Ok(()) }
    }

    /// Forgets a chunk and all its records.
    pub(super) async fn forget(self: &Rc<Self>, key: ChunkKey) -> Result<(), EngineError> {
        let mut snapshot = Snapshot::take(self, key, Which::Committed, ChunkSize::DEFAULT);
        let mut map = Vec::new();
        for number in 0..piece_count(snapshot.chunk_size()) {
            map.push(snapshot.piece(number).await?);
        }
        let entry = self.state.borrow_mut().forget(key, &map);
        entry.into_iter().for_each(|entry| self.journal(entry));
        Ok(())
    }
}

/// An operation that is carried through: closing waits for it.
struct UnderWay<D: Disk, R: Records>(Rc<Core<D, R>>);

impl<D: Disk, R: Records> UnderWay<D, R> {
    fn begin(core: &Rc<Core<D, R>>) -> Self {
        core.under_way.set(core.under_way.get() + 1);
        Self(Rc::clone(core))
    }
}

impl<D: Disk, R: Records> Drop for UnderWay<D, R> {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
        self.0.ended.notify_waiters();
    }
}

/// A payload without bytes at the start of such a chunk.
pub(super) fn no_bytes(size: ChunkSize) -> Payload {
    let bytes = Payload::compute(Bytes::new(), ChunkOffset(0), size.block_size());
    bytes.expect("no bytes fit anywhere")
}
