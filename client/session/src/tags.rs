//! Numbers of a session's chunk writes, and the mark below which all have their replies.
//!
//! A write takes the next number, keeps it over all its retries, and gives it back when it has its reply.
//! The low-water mark is the lowest number that is still out: servers forget the tags below it, and
//! refuse writes below it that come late.
//!
//! A write that is *given up* (its caller went away or its time was over) may still be on its way. Its
//! number is given back too, or the mark would stand still for ever; but until the mark has passed it, a late
//! copy would still be applied. So a further write to the same chunk waits until the mark has passed:
//! then it carries a mark that shuts the late copy out wherever it is applied itself.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{ChunkId, Sequence};

/// The numbers of one session.
#[derive(Clone, Debug)]
pub struct Tags {
    next: Sequence,
    open: BTreeSet<Sequence>,
    /// The highest write to a chunk that was given up, while the mark has not passed it.
    given_up: BTreeMap<ChunkId, Sequence>,
}

/// A write to this chunk must wait until the mark has passed an earlier one that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The number of that write.
    pub by: Sequence,
}

impl Default for Tags {
    fn default() -> Self {
        Self { next: Sequence(1), open: BTreeSet::new(), given_up: BTreeMap::new() }
    }
}

impl Tags {
    /// A number for a write to `chunk`.
    ///
    /// # Errors
    /// [`Blocked`]: try again after the next [`Self::answered`] or [`Self::give_up`].
    pub fn begin(&mut self, chunk: ChunkId) -> Result<Sequence, Blocked> {
        if let Some(by) = self.given_up.get(&chunk).copied() {
            return Err(Blocked { by });
        }
        let sequence = self.next;
        self.next = sequence.next();
        self.open.insert(sequence);
        Ok(sequence)
    }

    /// The write has its reply, or never left.
    pub fn answered(&mut self, sequence: Sequence) {
        let was_open = self.open.remove(&sequence);
        assert!(was_open, "{sequence} is given back once");
        let mark = self.low_water();
        self.given_up.retain(|_, given_up| *given_up >= mark);
    }

    /// Nobody waits for the write any more, and it may still arrive somewhere.
    pub fn give_up(&mut self, sequence: Sequence, chunk: ChunkId) {
        let highest = self.given_up.entry(chunk).or_default();
        *highest = sequence.max(*highest);
        self.answered(sequence);
    }

    /// Every write below this has its reply, or nobody waits for one.
    #[must_use]
    pub fn low_water(&self) -> Sequence {
        self.open.first().copied().unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use emberfs_layout::{ChunkIndex, DataId};
    use proptest::prelude::*;

    use super::*;

    fn chunk(index: u32) -> ChunkId {
        ChunkId::new(DataId(1), ChunkIndex(index))
    }

    #[test]
    fn a_write_given_up_holds_the_next_to_its_chunk_until_the_mark_has_passed() {
        let mut tags = Tags::default();
        let slow = tags.begin(chunk(0)).expect("free");
        let lost = tags.begin(chunk(1)).expect("free");
        tags.give_up(lost, chunk(1));
        assert_eq!(tags.begin(chunk(1)), Err(Blocked { by: lost }));
        let other = tags.begin(chunk(2)).expect("another chunk");
        assert_eq!(tags.low_water(), slow);
        tags.answered(slow);
        assert_eq!(tags.low_water(), other);
        let next = tags.begin(chunk(1)).expect("the mark has passed");
        assert!(tags.low_water() > lost && next > lost);
    }

    #[test]
    fn of_two_writes_given_up_the_later_is_waited_for() {
        let mut tags = Tags::default();
        let [first, other, second] = [0, 1, 0].map(|index| tags.begin(chunk(index)).expect("free"));
        tags.give_up(second, chunk(0));
        tags.give_up(first, chunk(0));
        assert_eq!(tags.low_water(), other);
        assert_eq!(tags.begin(chunk(0)), Err(Blocked { by: second }));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin(u32),
        Answer(prop::sample::Index),
        GiveUp(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => (0_u32..3).prop_map(Step::Begin),
            1 => any::<prop::sample::Index>().prop_map(Step::Answer),
            1 => any::<prop::sample::Index>().prop_map(Step::GiveUp),
        ]
    }

    proptest! {
        #[test]
        fn numbers_are_used_once_and_the_mark_passes_none_that_is_out(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut tags = Tags::default();
            let mut open: Vec<(Sequence, ChunkId)> = Vec::new();
            let mut lost: Vec<(Sequence, ChunkId)> = Vec::new();
            let (mut taken, mut mark) = (0, tags.low_water());
            for step in steps {
                match step {
                    Step::Begin(index) => if let Ok(sequence) = tags.begin(chunk(index)) {
                        taken += 1;
                        prop_assert_eq!(sequence, Sequence(taken), "none is skipped");
                        open.push((sequence, chunk(index)));
                        let late = lost.iter().filter(|(_, of)| *of == chunk(index));
                        prop_assert!(late.clone().all(|(late, _)| *late < tags.low_water()));
                    }
                    Step::Answer(which) if !open.is_empty() => {
                        tags.answered(open.swap_remove(which.index(open.len())).0);
                    }
                    Step::GiveUp(which) if !open.is_empty() => {
                        let (sequence, chunk) = open.swap_remove(which.index(open.len()));
                        tags.give_up(sequence, chunk);
                        lost.push((sequence, chunk));
                    }
                    Step::Answer(_) | Step::GiveUp(_) => {}
                }
                prop_assert!(tags.low_water() >= mark, "it only grows");
                mark = tags.low_water();
                prop_assert!(open.iter().all(|(out, _)| *out >= mark));
                if open.is_empty() {
                    prop_assert_eq!(mark, Sequence(taken + 1), "all are behind it");
                    prop_assert!((0..3).all(|i| tags.clone().begin(chunk(i)).is_ok()));
                }
            }
        }
    }
}
