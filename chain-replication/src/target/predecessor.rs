//! The last serving member brings the syncing one behind it up to date.
//!
//! ```text
//!   settle ──► compare a page ──► transfer what differs ──► next page … ──► finish ──► done
//!                 chunks up to here are settled ──┘
//! ```
//! A write to a chunk that is neither settled nor transferred yet is held behind that chunk's transfer; one that
//! removes the chunk needs none of what was before, and goes without the syncing member, which is sent the
//! tombstone then. Nothing begins before the versions that this member ends itself are through, those that it
//! began as the end of the path or inherited from it: what it has committed without the syncing member is then
//! all in the store, where comparing finds it. A version that the store does not take is not waited for: its
//! chunk is transferred when it is through. Whatever comes later this member commits only when the syncing
//! member has it, or owes it the chunk.
//!
//! All is sent, and the syncing member told so, when nothing is owed any more. A chunk that cannot be read here
//! is said ([`Effect::Unreadable`]), tried again now and then, and passed over; as long as it is owed, the
//! syncing member does not serve: it would take it for absent. Room that is lacking is the affair of `no_room`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use emberfs_buffer::ChunkDigest;
use emberfs_layout::{ChainVersion, ChunkId, ChunkOffset, ChunkSize, ChunkVersion, TargetId};
use emberfs_wire::replica::{
    ChunkSummary, ComparePage, ComparePageReply, FinishSync, InstallChunk,
};
use emberfs_wire::{FsError, PayloadSums, WireError};

use super::chain_view::Successor;
use super::chunks::{ReadResult, StoreError, VersionState, Which};
use super::effect::{Ask, Effect};
use super::input::{Millis, OpId};
use super::limits::{AGAIN_MS, AHEAD_MAX, PAGE_MAX, TRANSFERS_MAX, UNREADABLE_MAX, UNREADABLE_MS};
use super::returning::summary;
use super::work::Work;
use super::{Call, Op, Target, Turn};

/// Up to where the syncing member has what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Settled {
    None,
    UpTo(ChunkId),
    All,
}

enum Phase {
    Settle,
    Compare { again: Millis },
    Comparing,
    Transfer { page: Settled },
    Finish { again: Millis },
    Finishing,
    Done,
}

pub(super) enum Transfer {
    /// To be begun then, and not before a version that goes without the syncing member is through.
    Due {
        again: Millis,
    },
    Reading(OpId),
    Sent,
}

pub(super) struct Resync {
    to: TargetId,
    settled: Settled,
    phase: Phase,
    /// Chunks of the page that differ and are not begun yet.
    differing: VecDeque<ChunkId>,
    pub(super) transfers: BTreeMap<ChunkId, Transfer>,
    /// Chunks behind the settled ones that were transferred because they were written.
    ahead: BTreeSet<ChunkId>,
    /// Chunks that could not be read here.
    unreadable: BTreeSet<ChunkId>,
    /// Until when, at least, the syncing member gets only what takes no room.
    pub(super) room_kept: Option<Millis>,
    /// Whether the syncing member was told, or may have been, that it has everything.
    told: bool,
}

impl Resync {
    pub(super) fn new(to: Successor) -> Self {
        Self::to(to.target)
    }

    fn to(to: TargetId) -> Self {
        Self {
            to,
            settled: Settled::None,
            phase: Phase::Settle,
            differing: VecDeque::new(),
            transfers: BTreeMap::new(),
            ahead: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            room_kept: None,
            told: false,
        }
    }

    /// All is compared once more from the start.
    pub(super) fn begin_anew(&mut self, room_kept: Option<Millis>) {
        let unreadable = std::mem::take(&mut self.unreadable);
        *self = Self { unreadable, room_kept, ..Self::to(self.to) };
    }

    /// Whether the syncing member surely does not take itself for up to date.
    pub(super) fn is_open(&self) -> bool {
        !self.told
    }

    /// A chunk that cannot be read here, if there is one.
    pub(super) fn first_unreadable(&self) -> Option<ChunkId> {
        self.unreadable.first().copied()
    }

    /// Whether the syncing member goes without this version that was sent to nobody.
    pub(super) fn does_without(&self, chunk: ChunkId, work: &Work, now: Millis) -> bool {
        let (on_its_way, put_off) = match self.transfers.get(&chunk) {
            Some(Transfer::Reading(_) | Transfer::Sent) => (true, false),
            Some(Transfer::Due { again }) => (false, *again > now),
            None => (false, false),
        };
        let unreadable = put_off && self.unreadable.contains(&chunk);
        let no_use = unreadable || (work.removes() && !on_its_way && !self.covers(chunk));
        self.room_kept.is_some() || no_use
    }

