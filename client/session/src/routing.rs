//! What a client knows of the cluster: built from [`RoutingDelta`]s, asked for chains and replicas.
//!
//! Invariant: no item ever gets older. A delta that is behind the table is left out as a whole, a chain
//! or a node that is behind the known one as well, so that answers that cross each other do no harm.

use std::collections::BTreeMap;

use emberfs_layout::{
    ChainId, ChunkIndex, DiskId, FileLayout, LayoutError, NodeId, RoutingVersion, TableId,
    TableVersion, TargetId,
};
use emberfs_wire::chunk::Replica;
use emberfs_wire::cluster::{Chain, ChainTable, Disk, Node, PublicState, RoutingDelta};
use thiserror::Error;

/// The routing at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingTable {
    version: RoutingVersion,
    nodes: BTreeMap<NodeId, Node>,
    disks: BTreeMap<DiskId, Disk>,
    homes: BTreeMap<TargetId, NodeId>,
    chains: BTreeMap<ChainId, Chain>,
    tables: BTreeMap<TableId, ChainTable>,
}

/// The table cannot say where something is: newer routing may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// A layout names a table that is not known, or not in this version.
    #[error("{table} at version {version} is not known")]
    UnknownTable {
        /// Which table.
        table: TableId,
        /// In which version.
        version: TableVersion,
    },
    /// A layout's stripe does not fit its table.
    #[error("the layout does not fit {table}: {why}")]
    Layout {
        /// Which table.
        table: TableId,
        /// What is wrong.
        why: LayoutError,
    },
    /// A table names a chain that is not known.
    #[error("{chain} is not known")]
    UnknownChain {
        /// Which chain.
        chain: ChainId,
    },
    /// No member of the chain serves.
    #[error("no replica of {chain} is serving")]
    NoneServing {
        /// Which chain.
        chain: ChainId,
    },
    /// A chain names a target whose node is not known.
    #[error("the node of {target} is not known")]
    UnknownHome {
        /// Which target.
        target: TargetId,
    },
}

/// The chains of one file, in stripe order: computed once a file, as the shuffle is not free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStripe {
    layout: FileLayout,
    chains: Vec<ChainId>,
}

impl RoutingTable {
    /// What it is: ask for what changed since.
    #[must_use]
    pub fn version(&self) -> RoutingVersion {
        self.version
    }

    /// All nodes, by id.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// All disks, by id.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.disks.values()
    }

    /// All chains, by id.
    pub fn chains(&self) -> impl Iterator<Item = &Chain> {
        self.chains.values()
    }

    /// All chain tables, by id.
    pub fn tables(&self) -> impl Iterator<Item = &ChainTable> {
        self.tables.values()
    }

    /// Takes in a page; whether more follows.
    pub fn apply(&mut self, delta: RoutingDelta) -> bool {
        if delta.version < self.version {
            return false;
        }
        self.version = delta.version;
        for node in delta.nodes {
            if self.nodes.get(&node.id).is_none_or(|known| known.boot <= node.boot) {
                self.nodes.insert(node.id, node);
            }
        }
        for disk in delta.disks {
            self.homes.extend(disk.targets.iter().map(|target| (*target, disk.node)));
            self.disks.insert(disk.id, disk);
        }
        for chain in delta.chains {
            if self.chains.get(&chain.id).is_none_or(|known| known.version <= chain.version) {
                self.chains.insert(chain.id, chain);
            }
        }
        for table in delta.tables {
            if self.tables.get(&table.id).is_none_or(|known| known.version <= table.version) {
                self.tables.insert(table.id, table);
            }
        }
        delta.more
    }

    /// The chains of a file.
    ///
    /// # Errors
    /// [`RouteError`] if the table that the layout names is not known, or does not fit it.
    pub fn stripe(&self, layout: FileLayout) -> Result<FileStripe, RouteError> {
        let (table, version) = (layout.table, layout.table_version);
        let unknown = RouteError::UnknownTable { table, version };
        let known = self.tables.get(&table).ok_or(unknown)?;
        let at = (version.get() as usize).checked_sub(1).ok_or(unknown)?;
        let len = *known.lengths.get(at).ok_or(unknown)?;
        let order = layout.stripe_order(len).map_err(|why| RouteError::Layout { table, why })?;
        let chains = order.iter().map(|place| known.chains.get(*place as usize).copied());
        Ok(FileStripe { layout, chains: chains.collect::<Option<_>>().ok_or(unknown)? })
    }

    /// A chain.
    ///
    /// # Errors
    /// [`RouteError::UnknownChain`].
    pub fn chain(&self, chain: ChainId) -> Result<&Chain, RouteError> {
        self.chains.get(&chain).ok_or(RouteError::UnknownChain { chain })
    }

    /// The replica that takes a chain's writes.
    ///
    /// # Errors
    /// [`RouteError`] if the chain is not known or nobody serves.
    pub fn head(&self, chain: ChainId) -> Result<Replica, RouteError> {
        self.serving(chain)?.next().ok_or(RouteError::NoneServing { chain })
    }

    /// The replicas that may be read, head first.
    ///
    /// # Errors
    /// [`RouteError::UnknownChain`].
    pub fn serving(&self, chain: ChainId) -> Result<impl Iterator<Item = Replica>, RouteError> {
        let chain = self.chain(chain)?;
        let serving = chain.members.iter().filter(|m| m.state == PublicState::Serving);
        Ok(serving.map(|member| Replica {
            target: member.target,
            chain: chain.id,
            version: chain.version,
        }))
    }

    /// Whether a replica may be read, in this version of its chain.
    #[must_use]
    pub fn serves(&self, replica: &Replica) -> bool {
        self.serving(replica.chain).is_ok_and(|mut serving| serving.any(|one| one == *replica))
    }

    /// The node that has a target.
    ///
    /// # Errors
    /// [`RouteError::UnknownHome`].
    pub fn home(&self, target: TargetId) -> Result<&Node, RouteError> {
        let node = self.homes.get(&target).and_then(|node| self.nodes.get(node));
        node.ok_or(RouteError::UnknownHome { target })
    }
}

