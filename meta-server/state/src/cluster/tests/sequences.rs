//! Any sequence of changes: what must hold after each, and who follows by pages has the same picture.

use std::collections::BTreeMap;

use emberfs_wire::cluster::{ChainMember, Node, RoutingDelta};
use proptest::prelude::*;

use super::*;
use crate::cluster::PlacedChain;
use crate::transaction::Overlay;

const STATES: [PublicState; 5] = [
    PublicState::Serving,
    PublicState::Syncing,
    PublicState::Waiting,
    PublicState::LastServing,
    PublicState::Offline,
];

/// A change: small numbers, so that they meet.
#[derive(Clone, Debug)]
enum Deed {
    Register { name: u8, start: u64 },
    AddDisk { order: u64, disk: u128, targets: u16 },
    CreateTable { order: u64, replicas: usize, count: usize, is_default: bool },
    SetChain { chain: u32, states: Vec<usize>, stale: bool },
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        3 => (0_u8..4, 0_u64..30).prop_map(|(name, start)| Deed::Register { name, start }),
        2 => (0_u64..40, 0_u128..8, 1_u16..4)
            .prop_map(|(order, disk, targets)| Deed::AddDisk { order, disk, targets }),
        1 => (40_u64..50, 1_usize..4, 1_usize..4, any::<bool>()).prop_map(
            |(order, replicas, count, is_default)| Deed::CreateTable {
                order,
                replicas,
                count,
                is_default
            }
        ),
        3 => (1_u32..6, prop::collection::vec(0_usize..5, 3), prop::bool::weighted(0.2))
            .prop_map(|(chain, states, stale)| Deed::SetChain { chain, states, stale }),
    ];
    prop::collection::vec(deed, 0..60)
}

/// Chains over free targets of different nodes, as far as they go.
fn planned(store: &dyn View, replicas: usize, count: usize) -> Vec<Vec<TargetId>> {
    let mut free: BTreeMap<NodeId, Vec<TargetId>> = BTreeMap::new();
    for disk in free_disks(store).expect("memory") {
        free.entry(disk.node).or_default().extend(disk.targets);
    }
    let mut chains = Vec::new();
    while chains.len() < count {
        let chain: Vec<TargetId> = free.values_mut().filter_map(Vec::pop).take(replicas).collect();
        if chain.len() < replicas {
            break;
        }
        chains.push(chain);
    }
    chains
}

fn carry_out(txn: &mut dyn crate::Transaction, deed: &Deed) {
    match deed {
        Deed::Register { name, start } => {
            let disks = [u128::from(*name) * 2, u128::from(*name) * 2 + 1];
            let _words =
                register(txn, &asked(&format!("s{name}"), *start, &disks)).expect("memory");
        }
        Deed::AddDisk { order, disk, targets } => {
            add_disk(txn, *order, DiskId(*disk), *targets).expect("memory");
        }
        Deed::CreateTable { order, replicas, count, is_default } => {
            let chains = planned(&*txn, *replicas, *count);
            let plan = TablePlan { is_default: *is_default, ..plan(&chains) };
            create_table(txn, *order, plan).expect("memory");
        }
        Deed::SetChain { chain, states, stale } => {
            let placed = placed_chain(&*txn, ChainId(*chain)).expect("memory");
            let Some(PlacedChain { mut chain, places }) = placed else { return };
            let from = chain.version;
            chain.version = from.next();
            for (member, state) in chain.members.iter_mut().zip(states) {
                *member = ChainMember { state: STATES[*state], ..*member };
            }
            let boot = |boot: BootNumber| BootNumber(boot.get() - u64::from(*stale));
            let boots: Vec<BootNumber> = places.iter().map(|place| boot(place.boot)).collect();
            assert_eq!(set_chain(txn, from, &chain, &boots), Ok(!stale));
        }
    }
}

/// Someone who follows the routing.
#[derive(Debug, Default, PartialEq)]
struct Follower {
    version: RoutingVersion,
    nodes: BTreeMap<NodeId, Node>,
    disks: BTreeMap<DiskId, Disk>,
    chains: BTreeMap<ChainId, Chain>,
    tables: BTreeMap<TableId, ChainTable>,
}

impl Follower {
    fn follow(&mut self, store: &MemoryStore) {
        let delta = routing_since(store, self.version).expect("memory");
        let RoutingDelta { version, more, nodes, disks, chains, tables } = delta;
        assert!(version >= self.version && !more);
        self.version = version;
        self.nodes.extend(nodes.into_iter().map(|node| (node.id, node)));
        self.disks.extend(disks.into_iter().map(|disk| (disk.id, disk)));
        self.chains.extend(chains.into_iter().map(|chain| (chain.id, chain)));
        self.tables.extend(tables.into_iter().map(|table| (table.id, table)));
    }

