//! A syncing member that has no room for what it missed: nobody else suffers from it.
//!
//! ```text
//!   member        no room ──► says so to the leader, until there is room again
//!   predecessor   refused ──► removals and tombstones of all pages ──► ROOM_MS are over ──► all once more
//!                   └── meanwhile every version goes without the member ──┘
//! ```
//! * **The serving members alone decide what is refused.** Until the syncing member was told that it has
//!   everything, it cannot be promoted under this version of the chain. So the last serving member may commit
//!   a version without it, if it owes it the chunk: it tells the member that it has everything only after all
//!   was compared anew, or the chunk transferred. A version goes without the member only if that does not have
//!   it and will not have it: it was never sent, or was refused for good. Once the member was told, it is
//!   obeyed like one that serves.
//! * **What makes room goes first.** Nothing that takes room is sent for a while, neither chunks nor
//!   versions; what was removed meanwhile, in all of the target, is. Then comparing begins anew.
//! * **It is seen, and gives way.** The member reports [`Hindrance::NoRoom`], which `status` names; the leader
//!   lets another member that waits for its turn sync first (`membership`).

use emberfs_layout::{BlockSize, ByteLen, ChunkId};
use emberfs_wire::cluster::Hindrance;

use super::chain_view::Duty;
use super::input::Millis;
use super::limits::NO_ROOM_MS;
use super::work::{Forward, Work};
use super::{Call, Target, Turn};

/// What a syncing member found no room for.
pub(super) struct NoRoom {
    /// Until when it says so, at least.
    until: Millis,
    room: ByteLen,
    block: BlockSize,
}

impl Target {
    /// The store had no room for so much.
    pub(super) fn note_no_room(&mut self, now: Millis, room: ByteLen, block: BlockSize) {
        if self.duty() == Duty::Syncing {
            self.no_room = Some(NoRoom { until: now.after(NO_ROOM_MS), room, block });
        }
    }

    /// There may be room again.
    pub(super) fn look_for_room(&mut self, turn: &Turn<'_>) {
        let lacks =
            |lack: &NoRoom| turn.now < lack.until || !turn.chunks.has_room(lack.room, lack.block);
        self.no_room = self.no_room.take().filter(lacks);
    }

    /// What keeps it, or the member that it brings up to date, from being up to date.
    pub(super) fn hindrance(&self) -> Option<Hindrance> {
        let unreadable = self.resync.as_ref().and_then(super::Resync::first_unreadable);
        let no_room = self.no_room.as_ref().map(|_| Hindrance::NoRoom);
        no_room.or(unreadable.map(Hindrance::Unreadable))
    }

    /// The syncing member does not get this version, but the chunk once it is committed here.
    pub(super) fn go_without(&mut self, now: Millis, chunk: ChunkId) {
        let work = self.works.get_mut(&chunk).expect("it is a version under way");
        assert!(!work.handed_on, "{chunk}: the syncing member may have what it goes without");
        let open = self.resync.as_ref().is_some_and(super::Resync::is_open);
        assert!(open, "{chunk}: the syncing member may be promoted without it");
        (work.forward, work.without_syncing) = (Forward::None, true);
        self.owe(now, chunk);
    }

    /// The syncing member has no room: for a while it gets what takes none, and then all is compared anew.
    pub(super) fn keep_room_free(&mut self, turn: &mut Turn<'_>) {
        let open = |resync: &super::Resync| resync.is_open() && resync.room_kept.is_none();
        if !self.resync.as_ref().is_some_and(open) {
            return;
        }
        let until = turn.now.after(self.limits.room_ms);
        self.compare_anew(Some(until));
        for chunk in self.chunks_where(Work::is_held) {
            self.go_without(turn.now, chunk);
            self.advance(turn, chunk);
        }
    }

    /// All is compared once more, from the start. Answers to what was asked before say nothing of what is asked
    /// from now on.
    pub(super) fn compare_anew(&mut self, room_kept: Option<Millis>) {
        let resync = self.resync.as_mut().expect("there is a syncing member");
        resync.begin_anew(room_kept);
        let of_resync = |call: &Call| matches!(call, Call::Page | Call::Install(_) | Call::Finish);
        self.calls.retain(|_, (_, call)| !of_resync(call));
    }
}