impl FileStripe {
    /// The chain that holds chunk `index`.
    #[must_use]
    pub fn chain_of(&self, index: ChunkIndex) -> ChainId {
        self.chains[self.layout.stripe_place(index) as usize]
    }
}

#[cfg(test)]
mod tests {
    use emberfs_layout::{BootNumber, ChainVersion, ChunkSize, StripeWidth};
    use emberfs_wire::cluster::{ChainMember, DomainId};
    use proptest::prelude::*;

    use super::*;

    fn node(id: u32, boot: u64) -> Node {
        let addresses = vec![format!("host-{id}-{boot}:1")];
        let (id, boot) = (NodeId(id), BootNumber(boot));
        Node { id, name: id.to_string(), addresses, boot, domain: DomainId(id.0) }
    }

    fn chain(id: u32, version: u64, states: &[PublicState]) -> Chain {
        let members = (1..)
            .zip(states)
            .map(|(target, state)| ChainMember { target: TargetId(target), state: *state });
        let version = ChainVersion(version);
        Chain { id: ChainId(id), version, members: members.collect(), min_serving: 2 }
    }

    fn table(lengths: &[u32]) -> ChainTable {
        let chains = (0..*lengths.last().expect("one")).map(ChainId).collect();
        let version = TableVersion(u32::try_from(lengths.len()).expect("few"));
        ChainTable {
            id: TableId(1),
            version,
            chains,
            lengths: lengths.to_vec(),
            replicas: 3,
            chunk_size: None,
            is_default: true,
        }
    }

    fn layout(table_version: u32, width: u32) -> FileLayout {
        FileLayout {
            chunk_size: ChunkSize::DEFAULT,
            stripe: StripeWidth::new(width).expect("not empty"),
            table: TableId(1),
            table_version: TableVersion(table_version),
            seed: 7,
        }
    }

    #[test]
    fn a_stripe_keeps_to_its_version_of_the_table() {
        let mut routing = RoutingTable::default();
        let unknown = |version| {
            Err(RouteError::UnknownTable { table: TableId(1), version: TableVersion(version) })
        };
        assert_eq!(routing.stripe(layout(1, 2)), unknown(1));
        let tables = vec![table(&[4])];
        routing.apply(RoutingDelta { version: RoutingVersion(1), tables, ..Default::default() });
        let before = routing.stripe(layout(1, 4)).expect("known");
        assert_eq!(routing.stripe(layout(2, 4)), unknown(2));
        assert_eq!(routing.stripe(layout(0, 4)), unknown(0));
        let tables = vec![table(&[4, 9])];
        routing.apply(RoutingDelta { version: RoutingVersion(2), tables, ..Default::default() });
        assert_eq!(routing.stripe(layout(1, 4)).expect("known"), before, "old files do not move");
        let wide = routing.stripe(layout(1, 5)).expect_err("too wide");
        assert!(matches!(wide, RouteError::Layout { .. }), "{wide}");
        let mut chains: Vec<_> = (0..4).map(|i| before.chain_of(ChunkIndex(i))).collect();
        assert_eq!(before.chain_of(ChunkIndex(5)), chains[1]);
        chains.sort_unstable();
        assert_eq!(chains, [0, 1, 2, 3].map(ChainId));
    }

