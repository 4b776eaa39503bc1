//! Who may still read blocks that are no longer in any map.
//!
//! Time is cut into epochs: one ends whenever blocks are retired. A reader belongs to the epoch in which
//! it looked at a map; retired blocks can be used again once every reader of their epoch and of earlier
//! ones has let go.

use std::collections::{BTreeMap, VecDeque};

use crate::map::Place;

/// A stretch of time between two retirements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(u64);

/// Readers, and the blocks that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    now: Epoch,
    active: BTreeMap<Epoch, u32>,
    retired: VecDeque<(Epoch, Vec<Place>)>,
}

impl Readers {
    /// A reader begins; it leaves by the epoch that it is given.
    pub(crate) fn enter(&mut self) -> Epoch {
        *self.active.entry(self.now).or_default() += 1;
        self.now
    }

    /// A reader lets go.
    pub(crate) fn leave(&mut self, epoch: Epoch) {
        let count = self.active.get_mut(&epoch).expect("it has entered");
        *count -= 1;
        if *count == 0 {
            self.active.remove(&epoch);
        }
    }

    /// These blocks are in no map any more, and no crash brings them back.
    pub(crate) fn retire(&mut self, places: Vec<Place>) {
        if !places.is_empty() {
            self.retired.push_back((self.now, places));
            self.now = Epoch(self.now.0 + 1);
        }
    }

    /// Whether retired blocks wait.
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// The next retired blocks that nobody reads.
    pub(crate) fn release(&mut self) -> Option<Vec<Place>> {
        let oldest = self.active.first_key_value().map_or(self.now, |(epoch, _)| *epoch);
        let unread = self.retired.front().is_some_and(|(epoch, _)| *epoch < oldest);
        unread.then(|| self.retired.pop_front().expect("just seen").1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_wait_for_their_readers_alone() {
        let mut readers = Readers::default();
        let early = readers.enter();
        readers.retire(vec![Place(1)]);
        let late = readers.enter();
        readers.retire(vec![Place(2)]);
        assert_eq!(readers.release(), None);
        readers.leave(early);
        assert_eq!(readers.release(), Some(vec![Place(1)]));
        assert_eq!(readers.release(), None, "the late reader may read it");
        readers.leave(late);
        assert_eq!(readers.release(), Some(vec![Place(2)]));
        readers.retire(vec![Place(3)]);
        assert_eq!(readers.release(), Some(vec![Place(3)]), "nobody reads");
    }
}
