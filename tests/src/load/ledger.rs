//! What was begun and what was acknowledged, as writers note it and readers are held to it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use super::bytes::bytes;

/// Parts of a writer's main file, each overwritten as a whole (a count).
pub(crate) const SLOTS: usize = 24;
/// Bytes of a slot: no multiple of a block or a chunk, so that neighbours meet in one.
pub(crate) const SLOT: u64 = 40_008;

/// All that is known.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) writers: Vec<Account>,
    /// Records of the log to which all append.
    pub(crate) log: Mutex<Vec<Record>>,
    files: AtomicU32,
    pub(crate) reads: AtomicU64,
    pub(crate) over: AtomicBool,
}

/// What one writer did.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Number of its main file.
    pub(crate) file: u32,
    pub(crate) slots: Vec<Slot>,
    /// Its other files as they are, by name.
    pub(crate) others: Mutex<BTreeMap<String, Other>>,
    /// Operations that were acknowledged.
    pub(crate) done: AtomicU64,
}

/// Versions of one slot.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) begun: AtomicU32,
    /// The last that was acknowledged or read: no later read may give an earlier one.
    pub(crate) settled: AtomicU32,
}

/// A file that is written once, and only cut afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Other {
    pub(crate) file: u32,
    pub(crate) len: u64,
    /// How many zeros follow: it was made longer again without being written.
    pub(crate) zeros: u64,
}

impl Other {
    /// All of it.
    pub(crate) fn contents(&self) -> Vec<u8> {
        let mut all = bytes(self.file, 1, 0..self.len).to_vec();
        all.resize((self.len + self.zeros) as usize, 0);
        all
    }
}

/// An appended record: all of a file's bytes, at this place of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) at: u64,
    pub(crate) of: Other,
}

impl Ledger {
    pub(crate) fn new(writers: usize) -> Self {
        let mut ledger = Self::default();
        for _ in 0..writers {
            let (file, slots) = (ledger.new_file(), (0..SLOTS).map(|_| Slot::default()).collect());
            ledger.writers.push(Account { file, slots, ..Account::default() });
        }
        ledger
    }

    /// A number that no file had.
    pub(crate) fn new_file(&self) -> u32 {
        self.files.fetch_add(1, SeqCst) + 1
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    /// How much each writer has done, and all readers together.
    pub(crate) fn progress(&self) -> (Vec<u64>, u64) {
        let writers = self.writers.iter().map(|writer| writer.done.load(SeqCst));
        (writers.collect(), self.reads.load(SeqCst))
    }
}

impl Slot {
    /// The next version, from now on begun.
    pub(crate) fn begin(&self) -> u32 {
        self.begun.fetch_add(1, SeqCst) + 1
    }

    /// The version was acknowledged, or read.
    pub(crate) fn settle(&self, version: u32) {
        self.settled.fetch_max(version, SeqCst);
    }
}
