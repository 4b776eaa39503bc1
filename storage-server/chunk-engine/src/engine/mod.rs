//! The engine: chunks of one disk, their versions and their blocks.
//!
//! * [`put`](Engine::put) and [`install`](Engine::install) make versions (`order.rs`, `put.rs`, `draft.rs`,
//!   `plan.rs`); blocks come from `growth.rs`, where `promise.rs` says whose turn it is; records go to the disk through
//!   `journal.rs`.
//! * [`read`](Engine::read) reads one version (`snapshot.rs`).
//! * `bad_blocks.rs`: what was found damaged.
//! * `core.rs`: what handles and tasks share. What is known in memory, and how a chunk goes from one state to the next,
//!   is `state.rs`; how that is found again at a start is `recovery.rs`.
//!
//! Invariants:
//!
//! * A block that a durable record names is not written again before a durable record has dropped it and
//!   its readers have let go.
//! * Nobody sees a version before its record is durable; a commit is seen at once, because what it
//!   commits is durable.
//! * What a read returns has been compared with the sum that its writer computed.

use std::num::NonZeroUsize;
use std::rc::Rc;

use emberfs_buffer::Pool;
use emberfs_layout::{
    BlockSize, ByteLen, ChunkId, ChunkIndex, ChunkOffset, ChunkVersion, DataId, TargetId,
};

use crate::allocator::Allocator;
use crate::disk::Disk;
use crate::error::EngineError;
use crate::pieces::Pieces;
use crate::records::Records;
use crate::sync_point::Syncs;
use crate::types::{
    AppliedTag, BadBlocks, ChunkKey, ChunkState, Installed, NewVersion, PutResult, ReadResult,
    Sizes, Usage, Which,
};

mod bad_blocks;
mod core;
mod draft;
mod growth;
mod journal;
mod order;
mod plan;
mod promise;
mod put;
mod recovery;
mod snapshot;
mod state;

use self::core::Core;
use order::Order;

/// Bytes by which a data file grows.
const REGION: ByteLen = ByteLen(16 << 20);
/// Pieces of maps in the cache: about 24 MiB, the maps of 4 GiB in blocks of 4 KiB.
const PIECES_CACHED: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// How to open a disk.
#[derive(Clone, Debug)]
pub struct Options {
    /// At most so many bytes of blocks; without it, what the file system has.
    pub capacity: Option<ByteLen>,
    /// Where buffers for reads and for merged blocks come from: the shard's.
    pub pool: Pool,
    /// Which syncs are issued: all, but in tests.
    pub syncs: Syncs,
    /// Bytes by which the data file grows, a multiple of 64 KiB. Settled when a disk is first opened.
    pub region: ByteLen,
    /// What the disk is called in metrics.
    pub name: String,
}

impl Options {
    /// All that the file system has, all syncs, regions of 16 MiB.
    #[must_use]
    pub fn new(pool: Pool) -> Self {
        let name = "unnamed".to_owned();
        Self { capacity: None, pool, syncs: Syncs::all(), region: REGION, name }
    }
}

/// Whether a region can have this length.
fn is_region(len: ByteLen) -> bool {
    len.get() > 0 && len.get().is_multiple_of(64 << 10) && len.get() <= 1 << 40
}

/// The chunk store of one disk; clones are the same one.
///
/// It belongs to one thread and is used within one `LocalSet`. Futures may be dropped: what they began is
/// finished all the same.
pub struct Engine<D: Disk, R: Records>(Rc<Core<D, R>>);

impl<D: Disk, R: Records> Clone for Engine<D, R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<D: Disk, R: Records> std::fmt::Debug for Engine<D, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl<D: Disk, R: Records> Engine<D, R> {
    /// Opens what is on the disk, in whatever state a crash left it, or formats an empty one.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] for records that no engine writes, or the disk's own errors.
    ///
    /// # Panics
    /// When the region's length is none.
    pub async fn open(disk: D, records: R, options: Options) -> Result<Self, EngineError> {
        assert!(is_region(options.region), "a region of {}", options.region);
        let region = recovery::format(&records, options.region, options.syncs).await?;
        let regions = usize::try_from(disk.len().get() / region.get()).expect("fits memory");
        let (allocator, pieces) = (Allocator::new(region, regions), Pieces::new(PIECES_CACHED));
        let (state, committed) = recovery::recover(&records, allocator, pieces).await?;
        let core = Rc::new(Core::new(disk, records, Options { region, ..options }, state));
        for key in committed {
            let entry = core.state.borrow_mut().fold(key);
            entry.into_iter().for_each(|entry| core.journal(entry));
        }
        core.grow_ahead();
        Ok(Self(core))
    }

