//! Who is head and who is tail.
//!
//! The head orders all writes of its chain and the tail answers for what is committed, so both cost
//! more than a place between them. First every chain makes the member that is head least often its
//! head. Then, as long as one disk is head at least two times more often than another that can be
//! reached from it, the role is passed along: a chain of the busy disk makes a member its head, which
//! in turn gives up one of its own, and so on to the idle one. That is an augmenting path of the
//! assignment problem, and when there is none left the roles are as even as the chains allow. Tails are
//! then spread in the same way among the members that are not heads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Orders the members of every chain, head first.
pub(super) fn spread(chains: &mut [Vec<usize>], disks: usize) {
    for chain in chains.iter_mut() {
        chain.sort_unstable();
    }
    Role { place: |_| 0, from: 0 }.assign(chains, disks);
    Role { place: |len| len - 1, from: 1 }.assign(chains, disks);
}

/// A role: where in a chain of a given length its holder stands, and the first place from which a
/// member may take it.
struct Role {
    place: fn(usize) -> usize,
    from: usize,
}

impl Role {
    fn holder(&self, chain: &[usize]) -> usize {
        chain[(self.place)(chain.len())]
    }

    fn give(&self, chain: &mut [usize], disk: usize) {
        let place = (self.place)(chain.len());
        let from = chain.iter().position(|member| *member == disk).expect("a member of the chain");
        chain.swap(from, place);
    }

    fn assign(&self, chains: &mut [Vec<usize>], disks: usize) {
        let mut held = Held::new(chains, self.from, disks);
        for (number, chain) in chains.iter_mut().enumerate().filter(|(_, c)| c.len() > self.from) {
            let least = chain[self.from..].iter().copied().min_by_key(|disk| held.count(*disk));
            let least = least.expect("the chain is longer than that");
            self.give(chain, least);
            held.take(least, number);
        }
        let mut busy: Vec<usize> = (0..disks).collect();
        while let Some(disk) = busy.pop() {
            // A disk that has the role at most once more than the idlest has nothing to pass on.
            if held.count(disk) <= held.least() + 1 {
                continue;
            }
            if let Some(path) = self.path(chains, &held, disk) {
                for (chain, to) in path {
                    held.lose(self.holder(&chains[chain]), chain);
                    self.give(&mut chains[chain], to);
                    held.take(to, chain);
                }
                busy.push(disk);
            }
        }
    }

    /// The shortest way to pass the role from `busy` to a disk that has it at least twice less: which
    /// chain gives it to whom.
    fn path(&self, chains: &[Vec<usize>], held: &Held, busy: usize) -> Option<Vec<(usize, usize)>> {
        let mut came: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut queue = VecDeque::from([busy]);
        while let Some(disk) = queue.pop_front() {
            if held.count(disk) + 1 < held.count(busy) {
                return Some(walk_back(&came, busy, disk));
            }
            for chain in &held.chains_of[disk] {
                for next in &chains[*chain][self.from..] {
                    if *next != busy && !came.contains_key(next) {
                        came.insert(*next, (disk, *chain));
                        queue.push_back(*next);
                    }
                }
            }
        }
        None
    }
}

/// Who holds the role in which chains.
struct Held {
    chains_of: Vec<BTreeSet<usize>>,
    /// How many of the disks that can have the role have it how often.
    disks_with: BTreeMap<usize, usize>,
}

impl Held {
    /// Nobody has it; who is in no chain never counts as idle.
    fn new(chains: &[Vec<usize>], from: usize, disks: usize) -> Self {
        let able: BTreeSet<usize> =
            chains.iter().flat_map(|c| c.iter().skip(from).copied()).collect();
        Self {
            chains_of: vec![BTreeSet::new(); disks],
            disks_with: BTreeMap::from([(0, able.len())]),
        }
    }

    fn count(&self, disk: usize) -> usize {
        self.chains_of[disk].len()
    }

    /// How often the idlest has it.
    fn least(&self) -> usize {
        self.disks_with.keys().next().copied().unwrap_or(0)
    }

    fn take(&mut self, disk: usize, chain: usize) {
        let before = self.count(disk);
        self.chains_of[disk].insert(chain);
        self.moved(before, before + 1);
    }

    fn lose(&mut self, disk: usize, chain: usize) {
        let before = self.count(disk);
        self.chains_of[disk].remove(&chain);
        self.moved(before, before - 1);
    }

    fn moved(&mut self, before: usize, now: usize) {
        let disks = self.disks_with.get_mut(&before).expect("the disk was one of them");
        *disks -= 1;
        if *disks == 0 {
            self.disks_with.remove(&before);
        }
        *self.disks_with.entry(now).or_insert(0) += 1;
    }
}

fn walk_back(
    came: &BTreeMap<usize, (usize, usize)>,
    start: usize,
    end: usize,
) -> Vec<(usize, usize)> {
    let mut path = Vec::new();
    let mut to = end;
    while to != start {
        let (from, chain) = came[&to];
        path.push((chain, to));
        to = from;
    }
    path.reverse();
    path
}
