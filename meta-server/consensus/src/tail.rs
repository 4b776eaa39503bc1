//! The entries behind the cut, in memory: all that `raft` may ask for.
//!
//! ```text
//!   1 … cut │ cut+1 … last
//!   in the  │ here and on disk, each entry;
//!   state   │ of the last few the sync may still be under way
//! ```
//!
//! The log is bounded ([`crate::Limits`]), so it is kept whole and no read of it touches a disk.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use emberfs_wire::group::{Index, MemberId, Position, SnapshotName, Term};
use raft::eraftpb::{self, ConfState, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::entry::{Entry, Vote};
use crate::message::snapshot_of;

/// The entries behind the cut.
#[derive(Debug)]
pub(crate) struct Tail {
    vote: Vote,
    voters: Vec<MemberId>,
    /// What is known to be committed when the member starts.
    committed: Index,
    cut: Position,
    entries: VecDeque<Entry>,
    cost: usize,
    /// The snapshot that stands ready.
    snapshot: Option<SnapshotName>,
    /// For whom one was looked for, and none stood ready.
    wished: RefCell<BTreeSet<MemberId>>,
}

impl Tail {
    pub(crate) fn new(vote: Vote, voters: &[MemberId], committed: Index, cut: Position) -> Self {
        let voters = voters.to_vec();
        let (entries, wished) = (VecDeque::new(), RefCell::default());
        Self { vote, voters, committed, cut, entries, cost: 0, snapshot: None, wished }
    }

    /// The last place that holds an entry; the cut if none is left.
    pub(crate) fn last(&self) -> Position {
        self.entries.back().map_or(self.cut, |entry| entry.position)
    }

    /// What the entries count for; see [`Entry::cost`].
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Puts entries at their places; what stood there and behind is gone.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.position.index > self.cut.index, "what is committed is never overwritten");
        while self.last().index >= first.position.index {
            let gone = self.entries.pop_back().expect("the last entry is behind the cut");
            self.cost -= gone.cost();
        }
        for entry in entries {
            assert_eq!(entry.position.index, self.last().index.next(), "a log has no holes");
            self.cost += entry.cost();
            self.entries.push_back(entry.clone());
        }
    }

    /// Whether any of them is an order: what a leader begins its term with is none.
    pub(crate) fn has_orders(&self) -> bool {
        self.entries.iter().any(|entry| !entry.data.is_empty())
    }

    /// The last place that was forgotten.
    pub(crate) fn cut(&self) -> Position {
        self.cut
    }

    /// Forgets all up to and with `index`.
    pub(crate) fn cut_to(&mut self, index: Index) {
        while self.entries.front().is_some_and(|entry| entry.position.index <= index) {
            let gone = self.entries.pop_front().expect("it was just seen");
            self.cost -= gone.cost();
            self.cut = gone.position;
        }
    }

    /// Forgets everything: a snapshot up to here takes the place of the state.
    pub(crate) fn restore(&mut self, position: Position) {
        assert!(position.index > self.cut.index, "what is committed is never overwritten");
        self.entries.clear();
        self.cost = 0;
        self.cut = position;
    }

    /// The last place that may be forgotten so that entries of this cost stay, if there are as many.
    pub(crate) fn all_but(&self, keep: usize) -> Index {
        let mut kept = 0;
        for entry in self.entries.iter().rev() {
            if kept >= keep {
                return entry.position.index;
            }
            kept += entry.cost();
        }
        self.cut.index
    }

    /// A snapshot stands ready, or none does any more.
    pub(crate) fn offer(&mut self, snapshot: Option<SnapshotName>) {
        self.snapshot = snapshot;
    }

    /// For whom a snapshot was looked for, since this was last asked, and none found.
    pub(crate) fn take_wished(&self) -> BTreeSet<MemberId> {
        self.wished.take()
    }

    fn at(&self, index: Index) -> Option<&Entry> {
        let place = index.get().checked_sub(self.cut.index.next().get())?;
        self.entries.get(usize::try_from(place).ok()?)
    }
}

