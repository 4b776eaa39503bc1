//! What a benchmark is: what is done, over how much, from what, and what is counted.

use super::checkpoint;
use super::files::{FILE_BYTES, FILES, NAMES};
use super::mounted::{self, Through};
use super::names::{self, What};
use super::slice::Outcome;
use super::small;

pub(super) const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// One benchmark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// What it is called, here and in the table of `cargo xtask bench`.
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    pub(super) unit: Unit,
    pub(super) load: Load,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// 10^6 bytes a second.
    Bytes,
    /// Calls a second.
    Calls,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Each stream reads a file of its own in order, one call at a time.
    SequentialRead { streams: usize },
    /// Each stream writes a file of its own in order, one call at a time.
    SequentialWrite { streams: usize },
    /// So many calls under way, anywhere in the files.
    RandomRead { size: usize, depth: usize },
    /// One `read_batch` of so many ranges after the other.
    RandomBatch { size: usize, depth: usize },
    /// So many calls under way, anywhere in a file that is there.
    Overwrite { depth: usize },
    /// So many at a time do something with names.
    Names { what: What, callers: usize },
    /// So many at a time write a new small file each, whole.
    SmallWrite { size: usize, callers: usize },
    /// So many at a time read a small file each, whole.
    SmallRead { callers: usize },
    /// Large files written at once, synced and renamed.
    Checkpoint,
    /// The same read at once.
    Restore,
    /// By system calls, in a directory that is mounted.
    Through(Through),
}

/// How much one call of a sequential load moves.
pub(super) const SEQUENTIAL_BYTES: usize = MIB;
/// How much an overwrite moves.
pub(super) const OVERWRITE_BYTES: usize = 4 * KIB;

impl Row {
    /// Whether it goes through a mount.
    pub(super) fn is_mounted(&self) -> bool {
        matches!(self.load, Load::Through(_))
    }
}

impl Unit {
    /// What came of a slice.
    pub(super) fn value(self, outcome: &Outcome) -> f64 {
        match self {
            Self::Bytes => outcome.bytes as f64 / 1e6 / outcome.seconds,
            Self::Calls => outcome.rate(),
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bytes => "MB/s",
            Self::Calls => "calls/s",
        }
    }
}

impl Load {
    /// Over how much it goes.
    pub(super) fn data(&self) -> String {
        match *self {
            Self::SequentialRead { .. }
            | Self::SequentialWrite { .. }
            | Self::RandomRead { .. }
            | Self::RandomBatch { .. }
            | Self::Overwrite { .. } => mib(FILES as u64 * FILE_BYTES),
            Self::Names { what, callers } => match what {
                What::Create | What::CreateApart => "new names".to_owned(),
                What::Stat | What::Open => format!("{NAMES} names"),
                What::List => format!("{} names", names::LISTED),
                What::Unlink => format!("{} names", names::REMOVED),
                What::Rename => format!("{callers} names"),
                What::RemoveTree => format!("{} files", names::TREE),
            },
            Self::SmallWrite { size, .. } => format!("{} x {} KiB", small::COUNT, size / KIB),
            Self::SmallRead { .. } => format!("{} x {} KiB", small::COUNT, small::BYTES / KIB),
            Self::Checkpoint | Self::Restore => {
                format!("{} x {}", checkpoint::WRITERS, mib(checkpoint::FILE_BYTES))
            }
            Self::Through(Through::Untar) => {
                format!("{} x {} KiB", mounted::ARCHIVED, mounted::ARCHIVED_BYTES / KIB)
            }
            Self::Through(through) => through.native().map_or(mib(FILE_BYTES), |load| load.data()),
        }
    }

    /// What has it in memory when a slice begins.
    pub(super) fn cache(&self) -> &'static str {
        match *self {
            Self::SequentialRead { .. }
            | Self::RandomRead { .. }
            | Self::RandomBatch { .. }
            | Self::SmallRead { .. }
            | Self::Restore => "cold",
            Self::Names { what: What::Stat | What::Open | What::List, .. } => "warm",
            Self::SequentialWrite { .. }
            | Self::Overwrite { .. }
            | Self::SmallWrite { .. }
            | Self::Checkpoint
            | Self::Names { .. } => "none",
            Self::Through(through) => through.native().map_or("page cache", |load| load.cache()),
        }
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_by_time() {
        let outcome = Outcome { ops: 6, bytes: 4_000_000, seconds: 2.0, ..Outcome::default() };
        assert!((Unit::Bytes.value(&outcome) - 2.0).abs() < 1e-9);
        assert!((Unit::Calls.value(&outcome) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_goes_through_a_mount_is_as_large_and_as_cold_as_without() {
        let through = Load::Through(Through::SmallRead { threads: 16 });
        let native = Load::SmallRead { callers: 16 };
        assert_eq!((through.data(), through.cache()), (native.data(), "cold"));
        assert_eq!(Load::Through(Through::CachedRead).cache(), "page cache");
        assert!(Load::Checkpoint.data().starts_with("4 x "), "{}", Load::Checkpoint.data());
    }
}
