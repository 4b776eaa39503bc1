//! Room for new blocks: taken from the allocator, and the data file grown ahead of need.
//!
//! The file grows by regions. A task in the background keeps some of them free while the disk has room;
//! only a write that comes when there is none waits. Growth stops short of the file system's end, so that
//! the records never run out of room, and with them removals.

use std::rc::Rc;

use emberfs_layout::{BlockSize, ByteLen};
use tokio::sync::Notify;

use super::core::Core;
use super::order::Order;
use super::promise::Promise;
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
/// Regions that puts may open beyond what they take: one of each class of blocks.
const REGIONS_OPENED: u64 = 3;
/// Blocks of each size that writes leave free (a count): cuts need one each, and make room.
const CUT_BLOCKS: u32 = 16;
/// The same in bytes, of all sizes.
const CUT_ROOM: u64 = CUT_BLOCKS as u64 * (4 + 16 + 64) * 1024;
/// What else may fill the file system while a put is under way, in bytes: other disks on it grow too.
const GROWTH_DOUBT: u64 = 1 << 30;
/// Never more than this part of a disk is kept from its blocks.
const RECORDS_SHARE_MAX: u64 = 8;
/// With less than this part of it left, or than the bytes behind it, no version that takes blocks is begun,
/// even where blocks are free: what else lives on the file system has taken it, and what is left is for
/// removals and cuts.
const RECORDS_SHORT: (u64, u64) = (4, 256 << 20);

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
    /// Blocks are about to be taken by a put that begins. Whether it is sure of them is asked only where its caller
    /// has not: that asks the system.
    pub(super) fn promise(&self, order: &Order) -> Promise {
        let room = order.room();
        let sure = order.sure_of_room.unwrap_or_else(|| self.has_room(room, order.block()));
        self.promised.promise(room, sure || room == ByteLen::ZERO)
    }

    /// Whether a put of so many bytes of blocks finds them, beside those that are promised.
    pub(super) fn has_room(&self, room: ByteLen, block: BlockSize) -> bool {
        if room == ByteLen::ZERO {
            return true;
        }
        let left_on_disk = self.disk.room().ok();
        if left_on_disk.is_some_and(|left| self.is_short(left)) {
            return false;
        }
        let others = self.promised.bytes() + REGIONS_OPENED * self.region.get() + CUT_ROOM;
        let wanted = others + room.get();
        if self.state.borrow().allocator.room(block).get() >= wanted {
            return true;
        }
        let limit = self.capacity.unwrap_or(ByteLen(u64::MAX)).get();
        let growth = left_on_disk.map_or(0, |left| self.growth_within(left).get());
        limit.saturating_sub(self.disk.len().get()).min(growth) >= wanted + GROWTH_DOUBT
    }

    pub(super) fn usage(&self) -> Usage {
        let used = self.state.borrow().allocator.used();
        let limit = self.capacity.unwrap_or(ByteLen(u64::MAX)).get();
        let file = self.disk.len().get();
        // A file system that does not answer lets nothing grow.
        let room = self.growth_max().unwrap_or(ByteLen::ZERO);
        let capacity = ByteLen(limit.min(file + room.get()).max(used.get()));
        Usage { capacity, used, growth: ByteLen(capacity.get().saturating_sub(file)), room }
    }

    /// By how much the data file may grow, for all that the file system knows.
    fn growth_max(&self) -> Result<ByteLen, DiskError> {
        self.disk.room().map(|room| self.growth_within(room))
    }

    /// The same on a file system that has so much room.
    fn growth_within(&self, room: ByteLen) -> ByteLen {
        ByteLen(room.get().saturating_sub(self.reserve(room)))
    }

    /// What is kept for the records on a file system that has so much room, in bytes.
    fn reserve(&self, room: ByteLen) -> u64 {
        let total = room.get().saturating_add(self.disk.len().get());
        (total / RECORDS_SHARE).max(RECORDS_MIN.min(total / RECORDS_SHARE_MAX))
    }

    /// Whether this room, which is left on the file system, may be too little for the records.
    fn is_short(&self, room: ByteLen) -> bool {
        let (share, most) = RECORDS_SHORT;
        room.get() < (self.reserve(room) / share).min(most)
    }

    /// Takes `count` blocks, or none; the last ones only for a version that does nothing but make room. One that is
    /// `sure` of room was told so by the file system.
    pub(super) async fn allocate(
        self: &Rc<Self>,
        block: BlockSize,
        count: u32,
        shrinks: bool,
        sure: bool,
    ) -> Result<Vec<Place>, EngineError> {
        let left = if shrinks || count == 0 { 0 } else { CUT_BLOCKS };
        let mut flushed = false;
        let is_refusable = count > 0 && !shrinks && !sure;
        if is_refusable && self.disk.room().is_ok_and(|room| self.is_short(room)) {
            return Err(self.no_space(block, count));
        }
        loop {
            let (places, regions) = {
                let mut state = self.state.borrow_mut();
                (state.allocator.allocate(block, count, left), state.allocator.regions())
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
                return Err(self.no_space(block, count));
            }
        }
    }

    fn no_space(&self, block: BlockSize, count: u32) -> EngineError {
        let Usage { capacity, used, .. } = self.usage();
        let wanted = ByteLen(u64::from(count) * u64::from(block.bytes()));
        EngineError::NoSpace { wanted, used, capacity }
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
