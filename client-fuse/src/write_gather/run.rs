//! A range without a gap that grows, in parts that own their memory.
//!
//! ```text
//!   start       border of a chunk         border
//!     ├─ whole ─────┼─ whole ────────────────┼─ grows ─┄ room ┄┤
//! ```
//! A part lies in one chunk: it is sent for itself, and its memory goes when it has arrived. Were it a slice of
//! something larger, one part whose chain hangs would keep all of that. Whole parts have exactly their bytes. The one
//! that grows makes room for as many bytes as the run has, up to its border: so what is gathered never takes more
//! than twice its bytes, and a run in a row copies no more than its first part.

use bytes::Bytes;

use super::RUN;

/// Written through one descriptor.
#[derive(Debug)]
pub(super) struct Run<W> {
    pub(super) number: u64,
    pub(super) by: W,
    start: u64,
    len: usize,
    whole: Vec<Bytes>,
    /// Behind them.
    grows: Vec<u8>,
}

impl<W> Run<W> {
    /// One that has no bytes yet.
    pub(super) fn new(number: u64, by: W, start: u64) -> Self {
        Self { number, by, start, len: 0, whole: Vec::new(), grows: Vec::new() }
    }

    /// What a part has that could not be written.
    pub(super) fn again(number: u64, by: W, start: u64, part: Bytes) -> Self {
        Self { number, by, start, len: part.len(), whole: vec![part], grows: Vec::new() }
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The first offset behind it.
    pub(super) fn end(&self) -> u64 {
        self.start + self.len as u64
    }

    /// Whether nothing joins it any more.
    pub(super) fn is_full(&self) -> bool {
        self.end().is_multiple_of(RUN)
    }

    /// Whether they have bytes of the same place.
    pub(super) fn touches(&self, other: &Self) -> bool {
        self.has_any_of(other.start, other.end())
    }

    /// Whether it has bytes from `start` to `end`.
    pub(super) fn has_any_of(&self, start: u64, end: u64) -> bool {
        self.start < end && start < self.end()
    }

    /// Whether one that is under way, by where it begins and ends, has bytes of the same place. Of those that begin
    /// before this one's end it is the last.
    pub(super) fn touches_last(&self, before: Option<(&u64, &u64)>) -> bool {
        before.is_some_and(|(_, end)| *end > self.start)
    }

    /// Adds bytes behind its end. `room`: so many fit before the next border.
    pub(super) fn append(&mut self, bytes: &[u8], room: usize) {
        assert!(bytes.len() <= room, "of one part");
        if self.grows.capacity() - self.grows.len() < bytes.len() {
            self.grows.reserve_exact(bytes.len().max(self.len.min(room)));
        }
        self.grows.extend_from_slice(bytes);
        self.len += bytes.len();
        if bytes.len() == room {
            self.seal();
        }
    }

    /// Its last part grows no more, and gives back what it has not used.
    pub(super) fn seal(&mut self) {
        if !self.grows.is_empty() {
            let mut part = std::mem::take(&mut self.grows);
            part.shrink_to_fit();
            self.whole.push(part.into());
        }
    }

    /// Forgets what lies behind this offset.
    pub(super) fn cut(&mut self, end: u64) {
        self.seal();
        let keep = end.saturating_sub(self.start).min(self.len as u64);
        let mut left = usize::try_from(keep).expect("not more than was there");
        self.len = left;
        self.whole.retain_mut(|part| {
            let keep = left.min(part.len());
            left -= keep;
            if 0 < keep && keep < part.len() {
                *part = Bytes::copy_from_slice(&part[..keep]);
            }
            keep > 0
        });
    }

    /// Its parts, and where each begins.
    pub(super) fn into_parts(mut self) -> impl Iterator<Item = (u64, Bytes)> {
        self.seal();
        let mut at = self.start;
        self.whole.into_iter().map(move |part| {
            let start = at;
            at += part.len() as u64;
            (start, part)
        })
    }

    /// Bytes that it takes of the machine's memory.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.whole.iter().map(Bytes::len).sum::<usize>() + self.grows.capacity()
    }
}
