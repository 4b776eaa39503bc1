//! How a member stands, for those that watch the group.

use emberfs_wire::group::{Abstention, Index, MemberId, Term};

use super::Member;
use crate::effect::Leadership;

/// How a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The highest term that it has seen.
    pub term: Term,
    /// Who leads, as far as it knows.
    pub leadership: Leadership,
    /// Where its log begins: what stands before is in the state alone.
    pub cut: Index,
    /// Where its log ends.
    pub last: Index,
    /// What it knows to be committed.
    pub committed: Index,
    /// What its state has taken in.
    pub applied: Index,
    /// All members, this one among them, as this one sees them.
    pub members: Vec<MemberStanding>,
    /// Why it does not vote, if it does not.
    pub abstains: Option<Abstention>,
}

/// How a member stands, as another sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberStanding {
    /// Who.
    pub member: MemberId,
    /// Of a leader: up to where this member's log is known to hold what the leader's does.
    pub matched: Option<Index>,
    /// Of a leader: whether it was heard within the patience of an election.
    pub heard: Option<bool>,
}

impl Member {
    /// What this member knows to be committed.
    #[must_use]
    pub fn committed(&self) -> Index {
        Index(self.raft.raft.raft_log.committed)
    }

    /// The highest term that it has seen.
    #[must_use]
    pub fn term(&self) -> Term {
        Term(self.raft.raft.term)
    }

    /// Why this member votes for nobody who holds anything, if it does not: until a leader has brought it up to date it
    /// counts as one that is away.
    ///
    /// It cannot vote for those that hold enough instead: how much it had is not known. Who is new may have held
    /// all, and of what a log has lost the guard knows the end as it was up to a second before. A candidate that has as
    /// much may lack what stood behind, which this member and one that is away may have acknowledged.
    #[must_use]
    pub fn abstains(&self) -> Option<Abstention> {
        let holds = self.last().index != Index::NONE;
        match self.must_reach {
            // What it had before its directory was made nobody knows, though a leader knows of some.
            _ if self.is_new && holds => Some(Abstention::New),
            Index::NONE => self.is_new.then_some(Abstention::New),
            to => Some(Abstention::Lost { to }),
        }
    }

    /// How this member stands, and how it sees the others.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let log = &self.raft.raft.raft_log;
        let leads = self.led.is_some();
        let member = |&member| MemberStanding {
            member,
            matched: leads.then(|| self.matched(member)),
            heard: leads.then(|| member == self.me || self.hears(member)),
        };
        Standing {
            term: Term(self.raft.raft.term),
            leadership: self.leadership,
            cut: self.raft.store().cut().index,
            last: Index(log.last_index()),
            committed: Index(log.committed),
            applied: self.applied,
            members: self.voters.iter().map(member).collect(),
            abstains: self.abstains(),
        }
    }
}
