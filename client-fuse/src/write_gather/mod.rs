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
#[cfg(test)]
mod tests;

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
