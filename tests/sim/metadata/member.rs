//! One member: a process with the core, the state that it has taken in, and its storages.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use emberfs_chain_replication::membership::LeaseTerm;
use emberfs_meta_server_consensus::{
    self as consensus, Committed, ConfirmId, Index, Leadership, MemberId, Millis, ProposalId, Term,
};

use super::orders::{Asked, Then};
use super::storage::{State, Storage, Write};
use crate::server::Clock;

pub(super) struct Member {
    pub(super) clock: Clock,
    /// By what lease it grants to storage servers when it leads: its configuration.
    pub(super) grants: LeaseTerm,
    pub(super) storage: Storage,
    /// Up to where its disk has lost what was synced: of no account once all of that is known to be here again.
    pub(super) lost: Index,
    /// How often it was started.
    pub(super) starts: u64,
    pub(super) paused_until: u64,
    // What the running process has.
    pub(super) core: Option<consensus::Member>,
    pub(super) state: State,
    pub(super) leadership: Leadership,
    /// What readers go by: noted with each step, before its effects are carried out.
    pub(super) lease: Millis,
    pub(super) committed: Index,
    /// The leader at work here.
    pub(super) leader: Option<usize>,
    pub(super) unsynced: VecDeque<Write>,
    /// When the last of these is synced.
    pub(super) synced_at: u64,
    pub(super) to_apply: VecDeque<Committed>,
    pub(super) numbers: u64,
    pub(super) proposed: BTreeMap<ProposalId, Then>,
    pub(super) asked: BTreeMap<ConfirmId, Asked>,
    /// A snapshot stands ready.
    pub(super) stands: bool,
    /// How many snapshots are on their way.
    pub(super) sending: usize,
}

impl Member {
    pub(super) fn new(clock: Clock, grants: LeaseTerm, founded: Rc<State>) -> Self {
        Self {
            clock,
            grants,
            lost: Index::NONE,
            state: (*founded).clone(),
            storage: Storage::new(founded),
            starts: 0,
            paused_until: 0,
            core: None,
            leadership: Leadership::Nobody,
            lease: Millis(0),
            committed: Index::NONE,
            leader: None,
            unsynced: VecDeque::new(),
            synced_at: 0,
            to_apply: VecDeque::new(),
            numbers: 0,
            proposed: BTreeMap::new(),
            asked: BTreeMap::new(),
            stands: false,
            sending: 0,
        }
    }

    /// Its disk lacks what the group may count on, as far as this is known.
    pub(super) fn is_damaged(&self) -> bool {
        self.storage.is_new() || self.committed < self.lost
    }

    /// All that the process has is gone.
    pub(super) fn stop(&mut self) {
        self.core = None;
        (self.leadership, self.leader) = (Leadership::Nobody, None);
        (self.lease, self.committed) = (Millis(0), Index::NONE);
        (self.paused_until, self.synced_at) = (0, 0);
        (self.stands, self.sending) = (false, 0);
        self.unsynced.clear();
        self.to_apply.clear();
        self.proposed.clear();
        self.asked.clear();
    }

    /// The time by its clock.
    pub(super) fn now(&self, now: u64) -> Millis {
        Millis(self.clock.at(now).0)
    }

    /// After how many true milliseconds its clock shows this.
    pub(super) fn until(&self, now: u64, then: Millis) -> u64 {
        let left = then.0.saturating_sub(self.now(now).0);
        (left * 100).div_ceil(self.clock.pace).max(1)
    }

    /// The term in which it leads.
    pub(super) fn leads(&self) -> Option<Term> {
        match self.leadership {
            Leadership::Leader { term } => Some(term),
            Leadership::Follower { .. } | Leadership::Nobody => None,
        }
    }

    /// Nobody else leads now.
    pub(super) fn lease_holds(&self, now: u64) -> bool {
        self.now(now) < self.lease
    }
}

/// The name of the member with this place in the list.
pub(super) fn id(place: usize) -> MemberId {
    MemberId(place as u64 + 1)
}

/// Where a member stands in the list.
pub(crate) fn place(member: MemberId) -> usize {
    usize::try_from(member.get()).expect("three") - 1
}
