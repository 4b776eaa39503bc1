//! The search for even chains.
//!
//! **Filling.** With k chains to go, a domain that has k slots left must be in every one of them; such
//! domains go first, then those whose disk has met the chosen ones least, and of those the one with the
//! most left. Since the slots left always are r·k, at most k a domain, the filling cannot get stuck.
//!
//! **Exchanging.** Two members of different chains change places where that lowers Σ m² over all pairs
//! of disks that meet m times (as the sum of m is fixed, that is lowest where all are equal), and no
//! chain gets a domain twice. So that the search leaves a dead end, it is done in rounds: in the first
//! quarter of each an exchange may also raise the sum a little (threshold accepting; Dueck and
//! Scheuer, 1990). The best end of a round is kept, and the search ends at
//! the least sum that the number of pairs allows. Tries are counted, not timed, so the result is the
//! same everywhere.

use std::collections::BTreeMap;

use emberfs_wire::cluster::DomainId;

use super::Disk;
use super::pairs::Pairs;
use super::quota::Quota;

/// Rounds of the exchange: the designs of the tests are found within a few.
const ROUNDS: usize = 24;
/// Tries in a round for each member.
const TRIES_PER_MEMBER: usize = 200;
/// Bound on the tries of a round, for the largest tables.
const TRIES_MAX: usize = 200_000;

/// The chains, as places in `disks`, in no order of roles.
pub(super) fn chains(disks: &[Disk], quota: &Quota) -> Vec<Vec<usize>> {
    let mut pairs = Pairs::new(disks.len());
    let mut chains = fill(disks, quota, &mut pairs);
    exchange(disks, &mut chains, &mut pairs);
    chains
}

/// What is left of one domain.
struct Domain {
    left: u32,
    places: Vec<usize>,
}

fn fill(disks: &[Disk], quota: &Quota, pairs: &mut Pairs) -> Vec<Vec<usize>> {
    let mut left = quota.of_disk.clone();
    let mut domains: BTreeMap<DomainId, Domain> = BTreeMap::new();
    for (place, disk) in disks.iter().enumerate() {
        let domain = domains.entry(disk.domain).or_insert(Domain { left: 0, places: Vec::new() });
        domain.left += left[place];
        domain.places.push(place);
    }
    let mut chains = Vec::new();
    for to_go in (1..=quota.chains).rev() {
        let mut chain = Vec::with_capacity(quota.replicas);
        let mut used = Vec::with_capacity(quota.replicas);
        while chain.len() < quota.replicas {
            let met = pairs.met(&chain);
            let open = domains.iter().filter(|(id, domain)| domain.left > 0 && !used.contains(*id));
            let candidates = open.map(|(id, domain)| {
                let (met, disk) = best_disk(domain, &left, &met);
                (domain.left < to_go, met, u32::MAX - domain.left, *id, disk)
            });
            let (.., id, disk) = candidates.min().expect("what is left fits what is to go");
            left[disk] -= 1;
            domains.get_mut(&id).expect("chosen from them").left -= 1;
            used.push(id);
            chain.push(disk);
        }
        pairs.add_chain(&chain);
        chains.push(chain);
    }
    chains
}

/// The disk of a domain that met the chain least, with how often; of those the one with the most left.
fn best_disk(domain: &Domain, left: &[u32], met: &BTreeMap<usize, u32>) -> (u32, usize) {
    let open = domain.places.iter().copied().filter(|place| left[*place] > 0);
    let keys = open.map(|place| {
        let met = met.get(&place).copied().unwrap_or(0);
        (met, u32::MAX - left[place], place)
    });
    let (met, _, disk) = keys.min().expect("the domain has slots left");
    (met, disk)
}

/// A sequence of numbers without visible order: a multiplicative generator (Knuth, MMIX).
struct Order(u64);

impl Order {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = usize::try_from(self.0 >> 33).expect("31 bits");
        high % bound
    }
}

fn exchange(disks: &[Disk], chains: &mut Vec<Vec<usize>>, pairs: &mut Pairs) {
    if chains.len() < 2 {
        return;
    }
    let members: usize = chains.iter().map(Vec::len).sum();
    let tries = (members * TRIES_PER_MEMBER).min(TRIES_MAX);
    let mut order = Order(1);
    let ideal = pairs.squares_min(allowed_pairs(disks));
    let (mut best, mut best_chains) = (pairs.squares(), chains.clone());
    for round in 0..ROUNDS {
        if best == ideal {
            break;
        }
        for attempt in 0..tries {
            let (a, b) = (order.below(chains.len()), order.below(chains.len()));
            let (i, j) = (order.below(chains[a].len()), order.below(chains[b].len()));
            if a == b || !may_exchange(disks, (&chains[a], i), (&chains[b], j)) {
                continue;
            }
            // The first round only descends: it is all that most tables need.
            let loss_max = i64::from(round > 0 && attempt < tries / 4);
            let gain = gain((&chains[a], i), (&chains[b], j), pairs);
            if gain + loss_max >= 0 {
                swap(chains, (a, i), (b, j), pairs);
            }
        }
        if pairs.squares() < best {
            (best, best_chains) = (pairs.squares(), chains.clone());
        }
    }
    *chains = best_chains;
}

/// How many pairs of disks lie in different domains.
fn allowed_pairs(disks: &[Disk]) -> u64 {
    let mut sizes: BTreeMap<DomainId, u64> = BTreeMap::new();
    for disk in disks.iter().filter(|disk| disk.slots > 0) {
        *sizes.entry(disk.domain).or_insert(0) += 1;
    }
    let all: u64 = sizes.values().sum();
    sizes.values().map(|size| size * (all - size)).sum::<u64>() / 2
}

/// Whether neither chain would have a domain twice.
fn may_exchange(disks: &[Disk], (x, i): (&[usize], usize), (y, j): (&[usize], usize)) -> bool {
    let fits = |disk: usize, chain: &[usize], out: usize| {
        let stays = |(place, other): (usize, &usize)| {
            place == out || disks[*other].domain != disks[disk].domain
        };
        chain.iter().enumerate().all(stays)
    };
    x[i] != y[j] && fits(y[j], x, i) && fits(x[i], y, j)
}

/// By how much Σ m² falls, halved: a pair that parts at m gives 2m − 1, one that meets at m costs
/// 2m + 1. Disks in both chains neither part nor meet.
fn gain((x, i): (&[usize], usize), (y, j): (&[usize], usize), pairs: &Pairs) -> i64 {
    let (out, into) = (x[i], y[j]);
    let mut gain = 0;
    for (chain, leaves, comes, other_chain) in [(x, out, into, y), (y, into, out, x)] {
        for disk in chain.iter().filter(|disk| **disk != leaves) {
            if !other_chain.contains(disk) {
                gain += i64::from(pairs.count(leaves, *disk)) - 1;
                gain -= i64::from(pairs.count(comes, *disk));
            }
        }
    }
    gain
}

fn swap(
    chains: &mut [Vec<usize>],
    (a, i): (usize, usize),
    (b, j): (usize, usize),
    pairs: &mut Pairs,
) {
    let (out, into) = (chains[a][i], chains[b][j]);
    for (chain, at, leaves, comes) in [(a, i, out, into), (b, j, into, out)] {
        for (place, disk) in chains[chain].iter().enumerate() {
            if place != at {
                pairs.remove(leaves, *disk);
                pairs.add(comes, *disk);
            }
        }
    }
    chains[a][i] = into;
    chains[b][j] = out;
}