    /// Whether the syncing member has this chunk as it is committed here.
    pub(super) fn covers(&self, chunk: ChunkId) -> bool {
        let settled = Settled::UpTo(chunk) <= self.settled || self.ahead.contains(&chunk);
        settled && self.room_kept.is_none() && !self.transfers.contains_key(&chunk)
    }

    fn settle(&mut self, page: Settled) {
        self.settled = page;
        self.ahead.retain(|chunk| Settled::UpTo(*chunk) > page);
        let (kept, transfers) = (self.room_kept.is_some(), &self.transfers);
        let owed = |chunk: &ChunkId| Settled::UpTo(*chunk) > page || transfers.contains_key(chunk);
        self.unreadable.retain(|chunk| kept || owed(chunk));
    }

    /// Transfers that hold, or are about to hold, a whole chunk.
    fn under_way(&self) -> usize {
        self.transfers.values().filter(|state| !matches!(state, Transfer::Due { .. })).count()
    }
}

impl Target {
    /// Carries resync as far as it goes now.
    pub(super) fn pump_resync(&mut self, turn: &mut Turn<'_>) {
        self.begin_due(turn);
        let settles = self.settles();
        let Some(resync) = &mut self.resync else { return };
        match resync.phase {
            Phase::Settle if !settles => {
                resync.phase = Phase::Compare { again: turn.now };
                let left = self.works.iter().filter(|(_, work)| work.ends_here());
                let left: Vec<ChunkId> = left.map(|(chunk, _)| *chunk).collect();
                left.into_iter().for_each(|chunk| self.owe(turn.now, chunk));
            }
            Phase::Transfer { page } => self.transfer_page(turn, page),
            _ => {}
        }
        let Some(resync) = &mut self.resync else { return };
        match resync.phase {
            Phase::Compare { again } if again <= turn.now => self.compare(turn),
            Phase::Finish { again } if again <= turn.now => match resync.room_kept {
                Some(_) => self.compare_anew(None),
                None if resync.transfers.is_empty() => self.finish(turn),
                None => {}
            },
            _ => {}
        }
    }

    /// Whether something may still be committed that comparing would not find, and that is not owed.
    fn settles(&self) -> bool {
        let Some(resync) = &self.resync else { return false };
        let found = |(chunk, work): (&ChunkId, &Work)| {
            !work.ends_here() || work.failed_once || resync.transfers.contains_key(chunk)
        };
        // While room is kept nothing is settled: the works need not be waited for.
        !self.orphans.is_empty() || (resync.room_kept.is_none() && !self.works.iter().all(found))
    }

    /// Begins the transfers whose time has come; of those that failed as the chunk could not be read, a few.
    fn begin_due(&mut self, turn: &mut Turn<'_>) {
        let Some(resync) = &self.resync else { return };
        let mut free = TRANSFERS_MAX.saturating_sub(resync.under_way());
        let mut due = Vec::new();
        for (chunk, state) in &resync.transfers {
            let now = matches!(state, Transfer::Due { again } if *again <= turn.now);
            if !now || self.works.get(chunk).is_some_and(Work::ends_here) {
                continue;
            }
            if resync.unreadable.contains(chunk) {
                let Some(left) = free.checked_sub(1) else { continue };
                free = left;
            }
            due.push(*chunk);
        }
        due.into_iter().for_each(|chunk| self.begin_transfer(turn, chunk));
    }

    /// The syncing member is to be sent this chunk once it is committed here. Where room is kept, comparing
    /// will find it.
    pub(super) fn owe(&mut self, now: Millis, chunk: ChunkId) {
        let resync = self.resync.as_mut().expect("a syncing successor is resynced");
        let owed = matches!(resync.transfers.get(&chunk), Some(Transfer::Due { .. }));
        if owed || resync.room_kept.is_some() {
            return;
        }
        resync.transfers.insert(chunk, Transfer::Due { again: now });
        // If it is on its way, that is an earlier version.
        self.calls.retain(|_, (_, call)| !matches!(call, Call::Install(of) if *of == chunk));
    }

    fn compare(&mut self, turn: &mut Turn<'_>) {
        let resync = self.resync.as_mut().expect("it is resync that compares");
        resync.phase = Phase::Comparing;
        let (to, after) = (resync.to, resync.after());
        let replica = self.view.as_ref().expect("it serves").replica(to);
        let ask = ComparePage { replica, after, limit: PAGE_MAX };
        self.send(turn, to, Call::Page, Ask::Page(ask));
    }