impl Storage for Tail {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let hard = HardState {
            term: self.vote.term.get(),
            vote: self.vote.member.get(),
            commit: self.committed.get(),
        };
        let voters = self.voters.iter().map(|member| member.get()).collect();
        let members = ConfState { voters, ..ConfState::default() };
        Ok(RaftState::new(hard, members))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        if low <= self.cut.index.get() {
            return Err(StorageError::Compacted.into());
        }
        assert!(high <= self.last().index.next().get(), "nobody asks beyond the last entry");
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0_u64;
        let mut found = Vec::new();
        for entry in (low..high).filter_map(|index| self.at(Index(index))) {
            size = size.saturating_add(entry.cost() as u64);
            if size > limit && !found.is_empty() {
                break;
            }
            found.push(entry.to_raft());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        let index = Index(index);
        if index == self.cut.index {
            return Ok(self.cut.term.get());
        }
        if index < self.cut.index {
            return Err(StorageError::Compacted.into());
        }
        let found = self.at(index).map(|entry| entry.position.term).map(Term::get);
        found.ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.cut.index.next().get())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last().index.get())
    }

    /// One that ends before the log begins is of no use.
    fn snapshot(&self, _request_index: u64, to: u64) -> raft::Result<Snapshot> {
        if let Some(name) = self.snapshot.filter(|name| name.position.index >= self.cut.index) {
            return Ok(snapshot_of(name, &self.voters));
        }
        self.wished.borrow_mut().insert(MemberId(to));
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entry(index: u64, term: u64) -> Entry {
        let position = Position { index: Index(index), term: Term(term) };
        Entry { position, data: Bytes::from(vec![0; 100]) }
    }

    fn tail(terms: &[u64]) -> Tail {
        let cut = Position { index: Index(4), term: Term(1) };
        let mut tail = Tail::new(Vote::default(), &[MemberId(1)], Index(4), cut);
        let entries: Vec<_> = (5..).zip(terms).map(|(index, &term)| entry(index, term)).collect();
        tail.append(&entries);
        tail
    }

    #[test]
    fn an_append_replaces_what_stood_behind_its_place() {
        let mut tail = tail(&[1, 1, 2]);
        tail.append(&[entry(6, 3)]);
        assert_eq!(tail.last(), Position { index: Index(6), term: Term(3) });
        assert_eq!((tail.term(4), tail.term(5), tail.term(6)), (Ok(1), Ok(1), Ok(3)));
        assert_eq!(tail.cost(), 2 * entry(1, 1).cost());
        assert_eq!(tail.term(7), Err(StorageError::Unavailable.into()));
    }

    #[test]
    fn a_cut_keeps_the_term_of_its_place() {
        let mut tail = tail(&[1, 2, 3]);
        tail.cut_to(Index(6));
        assert_eq!(tail.cut(), Position { index: Index(6), term: Term(2) });
        assert_eq!((tail.first_index(), tail.last_index(), tail.term(6)), (Ok(7), Ok(7), Ok(2)));
        assert_eq!(tail.term(5), Err(StorageError::Compacted.into()));
        tail.cut_to(Index(5));
        assert_eq!(tail.cut().index, Index(6), "a cut never goes back");
        tail.cut_to(Index(99));
        assert_eq!((tail.last().index, tail.cost()), (Index(7), 0));
    }

    #[test]
    fn entries_come_up_to_a_size_and_at_least_one() {
        let tail = tail(&[1, 1, 1]);
        let context = || GetEntriesContext::empty(false);
        let indexes = |limit| -> Vec<u64> {
            let found = tail.entries(5, 8, limit, context()).unwrap();
            found.iter().map(|entry| entry.index).collect()
        };
        assert_eq!(indexes(Some(0)), [5]);
        assert_eq!(indexes(Some(2 * entry(1, 1).cost() as u64)), [5, 6]);
        assert_eq!(indexes(None), [5, 6, 7]);
        assert_eq!(tail.entries(4, 8, None, context()), Err(StorageError::Compacted.into()));
    }
}
