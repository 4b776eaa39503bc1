//! A member's log and state as they are on stable storage.

use std::collections::BTreeMap;
use std::rc::Rc;

use emberfs_wire::group::{Index, Position};

use super::super::dice::Dice;
use crate::effect::Append;
use crate::entry::{Entry, Vote};

/// All entries that a state has taken in.
pub(super) type State = Rc<Vec<Entry>>;

pub(super) fn reached(state: &[Entry]) -> Position {
    state.last().map_or(Position::default(), |entry| entry.position)
}

/// What the log's thread does, in order.
pub(super) enum Write {
    Append(Append),
    Owe(Index),
    BroughtUp,
}

pub(super) struct Disk {
    pub(super) vote: Vote,
    pub(super) cut: Position,
    pub(super) log: BTreeMap<Index, Entry>,
    pub(super) flushed: State,
    /// What the guard knows that the log has held.
    pub(super) guard: Index,
    /// The log has lost some of that.
    short: bool,
    /// No leader has brought the member up to date since this was made.
    pub(super) is_new: bool,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            vote: Vote::default(),
            cut: Position::default(),
            log: BTreeMap::new(),
            flushed: State::default(),
            guard: Index::NONE,
            short: false,
            is_new: true,
        }
    }
}

impl Disk {
    /// The log had this much, and has not.
    pub(super) fn owe(&mut self, to: Index) {
        self.guard = self.guard.max(to);
        self.short = self.last() < self.guard;
    }

    /// An append with all that belongs to it, and the snapshot that it names.
    pub(super) fn write(&mut self, append: &Append, snapshot: Option<State>) {
        if let (Some(name), Some(state)) = (append.snapshot(), snapshot) {
            self.flushed = state;
            self.log.clear();
            self.cut = name.position;
        }
        self.vote = append.vote().unwrap_or(self.vote);
        let entries = append.entries();
        if let Some(first) = entries.first() {
            self.log.split_off(&first.position.index);
        }
        self.log.extend(entries.iter().map(|entry| (entry.position.index, entry.clone())));
        // What was lost is guarded until it is here again: else the next start would know nothing of it.
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

    /// Some of the newest entries are gone although they were synced. The guard knows.
    pub(super) fn lose(&mut self, dice: &mut Dice) -> bool {
        let (floor, last) = (reached(&self.flushed).index.max(self.cut.index), self.last());
        if last <= floor {
            return false;
        }
        let kept = floor.get() + dice.below(last.get() - floor.get());
        self.log.split_off(&Index(kept + 1));
        self.short = true;
        true
    }
}
