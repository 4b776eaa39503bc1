//! Numbers of a session's chunk writes, and the mark below which all have their replies.
//!
//! A write takes the next number, keeps it over all its retries, and gives it back when it is settled: done,
//! or refused. The low-water mark is the lowest number that is still out: servers forget the tags below it,
//! and refuse writes below it that come late.
//!
//! Writes of one client to a chunk are applied in their order, also where nobody waits for the first any more.
//! So two writes hold the next to their chunk:
//!
//! | write | until | because |
//! | --- | --- | --- |
//! | given up: its caller went away | it is settled | it goes on in the background |
//! | refused, after it was sent more than once | the mark has passed it | a late copy would be done; the next write carries a mark that shuts it out wherever it is applied itself |
//!
//! A late copy of a write that was done does no harm: servers know its tag until the mark has passed it.
//!
//! Writes that were given up keep their bytes, and there are limits: beyond them no write begins.

use std::collections::{BTreeMap, BTreeSet};

use emberfs_layout::{ByteLen, ChunkId, Sequence};

/// Writes that were given up and go on, at most (a count) before none begins: what callers had under way at
/// that time may still come on top. Beyond this a chain is not slow but gone.
pub const GIVEN_UP_MAX: usize = 1024;
/// The same in bytes: what a program can spare for what it no longer waits for.
pub const GIVEN_UP_BYTES_MAX: ByteLen = ByteLen(64 << 20);

/// The numbers of one session.
#[derive(Clone, Debug)]
pub struct Tags {
    next: Sequence,
    open: BTreeSet<Sequence>,
    /// Writes that hold the next to their chunk.
    holding: BTreeSet<(ChunkId, Sequence)>,
    /// Writes that were given up and go on, and all bytes of them.
    given_up: BTreeMap<Sequence, ByteLen>,
    given_up_bytes: ByteLen,
}

/// A write must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// For this earlier write to its chunk.
    By(Sequence),
    /// For any of those that were given up: there are too many.
    Full,
}

impl Default for Tags {
    fn default() -> Self {
        Self {
            next: Sequence(1),
            open: BTreeSet::new(),
            holding: BTreeSet::new(),
            given_up: BTreeMap::new(),
            given_up_bytes: ByteLen::ZERO,
        }
    }
}

impl Tags {
    /// A number for a write to `chunk`.
    ///
    /// # Errors
    /// [`Blocked`]: try again after the next number was given back.
    pub fn begin(&mut self, chunk: ChunkId) -> Result<Sequence, Blocked> {
        let of_chunk = (chunk, Sequence(0))..=(chunk, Sequence(u64::MAX));
        if let Some((_, by)) = self.holding.range(of_chunk).next_back() {
            return Err(Blocked::By(*by));
        }
        let full = self.given_up.len() >= GIVEN_UP_MAX;
        if full || self.given_up_bytes >= GIVEN_UP_BYTES_MAX {
            return Err(Blocked::Full);
        }
        let sequence = self.next;
        self.next = sequence.next();
        self.open.insert(sequence);
        Ok(sequence)
    }

    /// Nobody waits for the write of `len` bytes any more, and it goes on: its number stays out.
    pub fn give_up(&mut self, sequence: Sequence, chunk: ChunkId, len: ByteLen) {
        assert!(self.open.contains(&sequence), "{sequence} is out");
        self.holding.insert((chunk, sequence));
        let before = self.given_up.insert(sequence, len);
        assert_eq!(before, None, "{sequence} is given up once");
        self.given_up_bytes.0 += len.0;
    }

    /// The write is settled for good, or never left.
    pub fn answered(&mut self, sequence: Sequence, chunk: ChunkId) {
        self.holding.remove(&(chunk, sequence));
        self.give_back(sequence);
    }

    /// The write was refused, and an earlier copy of it may still arrive.
    pub fn refused(&mut self, sequence: Sequence, chunk: ChunkId) {
        self.holding.insert((chunk, sequence));
        self.give_back(sequence);
    }

    /// Every write below this is settled.
    #[must_use]
    pub fn low_water(&self) -> Sequence {
        self.open.first().copied().unwrap_or(self.next)
    }