    fn finish(&mut self, turn: &mut Turn<'_>) {
        let resync = self.resync.as_mut().expect("it is resync that finishes");
        assert!(resync.transfers.is_empty() && resync.room_kept.is_none(), "nothing is owed");
        (resync.phase, resync.told) = (Phase::Finishing, true);
        let to = resync.to;
        let replica = self.view.as_ref().expect("it serves").replica(to);
        self.send(turn, to, Call::Finish, Ask::Finish(FinishSync { replica }));
    }

    /// Holds the syncing member's page against what is committed here.
    pub(super) fn page_answered(&mut self, turn: &mut Turn<'_>, theirs: &ComparePageReply) {
        let Some(resync) = &mut self.resync else { return };
        let ours = turn.chunks.page(resync.after(), PAGE_MAX as usize);
        let mut page = Settled::All;
        if ours.len() == PAGE_MAX as usize {
            page = page.min(ours.last().map_or(Settled::All, |(chunk, _)| Settled::UpTo(*chunk)));
        }
        if !theirs.end {
            let Some(last) = theirs.chunks.last() else {
                return self.resync_again(turn.now);
            };
            page = page.min(Settled::UpTo(last.chunk));
        }
        let mut differing: BTreeMap<ChunkId, Option<ChunkSummary>> = ours
            .iter()
            .filter_map(|(chunk, state)| Some((*chunk, Some(summary(*chunk, state)?))))
            .collect();
        for chunk in &theirs.chunks {
            match differing.get(&chunk.chunk) {
                Some(Some(here)) if here == chunk => drop(differing.remove(&chunk.chunk)),
                Some(_) => {}
                None => drop(differing.insert(chunk.chunk, None)),
            }
        }
        let differs = differing.into_keys().filter(|chunk| Settled::UpTo(*chunk) <= page);
        resync.differing = differs.filter(|chunk| !resync.ahead.contains(chunk)).collect();
        resync.phase = Phase::Transfer { page };
    }

    /// Transfers the page's chunks, a few at a time; then the page is settled. Where room is kept, those that
    /// take it are passed over.
    fn transfer_page(&mut self, turn: &mut Turn<'_>, page: Settled) {
        while let Some(resync) = &mut self.resync {
            if resync.under_way() >= TRANSFERS_MAX {
                return;
            }
            let Some(chunk) = resync.differing.pop_front() else { break };
            let passed = resync.room_kept.is_some() && bytes_of(turn, chunk).is_some();
            let begun = resync.ahead.contains(&chunk) || resync.transfers.contains_key(&chunk);
            if !passed && !begun {
                self.begin_transfer(turn, chunk);
            }
        }
        let Some(resync) = &mut self.resync else { return };
        let waits = |chunk: &ChunkId| {
            let ends_here = || self.works.get(chunk).is_some_and(Work::ends_here);
            Settled::UpTo(*chunk) <= page && !resync.unreadable.contains(chunk) && !ends_here()
        };
        if resync.transfers.keys().any(waits) {
            return;
        }
        resync.settle(page);
        let again = turn.now;
        resync.phase = match page {
            Settled::All => Phase::Finish { again: resync.room_kept.unwrap_or(again) },
            Settled::None | Settled::UpTo(_) => Phase::Compare { again },
        };
    }

    /// Something waits for this chunk's transfer.
    pub(super) fn transfer(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let resync = self.resync.as_ref().expect("a syncing successor is resynced");
        let due = |state: &Transfer| matches!(state, Transfer::Due { again } if *again <= turn.now);
        if resync.transfers.get(&chunk).is_none_or(due) {
            self.begin_transfer(turn, chunk);
        }
    }

    /// Reads the chunk as it is committed, if it has bytes, to send it.
    fn begin_transfer(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        match bytes_of(turn, chunk) {
            Some(state) => {
                let op = self.op(Op::Transfer(chunk));
                self.set_transfer(chunk, Transfer::Reading(op));
                let (which, start, len) = (Which::Committed, ChunkOffset(0), state.len);
                turn.out.push(Effect::Read { op, chunk, which, start, len });
            }
            None => {
                let none = |state| ReadResult { state, data: None };
                self.send_install(turn, chunk, turn.committed(chunk).map(none));
            }
        }
    }

