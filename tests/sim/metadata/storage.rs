//! A member's two storages: the log with its guard, which is synced, and the state, which is made durable now and
//! then. What a running state took in since is taken in again from the log.

use std::collections::BTreeMap;
use std::rc::Rc;

use emberfs_meta_server_consensus::{Append, Entry, Index, Position, Restored, Vote};
use emberfs_meta_server_state::MemoryStore;
use rand::RngExt;
use rand::rngs::StdRng;

/// A state, and what it has taken in.
#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) applied: Position,
    pub(super) store: MemoryStore,
}

/// What the thread of the log does, in order.
pub(super) enum Write {
    Append(Append),
    /// The guard is to know that the log has held this much.
    Owe(Index),
    /// The guard is to forget that the member was new.
    BroughtUp,
}

/// What a loss of power leaves.
pub(super) struct Storage {
    vote: Vote,
    cut: Position,
    log: BTreeMap<Index, Entry>,
    pub(super) flushed: Rc<State>,
    /// What a state is that has taken in nothing.
    founded: Rc<State>,
    /// What the guard knows that the log has held, and whether that has lost some of it.
    guard: Index,
    short: bool,
    /// And that no leader has brought the member up to date since this was made.
    is_new: bool,
}

impl Storage {
    pub(super) fn new(founded: Rc<State>) -> Self {
        Self {
            vote: Vote::default(),
            cut: Position::default(),
            log: BTreeMap::new(),
            flushed: founded.clone(),
            founded,
            guard: Index::NONE,
            short: false,
            is_new: true,
        }
    }

    /// The directory is made anew; whether it held anything.
    pub(super) fn wipe(&mut self) -> bool {
        let held = self.last() > Index::NONE;
        *self = Self::new(self.founded.clone());
        held
    }

    /// No leader has brought the member up to date since this was made.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// The log had this much, and has not.
    pub(super) fn owe(&mut self, to: Index) {
        self.guard = self.guard.max(to);
        self.short = self.last() < self.guard;
    }

    /// A leader has brought the member up to date.
    pub(super) fn brought_up(&mut self) {
        self.is_new = false;
    }

    /// An append with all that belongs to it, and the state that it names.
    pub(super) fn write(&mut self, append: &Append, snapshot: Option<Rc<State>>) {
        if let (Some(name), Some(state)) = (append.snapshot(), snapshot) {
            self.flushed = state;
            self.log.clear();
            self.cut = name.position;
        }
        self.vote = append.vote().unwrap_or(self.vote);
        if let Some(first) = append.entries().first() {
            self.log.split_off(&first.position.index);
        }
        let entries = append.entries().iter();
        self.log.extend(entries.map(|entry| (entry.position.index, entry.clone())));
        // What was lost is guarded until it is here again.
        if !self.short || self.last() >= self.guard {
            self.guard = self.last();
            self.short = false;
        }
    }

    pub(super) fn cut(&mut self, position: Position) {
        self.cut = position;
        self.log = self.log.split_off(&position.index.next());
    }

    pub(super) fn last(&self) -> Index {
        self.log.keys().next_back().copied().unwrap_or(self.cut.index)
    }

    /// Some of the newest entries are gone although they were synced; whether there were any. The guard knows.
    pub(super) fn lose(&mut self, rng: &mut StdRng) -> bool {
        let (floor, last) = (self.flushed.applied.index.max(self.cut.index), self.last());
        if last <= floor {
            return false;
        }
        let kept = rng.random_range(floor.get()..last.get());
        self.log.split_off(&Index(kept + 1));
        self.short = true;
        true
    }

    /// The state is gone. Where the log does not begin at the beginning, it begins anew with the state, in debt for
    /// all that it held; says whether it does.
    pub(super) fn lose_state(&mut self) -> bool {
        self.flushed = self.founded.clone();
        if self.cut.index == Index::NONE {
            return false;
        }
        self.guard = self.guard.max(self.last());
        self.short = true;
        self.is_new = true;
        self.log.clear();
        self.cut = Position::default();
        true
    }

    /// Up to where the guard knows that the log has held entries.
    pub(super) fn guarded(&self) -> Index {
        self.guard
    }

    /// What a member finds when it starts, but for the state, and what its log has lost.
    pub(super) fn restored(&self, applied: Index) -> (Restored, Index) {
        let restored = Restored {
            vote: self.vote,
            cut: self.cut,
            entries: self.log.values().cloned().collect(),
            applied,
        };
        (restored, if self.short { self.guard } else { Index::NONE })
    }
}
