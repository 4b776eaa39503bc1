//! Written bytes of one file that are not with the servers yet.
//!
//! ```text
//!   write(2) ─► put ─► runs, oldest first ─► take ─► pieces under way ─► done
//!                        ▲                             │
//!                        └───────── put_back ◄─────────┘
//! ```
//! A run is a range without a gap, written through one descriptor. Bytes that continue the newest run join
//! it, until it reaches a multiple of `RUN`; others begin a new one. So a later run may lie over an
//! earlier one and wins: [`Gather::take`] hands out only what lies neither over an older run nor over a piece that
//! is under way. Each piece ends for itself: done, or put back before all that waits; its memory (`run`) is its own.
//! Runs are numbered as they begin, so that who waits for what was put before waits for nothing else.

mod run;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use emberfs_client::{ByteLen, FileOffset};

use run::Run;

/// Bytes that one file gathers at most, with those on their way: two full runs, one of which is written
/// while the other fills. Memory is taken for as many, and for as many again only where a run still grows.
pub const BYTES_MAX: usize = 8 << 20;
/// How long bytes are gathered at most.
pub const AGE_MAX: Duration = Duration::from_secs(5);
/// Runs end at multiples of this, which are multiples of the usual chunk sizes: chunks are written whole.
const RUN: u64 = 4 << 20;
/// Pieces under way from which on no further run is sent (a count): enough to keep several servers busy with
/// small writes.
const PIECES_AT_ONCE: usize = 64;
/// Runs and pieces at most (a count), before those that failed: bounds what single bytes written at random cost.
const RUNS_MAX: usize = 4 * PIECES_AT_ONCE;

/// What is gathered; `W` names the descriptor that wrote.
#[derive(Debug)]
pub struct Gather<W> {
    runs: VecDeque<Run<W>>,
    /// Runs that have begun.
    begun: u64,
    /// Bytes in `runs`.
    waiting: usize,
    /// Pieces that were taken, and neither are written nor were put back: where each begins and ends. They
    /// do not touch each other.
    under_way: BTreeMap<u64, u64>,
    /// Bytes of `under_way`.
    taken: usize,
}

/// Which runs are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// What need not wait any longer: all but the newest, while it grows.
    Due,
    /// What had begun by then: see [`Gather::begun`].
    Begun(u64),
}

/// A piece of a run that is to be written.
#[derive(Clone, Debug)]
pub struct Taken<W> {
    run: u64,
    /// Where it begins.
    pub start: FileOffset,
    /// Its bytes, of one chunk.
    pub bytes: Bytes,
    /// Through which descriptor it was written.
    pub by: W,
}

impl<W> Default for Gather<W> {
    fn default() -> Self {
        Self { runs: VecDeque::new(), begun: 0, waiting: 0, under_way: BTreeMap::new(), taken: 0 }
    }
}

impl<W: Clone + PartialEq> Gather<W> {
    /// Whether there is room for that many bytes more.
    pub fn has_room(&self, len: usize) -> bool {
        self.len() + len <= BYTES_MAX && self.runs.len() + self.under_way.len() < RUNS_MAX
    }

    /// Gathers bytes of a file with chunks of so many bytes. There must be room for them.
    pub fn put(&mut self, by: &W, offset: FileOffset, mut data: &[u8], chunk: usize) {
        assert!(self.has_room(data.len()), "room is asked for first");
        let (mut at, part) = (offset.get(), RUN.min(chunk as u64));
        self.waiting += data.len();
        while !data.is_empty() {
            let room = usize::try_from(part - at % part).expect("a part fits into memory");
            let (now, later) = data.split_at(room.min(data.len()));
            self.run_at(at, by).append(now, room);
            at += now.len() as u64;
            data = later;
        }
    }

    /// The run that bytes at this offset join, which may be a new one.
    fn run_at(&mut self, at: u64, by: &W) -> &mut Run<W> {
        let joins = |last: &Run<W>| last.end() == at && !last.is_full() && last.by == *by;
        if !self.runs.back().is_some_and(joins) {
            if let Some(last) = self.runs.back_mut() {
                last.seal();
            }
            self.runs.push_back(Run::new(self.begun, by.clone(), at));
            self.begun += 1;
        }
        self.runs.back_mut().expect("one is there")
    }