    pub(super) fn transfer_read(
        &mut self,
        turn: &mut Turn<'_>,
        op: OpId,
        chunk: ChunkId,
        outcome: Result<ReadResult, StoreError>,
    ) {
        let current = self.resync.as_ref().and_then(|resync| resync.transfers.get(&chunk));
        if !matches!(current, Some(Transfer::Reading(current)) if *current == op) {
            return;
        }
        let whole = |found: &ReadResult| {
            let end = found.data.as_ref().map_or(ChunkOffset(0), emberfs_buffer::Payload::end);
            end == found.state.len
        };
        match outcome {
            Ok(found) if whole(&found) => self.send_install(turn, chunk, Some(found)),
            Err(StoreError::Corrupt) => self.not_readable(turn, chunk),
            // It grew or went between the look and the read.
            Ok(_) | Err(_) => self.transfer_again(turn.now, chunk),
        }
    }

    /// The chunk is not lost as long as nobody takes it for absent: it stays owed, and is not waited for.
    fn not_readable(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let again = turn.now.after(UNREADABLE_MS);
        let resync = self.resync.as_mut().expect("a transfer belongs to a resync");
        resync.transfers.insert(chunk, Transfer::Due { again });
        if resync.unreadable.len() < UNREADABLE_MAX && resync.unreadable.insert(chunk) {
            turn.out.push(Effect::Unreadable { chunk });
        }
        if self.works.get(&chunk).is_some_and(Work::is_held) {
            self.go_without(turn.now, chunk);
            self.advance(turn, chunk);
        }
    }

    /// Sends what is committed of a chunk; `None`: nothing ever was.
    fn send_install(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, found: Option<ReadResult>) {
        let nothing = VersionState {
            version: ChunkVersion::NONE,
            len: ChunkOffset(0),
            digest: ChunkDigest::EMPTY,
            written_in: ChainVersion::NONE,
            removed: true,
        };
        let (state, data) = found.map_or((nothing, None), |found| (found.state, found.data));
        let VersionState { version, digest, written_in, removed, .. } = state;
        let tags = self.tags.of(chunk).iter().filter(|tag| tag.version <= version);
        let to = self.resync.as_ref().expect("a transfer belongs to a resync").to;
        let chunk_size = turn.chunks.state(chunk).map_or(ChunkSize::MIN, |state| state.chunk_size);
        let install = InstallChunk {
            replica: self.view.as_ref().expect("it serves").replica(to),
            from: self.id,
            summary: ChunkSummary { chunk, version, digest, written_in, removed },
            chunk_size,
            tags: tags.copied().collect(),
            data: data.as_ref().map(PayloadSums::of),
        };
        self.set_transfer(chunk, Transfer::Sent);
        self.send(turn, to, Call::Install(chunk), Ask::Install { install, data });
    }

    /// The syncing member has the chunk: what was held goes on.
    pub(super) fn transferred(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let Some(resync) = &mut self.resync else { return };
        resync.transfers.remove(&chunk);
        resync.unreadable.remove(&chunk);
        if resync.ahead.len() < AHEAD_MAX && Settled::UpTo(chunk) > resync.settled {
            resync.ahead.insert(chunk);
        }
        if self.works.get(&chunk).is_some_and(Work::is_held) {
            self.send_forward(turn, chunk);
        }
    }

    /// The syncing member did not take a chunk.
    pub(super) fn transfer_failed(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, why: &WireError) {
        self.transfer_again(turn.now, chunk);
        if matches!(why, WireError::Refuse { why: FsError::NoSpace }) {
            self.keep_room_free(turn);
        }
    }

    pub(super) fn transfer_again(&mut self, now: Millis, chunk: ChunkId) {
        self.set_transfer(chunk, Transfer::Due { again: now.after(AGAIN_MS) });
    }

    fn set_transfer(&mut self, chunk: ChunkId, state: Transfer) {
        if let Some(resync) = &mut self.resync {
            resync.transfers.insert(chunk, state);
        }
    }

    pub(super) fn resync_again(&mut self, now: Millis) {
        let again = now.after(AGAIN_MS);
        if let Some(resync) = &mut self.resync {
            resync.phase = match resync.phase {
                Phase::Finishing => Phase::Finish { again },
                _ => Phase::Compare { again },
            };
        }
    }

    pub(super) fn resync_finished(&mut self) {
        if let Some(resync) = &mut self.resync {
            resync.phase = Phase::Done;
        }
    }
}

/// What is committed of a chunk, if that has bytes: it takes room at whoever gets it.
fn bytes_of(turn: &Turn<'_>, chunk: ChunkId) -> Option<VersionState> {
    turn.committed(chunk).filter(|state| !state.removed && state.len.get() > 0)
}

impl Resync {
    fn after(&self) -> Option<ChunkId> {
        match self.settled {
            Settled::UpTo(chunk) => Some(chunk),
            Settled::None | Settled::All => None,
        }
    }
}
