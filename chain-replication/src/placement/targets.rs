//! A table over the free targets of disks.

use emberfs_layout::{DiskId, NodeId, TargetId};
use emberfs_wire::cluster::DomainId;

use super::{Disk, PlacementError, Replicas, place};

/// A disk with targets that no chain has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeDisk {
    /// Which disk.
    pub id: DiskId,
    /// The server that it is in.
    pub node: NodeId,
    /// What it fails with; all disks of a node are in the same.
    pub domain: DomainId,
    /// Its free targets.
    pub targets: Vec<TargetId>,
}

/// The members of each chain of a table over these disks, head first; as [`place`].
///
/// # Errors
/// [`PlacementError`] if the disks cannot carry a chain.
///
/// # Panics
/// When a disk has more targets than a disk may carry.
pub fn place_targets(
    disks: &[FreeDisk],
    replicas: Replicas,
) -> Result<Vec<Vec<TargetId>>, PlacementError> {
    let offer = |disk: &FreeDisk| Disk {
        id: disk.id,
        node: disk.node,
        domain: disk.domain,
        slots: u16::try_from(disk.targets.len()).expect("a disk carries a few hundred targets"),
    };
    let offered: Vec<Disk> = disks.iter().map(offer).collect();
    let plan = place(&offered, replicas)?;
    let targets: std::collections::BTreeMap<DiskId, &[TargetId]> =
        disks.iter().map(|disk| (disk.id, &disk.targets[..])).collect();
    let chains = plan.chains.iter();
    let target = |member: &super::Member| targets[&member.disk][usize::from(member.slot)];
    Ok(chains.map(|chain| chain.iter().map(target).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_free_target_is_in_one_chain() {
        let disk = |node: u32, targets: std::ops::Range<u32>| FreeDisk {
            id: DiskId(node.into()),
            node: NodeId(node),
            domain: DomainId(node),
            targets: targets.map(TargetId).collect(),
        };
        let disks = [disk(1, 10..12), disk(2, 20..22), disk(3, 30..32)];
        let replicas = |count| Replicas(std::num::NonZeroU8::new(count).expect("not 0"));
        let chains = place_targets(&disks, replicas(3)).expect("three domains");
        assert_eq!(chains.len(), 2);
        assert!(chains.iter().all(|chain| chain.len() == 3));
        let mut targets: Vec<u32> = chains.concat().iter().map(|target| target.get()).collect();
        targets.sort_unstable();
        assert_eq!(targets, [10, 11, 20, 21, 30, 31]);
        assert!(place_targets(&disks, replicas(4)).is_err());
    }
}
