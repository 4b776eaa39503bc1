//! What a member keeps on stable storage: the vote and the entries. Plain structs of our own, so that no
//! type of `raft` reaches a disk format.

use bytes::Bytes;
use emberfs_wire::group::{Index, MemberId, Position, Term};
use minicbor::{Decode, Encode};
use raft::eraftpb;

/// The highest term that a member has seen, and for whom it voted in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Vote {
    /// The term.
    #[n(0)]
    pub term: Term,
    /// Who got the vote; [`MemberId::NONE`] while nobody has.
    #[n(1)]
    pub member: MemberId,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// What was proposed; empty for the entry with which a leader begins its term.
    pub data: Bytes,
}

impl Entry {
    /// What an entry counts for in limits: its data, and what a small one costs beside it in memory and
    /// in a record.
    #[must_use]
    pub fn cost(&self) -> usize {
        const OVERHEAD: usize = 64;
        self.data.len() + OVERHEAD
    }

    pub(crate) fn to_raft(&self) -> eraftpb::Entry {
        eraftpb::Entry {
            index: self.position.index.get(),
            term: self.position.term.get(),
            data: self.data.to_vec(),
            ..eraftpb::Entry::default()
        }
    }

    pub(crate) fn from_raft(entry: eraftpb::Entry) -> Self {
        assert_eq!(
            entry.entry_type, 0,
            "members are not changed by entries yet: nobody proposes it"
        );
        let position = Position { index: Index(entry.index), term: Term(entry.term) };
        Self { position, data: Bytes::from(entry.data) }
    }
}
