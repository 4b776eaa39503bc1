//! Routing for tests, of parts in which only what is said counts.

use emberfs_client::{
    Chain, ChainMember, ChainTable, Disk, Node, PublicState, RoutingDelta, RoutingTable,
};
use emberfs_layout::{
    BootNumber, ChainId, ChainVersion, DiskId, NodeId, RoutingVersion, TableId, TableVersion,
    TargetId,
};

/// A server that fails alone, as far as is said.
pub(crate) fn node(id: u32, name: &str) -> Node {
    Node {
        id: NodeId(id),
        name: name.to_owned(),
        addresses: Vec::new(),
        boot: BootNumber(1),
        domain: Default::default(),
    }
}

pub(crate) fn disk<const N: usize>(id: u32, node: u32, targets: [u32; N]) -> Disk {
    let targets = targets.map(TargetId).to_vec();
    Disk { id: DiskId(id.into()), node: NodeId(node), targets }
}

/// A chain whose members are in these states.
pub(crate) fn chain<const N: usize>(
    id: u32,
    members: [(u32, PublicState); N],
    min_serving: u8,
) -> Chain {
    let member = |(target, state)| ChainMember { target: TargetId(target), state };
    let members = members.map(member).to_vec();
    Chain { id: ChainId(id), version: ChainVersion(1), members, min_serving }
}

/// The table with the number 1, over these chains.
pub(crate) fn table<const N: usize>(chains: [u32; N], replicas: u8) -> ChainTable {
    ChainTable {
        id: TableId(1),
        version: TableVersion(1),
        chains: chains.map(ChainId).to_vec(),
        lengths: vec![u32::try_from(N).expect("few")],
        replicas,
        chunk_size: None,
        is_default: true,
    }
}

pub(crate) fn routing(
    nodes: Vec<Node>,
    disks: Vec<Disk>,
    chains: Vec<Chain>,
    tables: Vec<ChainTable>,
) -> RoutingTable {
    let mut routing = RoutingTable::default();
    let version = RoutingVersion(1);
    routing.apply(RoutingDelta { version, more: false, nodes, disks, chains, tables });
    routing
}
