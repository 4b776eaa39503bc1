//! Written bytes of one file that are not on their way yet.
//!
//! ```text
//!   write(2) ─► put ─► runs, oldest first ─► take ─► the chains
//!                        ▲                    │
//!                        └───── put_back ◄────┘ a flush failed
//! ```
//! A run is a range without a gap, written through one descriptor. Bytes that continue the newest run join
//! it, until it reaches a multiple of `RUN`; others begin a new one. So a later run may lie over an
//! earlier one and wins: [`Gather::take`] hands out only runs that do not touch each other, and what was
//! taken is to be written, or put back, before more is taken.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use emberfs_client::{ByteLen, FileOffset};

/// Bytes that one file gathers at most, with those on their way: two full runs, one of which is written
/// while the other fills.
pub const BYTES_MAX: usize = 8 << 20;
/// How long bytes are gathered at most.
pub const AGE_MAX: Duration = Duration::from_secs(5);
/// Runs end at multiples of this, which are multiples of the usual chunk sizes: chunks are written whole.
const RUN: u64 = 4 << 20;
/// Runs handed out at once (a count): enough to keep several servers busy with small writes.
const RUNS_AT_ONCE: usize = 64;
/// Runs gathered at most (a count): bounds what single bytes written at random cost.
const RUNS_MAX: usize = 4 * RUNS_AT_ONCE;

/// What is gathered; `W` names the descriptor that wrote.
#[derive(Debug)]
pub struct Gather<W> {
    runs: VecDeque<Run<W>>,
    /// In `runs`.
    waiting: usize,
    /// Taken, and neither written nor put back.
    taken: usize,
}

/// A range without a gap that grows.
#[derive(Debug)]
struct Run<W> {
    start: u64,
    bytes: BytesMut,
    by: W,
}

/// A run that is to be written.
#[derive(Clone, Debug)]
pub struct Taken<W> {
    /// Where it begins.
    pub start: FileOffset,
    /// Its bytes.
    pub bytes: Bytes,
    /// Through which descriptor it was written.
    pub by: W,
}

impl<W> Run<W> {
    /// The first offset behind it.
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Whether nothing joins it any more.
    fn full(&self) -> bool {
        self.end().is_multiple_of(RUN)
    }

    fn touches(&self, other: &Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }
}

impl<W> Default for Gather<W> {
    fn default() -> Self {
        Self { runs: VecDeque::new(), waiting: 0, taken: 0 }
    }
}

impl<W: Clone + PartialEq> Gather<W> {
    /// Whether there is room for that many bytes more.
    pub fn has_room(&self, len: usize) -> bool {
        self.len() + len <= BYTES_MAX && self.runs.len() < RUNS_MAX
    }

    /// Gathers bytes, for which there must be room.
    pub fn put(&mut self, by: &W, offset: FileOffset, mut data: &[u8]) {
        assert!(self.has_room(data.len()), "room is asked for first");
        let mut at = offset.get();
        self.waiting += data.len();
        while !data.is_empty() {
            let left = usize::try_from(RUN - at % RUN).expect("a run fits into memory");
            let (now, later) = data.split_at(left.min(data.len()));
            match self.runs.back_mut() {
                Some(last) if last.end() == at && !last.full() && last.by == *by => {
                    last.bytes.extend_from_slice(now);
                }
                _ => self.runs.push_back(Run { start: at, bytes: now.into(), by: by.clone() }),
            }
            at += now.len() as u64;
            data = later;
        }
    }

    /// Whether something is to be written now, and not at some time.
    pub fn is_due(&self) -> bool {
        self.runs.front().is_some_and(Run::full) || self.runs.len() >= RUNS_AT_ONCE
    }

    /// The oldest runs that do not touch each other; unless `all` are wanted, without one that still grows.
    pub fn take(&mut self, all: bool) -> Vec<Taken<W>> {
        let growing = self.runs.len().saturating_sub(1);
        let counts = |(at, run): (usize, &Run<W>)| {
            (all || at < growing || run.full())
                && !self.runs.iter().take(at).any(|other| other.touches(run))
        };
        let runs = self.runs.iter().enumerate().take(RUNS_AT_ONCE);
        let count = runs.map(counts).take_while(|counts| *counts).count();
        let taken: Vec<_> = self.runs.drain(..count).map(Taken::from).collect();
        let bytes = taken.iter().map(|run| run.bytes.len()).sum::<usize>();
        self.waiting -= bytes;
        self.taken += bytes;
        taken
    }

