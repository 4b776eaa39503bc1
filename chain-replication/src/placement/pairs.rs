//! How often two disks meet in a chain.

use std::collections::BTreeMap;

/// For each disk, how often it meets those that it meets at all; each pair stands at both.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    met_by: Vec<BTreeMap<usize, u32>>,
}

impl Pairs {
    /// Nobody has met.
    pub(super) fn new(disks: usize) -> Self {
        Self { met_by: vec![BTreeMap::new(); disks] }
    }

    /// How often `a` and `b` meet.
    pub(super) fn count(&self, a: usize, b: usize) -> u32 {
        self.met_by[a].get(&b).copied().unwrap_or(0)
    }

    /// How often each disk meets those of `chain` together; who meets none of them is absent.
    pub(super) fn met(&self, chain: &[usize]) -> BTreeMap<usize, u32> {
        let mut met = BTreeMap::new();
        for (disk, count) in chain.iter().flat_map(|member| &self.met_by[*member]) {
            *met.entry(*disk).or_insert(0) += count;
        }
        met
    }

    /// They meet once more.
    pub(super) fn add(&mut self, a: usize, b: usize) {
        for (x, y) in [(a, b), (b, a)] {
            *self.met_by[x].entry(y).or_insert(0) += 1;
        }
    }

    /// They meet once less.
    pub(super) fn remove(&mut self, a: usize, b: usize) {
        for (x, y) in [(a, b), (b, a)] {
            let count = self.met_by[x].get_mut(&y).expect("only who met can part");
            *count -= 1;
            if *count == 0 {
                self.met_by[x].remove(&y);
            }
        }
    }

    /// All pairs of a chain meet once more.
    pub(super) fn add_chain(&mut self, chain: &[usize]) {
        for (i, a) in chain.iter().enumerate() {
            for b in &chain[i + 1..] {
                self.add(*a, *b);
            }
        }
    }

    /// Σ m² over all pairs that meet m times.
    pub(super) fn squares(&self) -> u64 {
        self.counts().map(|count| count.pow(2)).sum::<u64>() / 2
    }

    /// The least that Σ m² could be with as many meetings over `allowed` pairs: all m within one of
    /// each other.
    pub(super) fn squares_min(&self, allowed: u64) -> u64 {
        let meetings = self.counts().sum::<u64>() / 2;
        if allowed == 0 {
            return 0;
        }
        let (each, more) = (meetings / allowed, meetings % allowed);
        allowed * each.pow(2) + more * (2 * each + 1)
    }

    /// The count of every pair, twice.
    fn counts(&self) -> impl Iterator<Item = u64> + '_ {
        self.met_by.iter().flat_map(|met| met.values().map(|count| u64::from(*count)))
    }
}
