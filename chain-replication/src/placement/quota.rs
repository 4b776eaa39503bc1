//! How many chains fit, and how many slots of each domain and disk they take.
//!
//! C chains of r members in different domains need Σ min(slots of d, C) ≥ r·C over the domains d, as a
//! domain is in a chain at most once; that is also enough (Gale–Ryser). The left side less the right is
//! concave in C and 0 at 0, so the largest such C is found by halving. Fewer than r slots are then too
//! many, and are taken off the largest domains.

use std::collections::BTreeMap;

use emberfs_wire::cluster::DomainId;

use super::{Disk, Replicas};

/// What the chains take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// How many chains.
    pub(super) chains: u32,
    /// How many members each has.
    pub(super) replicas: usize,
    /// How many slots of each disk, in the order in which the disks were given.
    pub(super) of_disk: Vec<u32>,
}

/// The most that fits.
pub(super) fn of(disks: &[Disk], replicas: Replicas) -> Quota {
    let r = u32::from(replicas.0.get());
    let mut members: BTreeMap<DomainId, Vec<usize>> = BTreeMap::new();
    for (place, disk) in disks.iter().enumerate() {
        members.entry(disk.domain).or_default().push(place);
    }
    let slots = |places: &[usize]| places.iter().map(|p| u32::from(disks[*p].slots)).sum::<u32>();
    let offered: Vec<u32> = members.values().map(|places| slots(places)).collect();
    let chains = most_chains(&offered, r);
    let taken = of_domains(&offered, chains, r);
    let mut of_disk = vec![0; disks.len()];
    for (places, taken) in members.values().zip(taken) {
        fill_evenly(places, taken, disks, &mut of_disk);
    }
    Quota { chains, replicas: usize::from(replicas.0.get()), of_disk }
}

fn most_chains(offered: &[u32], r: u32) -> u32 {
    let fits = |chains: u32| {
        let usable: u64 = offered.iter().map(|slots| u64::from((*slots).min(chains))).sum();
        usable >= u64::from(r) * u64::from(chains)
    };
    let (mut low, mut high) = (0, offered.iter().sum::<u32>() / r + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

fn of_domains(offered: &[u32], chains: u32, r: u32) -> Vec<u32> {
    let mut taken: Vec<u32> = offered.iter().map(|slots| (*slots).min(chains)).collect();
    let mut excess = taken.iter().sum::<u32>() - r * chains;
    while excess > 0 {
        let largest = taken.iter().max().copied().unwrap_or(0);
        let place = taken.iter().position(|slots| *slots == largest).expect("the largest is one");
        taken[place] -= 1;
        excess -= 1;
    }
    taken
}

/// Spreads what a domain gives over its disks, in proportion to what they offer.
fn fill_evenly(places: &[usize], taken: u32, disks: &[Disk], of_disk: &mut [u32]) {
    for _ in 0..taken {
        // The least filled for its size: (taken + 1) / slots, compared without division.
        let fuller = |a: &usize, b: &usize| {
            let share =
                |of: usize, over: usize| u64::from(of_disk[of] + 1) * u64::from(disks[over].slots);
            share(*a, *b).cmp(&share(*b, *a)).then(a.cmp(b))
        };
        let open = places.iter().copied().filter(|p| of_disk[*p] < u32::from(disks[*p].slots));
        let next = open.min_by(fuller).expect("no domain gives more than it offers");
        of_disk[next] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_chains_as_the_smaller_domains_allow() {
        assert_eq!(most_chains(&[4, 4, 4], 3), 4);
        assert_eq!(most_chains(&[100, 4, 4], 3), 4);
        assert_eq!(most_chains(&[100, 4, 4], 2), 8);
        assert_eq!(most_chains(&[5], 1), 5);
        assert_eq!(most_chains(&[3, 3, 3, 3, 3, 3, 3], 3), 7);
        assert_eq!(of_domains(&[4, 4, 4, 1], 4, 3), [3, 4, 4, 1]);
    }
}
