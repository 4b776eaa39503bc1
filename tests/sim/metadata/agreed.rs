//! What the group has agreed on: the entries that any member has taken in, and the state that they make. All others
//! must take in the same.

use std::collections::BTreeMap;

use emberfs_meta_server_consensus::{Entry, Index, Term};
use emberfs_meta_server_state::cluster::{self, PlacedChain};
use emberfs_meta_server_state::{Body, Command, MemoryStore, Outcome, Schema, apply};
use emberfs_wire::meta::Time;

pub(super) struct Agreed {
    entries: Vec<Entry>,
    pub(super) store: MemoryStore,
    /// Who led in each term.
    leaders: BTreeMap<Term, usize>,
}

/// A chain before a change and after.
pub(super) type Changed = (Box<PlacedChain>, Box<PlacedChain>);

impl Agreed {
    pub(super) fn new(store: MemoryStore) -> Self {
        Self { entries: Vec::new(), store, leaders: BTreeMap::new() }
    }

    pub(super) fn last(&self) -> Index {
        Index(self.entries.len() as u64)
    }

    /// A member has taken in an entry; says which chain that changes, if it was the first to.
    pub(super) fn taken_in(&mut self, entry: &Entry) -> Option<Changed> {
        let place = usize::try_from(entry.position.index.get()).expect("few") - 1;
        if let Some(known) = self.entries.get(place) {
            assert_eq!(known, entry, "members differ in what they take in");
            return None;
        }
        assert_eq!(place, self.entries.len(), "a state skips entries");
        self.entries.push(entry.clone());
        let command = read(entry)?;
        let Body::SetChain { chain, .. } = &command.body else {
            apply(&mut self.store, &command).expect("memory");
            return None;
        };
        let placed = |store: &MemoryStore| {
            let placed = cluster::placed_chain(store, chain.id).expect("memory");
            Box::new(placed.expect("it never goes"))
        };
        let before = placed(&self.store);
        apply(&mut self.store, &command).expect("memory");
        let after = placed(&self.store);
        (before.chain != after.chain).then_some((before, after))
    }

    /// A member leads.
    pub(super) fn led(&mut self, term: Term, member: usize) {
        let known = *self.leaders.entry(term).or_insert(member);
        assert_eq!(known, member, "two lead in {term:?}");
    }
}

/// The command in an entry; none is in one with which a term begins.
pub(super) fn read(entry: &Entry) -> Option<Command> {
    let is_empty = entry.data.is_empty();
    (!is_empty).then(|| minicbor::decode(&entry.data).expect("a leader has written it"))
}

/// What a leader puts into the log.
pub(super) fn command(now: u64, seed: u64, body: Body) -> Command {
    let time = Time { seconds: i64::try_from(now / 1_000).expect("soon"), nanos: 0 };
    Command { schema: Schema::OURS, time, seed, body }
}

/// Outside of the log, before a run.
pub(super) fn apply_now(store: &mut MemoryStore, body: Body) -> Outcome {
    apply(store, &command(0, 0, body)).expect("memory")
}