    fn listed(store: &MemoryStore) -> Self {
        let chains = placed_chains(store).expect("memory").into_iter().map(|placed| placed.chain);
        Self {
            version: routing_version(store).expect("memory"),
            nodes: nodes(store).expect("memory").into_iter().map(|n| (n.id, n)).collect(),
            disks: disks(store).expect("memory").into_iter().map(|d| (d.id, d)).collect(),
            chains: chains.map(|chain| (chain.id, chain)).collect(),
            tables: tables(store).expect("memory").into_iter().map(|t| (t.id, t)).collect(),
        }
    }

    /// What holds of any cluster.
    fn check(&self) {
        let mut homes = BTreeMap::new();
        for disk in self.disks.values() {
            assert!(self.nodes.contains_key(&disk.node));
            for target in &disk.targets {
                assert!(homes.insert(*target, disk.node).is_none(), "{target} is on two disks");
            }
        }
        let mut taken = BTreeMap::new();
        for chain in self.chains.values() {
            let mut domains = BTreeMap::new();
            for ChainMember { target, .. } in &chain.members {
                assert!(taken.insert(*target, chain.id).is_none(), "{target} is in two chains");
                let domain = self.nodes[&homes[target]].domain;
                assert!(domains.insert(domain, target).is_none(), "{domain:?} has two of a chain");
            }
        }
        let boots: BTreeMap<BootNumber, NodeId> =
            self.nodes.values().map(|node| (node.boot, node.id)).collect();
        assert_eq!(boots.len(), self.nodes.len(), "no two starts share a number");
        for table in self.tables.values() {
            assert_eq!(table.chains.len(), table.lengths[0] as usize);
            assert!(table.chains.iter().all(|chain| self.chains.contains_key(chain)));
        }
        let defaults = self.tables.values().filter(|table| table.is_default).count();
        assert_eq!(defaults, usize::from(!self.tables.is_empty()), "one default");
    }
}

proptest! {
    #[test]
    fn who_follows_has_the_picture_and_the_rules_hold(deeds in deeds(), skip in 1_usize..5) {
        let (mut store, mut follower) = (MemoryStore::default(), Follower::default());
        let mut versions = BTreeMap::new();
        for (i, deed) in deeds.iter().enumerate() {
            carry_out(&mut store, deed);
            let listed = Follower::listed(&store);
            listed.check();
            for chain in listed.chains.values() {
                let before = versions.insert(chain.id, chain.clone()).unwrap_or(chain.clone());
                let grown = chain.version.get() - before.version.get();
                prop_assert!(grown <= 1 && (grown == 1 || before == *chain));
            }
            if i % skip == 0 {
                follower.follow(&store);
                prop_assert_eq!(&follower, &listed);
            }
        }
        let log = store.scan(&key(Kind::RoutingChange, &[]), &end_of(b"U"), 999).expect("memory");
        let listed = Follower::listed(&store);
        let items = listed.nodes.len() + listed.disks.len() + listed.chains.len() + listed.tables.len();
        prop_assert_eq!(log.len(), items, "the log is as long as there are items");
    }

    /// Two members that apply the same write the same, however their store gathers it.
    #[test]
    fn the_same_changes_make_the_same_store(deeds in deeds()) {
        let (mut direct, mut gathered) = (MemoryStore::default(), MemoryStore::default());
        for deed in &deeds {
            carry_out(&mut direct, deed);
            let mut overlay = Overlay::new(&gathered);
            carry_out(&mut overlay, deed);
            overlay.into_changes().apply(&mut gathered);
        }
        prop_assert_eq!(direct, gathered);
    }
}

#[test]
fn a_large_cluster_comes_in_pages() {
    let mut store = MemoryStore::default();
    let per_disk = u16::try_from(TARGETS_PER_DISK_MAX).expect("few");
    let mut all = Vec::new();
    for number in 0..2_u64 {
        let found: Vec<u128> = (0..16).map(|disk| u128::from(number) << 64 | disk).collect();
        registered(&mut store, &asked(&format!("s{number}"), number + 1, &found));
        for disk in &found {
            let order_id = (number << 8) + u64::try_from(*disk & 0xff).expect("few");
            all.push(added(&mut store, order_id, *disk, per_disk).targets);
        }
    }
    let chains: Vec<Vec<TargetId>> = all.concat().into_iter().map(|target| vec![target]).collect();
    assert_eq!(chains.len(), 8192);
    created(&mut store, 1 << 20, &chains);
    let (mut follower, mut pages) = (Follower::default(), 0);
    loop {
        let delta = routing_since(&store, follower.version).expect("memory");
        let mut bytes = Vec::new();
        emberfs_wire::encode(&delta, &mut bytes);
        assert!(bytes.len() < emberfs_wire::limits::MESSAGE_BYTES_MAX as usize / 2);
        follower.version = delta.version;
        follower.nodes.extend(delta.nodes.into_iter().map(|node| (node.id, node)));
        follower.disks.extend(delta.disks.into_iter().map(|disk| (disk.id, disk)));
        follower.chains.extend(delta.chains.into_iter().map(|chain| (chain.id, chain)));
        follower.tables.extend(delta.tables.into_iter().map(|table| (table.id, table)));
        pages += 1;
        if !delta.more {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(follower, Follower::listed(&store));
}