    /// Whether something is to be written now, and not at some time.
    pub fn is_due(&self) -> bool {
        self.runs.front().is_some_and(Run::is_full) || self.runs.len() >= PIECES_AT_ONCE
    }

    /// How many runs have begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Takes the oldest of some runs that lie over nothing older, in pieces of one chunk each.
    pub fn take(&mut self, which: Which) -> Vec<Taken<W>> {
        let growing = self.runs.len().saturating_sub(1);
        let (mut taken, mut kept) = (Vec::new(), VecDeque::new());
        for (at, run) in std::mem::take(&mut self.runs).into_iter().enumerate() {
            let wanted = match which {
                Which::Due => at < growing || run.is_full(),
                Which::Begun(begun) => run.number < begun,
            };
            let room = self.under_way.len() < PIECES_AT_ONCE;
            let free = || !self.is_under_way(&run) && !kept.iter().any(|old| run.touches(old));
            if wanted && room && free() {
                taken.extend(self.send(run));
            } else {
                kept.push_back(run);
            }
        }
        self.runs = kept;
        taken
    }

    /// The parts of a run are pieces that are under way from now on.
    fn send(&mut self, run: Run<W>) -> Vec<Taken<W>> {
        let (number, by) = (run.number, run.by.clone());
        self.waiting -= run.len();
        self.taken += run.len();
        let pieces = run.into_parts().map(|(start, bytes)| {
            self.under_way.insert(start, start + bytes.len() as u64);
            Taken { run: number, start: FileOffset(start), bytes, by: by.clone() }
        });
        pieces.collect()
    }

    fn is_under_way(&self, run: &Run<W>) -> bool {
        run.touches_last(self.under_way.range(..run.end()).next_back())
    }

    /// A piece that was taken is written, or given up.
    pub fn done(&mut self, piece: &Taken<W>) {
        self.under_way.remove(&piece.start.get()).expect("it was taken");
        self.taken -= piece.bytes.len();
    }

    /// A piece that was taken is not written: it is kept, before all others.
    pub fn put_back(&mut self, piece: Taken<W>) {
        self.done(&piece);
        self.waiting += piece.bytes.len();
        let Taken { run: number, start, bytes, by } = piece;
        self.runs.push_front(Run::again(number, by, start.get(), bytes));
    }

    /// Forgets what lies behind a new end of the file; nothing may be under way.
    pub fn cut(&mut self, len: ByteLen) {
        assert!(self.under_way.is_empty(), "who cuts waits first");
        self.runs.iter_mut().for_each(|run| run.cut(len.get()));
        self.runs.retain(|run| run.len() > 0);
        self.waiting = self.runs.iter().map(Run::len).sum();
    }