    #[test]
    fn the_head_is_the_first_that_serves() {
        use PublicState::{LastServing, Serving, Syncing};
        let mut routing = RoutingTable::default();
        let chains = vec![chain(1, 3, &[Serving, Serving, Syncing]), chain(2, 1, &[LastServing])];
        let version = RoutingVersion(1);
        routing.apply(RoutingDelta { version, chains, ..Default::default() });
        let head = routing.head(ChainId(1)).expect("serves");
        assert_eq!((head.target, head.version), (TargetId(1), ChainVersion(3)));
        assert_eq!(routing.serving(ChainId(1)).expect("known").count(), 2, "not who is syncing");
        let older = Replica { version: ChainVersion(2), ..head };
        let (syncing, unknown) =
            (Replica { target: TargetId(3), ..head }, Replica { chain: ChainId(3), ..head });
        assert!(routing.serves(&head));
        assert!(![older, syncing, unknown].iter().any(|replica| routing.serves(replica)));
        assert_eq!(routing.head(ChainId(2)), Err(RouteError::NoneServing { chain: ChainId(2) }));
        assert_eq!(routing.head(ChainId(3)), Err(RouteError::UnknownChain { chain: ChainId(3) }));
        let target = TargetId(1);
        assert_eq!(routing.home(target), Err(RouteError::UnknownHome { target }));
    }

    #[test]
    fn an_older_answer_that_comes_late_changes_nothing() {
        let mut routing = RoutingTable::default();
        let with = |version, boot, of_chain| RoutingDelta {
            version: RoutingVersion(version),
            nodes: vec![node(1, boot)],
            chains: vec![chain(1, of_chain, &[PublicState::Serving])],
            ..Default::default()
        };
        routing.apply(with(5, 2, 9));
        let before = routing.clone();
        assert!(!routing.apply(RoutingDelta { more: true, ..with(4, 3, 10) }));
        routing.apply(with(5, 1, 8));
        assert_eq!(routing, before);
    }

    #[derive(Clone, Debug)]
    enum Item {
        Node(Node),
        Disk(Disk),
        Chain(Chain),
    }

    fn item() -> impl Strategy<Value = Item> {
        use PublicState::{Offline, Serving};
        prop_oneof![
            (0_u32..4).prop_map(|id| Item::Node(node(id, 0))),
            (0_u32..4, 0_u32..4, 0_u32..9).prop_map(|(id, node, target)| Item::Disk(Disk {
                id: DiskId(id.into()),
                node: NodeId(node),
                targets: vec![TargetId(id * 100), TargetId(id * 100 + target)],
            })),
            (0_u32..4, any::<bool>()).prop_map(|(id, up)| Item::Chain(chain(
                id,
                0,
                &[if up { Serving } else { Offline }]
            ))),
        ]
    }

    /// Applies a history of changes in pages of these sizes, each page the newest state of its items.
    fn applied(items: &[Item], mut sizes: impl Iterator<Item = usize>) -> RoutingTable {
        let (mut routing, mut at) = (RoutingTable::default(), 0);
        while at < items.len() {
            let end = (at + sizes.next().expect("endless")).min(items.len());
            let version = RoutingVersion(end as u64);
            let mut delta = RoutingDelta { version, more: end < items.len(), ..Default::default() };
            for (i, item) in (at as u64 + 1..).zip(&items[at..end]) {
                match item.clone() {
                    Item::Node(node) => delta.nodes.push(Node { boot: BootNumber(i), ..node }),
                    Item::Disk(disk) => delta.disks.push(disk),
                    Item::Chain(chain) => {
                        delta.chains.push(Chain { version: ChainVersion(i), ..chain });
                    }
                }
            }
            assert_eq!(routing.apply(delta), end < items.len());
            at = end;
        }
        routing
    }

    proptest! {
        #[test]
        fn any_paging_gives_the_same_table(
            items in prop::collection::vec(item(), 0..40),
            sizes in prop::collection::vec(1_usize..9, 1..8),
        ) {
            let at_once = applied(&items, std::iter::repeat(usize::MAX / 2));
            prop_assert_eq!(applied(&items, sizes.iter().copied().cycle()), at_once);
        }
    }
}