    /// A run that was taken is written, or given up.
    pub fn done(&mut self, run: &Taken<W>) {
        self.taken -= run.bytes.len();
    }

    /// Runs that were taken are not written: they are kept, before all others.
    pub fn put_back(&mut self, runs: Vec<Taken<W>>) {
        for Taken { start, bytes, by } in runs.into_iter().rev() {
            self.taken -= bytes.len();
            self.waiting += bytes.len();
            self.runs.push_front(Run { start: start.get(), bytes: bytes.into(), by });
        }
    }

    /// Forgets what lies behind a new end of the file.
    pub fn cut(&mut self, len: ByteLen) {
        for run in &mut self.runs {
            let keep = len.get().saturating_sub(run.start).min(run.bytes.len() as u64);
            run.bytes.truncate(usize::try_from(keep).expect("not more than was there"));
        }
        self.runs.retain(|run| !run.bytes.is_empty());
        self.waiting = self.runs.iter().map(|run| run.bytes.len()).sum();
    }

    /// Bytes that are not written.
    pub fn len(&self) -> usize {
        self.waiting + self.taken
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The furthest end of what waits.
    pub fn end(&self) -> ByteLen {
        ByteLen(self.runs.iter().map(Run::end).max().unwrap_or_default())
    }
}

impl<W> From<Run<W>> for Taken<W> {
    fn from(Run { start, bytes, by }: Run<W>) -> Self {
        Self { start: FileOffset(start), bytes: bytes.freeze(), by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    /// One step on a small file around the border of two runs.
    #[derive(Clone, Debug)]
    enum Step {
        Put { by: u8, at: u64, len: usize },
        Flush { all: bool, fails: bool },
        Cut { at: u64 },
    }

    const BASE: u64 = RUN - 64;

    fn step() -> impl Strategy<Value = Step> {
        (any::<u8>(), 0..128_u64, 1..64_usize, any::<bool>(), any::<bool>()).prop_map(
            |(kind, at, len, all, fails)| match kind % 8 {
                0..5 => Step::Put { by: kind % 2, at, len },
                5..7 => Step::Flush { all, fails },
                _ => Step::Cut { at },
            },
        )
    }

    fn small(at: u64) -> usize {
        usize::try_from(at).expect("a small file")
    }

    fn apply(file: &mut Vec<u8>, at: u64, bytes: &[u8]) {
        let at = small(at);
        file.resize(file.len().max(at + bytes.len()), 0);
        file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    proptest! {
        #[test]
        fn what_was_put_is_what_is_written(steps in proptest::collection::vec(step(), 1..60)) {
            let (mut gather, mut model, mut file) = (Gather::default(), Vec::new(), Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Put { by, at, len } => {
                        let data = vec![u8::try_from(number + 1).expect("few steps"); len];
                        gather.put(&by, FileOffset(BASE + at), &data);
                        apply(&mut model, at, &data);
                    }
                    Step::Flush { all, fails } => {
                        let taken = gather.take(all);
                        if fails {
                            gather.put_back(taken);
                            continue;
                        }
                        // In any order: they do not touch each other.
                        for run in taken.iter().rev() {
                            apply(&mut file, run.start.get() - BASE, &run.bytes);
                            gather.done(run);
                        }
                    }
                    Step::Cut { at } => {
                        gather.cut(ByteLen(BASE + at));
                        model.resize(small(at), 0);
                        file.resize(small(at), 0);
                    }
                }
            }
            while !gather.is_empty() {
                let taken = gather.take(true);
                prop_assert!(!taken.is_empty(), "something moves");
                for run in taken {
                    apply(&mut file, run.start.get() - BASE, &run.bytes);
                    gather.done(&run);
                }
            }
            prop_assert_eq!(file, model);
        }
    }

    #[test]
    fn bytes_in_a_row_make_one_run_up_to_its_border() {
        let mut gather = Gather::default();
        for piece in 0..6 {
            gather.put(&(), FileOffset(piece << 20), &vec![1; 1 << 20]);
        }
        assert!(gather.is_due() && gather.has_room(2 << 20) && !gather.has_room((2 << 20) + 1));
        let taken = gather.take(false);
        assert_eq!(taken.iter().map(|run| run.bytes.len()).collect::<Vec<_>>(), [4 << 20]);
        assert!(!gather.has_room((2 << 20) + 1), "what is on its way counts");
        gather.done(&taken[0]);
        assert_eq!((gather.take(false).len(), gather.take(true).len()), (0, 1));
    }
}
