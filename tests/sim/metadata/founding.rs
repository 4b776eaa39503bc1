//! A cluster as it is before a run: servers, disks, chains and sessions, in the state of every member.

use std::collections::BTreeMap;
use std::rc::Rc;

use emberfs_chain_replication::membership::LeaseTerm;
use emberfs_layout::{ChunkSize, ClientId, DiskId, NodeId, TargetId};
use emberfs_meta_server_state::{Body, MemoryStore, Outcome};
use emberfs_wire::cluster::{AdministerReply, Register};
use emberfs_wire::meta::OpenSession;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::agreed::{Agreed, apply_now};
use super::member::Member;
use super::storage::State;
use super::{MEMBERS, Metadata};
use crate::coverage::Rows;
use crate::planted::Planted;
use crate::server::Clock;

/// T, in milliseconds: the usual one, and others that a member's configuration may say.
const LEASES_MS: [u32; 3] = [1_000, 500, 4_000];

/// A chain as it is to be made: its members, each with its server.
pub(crate) struct Plan {
    pub(crate) members: Vec<(usize, TargetId)>,
    pub(crate) min_serving: u8,
}

impl Metadata {
    /// A cluster of servers, of chains over them, head first, and of so many sessions.
    pub(crate) fn new(
        seed: u64,
        servers: &[Register],
        chains: &[Plan],
        sessions: usize,
        planted: Option<Planted>,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x0000_6d65_7461);
        let mut store = MemoryStore::default();
        found(&mut store, servers, chains);
        let sessions = (0..sessions).map(|_| open_session(&mut store, rng.random())).collect();
        let founded = Rc::new(State { store: store.clone(), ..State::default() });
        let same = planted != Some(Planted::EarlierLeaseIgnored) && rng.random_bool(0.7);
        let member = |_| {
            let clock =
                Clock { pace: rng.random_range(75..=130), began: rng.random_range(0..100_000) };
            let ms = LEASES_MS[if same { 0 } else { rng.random_range(0..LEASES_MS.len()) }];
            Member::new(clock, LeaseTerm::new(ms).expect("long enough"), founded.clone())
        };
        Self {
            members: (0..MEMBERS).map(member).collect(),
            rng,
            leaders: Vec::new(),
            agreed: Agreed::new(store),
            snapshots: BTreeMap::new(),
            sessions,
            silent: Vec::new(),
            calm: false,
            planted,
            rows: Rows::default(),
        }
    }
}

fn found(store: &mut MemoryStore, servers: &[Register], chains: &[Plan]) {
    for (at, server) in servers.iter().enumerate() {
        apply_now(store, Body::Register(Register { node: None, ..server.clone() }));
        let carried = chains.iter().flat_map(|plan| &plan.members);
        let targets = carried.filter(|(server, _)| *server == at).count();
        let targets = u16::try_from(targets).expect("few");
        let order = Body::AddDisk { order_id: at as u64, disk: server.disks[0], targets };
        apply_now(store, order);
    }
    for (at, plan) in chains.iter().enumerate() {
        let order = Body::CreateTable {
            order_id: 1_000 + at as u64,
            chains: vec![plan.members.iter().map(|(_, target)| *target).collect()],
            replicas: u8::try_from(plan.members.len()).expect("few"),
            min_serving: plan.min_serving,
            chunk_size: ChunkSize::MIN,
            is_default: false,
        };
        let made = apply_now(store, order);
        let is_made = matches!(made, Outcome::Administered(AdministerReply::TableCreated(_)));
        assert!(is_made, "{made:?}");
    }
}

fn open_session(store: &mut MemoryStore, start: u64) -> ClientId {
    let asked = OpenSession { start, host: String::new(), what: String::new() };
    match apply_now(store, Body::OpenSession(asked)) {
        Outcome::SessionOpened(reply) => reply.client,
        other => unreachable!("{other:?}"),
    }
}

/// How a server presents itself; `start` names its process.
pub(crate) fn registration(server: usize, start: u64) -> Register {
    let name = format!("server-{server}");
    let disk = DiskId(server as u128 + 1);
    let node = Some(node_of(server));
    Register {
        start,
        node,
        addresses: vec![format!("{name}:1")],
        name,
        domain: None,
        disks: vec![disk],
        lock: None,
    }
}

/// The number of a server, counted from 0.
pub(crate) fn node_of(server: usize) -> NodeId {
    NodeId(u32::try_from(server + 1).expect("few"))
}
