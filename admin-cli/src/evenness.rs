//! How evenly a chain table lies on disks and servers, and who takes over how much when one of them dies.
//!
//! All members of a chain carry its load alike. When one dies, the others take over its part, and refill what comes in
//! its place; so of a dead disk's load another takes over
//!
//! ```text
//!   share = m / M        m: chains that both are in;  M: the same of all others together
//! ```
//!
//! The even share is by what a disk carries of all that lies in other failure domains than the dead one, in whole
//! chains: nothing can be more even than ⌈M · w⌉ / M. Both are measured for a disk as for a server, whose members are
//! all those on its disks.

use std::collections::BTreeMap;

use emberfs_client::{ChainTable, RoutingTable};
use emberfs_layout::{DiskId, NodeId, TargetId};

/// What fails together, by its number.
type Domain = u32;

/// What a disk or a server carries of a table, and would take over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load<P> {
    pub(crate) part: P,
    /// Chains that it is in: as many targets of the table as it has.
    pub(crate) targets: u32,
    /// Chains whose head it is now.
    pub(crate) heads: u32,
    /// Of others' load; `None` where it takes over nobody's, as no chain has two members.
    pub(crate) takeover: Option<Takeover>,
}

/// What one takes over of another's load when that dies, as a part of 1, over all others of other failure domains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Takeover {
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// The most that it would be, were all spread evenly.
    pub(crate) ideal: f64,
    /// How many times an even share it is where that is worst: 1 is ideal.
    pub(crate) times: f64,
}

/// Of each disk and each server that has a target of the table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evenness {
    pub(crate) disks: Vec<Load<DiskId>>,
    pub(crate) servers: Vec<Load<NodeId>>,
}

impl Evenness {
    /// Of a table, as its chains stand now. What the routing does not know yet is left out.
    pub(crate) fn of(routing: &RoutingTable, table: &ChainTable) -> Self {
        let domains: BTreeMap<NodeId, Domain> =
            routing.nodes().map(|node| (node.id, node.domain.0)).collect();
        let mut homes: BTreeMap<TargetId, (DiskId, NodeId, Domain)> = BTreeMap::new();
        for disk in routing.disks() {
            let Some(domain) = domains.get(&disk.node) else { continue };
            homes
                .extend(disk.targets.iter().map(|target| (*target, (disk.id, disk.node, *domain))));
        }
        let known = table.chains.iter().filter_map(|id| routing.chain(*id).ok());
        let placed: Vec<Vec<_>> = known
            .map(|chain| {
                chain.members.iter().filter_map(|m| homes.get(&m.target).copied()).collect()
            })
            .collect();
        let disks = placed.iter().map(|chain| chain.iter().map(|(disk, _, of)| (*disk, *of)));
        let servers = placed.iter().map(|chain| chain.iter().map(|(_, node, of)| (*node, *of)));
        Self {
            disks: loads(&disks.map(Iterator::collect).collect::<Vec<_>>()),
            servers: loads(&servers.map(Iterator::collect).collect::<Vec<_>>()),
        }
    }
}

/// Of each part that is in one of these chains, by its number. A chain is the parts that carry it, head first, each with
/// what it fails with.
fn loads<P: Copy + Ord>(chains: &[Vec<(P, Domain)>]) -> Vec<Load<P>> {
    let domains: BTreeMap<P, Domain> = chains.iter().flatten().copied().collect();
    let places: BTreeMap<P, usize> = domains.keys().copied().zip(0..).collect();
    let domains: Vec<Domain> = domains.into_values().collect();
    let chains: Vec<Vec<usize>> =
        chains.iter().map(|chain| chain.iter().map(|(part, _)| places[part]).collect()).collect();
    let mut targets = vec![0; domains.len()];
    let mut heads = vec![0; domains.len()];
    for chain in &chains {
        chain.iter().for_each(|place| targets[*place] += 1);
        chain.first().into_iter().for_each(|place| heads[*place] += 1);
    }
    let takeovers = takeovers(&chains, &domains, &targets);
    let load = |(part, place): (P, usize)| Load {
        part,
        targets: targets[place],
        heads: heads[place],
        takeover: takeovers[place],
    };
    places.into_iter().map(load).collect()
}

/// Of each part what it takes over; `targets` is how many chains each is in.
fn takeovers(chains: &[Vec<usize>], domains: &[Domain], targets: &[u32]) -> Vec<Option<Takeover>> {
    let mut chains_of: Vec<Vec<&Vec<usize>>> = vec![Vec::new(); domains.len()];
    for chain in chains {
        chain.iter().for_each(|place| chains_of[*place].push(chain));
    }
    let mut found = vec![None; domains.len()];
    for (dead, domain) in domains.iter().enumerate() {
        let mut met = vec![0_u32; domains.len()];
        let others = chains_of[dead].iter().flat_map(|chain| chain.iter());
        others.filter(|other| **other != dead).for_each(|other| met[*other] += 1);
        let apart = |place: &usize| domains[*place] != *domain;
        let all: u32 = met.iter().sum();
        let carried: u32 = (0..domains.len()).filter(apart).map(|place| targets[place]).sum();
        if all == 0 || carried == 0 {
            continue;
        }
        for place in (0..domains.len()).filter(apart) {
            let even = (u64::from(all) * u64::from(targets[place])).div_ceil(carried.into());
            let even = u32::try_from(even).expect("no more than all");
            let part = |chains: u32| f64::from(chains) / f64::from(all);
            let times = f64::from(met[place]) / f64::from(even);
            let (share, ideal) = (part(met[place]), part(even));
            let one = Takeover { least: share, most: share, ideal, times };
            found[place] = Some(found[place].map_or(one, |before| worse(before, one)));
        }
    }
    found
}

