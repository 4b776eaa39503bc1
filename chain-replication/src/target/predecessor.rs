//! The last serving member brings the syncing one behind it up to date.
//!
//! ```text
//!   settle ──► compare a page ──► transfer what differs ──► next page … ──► finish ──► done
//!                 chunks up to here are settled ──┘
//! ```
//! A write to a chunk that is neither settled nor transferred yet is held behind that chunk's transfer.
//! Nothing begins before the versions that this member ends itself are through, those that it began as the
//! end of the path or inherited from it: what it has committed without the syncing member is then all in
//! the store, where comparing finds it. Whatever comes later it commits only when the syncing member has it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use emberfs_buffer::ChunkDigest;
use emberfs_layout::{
    ByteLen, ChainVersion, ChunkId, ChunkOffset, ChunkSize, ChunkVersion, TargetId,
};
use emberfs_wire::replica::{
    ChunkSummary, ComparePage, ComparePageReply, FinishSync, InstallChunk,
};
use emberfs_wire::{FsError, PayloadSums, WireError};

use super::chain_view::Successor;
use super::chunks::{ReadResult, StoreError, VersionState, Which};
use super::effect::{Ask, Effect};
use super::input::{Millis, OpId};
use super::limits::{AGAIN_MS, AHEAD_MAX, PAGE_MAX, TRANSFERS_MAX};
use super::returning::summary;
use super::work::{Forward, Work};
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

enum Transfer {
    Due { again: Millis },
    Reading(OpId),
    Sent,
}

pub(super) struct Resync {
    to: TargetId,
    settled: Settled,
    phase: Phase,
    /// Chunks of the page that differ and are not begun yet.
    differing: VecDeque<ChunkId>,
    transfers: BTreeMap<ChunkId, Transfer>,
    /// Chunks behind the settled ones that were transferred because they were written.
    ahead: BTreeSet<ChunkId>,
}

impl Resync {
    pub(super) fn new(to: Successor) -> Self {
        Self {
            to: to.target,
            settled: Settled::None,
            phase: Phase::Settle,
            differing: VecDeque::new(),
            transfers: BTreeMap::new(),
            ahead: BTreeSet::new(),
        }
    }

    /// Whether the syncing member has this chunk as it is committed here.
    pub(super) fn covers(&self, chunk: ChunkId) -> bool {
        let settled = Settled::UpTo(chunk) <= self.settled || self.ahead.contains(&chunk);
        settled && !self.transfers.contains_key(&chunk)
    }

    fn settle(&mut self, page: Settled) {
        self.settled = page;
        self.ahead.retain(|chunk| Settled::UpTo(*chunk) > page);
    }
}

impl Target {
    /// Carries resync as far as it goes now.
    pub(super) fn pump_resync(&mut self, turn: &mut Turn<'_>) {
        let committing = self.works.values().any(Work::ends_here);
        let unsettled = committing || !self.orphans.is_empty();
        let Some(resync) = &mut self.resync else { return };
        let due: Vec<ChunkId> = resync
            .transfers
            .iter()
            .filter(|(_, state)| matches!(state, Transfer::Due { again } if *again <= turn.now))
            .map(|(chunk, _)| *chunk)
            .collect();
        due.into_iter().for_each(|chunk| self.begin_transfer(turn, chunk));
        let Some(resync) = &mut self.resync else { return };
        match resync.phase {
            Phase::Settle if !unsettled => resync.phase = Phase::Compare { again: turn.now },
            Phase::Transfer { page } => self.transfer_page(turn, page),
            _ => {}
        }
        let Some(resync) = &mut self.resync else { return };
        match resync.phase {
            Phase::Compare { again } if again <= turn.now => self.compare(turn),
            Phase::Finish { again } if again <= turn.now => self.finish(turn),
            _ => {}
        }
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
        resync.phase = Phase::Finishing;
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

    /// Transfers the page's chunks, a few at a time; then the page is settled.
    fn transfer_page(&mut self, turn: &mut Turn<'_>, page: Settled) {
        while let Some(resync) = &mut self.resync {
            if resync.transfers.len() >= TRANSFERS_MAX {
                return;
            }
            let Some(chunk) = resync.differing.pop_front() else { break };
            if !resync.ahead.contains(&chunk) && !resync.transfers.contains_key(&chunk) {
                self.begin_transfer(turn, chunk);
            }
        }
        let Some(resync) = &mut self.resync else { return };
        if resync.transfers.keys().any(|chunk| Settled::UpTo(*chunk) <= page) {
            return;
        }
        resync.settle(page);
        let again = turn.now;
        let end = page == Settled::All;
        resync.phase = if end { Phase::Finish { again } } else { Phase::Compare { again } };
    }

    /// Something waits for this chunk's transfer.
    pub(super) fn transfer(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let resync = self.resync.as_ref().expect("a syncing successor is resynced");
        if !resync.transfers.contains_key(&chunk) {
            self.begin_transfer(turn, chunk);
        }
    }

    /// Reads the chunk as it is committed, if it has bytes, to send it.
    fn begin_transfer(&mut self, turn: &mut Turn<'_>, chunk: ChunkId) {
        let state = turn.committed(chunk);
        match state.filter(|state| !state.removed && state.len.get() > 0) {
            Some(state) => {
                let op = self.op(Op::Transfer(chunk));
                self.set_transfer(chunk, Transfer::Reading(op));
                let (which, start, len) = (Which::Committed, ChunkOffset(0), state.len);
                turn.out.push(Effect::Read { op, chunk, which, start, len });
            }
            None => {
                self.send_install(turn, chunk, state.map(|state| ReadResult { state, data: None }));
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
            // It grew or went between the look and the read, or it is corrupt here.
            Ok(_) | Err(_) => self.transfer_again(turn.now, chunk),
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
        if resync.ahead.len() < AHEAD_MAX && Settled::UpTo(chunk) > resync.settled {
            resync.ahead.insert(chunk);
        }
        let held = self.works.get(&chunk).is_some_and(|work| matches!(work.forward, Forward::Held));
        if held {
            self.send_forward(turn, chunk);
        }
    }

    /// The syncing member did not take a chunk. Without room for that it has none for what is held behind it
    /// either, which it was not sent; what takes no room waits.
    pub(super) fn transfer_failed(&mut self, turn: &mut Turn<'_>, chunk: ChunkId, why: &WireError) {
        self.transfer_again(turn.now, chunk);
        let held =
            |work: &Work| matches!(work.forward, Forward::Held) && work.room() > ByteLen::ZERO;
        if let WireError::Refuse { why: why @ FsError::NoSpace } = why
            && self.works.get(&chunk).is_some_and(held)
        {
            self.refused_behind(turn, chunk, *why);
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

impl Resync {
    fn after(&self) -> Option<ChunkId> {
        match self.settled {
            Settled::UpTo(chunk) => Some(chunk),
            Settled::None | Settled::All => None,
        }
    }
}
