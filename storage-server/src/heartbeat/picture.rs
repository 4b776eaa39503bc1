//! The routing, as this server has heard of it, and the part of it that its shards go by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use emberfs_layout::{ChainId, DiskId, NodeId, RoutingVersion, TargetId};
use emberfs_transport::Address;
use emberfs_wire::cluster::{Chain, Disk, Node, RoutingDelta};
use emberfs_wire::handshake::ShardIndex;

use crate::news::Routes;

/// All nodes, disks and chains of the cluster. Tables are the clients' affair.
#[derive(Debug, Default)]
pub(super) struct Picture {
    version: RoutingVersion,
    nodes: BTreeMap<NodeId, Node>,
    disks: BTreeMap<DiskId, Disk>,
    chains: BTreeMap<ChainId, Chain>,
    /// The chain that each target was last a member of: it must hear of it also when it is none any more.
    joined: BTreeMap<TargetId, ChainId>,
}

impl Picture {
    pub(super) fn version(&self) -> RoutingVersion {
        self.version
    }

    /// Takes in what changed; says whether anything did.
    pub(super) fn apply(&mut self, delta: RoutingDelta) -> bool {
        let RoutingDelta { version, more: _, nodes, disks, chains, tables: _ } = delta;
        let changed = !(nodes.is_empty() && disks.is_empty() && chains.is_empty());
        self.version = version;
        self.nodes.extend(nodes.into_iter().map(|node| (node.id, node)));
        self.disks.extend(disks.into_iter().map(|disk| (disk.id, disk)));
        for chain in chains {
            // A chain never goes back: an old leader's words may arrive late.
            let known = self.chains.get(&chain.id).map(|known| known.version);
            if known.is_none_or(|known| known <= chain.version) {
                self.joined.extend(chain.members.iter().map(|member| (member.target, chain.id)));
                self.chains.insert(chain.id, chain);
            }
        }
        changed
    }

    /// What concerns the shards of `us`, whose disks live on the shards `homes`.
    pub(super) fn routes(&self, us: NodeId, homes: &BTreeMap<DiskId, ShardIndex>) -> Routes {
        let mut routes = Routes::default();
        for disk in self.disks.values().filter(|disk| disk.node == us) {
            match homes.get(&disk.id) {
                Some(shard) => {
                    routes.homes.extend(disk.targets.iter().map(|target| (*target, *shard)));
                    routes.disks.insert(disk.id, disk.targets.clone());
                }
                None => routes.offline.extend(&disk.targets),
            }
        }
        // Targets of this server that share a chain reach each other like any others.
        let mut others: BTreeSet<TargetId> = routes.homes.keys().copied().collect();
        for target in routes.homes.keys() {
            let chain = self.joined.get(target).and_then(|chain| self.chains.get(chain));
            if let Some(chain) = chain {
                others.extend(chain.members.iter().map(|member| member.target));
                routes.chains.insert(*target, Arc::new(chain.clone()));
            }
        }
        for disk in self.disks.values() {
            let wanted = disk.targets.iter().filter(|target| others.contains(target));
            routes.places.extend(wanted.map(|target| (*target, disk.node)));
        }
        let wanted: BTreeSet<NodeId> = routes.places.values().copied().collect();
        let addresses = |node: &Node| -> Vec<Address> {
            node.addresses.iter().filter_map(|text| text.parse().ok()).collect()
        };
        let nodes = self.nodes.values().filter(|node| wanted.contains(&node.id));
        routes.addresses = nodes.map(|node| (node.id, addresses(node))).collect();
        routes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use emberfs_layout::{BootNumber, ChainVersion};
    use emberfs_wire::cluster::{ChainMember, DomainId, PublicState};

    fn node(id: u32) -> Node {
        let addresses = vec![format!("127.0.0.1:{id}"), "nonsense".to_owned()];
        let (id, domain) = (NodeId(id), DomainId(id));
        Node { id, name: id.to_string(), addresses, boot: BootNumber(1), domain }
    }

    fn chain(id: u32, version: u64, targets: &[u32]) -> Chain {
        let member =
            |target: &u32| ChainMember { target: TargetId(*target), state: PublicState::Serving };
        Chain {
            id: ChainId(id),
            version: ChainVersion(version),
            members: targets.iter().map(member).collect(),
            min_serving: 1,
        }
    }

    fn picture() -> Picture {
        let disk = |id, node, targets: &[u32]| Disk {
            id: DiskId(id),
            node: NodeId(node),
            targets: targets.iter().copied().map(TargetId).collect(),
        };
        let delta = RoutingDelta {
            version: RoutingVersion(5),
            nodes: vec![node(1), node(2), node(3)],
            disks: vec![
                disk(10, 1, &[100, 101]),
                disk(20, 2, &[200]),
                disk(30, 3, &[300]),
                disk(11, 1, &[110]),
            ],
            chains: vec![chain(1, 4, &[100, 200]), chain(2, 1, &[300])],
            ..RoutingDelta::default()
        };
        let mut picture = Picture::default();
        assert!(picture.apply(delta));
        picture
    }

    #[test]
    fn a_shard_hears_of_its_own_chains_and_of_whom_they_reach() {
        let homes = BTreeMap::from([(DiskId(10), ShardIndex(0)), (DiskId(20), ShardIndex(1))]);
        let routes = picture().routes(NodeId(1), &homes);
        assert_eq!(
            routes.homes.keys().copied().collect::<Vec<_>>(),
            [TargetId(100), TargetId(101)]
        );
        assert_eq!(routes.offline, [TargetId(110)], "its disk was not found at the start");
        assert_eq!(routes.chains.keys().copied().collect::<Vec<_>>(), [TargetId(100)]);
        assert_eq!(routes.places.get(&TargetId(200)), Some(&NodeId(2)));
        assert_eq!(routes.places.get(&TargetId(300)), None, "of a chain without a member here");
        assert_eq!(routes.addresses[&NodeId(2)].len(), 1, "what is no address is skipped");
    }

    #[test]
    fn a_target_that_left_its_chain_hears_of_it() {
        let mut picture = picture();
        let chains = vec![chain(1, 5, &[200])];
        picture.apply(RoutingDelta { chains, ..RoutingDelta::default() });
        let routes = picture.routes(NodeId(1), &BTreeMap::from([(DiskId(10), ShardIndex(0))]));
        assert_eq!(routes.chains[&TargetId(100)].version, ChainVersion(5));
    }

    #[test]
    fn a_chain_never_goes_back_and_what_is_not_named_stands() {
        let mut picture = picture();
        let version = RoutingVersion(6);
        let old =
            RoutingDelta { version, chains: vec![chain(1, 3, &[200])], ..RoutingDelta::default() };
        picture.apply(old);
        assert_eq!(picture.chains[&ChainId(1)].version, ChainVersion(4));
        assert_eq!((picture.version(), picture.nodes.len()), (version, 3));
        assert!(!picture.apply(RoutingDelta { version, ..RoutingDelta::default() }));
    }
}