    /// What is there of a chunk. No I/O.
    #[must_use]
    pub fn state(&self, key: ChunkKey) -> Option<ChunkState> {
        self.0.state.borrow().index.get(key)?.state()
    }

    /// Makes a version out of the committed one and stores it durably, as pending or, where it says so, as
    /// committed. A version that is pending already is given up for it. One at a time a chunk: others
    /// wait.
    ///
    /// # Errors
    /// Any [`EngineError`] but `Absent` and `OtherDigest`; after `Failed` it is not known whether the
    /// version is durable.
    pub fn put(
        &self,
        key: ChunkKey,
        new: NewVersion,
    ) -> impl Future<Output = Result<PutResult, EngineError>> + use<D, R> {
        self.make(key, new.into())
    }

    /// Replaces whatever is there by a whole chunk, durably and as committed.
    ///
    /// # Errors
    /// [`EngineError::OtherDigest`] if the bytes are not what the wanted state says, and those of
    /// [`put`](Self::put) but `Stale`.
    pub fn install(
        &self,
        key: ChunkKey,
        installed: Installed,
    ) -> impl Future<Output = Result<(), EngineError>> + use<D, R> {
        let made = self.make(key, installed.into());
        async move { made.await.map(drop) }
    }

    fn make(
        &self,
        key: ChunkKey,
        order: Order,
    ) -> impl Future<Output = Result<PutResult, EngineError>> + use<D, R> {
        let core = Rc::clone(&self.0);
        let promise = core.promise(&order);
        let work = async move { core.locked(key, core.make_version(key, order, promise)).await };
        self.0.whole(work)
    }

    /// Commits the pending version, if it is this one; otherwise nothing happens. Reads see it at once. It
    /// becomes durable with some later batch: a crash before that makes the version pending again.
    pub fn commit(&self, key: ChunkKey, version: ChunkVersion) {
        let entry = self.0.state.borrow_mut().commit(key, version);
        entry.into_iter().for_each(|entry| self.0.journal(entry));
    }

    /// Gives a pending version up, if there is one. Durable with some later batch, like a commit.
    pub fn discard(&self, key: ChunkKey) {
        let entry = self.0.state.borrow_mut().discard(key);
        entry.into_iter().for_each(|entry| self.0.journal(entry));
    }

    /// Reads up to `len` bytes from `start` of one version: fewer, or none, where the chunk ends.
    ///
    /// # Errors
    /// [`EngineError::Absent`] if there is no such version, [`EngineError::Corrupt`] with the first bad
    /// block, and the disk's own.
    pub async fn read(
        &self,
        key: ChunkKey,
        which: Which,
        start: ChunkOffset,
        len: ChunkOffset,
    ) -> Result<ReadResult, EngineError> {
        loop {
            match self.0.read(key, which, start, len).await {
                // It changed while its map was read: the next version is read.
                Err(EngineError::Superseded { .. }) => {}
                outcome => return outcome,
            }
        }
    }

    /// A target's chunks in the order of their ids, tombstones too, from the one behind `after` on.
    #[must_use]
    pub fn chunks(
        &self,
        target: TargetId,
        after: Option<ChunkId>,
        limit: usize,
    ) -> Vec<(ChunkId, ChunkState)> {
        let state = self.0.state.borrow();
        let all = state.index.of_target(target, after);
        all.filter_map(|(chunk, entry)| Some((chunk, entry.state()?))).take(limit).collect()
    }