    /// Bytes that are not written.
    pub fn len(&self) -> usize {
        self.waiting + self.taken
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether some of the bytes from `start` to `end` are not written.
    pub fn has_any_of(&self, start: FileOffset, end: FileOffset) -> bool {
        let last = self.under_way.range(..end.get()).next_back();
        last.is_some_and(|(_, end)| *end > start.get())
            || self.runs.iter().any(|run| run.has_any_of(start.get(), end.get()))
    }

    /// The furthest end of what is not written.
    pub fn end(&self) -> ByteLen {
        let last = self.under_way.values().next_back().copied();
        ByteLen(self.runs.iter().map(Run::end).chain(last).max().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    /// One step on a small file around the border of two runs.
    #[derive(Clone, Debug)]
    enum Step {
        Put {
            by: u8,
            at: u64,
            len: usize,
        },
        /// What is due, or what had begun at some time.
        Take {
            due: bool,
            begun: usize,
        },
        /// Of a piece that is under way.
        End {
            which: usize,
            well: bool,
        },
        Cut {
            at: u64,
        },
    }

    const BASE: u64 = RUN - 64;
    /// Bytes of a chunk.
    const CHUNK: usize = 32;

    fn step() -> impl Strategy<Value = Step> {
        (any::<u8>(), 0..128_u64, 1..64_usize, any::<bool>(), any::<usize>()).prop_map(
            |(kind, at, len, yes, which)| match kind % 16 {
                0..7 => Step::Put { by: kind % 2, at, len },
                7..10 => Step::Take { due: yes, begun: which },
                10..15 => Step::End { which, well: yes },
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

    /// What is gathered, what is under way, and what the servers have.
    #[derive(Default)]
    struct Written {
        gather: Gather<u8>,
        pieces: Vec<Taken<u8>>,
        file: Vec<u8>,
    }

    impl Written {
        fn take(&mut self, which: Which) {
            let taken = self.gather.take(which);
            for Taken { run, start, bytes, .. } in &taken {
                let within = small(start.get() % CHUNK as u64);
                assert!(!bytes.is_empty() && within + bytes.len() <= CHUNK, "of one chunk");
                assert!(!matches!(which, Which::Begun(begun) if *run >= begun), "began later");
            }
            self.pieces.extend(taken);
        }

        fn end(&mut self, which: usize, well: bool) {
            let piece = self.pieces.swap_remove(which);
            if well {
                apply(&mut self.file, piece.start.get() - BASE, &piece.bytes);
                self.gather.done(&piece);
            } else {
                self.gather.put_back(piece);
            }
        }

        /// In any order: they do not touch each other.
        fn end_all(&mut self) {
            while let Some(last) = self.pieces.len().checked_sub(1) {
                self.end(last / 2, true);
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_put_is_what_is_written(steps in proptest::collection::vec(step(), 1..60)) {
            let (mut written, mut model) = (Written::default(), Vec::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Put { by, at, len } => {
                        let data = vec![u8::try_from(number + 1).expect("few steps"); len];
                        written.gather.put(&by, FileOffset(BASE + at), &data, CHUNK);
                        apply(&mut model, at, &data);
                    }
                    Step::Take { due: true, .. } => written.take(Which::Due),
                    Step::Take { begun, .. } => {
                        let all = written.gather.begun();
                        written.take(Which::Begun(begun as u64 % (all + 1)));
                    }
                    Step::End { which, well } => {
                        if let Some(which) = which.checked_rem(written.pieces.len()) {
                            written.end(which, well);
                        }
                    }
                    Step::Cut { at } => {
                        written.end_all();
                        written.gather.cut(ByteLen(BASE + at));
                        model.resize(small(at), 0);
                        written.file.resize(small(at), 0);
                    }
                }
                let (memory, len) = (memory(&written.gather), written.gather.len());
                prop_assert!(len <= memory && memory <= 2 * len, "{} bytes for {}", memory, len);
                let end = written.gather.end().get();
                prop_assert!(end == 0 || end <= BASE + model.len() as u64);
                let at = |at: usize| FileOffset(BASE + at as u64);
                for (number, byte) in model.iter().enumerate() {
                    let here = written.gather.has_any_of(at(number), at(number + 1));
                    let there = written.file.get(number).copied().unwrap_or_default();
                    prop_assert!(here || there == *byte, "neither here nor there: {}", number);
                }
                let all = written.gather.has_any_of(at(0), at(model.len()));
                prop_assert_eq!(all, !written.gather.is_empty());
            }
            while !written.gather.is_empty() {
                written.take(Which::Begun(written.gather.begun()));
                prop_assert!(!written.pieces.is_empty(), "something moves");
                written.end_all();
            }
            prop_assert_eq!(written.file, model);
        }
    }

    /// What it takes of the machine's memory, with what is under way.
    fn memory<W>(gather: &Gather<W>) -> usize {
        gather.runs.iter().map(Run::memory).sum::<usize>() + gather.taken
    }

    fn lens<W>(taken: &[Taken<W>]) -> Vec<usize> {
        taken.iter().map(|piece| piece.bytes.len()).collect()
    }

    #[test]
    fn bytes_in_a_row_make_one_run_up_to_its_border() {
        let (mut gather, chunk) = (Gather::default(), 1 << 21);
        for piece in 0..6 {
            gather.put(&(), FileOffset(piece << 20), &vec![1; 1 << 20], chunk);
        }
        assert!(gather.is_due() && gather.has_room(2 << 20) && !gather.has_room((2 << 20) + 1));
        let taken = gather.take(Which::Due);
        assert_eq!(lens(&taken), [2 << 20; 2]);
        assert!(!gather.has_room((2 << 20) + 1), "what is on its way counts");
        assert_eq!(gather.end(), ByteLen(6 << 20));
        let all = Which::Begun(gather.begun());
        assert_eq!((gather.take(Which::Due).len(), gather.take(all).len()), (0, 1));
    }

    /// Of two chains one hangs: what goes to the other counts as soon as it is there, and more follows it.
    #[test]
    fn each_piece_ends_for_itself() {
        let (mut gather, chunk) = (Gather::default(), 1 << 20);
        gather.put(&(), FileOffset(0), &vec![1; 4 << 20], chunk);
        let mut taken = gather.take(Which::Due);
        assert_eq!(lens(&taken), [chunk; 4]);
        let hangs = taken.remove(0);
        gather.done(&taken.remove(0));
        gather.put_back(taken.remove(0));
        assert_eq!(gather.len(), 3 << 20);
        gather.put(&(), FileOffset(4 << 20), &[1; 9], chunk);
        gather.put(&(), FileOffset(5), &[2; 9], chunk);
        let all = Which::Begun(gather.begun());
        gather.put(&(), FileOffset(99 << 20), &[3; 9], chunk);
        assert_eq!(lens(&gather.take(all)), [chunk, 9], "nothing goes before what hangs");
        gather.done(&hangs);
        assert_eq!(lens(&gather.take(all)), [9], "what began later is not waited for");
    }

    /// Of 64 chunks one hangs: all others give their memory back.
    #[test]
    fn each_piece_has_memory_of_its_own() {
        let (chunk, step) = (64 << 10, 5000);
        let mut gather = Gather::default();
        for at in (0..RUN).step_by(step) {
            let len = step.min(small(RUN - at));
            gather.put(&(), FileOffset(at), &vec![1; len], chunk);
            let (memory, run) = (memory(&gather), &gather.runs[0]);
            assert!(memory < run.len() + chunk && memory <= 2 * run.len(), "{memory}");
        }
        assert_eq!(memory(&gather), small(RUN), "a full run has nothing to spare");
        let pieces = gather.take(Which::Due);
        assert_eq!(lens(&pieces), [chunk; 64]);
        for piece in pieces {
            let alone = piece.bytes.try_into_mut().expect("nobody else has a part of it");
            assert_eq!(alone.capacity(), chunk);
        }
    }

    #[test]
    fn a_run_that_grows_no_more_has_nothing_to_spare() {
        let (mut gather, chunk) = (Gather::default(), 1 << 20);
        for number in 0..9 {
            gather.put(&(), FileOffset(number * 100), &[1; 100], chunk);
        }
        assert!(memory(&gather) > gather.len());
        gather.put(&(), FileOffset(9 << 20), &[1; 100], chunk);
        assert_eq!(memory(&gather), gather.len());
        gather.cut(ByteLen(250));
        assert_eq!((memory(&gather), gather.len()), (250, 250));
    }

    #[test]
    fn many_small_runs_go_a_few_at_a_time() {
        let (mut gather, chunk, mut put) = (Gather::default(), 1 << 20, 0);
        while gather.has_room(1) {
            gather.put(&(), FileOffset(put * 2), &[1], chunk);
            put += 1;
        }
        let all = Which::Begun(put);
        let taken = gather.take(all);
        assert_eq!((taken.len(), gather.take(all).len()), (PIECES_AT_ONCE, 0));
        assert!(!gather.has_room(1), "what is on its way counts");
        gather.done(&taken[0]);
        assert!(gather.has_room(1) && gather.take(all).len() == 1);
    }
}