/// Of two deaths the worse of each figure, and the least share.
fn worse(a: Takeover, b: Takeover) -> Takeover {
    Takeover {
        least: a.least.min(b.least),
        most: a.most.max(b.most),
        ideal: a.ideal.max(b.ideal),
        times: a.times.max(b.times),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use emberfs_client::PublicState;

    /// Chains over parts that each fail alone.
    fn alone(chains: &[&[u32]]) -> Vec<Vec<(u32, Domain)>> {
        chains.iter().map(|chain| chain.iter().map(|part| (*part, *part)).collect()).collect()
    }

    fn near(found: f64, wanted: f64) -> bool {
        (found - wanted).abs() < 1e-9
    }

    #[test]
    fn a_perfect_design_is_ideal() {
        let fano: [&[u32]; 7] =
            [&[0, 1, 3], &[1, 2, 4], &[2, 3, 5], &[3, 4, 6], &[4, 5, 0], &[5, 6, 1], &[6, 0, 2]];
        let loads = loads(&alone(&fano));
        assert_eq!(loads.len(), 7);
        for load in loads {
            assert_eq!((load.targets, load.heads), (3, 1));
            let Takeover { least, most, ideal, times } = load.takeover.expect("three members");
            let sixth = 1.0 / 6.0;
            assert!(near(least, sixth) && near(most, sixth), "{load:?}");
            assert!(near(ideal, sixth) && near(times, 1.0), "{load:?}");
        }
    }

    #[test]
    fn who_takes_all_of_anothers_load_is_seen() {
        // 0 and 1 meet twice, and 2 and 3 twice: each takes all of the other's, where a third is even.
        let pairs = loads(&alone(&[&[0, 1], &[1, 0], &[2, 3], &[2, 3]]));
        let heads: Vec<u32> = pairs.iter().map(|load| load.heads).collect();
        assert_eq!(heads, [1, 1, 2, 0]);
        for load in pairs {
            let Takeover { least, most, ideal, times } = load.takeover.expect("two members");
            assert!(near(least, 0.0) && near(most, 1.0), "{load:?}");
            assert!(near(ideal, 0.5) && near(times, 2.0), "two chains are no thirds: {load:?}");
        }
    }

    #[test]
    fn the_even_share_is_by_what_each_carries() {
        // 0 is in four chains, the others in fewer: of 1's two it takes both, which is even for its size.
        let loads = loads(&alone(&[&[0, 1], &[0, 1], &[0, 2], &[0, 2]]));
        let of = |part: usize| loads[part].takeover.expect("two members");
        assert!(near(of(0).most, 1.0) && near(of(0).ideal, 1.0) && near(of(0).times, 1.0));
        assert!(near(of(1).least, 0.0) && near(of(1).most, 0.5) && near(of(1).times, 1.0));
    }

    #[test]
    fn those_that_fail_together_take_over_nothing_of_each_other() {
        // Two servers of two disks each; all meetings are between the servers.
        let disk = |disk: u32| (disk, disk / 2);
        let chains = [[0, 2], [3, 1], [1, 2], [3, 0]].map(|chain| chain.map(disk).to_vec());
        for load in loads(&chains) {
            let Takeover { least, most, ideal, times } = load.takeover.expect("two members");
            assert!(near(least, 0.5) && near(most, 0.5), "{load:?}");
            assert!(near(ideal, 0.5) && near(times, 1.0), "{load:?}");
        }
    }

    #[test]
    fn one_copy_is_taken_over_by_nobody() {
        let loads = loads(&alone(&[&[0], &[0], &[1]]));
        assert!(loads.iter().all(|load| load.takeover.is_none()), "{loads:?}");
        assert_eq!(loads.iter().map(|load| load.targets).collect::<Vec<_>>(), [2, 1]);
        assert!(super::loads::<u32>(&[]).is_empty());
    }

    #[test]
    fn a_table_is_measured_by_disk_and_by_server() {
        let node = |id| {
            let mut node = sample::node(id, &format!("storage-{id}"));
            node.domain.0 = id;
            node
        };
        // Disks 10 and 11 of server 1, 20 and 21 of server 2; each with two targets.
        let disk = |id| sample::disk(id, id / 10, [id, id + 100]);
        let chain = |id, targets: [u32; 2]| {
            sample::chain(id, targets.map(|target| (target, PublicState::Serving)), 1)
        };
        let table = sample::table([1, 2, 9], 2);
        let routing = sample::routing(
            [1, 2].map(node).to_vec(),
            [10, 11, 20, 21].map(disk).to_vec(),
            vec![chain(1, [10, 20]), chain(2, [121, 111]), chain(3, [110, 120])],
            Vec::new(),
        );
        let Evenness { disks, servers } = Evenness::of(&routing, &table);
        let parts: Vec<_> = disks.iter().map(|d| (d.part.get(), d.targets, d.heads)).collect();
        assert_eq!(parts, [(10, 1, 1), (11, 1, 0), (20, 1, 0), (21, 1, 1)]);
        let parts: Vec<_> = servers.iter().map(|s| (s.part.get(), s.targets, s.heads)).collect();
        assert_eq!(parts, [(1, 2, 1), (2, 2, 1)]);
        let server = servers[0].takeover.expect("two members");
        assert!(near(server.least, 1.0) && near(server.times, 1.0), "there is no other");
        let disk = disks[0].takeover.expect("two members");
        assert!(near(disk.least, 0.0) && near(disk.most, 1.0) && near(disk.ideal, 1.0));
    }
}
