//! Room for new blocks: taken from the allocator, and the data file grown ahead of need.
//!
//! The file grows by regions. A task in the background keeps some of them free while the disk has room;
//! only a write that comes when there is none waits. Growth stops short of the file system's end, so that
//! the records never run out of room, and with them removals.

use std::rc::Rc;

use emberfs_layout::{BlockSize, ByteLen};
use tokio::sync::Notify;

use super::core::Core;
use super::state::State;
use crate::disk::{Disk, DiskError};
use crate::error::EngineError;
use crate::map::Place;
use crate::records::Records;
use crate::types::Usage;

/// Free regions that are kept ready: what a fast disk takes in the time that growing by one takes.
const REGIONS_AHEAD: usize = 4;
/// The part of a disk that records may need: a block of 4 KiB has about 12 bytes of records when every
/// block was written alone, and RocksDB needs as much again to rewrite them.
const RECORDS_SHARE: u64 = 64;
/// What the records need on any disk, in bytes: logs, and tables that are being rewritten.
const RECORDS_MIN: u64 = 2 << 30;
/// Never more than this part of a disk is kept from its blocks.
const RECORDS_SHARE_MAX: u64 = 8;

impl State {
    /// Gives blocks back that are in no map and that nobody reads.
    pub(super) fn release_blocks(&mut self) {
        while let Some(places) = self.readers.release() {
            places.into_iter().for_each(|place| self.allocator.free(place));
            self.released.notify_waiters();
        }
    }
}

impl<D: Disk, R: Records> Core<D, R> {
    pub(super) fn usage(&self) -> Usage {
        let used = self.state.borrow().allocator.used();
        let limit = self.capacity.unwrap_or(ByteLen(u64::MAX)).get();
        let file = self.disk.len().get();
        // A file system that does not answer lets nothing grow.
        let growth = self.growth_max().unwrap_or(ByteLen::ZERO).get();
        Usage { capacity: ByteLen(limit.min(file + growth).max(used.get())), used }
    }

    /// By how much the data file may grow, for all that the file system knows.
    fn growth_max(&self) -> Result<ByteLen, DiskError> {
        let room = self.disk.room()?.get();
        let total = room.saturating_add(self.disk.len().get());
        let reserve = (total / RECORDS_SHARE).max(RECORDS_MIN.min(total / RECORDS_SHARE_MAX));
        Ok(ByteLen(room.saturating_sub(reserve)))
    }

    /// Takes `count` blocks, or none.
    pub(super) async fn allocate(
        self: &Rc<Self>,
        block: BlockSize,
        count: u32,
    ) -> Result<Vec<Place>, EngineError> {
        let mut flushed = false;
        loop {
            let (places, regions) = {
                let mut state = self.state.borrow_mut();
                (state.allocator.allocate(block, count), state.allocator.regions())
            };
            if let Some(places) = places {
                self.grow_ahead();
                return Ok(places);
            }
            if self.grow(regions).await? {
                continue;
            }
            // Blocks may be waiting for a record that nobody was in a hurry for, or for a reader.
            if !std::mem::replace(&mut flushed, true) {
                self.flush().await?;
            } else if let Some(released) = self.wait_for_readers() {
                released.notified().await;
            } else {
                let Usage { capacity, used } = self.usage();
                let wanted = ByteLen(u64::from(count) * u64::from(block.bytes()));
                return Err(EngineError::NoSpace { wanted, used, capacity });
            }
        }
    }

    /// What tells that blocks are free again, if some wait for their readers.
    fn wait_for_readers(&self) -> Option<Rc<Notify>> {
        let state = self.state.borrow();
        state.readers.has_retired().then(|| Rc::clone(&state.released))
    }

    /// Grows in the background, if few regions are free.
    pub(super) fn grow_ahead(self: &Rc<Self>) {
        let low = |core: &Self| core.state.borrow().allocator.free_regions() < REGIONS_AHEAD;
        if self.closing.get() || !low(self) || self.growing.replace(true) {
            return;
        }
        let core = Rc::clone(self);
        tokio::task::spawn_local(async move {
            while low(&core) && !core.closing.get() {
                let regions = core.state.borrow().allocator.regions();
                match core.grow(regions).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "the data file does not grow");
                        break;
                    }
                }
            }
            core.growing.set(false);
            core.ended.notify_waiters();
        });
    }

    /// Grows the file by one region, unless it has grown since it had `seen` of them. `false` if there
    /// is no more room.
    async fn grow(&self, seen: usize) -> Result<bool, EngineError> {
        let _one_at_a_time = self.growth.lock().await;
        if self.state.borrow().allocator.regions() > seen {
            return Ok(true);
        }
        let to = ByteLen((seen as u64 + 1) * self.region.get());
        let limit = self.capacity.unwrap_or(ByteLen(u64::MAX));
        let file = self.disk.len();
        if to > limit || to.get().saturating_sub(file.get()) > self.growth_max()?.get() {
            return Ok(false);
        }
        if to > file {
            match self.disk.grow(to).await {
                Ok(()) => {}
                Err(error) if error.is_full() => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.state.borrow_mut().allocator.add_regions(1);
        Ok(true)
    }
}
