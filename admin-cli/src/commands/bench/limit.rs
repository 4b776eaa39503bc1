//! What a benchmark is held against: one table, of loads and the pieces of their limits.
//!
//! | load | pieces, one after the other for each call |
//! | --- | --- |
//! | reads, writes and overwrites of data | the same of the bare pipeline |
//! | what changes names | an append that two of three have synced |
//! | what asks for names | an echo with two values looked up |
//! | a small file written | its bytes; two appends: that it is there, and how long it is |
//! | a small file read | two values looked up; its bytes |
//! | what goes through a mount | the same by the client library; the same in a mounted file system in memory |
//! | what is in the page cache | the same in a directory of this machine |
//!
//! An entry of the group's log is a few hundred bytes, the attributes of a page of 1024 names 128 KiB, a small file of
//! 110 KiB fills 28 blocks of 4 KiB.

use serde_json::{Value, json};

use super::mounted::Through;
use super::names::{self, What};
use super::row::{KIB, Load, OVERWRITE_BYTES, SEQUENTIAL_BYTES};
use super::small;

/// A part of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// What `bare-pipeline drive` is told: kind, size, streams, depth, order.
    Bare(String),
    /// By the client library, in the cluster.
    Native(Load),
    /// Through the kernel, with memory behind it.
    Memory(Through),
    /// In a directory of this machine.
    Local(Through),
}

/// A limit: a call needs one of each piece, one after the other. The first moves the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) pieces: Vec<Piece>,
    /// How much of what the value counts each call of the pieces is.
    pub(super) each: u64,
}

/// Bytes of a log's entry, and of what is told of one name.
const ENTRY_BYTES: usize = 256;
/// Bytes of the attributes of a page of names.
const PAGE_BYTES: usize = 128 * KIB;
/// In whole blocks.
const BLOCK: usize = 4 * KIB;

fn bare(kind: &str, size: usize, streams: usize, depth: usize, order: &str) -> Piece {
    Piece::Bare(format!("{kind} {size} {streams} {depth} {order}"))
}

fn random(kind: &str, size: usize, depth: usize) -> Piece {
    bare(kind, size.next_multiple_of(BLOCK), 1, depth, "random")
}

fn in_order(kind: &str, streams: usize) -> Piece {
    bare(kind, SEQUENTIAL_BYTES, streams, 1, "seq")
}

fn append(callers: usize) -> Piece {
    bare("append", ENTRY_BYTES, 1, callers, "seq")
}

fn get(size: usize, callers: usize) -> Piece {
    bare("get", size, 1, callers, "seq")
}

impl Limit {
    /// What this load is held against.
    pub(super) fn of(load: &Load) -> Self {
        let (pieces, each) = match *load {
            Load::SequentialRead { streams } => (vec![in_order("read", streams)], 1),
            Load::SequentialWrite { streams } => (vec![in_order("write", streams)], 1),
            Load::RandomRead { size, depth } | Load::RandomBatch { size, depth } => {
                (vec![random("read", size, depth)], 1)
            }
            Load::Overwrite { depth } => (vec![random("write", OVERWRITE_BYTES, depth)], 1),
            Load::Names { what, callers } => Self::of_names(what, callers),
            Load::SmallWrite { size, callers } => {
                let bytes = random("write", size, callers);
                (vec![bytes, append(callers), append(callers)], 1)
            }
            Load::SmallRead { callers } => {
                (vec![random("read", small::BYTES, callers), get(ENTRY_BYTES, callers)], 1)
            }
            Load::Checkpoint => (vec![in_order("write", 4)], 1),
            Load::Restore => (vec![in_order("read", 4)], 1),
            Load::Through(through) => match through.native() {
                Some(load) => (vec![Piece::Native(load), Piece::Memory(through)], 1),
                None => (vec![Piece::Local(through)], 1),
            },
        };
        Self { pieces, each }
    }

    fn of_names(what: What, callers: usize) -> (Vec<Piece>, u64) {
        match what {
            What::Create | What::CreateApart | What::Unlink | What::Rename => {
                (vec![append(callers)], 1)
            }
            What::Stat | What::Open => (vec![get(ENTRY_BYTES, callers)], 1),
            What::List => (vec![get(PAGE_BYTES, callers)], names::PAGE as u64),
            // However large the tree is.
            What::RemoveTree => (vec![append(callers)], names::TREE),
        }
    }
}

impl Piece {
    /// What it is measured by, for who drives slices.
    fn word(&self) -> &'static str {
        match self {
            Self::Bare(_) => "bare",
            Self::Native(_) => "native",
            Self::Memory(_) => "memory",
            Self::Local(_) => "local",
        }
    }
}

/// A limit as who drives slices is told of it.
pub(super) fn described(limit: &Limit) -> Value {
    let words: Vec<&str> = limit.pieces.iter().map(Piece::word).collect();
    json!({ "pieces": words, "each": limit.each })
}

#[cfg(test)]
mod tests {
    use super::super::rows::ROWS;
    use super::*;

    #[test]
    fn each_benchmark_has_a_limit_that_can_be_told() {
        for row in ROWS {
            let limit = Limit::of(&row.load);
            assert!(!limit.pieces.is_empty(), "{}", row.id);
            for piece in &limit.pieces {
                let Piece::Bare(line) = piece else { continue };
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!(words.len(), 5, "{}: {line}", row.id);
                let is_aligned = words[1].parse::<usize>().expect("a size").is_multiple_of(BLOCK);
                assert!(is_aligned || ["append", "get"].contains(&words[0]), "{}: {line}", row.id);
            }
        }
    }

    #[test]
    fn a_mount_is_held_against_the_library_and_a_mount_in_memory() {
        let through = Through::SmallWrite { threads: 16 };
        let found = described(&Limit::of(&Load::Through(through)));
        assert_eq!(found, json!({ "pieces": ["native", "memory"], "each": 1 }));
        let small = Limit::of(&Load::SmallWrite { size: small::BYTES, callers: 16 });
        let first = Piece::Bare("write 114688 1 16 random".to_owned());
        assert_eq!((&small.pieces[0], small.pieces.len()), (&first, 3));
        let cached = Limit::of(&Load::Through(Through::CachedRead));
        assert_eq!(cached.pieces, [Piece::Local(Through::CachedRead)]);
    }
}