    fn give_back(&mut self, sequence: Sequence) {
        let was_open = self.open.remove(&sequence);
        assert!(was_open, "{sequence} is given back once");
        if let Some(len) = self.given_up.remove(&sequence) {
            self.given_up_bytes.0 -= len.0;
        }
        let mark = self.low_water();
        self.holding.retain(|(_, held_by)| *held_by >= mark);
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
    fn a_refused_write_holds_the_next_to_its_chunk_until_the_mark_has_passed() {
        let mut tags = Tags::default();
        let slow = tags.begin(chunk(0)).expect("free");
        let refused = tags.begin(chunk(1)).expect("free");
        tags.refused(refused, chunk(1));
        assert_eq!(tags.begin(chunk(1)), Err(Blocked::By(refused)));
        let other = tags.begin(chunk(2)).expect("another chunk");
        assert_eq!(tags.low_water(), slow);
        tags.answered(slow, chunk(0));
        assert_eq!(tags.low_water(), other);
        let next = tags.begin(chunk(1)).expect("the mark has passed");
        assert!(tags.low_water() > refused && next > refused);
    }

    #[test]
    fn a_write_given_up_holds_the_next_to_its_chunk_until_it_is_settled() {
        let mut tags = Tags::default();
        let [slow, first, second] = [0, 1, 1].map(|index| tags.begin(chunk(index)).expect("free"));
        tags.give_up(second, chunk(1), ByteLen(9));
        tags.give_up(first, chunk(1), ByteLen(9));
        assert_eq!(tags.begin(chunk(1)), Err(Blocked::By(second)));
        tags.answered(second, chunk(1));
        assert_eq!(tags.begin(chunk(1)), Err(Blocked::By(first)));
        tags.answered(first, chunk(1));
        assert_eq!(tags.low_water(), slow, "it was done, whatever the mark is");
        tags.begin(chunk(1)).expect("both are settled");
    }

    #[test]
    fn too_much_that_was_given_up_holds_all_others() {
        for (count, len) in [(GIVEN_UP_MAX, ByteLen(1)), (1, GIVEN_UP_BYTES_MAX)] {
            let mut tags = Tags::default();
            for index in 0..u32::try_from(count).expect("a few") {
                let sequence = tags.begin(chunk(index)).expect("there is room");
                tags.give_up(sequence, chunk(index), len);
            }
            assert_eq!(tags.begin(chunk(u32::MAX)), Err(Blocked::Full));
            tags.answered(Sequence(1), chunk(0));
            tags.begin(chunk(u32::MAX)).expect("there is room again");
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin(u32),
        Answer(prop::sample::Index),
        GiveUp(prop::sample::Index),
        Refuse(prop::sample::Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u32..3).prop_map(Step::Begin),
            2 => any::<prop::sample::Index>().prop_map(Step::Answer),
            1 => any::<prop::sample::Index>().prop_map(Step::GiveUp),
            1 => any::<prop::sample::Index>().prop_map(Step::Refuse),
        ]
    }

    proptest! {
        #[test]
        fn numbers_are_used_once_and_the_mark_passes_none_that_is_out(
            steps in prop::collection::vec(step(), 0..200),
        ) {
            let mut tags = Tags::default();
            let mut open: Vec<(Sequence, ChunkId)> = Vec::new();
            let mut given_up: BTreeSet<(Sequence, ChunkId)> = BTreeSet::new();
            let mut refused: Vec<(Sequence, ChunkId)> = Vec::new();
            let (mut taken, mut mark) = (0, tags.low_water());
            for step in steps {
                match step {
                    Step::Begin(index) => if let Ok(sequence) = tags.begin(chunk(index)) {
                        taken += 1;
                        prop_assert_eq!(sequence, Sequence(taken), "none is skipped");
                        open.push((sequence, chunk(index)));
                        let of_chunk = |(_, of): &&(Sequence, ChunkId)| *of == chunk(index);
                        prop_assert!(!given_up.iter().any(|one| of_chunk(&one)));
                        let mut late = refused.iter().filter(of_chunk);
                        prop_assert!(late.all(|(late, _)| *late < tags.low_water()));
                    }
                    Step::GiveUp(which) if !open.is_empty() => {
                        let (sequence, chunk) = open[which.index(open.len())];
                        if given_up.insert((sequence, chunk)) {
                            tags.give_up(sequence, chunk, ByteLen(1));
                        }
                    }
                    Step::Answer(which) if !open.is_empty() => {
                        let (sequence, chunk) = open.swap_remove(which.index(open.len()));
                        given_up.remove(&(sequence, chunk));
                        tags.answered(sequence, chunk);
                    }
                    Step::Refuse(which) if !open.is_empty() => {
                        let (sequence, chunk) = open.swap_remove(which.index(open.len()));
                        given_up.remove(&(sequence, chunk));
                        tags.refused(sequence, chunk);
                        refused.push((sequence, chunk));
                    }
                    Step::Answer(_) | Step::GiveUp(_) | Step::Refuse(_) => {}
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
