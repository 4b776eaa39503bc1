//! Names of the leader's own changes of chunks: a session like a client's, with its numbers.
//!
//! A change keeps its number through all retries, and holds the low-water mark of its chain down until its
//! reply came: that of no other, so that one which is gone does not stop them. One whose outcome stays unknown
//! holds it down as long as this leader leads: then the session ends, and servers refuse what still comes of
//! it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use emberfs_layout::{ChainId, ClientId, Sequence};
use emberfs_wire::Tag;

/// The numbers of one session.
#[derive(Debug)]
pub(crate) struct Tags {
    client: ClientId,
    numbers: Mutex<Numbers>,
}

#[derive(Debug)]
struct Numbers {
    next: Sequence,
    open: BTreeSet<(ChainId, Sequence)>,
}

impl Tags {
    /// Of a session that has made no change yet.
    pub(crate) fn new(client: ClientId) -> Self {
        let numbers = Numbers { next: Sequence(1), open: BTreeSet::new() };
        Self { client, numbers: Mutex::new(numbers) }
    }

    /// A name for one change on `chain`, open until [`Self::answered`].
    pub(crate) fn begin(&self, chain: ChainId) -> Tag {
        self.with(|numbers| {
            let sequence = numbers.next;
            numbers.next = sequence.next();
            numbers.open.insert((chain, sequence));
            Tag { client: self.client, sequence }
        })
    }

    /// The change has its reply.
    pub(crate) fn answered(&self, chain: ChainId, tag: Tag) {
        self.with(|numbers| {
            let open = numbers.open.remove(&(chain, tag.sequence));
            debug_assert!(open, "a change is answered once");
        });
    }

    /// Every change on `chain` below this has its reply.
    pub(crate) fn low_water(&self, chain: ChainId) -> Sequence {
        let of_chain = (chain, Sequence::NONE)..=(chain, Sequence(u64::MAX));
        self.with(|numbers| {
            numbers.open.range(of_chain).next().map_or(numbers.next, |(_, first)| *first)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Numbers) -> T) -> T {
        // No code under the lock panics half-way through an update.
        work(&mut self.numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_change_holds_down_the_mark_of_its_chain() {
        let tags = Tags::new(ClientId(5));
        let [one, two] = [ChainId(1), ChainId(2)];
        assert_eq!(tags.low_water(one), Sequence(1));
        let [first, second, other] = [one, one, two].map(|chain| tags.begin(chain));
        assert_eq!([first, second, other].map(|tag| tag.sequence.get()), [1, 2, 3]);
        tags.answered(one, second);
        tags.answered(two, other);
        assert_eq!([one, two].map(|chain| tags.low_water(chain)), [Sequence(1), Sequence(4)]);
        tags.answered(one, first);
        assert_eq!(tags.low_water(one), Sequence(4));
    }
}
