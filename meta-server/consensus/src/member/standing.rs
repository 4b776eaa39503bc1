//! How a member stands, for those that watch the group.

use emberfs_wire::group::{Index, MemberId, Term};

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
        }
    }
}
