//! Names of the leader's own changes of chunks: a session like a client's, with its numbers.
//!
//! A change keeps its number through all retries, and holds the low-water mark down until its reply
//! came. One whose outcome stays unknown holds it down as long as this leader leads: then the session
//! ends, and servers refuse what still comes of it.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use emberfs_layout::{ClientId, Sequence};
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
    open: BTreeSet<Sequence>,
}

impl Tags {
    /// Of a session that has made no change yet.
    pub(crate) fn new(client: ClientId) -> Self {
        let numbers = Numbers { next: Sequence(1), open: BTreeSet::new() };
        Self { client, numbers: Mutex::new(numbers) }
    }

    /// A name for one change, open until [`Self::answered`].
    pub(crate) fn begin(&self) -> Tag {
        self.with(|numbers| {
            let sequence = numbers.next;
            numbers.next = sequence.next();
            numbers.open.insert(sequence);
            Tag { client: self.client, sequence }
        })
    }

    /// The change has its reply.
    pub(crate) fn answered(&self, tag: Tag) {
        self.with(|numbers| {
            let open = numbers.open.remove(&tag.sequence);
            debug_assert!(open, "a change is answered once");
        });
    }

    /// Every change below this has its reply.
    pub(crate) fn low_water(&self) -> Sequence {
        self.with(|numbers| numbers.open.first().copied().unwrap_or(numbers.next))
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
    fn an_open_change_holds_the_mark_down() {
        let tags = Tags::new(ClientId(5));
        assert_eq!(tags.low_water(), Sequence(1));
        let [first, second] = [tags.begin(), tags.begin()];
        assert_eq!((first.sequence, second.sequence), (Sequence(1), Sequence(2)));
        tags.answered(second);
        assert_eq!(tags.low_water(), Sequence(1));
        tags.answered(first);
        assert_eq!(tags.low_water(), Sequence(3));
    }
}
