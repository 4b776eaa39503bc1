//! Which disks carry a chain together.
//!
//! # What is asked
//! Every disk offers some slots, one a target. A chain takes `replicas` slots in different failure
//! domains. When a disk dies, the other members of its chains carry its reads and refill its
//! replacement; so no two disks should meet in many chains while others meet in none. The ideal is a
//! balanced incomplete block design, in which every pair meets equally often; such designs exist for
//! few numbers, so we search for the nearest.
//!
//! # How
//! 1. `quota`: how many chains fit, and how many slots of each domain and disk they take.
//! 2. `search`: chains are filled one by one from the domains with the most left and the pairs that
//!    met least, then members are exchanged between chains as long as that evens out the pairs.
//! 3. `roles`: heads and tails are spread over the disks.
//!
//! All three are deterministic: same input, same table. [`Evenness`] measures the result;
//! [`place_targets`] makes a table of the targets that are free.

pub mod evenness;
mod pairs;
mod quota;
mod roles;
mod search;
mod targets;

use std::collections::BTreeMap;

use emberfs_layout::{DiskId, NodeId};
use emberfs_wire::cluster::DomainId;
use thiserror::Error;

pub use evenness::Evenness;
pub use targets::{FreeDisk, place_targets};

/// How many copies of each chunk there are: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas(pub std::num::NonZeroU8);

/// A disk that offers slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Which disk.
    pub id: DiskId,
    /// The server that it is in.
    pub node: NodeId,
    /// What it fails with; all disks of a node are in the same.
    pub domain: DomainId,
    /// How many targets it carries at most.
    pub slots: u16,
}

/// One place in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The disk.
    pub disk: DiskId,
    /// Which of its slots, from 0.
    pub slot: u16,
}

/// A table of chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The members of each chain, head first.
    pub chains: Vec<Vec<Member>>,
    /// Slots that no chain could take: those of a domain larger than all others together allow, and
    /// fewer than one chain needs.
    pub unused: u32,
}

/// Why there is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// Replicas must not share a failure domain.
    #[error(
        "{replicas} replicas need as many failure domains with disks, there are {domains}: \
         add some, or lower the replicas"
    )]
    TooFewDomains {
        /// How many replicas.
        replicas: u8,
        /// How many domains have at least one slot.
        domains: usize,
    },
    /// The same disk is listed twice.
    #[error("disk {disk} is listed twice")]
    ListedTwice {
        /// Which.
        disk: DiskId,
    },
    /// A node fails as a whole, so it cannot lie in two domains.
    #[error("{node} has disks in two failure domains")]
    SplitNode {
        /// Which.
        node: NodeId,
    },
}

/// A table over all slots of `disks`, as even as the search finds.
///
/// # Errors
/// [`PlacementError`] if the disks cannot carry a chain.
pub fn place(disks: &[Disk], replicas: Replicas) -> Result<Plan, PlacementError> {
    check(disks, replicas)?;
    let quota = quota::of(disks, replicas);
    let mut chains = search::chains(disks, &quota);
    roles::spread(&mut chains, disks.len());
    let offered: u32 = disks.iter().map(|disk| u32::from(disk.slots)).sum();
    let taken = u32::try_from(chains.iter().map(Vec::len).sum::<usize>()).expect("of the offered");
    let mut next = vec![0_u16; disks.len()];
    let mut member = |disk: usize| {
        let slot = next[disk];
        next[disk] += 1;
        Member { disk: disks[disk].id, slot }
    };
    let chains = chains.iter().map(|chain| chain.iter().map(|d| member(*d)).collect()).collect();
    Ok(Plan { chains, unused: offered - taken })
}

fn check(disks: &[Disk], replicas: Replicas) -> Result<(), PlacementError> {
    let (mut seen, mut nodes, mut domains) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for disk in disks {
        if seen.insert(disk.id, ()).is_some() {
            return Err(PlacementError::ListedTwice { disk: disk.id });
        }
        if *nodes.entry(disk.node).or_insert(disk.domain) != disk.domain {
            return Err(PlacementError::SplitNode { node: disk.node });
        }
        if disk.slots > 0 {
            domains.insert(disk.domain, ());
        }
    }
    let (replicas, domains) = (replicas.0.get(), domains.len());
    if domains < usize::from(replicas) {
        return Err(PlacementError::TooFewDomains { replicas, domains });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
