//! One member with its disk and its threads.

use std::collections::VecDeque;

use emberfs_wire::group::{Index, SnapshotName, Term};

use super::disk::{Disk, State, Write};
use crate::effect::{Committed, Effect};
use crate::ids::Millis;
use crate::member::Member;

/// A clock that runs at its own rate.
pub(super) struct Clock {
    /// Of a thousand.
    pub(super) rate: u64,
    pub(super) offset: u64,
}

impl Clock {
    pub(super) fn read(&self, now: Millis) -> Millis {
        Millis(self.offset + now.0 * self.rate / 1000)
    }
}

pub(super) struct Node {
    pub(super) clock: Clock,
    pub(super) member: Option<Member>,
    pub(super) disk: Disk,
    /// How often it was started.
    pub(super) starts: u64,
    /// Down until then.
    pub(super) up_at: Millis,
    /// Nothing in it moves until then.
    pub(super) paused_until: Millis,
    /// Effects of the last step that are still to be carried out.
    pub(super) todo: VecDeque<Effect>,
    pub(super) unsynced: VecDeque<Write>,
    pub(super) to_apply: VecDeque<Committed>,
    /// What the running state has taken in.
    pub(super) applied: State,
    /// What readers go by: published with each step before its effects are carried out.
    pub(super) lease: Millis,
    /// What it knows to be committed, published with it.
    pub(super) committed: Index,
    /// What the member said last of its lease.
    pub(super) told: Millis,
    /// It hands over, in this term.
    pub(super) handed: Option<Term>,
    /// A snapshot is wished for.
    pub(super) wished: bool,
    /// One is made, and not told of yet.
    pub(super) made: Option<SnapshotName>,
    /// One stands ready.
    pub(super) stands: bool,
}

impl Node {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            member: None,
            disk: Disk::default(),
            starts: 0,
            up_at: Millis(0),
            paused_until: Millis(0),
            todo: VecDeque::new(),
            unsynced: VecDeque::new(),
            to_apply: VecDeque::new(),
            applied: State::default(),
            lease: Millis(0),
            committed: Index::NONE,
            told: Millis(0),
            handed: None,
            wished: false,
            made: None,
            stands: false,
        }
    }

    /// All that a running process has is gone.
    pub(super) fn stop(&mut self) {
        self.member = None;
        self.todo.clear();
        self.unsynced.clear();
        self.to_apply.clear();
        (self.lease, self.told) = (Millis(0), Millis(0));
        self.handed = None;
        (self.wished, self.made, self.stands) = (false, None, false);
    }

    /// It runs, and takes an input.
    pub(super) fn ready(&self, now: Millis) -> bool {
        self.member.is_some() && self.paused_until <= now && self.todo.is_empty()
    }
}
