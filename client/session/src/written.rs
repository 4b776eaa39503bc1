//! Which bytes of a file were acknowledged and not yet reported.
//!
//! Kept as ranges without overlap that do not touch, in order, at most [`RANGES_MAX`]. Beyond that the
//! shortest but the last is forgotten: the report then says less of what is dense, never less of where the
//! file ends. What grows together knows no later cut of the file than any of its parts.

use std::collections::BTreeMap;

use emberfs_layout::{FileOffset, Sequence};
use emberfs_wire::meta::WrittenRange;

/// Ranges kept for one file (a count): each costs one report, and who writes in more places at once than
/// this does not write densely.
pub const RANGES_MAX: usize = 32;

/// Acknowledged bytes, to be reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// By start.
    ranges: BTreeMap<FileOffset, Rest>,
}

/// What a range has beside its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    end: FileOffset,
    since: Option<Sequence>,
}

impl Written {
    /// Takes in these bytes; an empty range is none.
    pub fn add(&mut self, range: WrittenRange) {
        let WrittenRange { mut start, mut end, mut since } = range;
        if start >= end {
            return;
        }
        while let Some((from, to)) = self.ranges.range(..=end).next_back().map(|(a, b)| (*a, *b)) {
            if to.end < start {
                break;
            }
            self.ranges.remove(&from);
            (start, end) = (start.min(from), end.max(to.end));
            since = since.min(to.since);
        }
        self.ranges.insert(start, Rest { end, since });
        if self.ranges.len() > RANGES_MAX {
            let but_last = self.ranges.iter().rev().skip(1);
            let shortest = but_last.min_by_key(|(from, to)| to.end.get() - from.get());
            let from = *shortest.expect("more than one").0;
            self.ranges.remove(&from);
        }
    }

    /// Whether there is nothing to report.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes the first range out; first to last is the order in which they make a file dense.
    pub fn pop_first(&mut self) -> Option<WrittenRange> {
        let (start, Rest { end, since }) = self.ranges.pop_first()?;
        Some(WrittenRange { start, end, since })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64) -> WrittenRange {
        WrittenRange { start: FileOffset(start), end: FileOffset(end), since: None }
    }

    fn all(written: &Written) -> Vec<WrittenRange> {
        let mut written = written.clone();
        std::iter::from_fn(|| written.pop_first()).collect()
    }

    #[test]
    fn beyond_the_limit_the_end_is_kept() {
        let mut written = Written::default();
        for i in 0..100 {
            written.add(range(i * 10, i * 10 + 1 + i % 3));
        }
        let kept = all(&written);
        assert_eq!(kept.len(), RANGES_MAX);
        assert_eq!(kept.last(), Some(&range(990, 991)));
        assert!(kept[..RANGES_MAX - 1].iter().all(|r| r.end.0 - r.start.0 == 3), "the longest");
    }

    #[test]
    fn what_touches_is_as_old_as_its_oldest() {
        let since = |range, cut| WrittenRange { since: cut, ..range };
        let [old, new] = [Some(Sequence(3)), Some(Sequence(5))];
        let mut written = Written::default();
        written.add(since(range(0, 10), new));
        written.add(since(range(20, 30), old));
        written.add(since(range(40, 50), new));
        written.add(since(range(30, 35), new));
        let [first, last] = [since(range(0, 10), new), since(range(40, 50), new)];
        assert_eq!(all(&written), [first, since(range(20, 35), old), last]);
        written.add(range(5, 45));
        assert_eq!(all(&written), [range(0, 50)], "one that knows of no cut");
    }

    proptest! {
        #[test]
        fn ranges_are_the_set_of_their_bytes(adds in prop::collection::vec((0_u64..60, 0_u64..12), 0..25)) {
            let (mut written, mut bytes) = (Written::default(), BTreeSet::new());
            for (start, len) in adds {
                written.add(range(start, start + len));
                bytes.extend(start..start + len);
            }
            let ranges = all(&written);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            let held: BTreeSet<u64> = ranges.iter().flat_map(|r| r.start.0..r.end.0).collect();
            prop_assert_eq!(held, bytes);
        }
    }
}
