//! How far the syncing member behind this one is: what it has, what it is owed, what comes next.
//!
//! ```text
//!   settled                     page                   ahead
//!   ──── it has these ────────┼── being compared ──┼── it has some, as they were written ──
//! ```

use std::collections::{BTreeSet, VecDeque};

use emberfs_layout::{ChunkId, TargetId};

use super::chain_view::Successor;
use super::input::Millis;
use super::limits::Limits;
use super::owed::{Owed, Queue, Transfer};
use super::work::Work;

/// Up to where the syncing member has what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Settled {
    None,
    UpTo(ChunkId),
    All,
}

/// See `predecessor`.
pub(super) enum Phase {
    Settle,
    Compare { again: Millis },
    Comparing,
    Transfer { page: Settled },
    Finish { again: Millis },
    Finishing,
    Done,
}

pub(super) struct Resync {
    pub(super) to: TargetId,
    limits: Limits,
    settled: Settled,
    pub(super) phase: Phase,
    /// Chunks of the page that differ and are not begun yet.
    pub(super) differing: VecDeque<ChunkId>,
    /// Those that are begun, and that the page waits for.
    pub(super) of_page: BTreeSet<ChunkId>,
    pub(super) owed: Owed,
    /// Chunks behind the settled ones that were transferred because they were written.
    ahead: BTreeSet<ChunkId>,
    /// Chunks that could not be read here.
    unreadable: BTreeSet<ChunkId>,
    /// Until when, at least, the syncing member gets only what takes no room.
    pub(super) room_kept: Option<Millis>,
    /// Whether the syncing member was told, or may have been, that it has everything.
    pub(super) told: bool,
}

impl Resync {
    pub(super) fn new(to: Successor, limits: Limits) -> Self {
        Self::to(to.target, limits)
    }

    fn to(to: TargetId, limits: Limits) -> Self {
        Self {
            to,
            limits,
            settled: Settled::None,
            phase: Phase::Settle,
            differing: VecDeque::new(),
            of_page: BTreeSet::new(),
            owed: Owed::default(),
            ahead: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            room_kept: None,
            told: false,
        }
    }

    /// All is compared once more from the start.
    pub(super) fn begin_anew(&mut self, room_kept: Option<Millis>) {
        let unreadable = std::mem::take(&mut self.unreadable);
        *self = Self { unreadable, room_kept, ..Self::to(self.to, self.limits) };
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
        let (on_its_way, unreadable) = match self.owed.get(chunk) {
            Some(Transfer::Reading(_) | Transfer::Sent { .. }) => (true, false),
            Some(Transfer::Waits(pause) | Transfer::Due(pause)) => {
                (false, pause.queue == Queue::Unreadable && pause.until > now)
            }
            None => (false, false),
        };
        let owes_more = || self.owed.has(chunk) || self.owed.len() < self.limits.owed_max;
        let needs_none = work.removes() && !on_its_way && !self.covers(chunk) && owes_more();
        self.room_kept.is_some() || unreadable || needs_none
    }

    /// Whether the syncing member has this chunk as it is committed here.
    pub(super) fn covers(&self, chunk: ChunkId) -> bool {
        let settled = Settled::UpTo(chunk) <= self.settled || self.ahead.contains(&chunk);
        settled && self.room_kept.is_none() && !self.owed.has(chunk)
    }

    pub(super) fn is_ahead(&self, chunk: ChunkId) -> bool {
        self.ahead.contains(&chunk)
    }

    /// The syncing member has this chunk as it is committed here.
    pub(super) fn has_now(&mut self, chunk: ChunkId) {
        self.owed.remove(chunk);
        self.of_page.remove(&chunk);
        self.unreadable.remove(&chunk);
        if self.ahead.len() < self.limits.ahead_max && Settled::UpTo(chunk) > self.settled {
            self.ahead.insert(chunk);
        }
    }

    /// The chunk cannot be read here. Whether that is new, and the page is not held up by it: of so many.
    pub(super) fn pass_over(&mut self, chunk: ChunkId) -> bool {
        let fits = self.unreadable.len() < self.limits.unreadable_max;
        let new = fits && self.unreadable.insert(chunk);
        if self.unreadable.contains(&chunk) {
            self.of_page.remove(&chunk);
        }
        new
    }

    /// Behind what the next page begins.
    pub(super) fn after(&self) -> Option<ChunkId> {
        match self.settled {
            Settled::UpTo(chunk) => Some(chunk),
            Settled::None | Settled::All => None,
        }
    }

    /// The page is through, when none of its chunks is left: of all up to it the syncing member has what it
    /// should, or is owed it.
    pub(super) fn end_page(&mut self, page: Settled, now: Millis) {
        if !self.differing.is_empty() || !self.of_page.is_empty() {
            return;
        }
        self.settled = page;
        self.ahead.retain(|chunk| Settled::UpTo(*chunk) > page);
        let (kept, all) = (self.room_kept.is_some(), &self.owed);
        let owed = |chunk: &ChunkId| Settled::UpTo(*chunk) > page || all.has(*chunk);
        self.unreadable.retain(|chunk| kept || owed(chunk));
        self.phase = match page {
            Settled::All => Phase::Finish { again: self.room_kept.unwrap_or(now) },
            Settled::None | Settled::UpTo(_) => Phase::Compare { again: now },
        };
    }
}