    /// The last chunk of a file that is committed and not removed, with its length.
    #[must_use]
    pub fn last_chunk(&self, target: TargetId, data: DataId) -> Option<(ChunkIndex, ChunkOffset)> {
        let state = self.0.state.borrow();
        let mut all = state.index.of_file_backwards(target, data);
        all.find_map(|(index, entry)| {
            let there = entry.committed.filter(|version| !version.removed)?;
            Some((index, there.len))
        })
    }

    /// All tags of a target's chunks: of the pending version where there is one, since it has those of the
    /// committed one that live. Read from the records, at a start.
    ///
    /// # Errors
    /// Those of the records.
    pub async fn tags(&self, target: TargetId) -> Result<Vec<(ChunkId, AppliedTag)>, EngineError> {
        self.0.flush().await?;
        self.0.tags(target).await
    }

    /// Makes all commits and discards durable.
    ///
    /// # Errors
    /// [`EngineError::Failed`].
    pub async fn flush(&self) -> Result<(), EngineError> {
        self.0.flush().await
    }

    /// Begins to make commits and discards durable that ride with no batch: to be called now and then, since
    /// blocks that they dropped are free only after that.
    pub fn settle_idle(&self) {
        self.0.settle_idle();
    }

    /// Stops in order: what was begun is through, also where its caller has gone away, all commits are durable, and
    /// nothing goes on in the background. When the last handle is dropped after that, the disk can be opened
    /// again, unless a read was given up that its disk or records still carry out.
    ///
    /// # Errors
    /// [`EngineError::Failed`]; it has stopped all the same.
    pub async fn close(self) -> Result<(), EngineError> {
        let core = &self.0;
        core.closing.set(true);
        while core.under_way.get() > 0 {
            core.ended.notified().await;
        }
        let flushed = core.flush().await;
        while core.growing.get() || core.state.borrow().journal.is_running() {
            core.ended.notified().await;
        }
        flushed
    }

    /// The blocks in use, to be compared with those of another engine on the same records.
    #[cfg(test)]
    pub(crate) fn marks(&self) -> impl PartialEq + std::fmt::Debug + use<D, R> {
        self.0.state.borrow().allocator.marks()
    }

    /// Whether a put that takes at most so many bytes in blocks of this size finds room, whatever those that
    /// have begun take. One that takes none always does. Something else on the file system may take the room
    /// all the same.
    #[must_use]
    pub fn has_room(&self, room: ByteLen, block: BlockSize) -> bool {
        self.0.has_room(room, block)
    }

    /// How full the disk is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// How much it has in memory.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let state = self.0.state.borrow();
        Sizes {
            chunks: state.index.len(),
            index: ByteLen(state.index.bytes()),
            pieces: state.pieces.len(),
        }
    }

    /// What was found damaged since the disk was opened, if anything was.
    #[must_use]
    pub fn bad_blocks(&self) -> Option<BadBlocks> {
        self.0.bad.borrow().all()
    }

    /// Removes all that is there of a target, durably. Nobody may use the target meanwhile.
    ///
    /// # Errors
    /// [`EngineError::Failed`] and those of the records; some chunks may be gone then.
    pub async fn drop_target(&self, target: TargetId) -> Result<(), EngineError> {
        let core = Rc::clone(&self.0);
        self.0.whole(async move { core.drop_target(target).await }).await
    }

    /// Forgets a chunk and all its records, whatever there is of it, durably.
    ///
    /// # Errors
    /// [`EngineError::Failed`] and those of the records.
    pub async fn forget(&self, key: ChunkKey) -> Result<(), EngineError> {
        let core = Rc::clone(&self.0);
        let work = async move {
            core.locked(key, core.forget(key)).await?;
            core.flush().await
        };
        self.0.whole(work).await
    }

    /// Forgets a tombstone, with some later batch; a chunk that is there, or has a pending version, stays.
    ///
    /// # Errors
    /// Those of the records.
    pub async fn sweep(&self, key: ChunkKey) -> Result<(), EngineError> {
        let core = Rc::clone(&self.0);
        self.0.whole(async move { core.locked(key, core.sweep(key)).await }).await
    }
}
