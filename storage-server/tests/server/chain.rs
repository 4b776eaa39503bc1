//! Chains over real servers.

use emberfs_layout::{ChainId, ChainVersion, TargetId};
use emberfs_wire::chunk::Replica;
use emberfs_wire::cluster::PublicState;

use crate::client::{Client, chunk, replicas};
use crate::host::{CLUSTER, Host};
use crate::meta::Meta;

/// A chain over servers of one disk each, a client at each.
pub(crate) struct Chain {
    pub(crate) meta: Meta,
    pub(crate) hosts: Vec<Host>,
    pub(crate) members: (ChainId, ChainVersion, Vec<TargetId>),
}

impl Chain {
    pub(crate) fn of(len: usize) -> Self {
        let meta = Meta::start(CLUSTER);
        let hosts: Vec<Host> = (0..len).map(|i| Host::start(&format!("s{i}"), 1, &meta)).collect();
        let members = Self::members(&meta, &hosts);
        Self { meta, hosts, members }
    }

    pub(crate) fn members(meta: &Meta, hosts: &[Host]) -> (ChainId, ChainVersion, Vec<TargetId>) {
        Self::stated(meta, hosts, &[PublicState::Serving; 3])
    }

    pub(crate) fn stated(
        meta: &Meta,
        hosts: &[Host],
        states: &[PublicState],
    ) -> (ChainId, ChainVersion, Vec<TargetId>) {
        let member = |(host, state): (&Host, &_)| (host.node, host.disks[0], *state);
        meta.make_chain(&hosts.iter().zip(states).map(member).collect::<Vec<_>>())
    }

    /// A client of this number at each member, with the member's name.
    pub(crate) async fn clients(&self, id: u64) -> Vec<(Client, Replica)> {
        let mut clients = Vec::new();
        for (host, replica) in self.hosts.iter().zip(replicas(&self.members)) {
            clients.push((Client::connect(id, host).await, replica));
        }
        clients
    }

    pub(crate) fn restart(&mut self) {
        self.hosts.iter_mut().for_each(Host::stop);
        self.hosts.iter_mut().for_each(|host| host.restart(&self.meta));
        self.members = Self::members(&self.meta, &self.hosts);
    }
}

/// A server of one disk that is a chain of its own, and its name in that.
pub(crate) fn alone() -> (Meta, Host, Replica) {
    let meta = Meta::start(CLUSTER);
    let host = Host::start("one", 1, &meta);
    let at = replicas(&meta.make_chain(&[(host.node, host.disks[0], PublicState::Serving)]))[0];
    (meta, host, at)
}

/// Bytes that differ everywhere.
pub(crate) fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let words = (0..).map(|i: u32| (i ^ seed).wrapping_mul(0x9e37_79b1).to_le_bytes());
    words.flatten().take(len).collect()
}

/// What every member must answer for a chunk.
pub(crate) async fn assert_all(clients: &[(Client, Replica)], data: u64, expected: Option<&[u8]>) {
    for (client, replica) in clients {
        let found = client.read(*replica, chunk(data, 0)).await.expect("it serves");
        assert!(found.as_deref() == expected, "{} answers something else", replica.target);
    }
}
