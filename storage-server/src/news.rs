//! What the heartbeat thread tells the shards and the listener, and what the shards tell it.
//!
//! Both ways it is the latest value in a slot, not a queue: whoever is busy misses what is out of date, and
//! nobody waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use emberfs_chain_replication::target::{EndedSessions, Millis};
use emberfs_layout::{BootNumber, ClientId, DiskId, NodeId, Sequence, TargetId};
use emberfs_transport::Address;
use emberfs_wire::cluster::{Chain, DiskReport, SessionMark, TargetReport, WantedMark};
use emberfs_wire::handshake::ShardIndex;

/// All that a shard goes by, as of the last heartbeat that was answered.
#[derive(Clone, Debug)]
pub(crate) struct News {
    /// Who this server is.
    pub(crate) node: NodeId,
    /// Which start of it.
    pub(crate) boot: BootNumber,
    /// Until when it may serve.
    pub(crate) lease_until: Millis,
    /// Its disks and chains, and whom they reach.
    pub(crate) routes: Arc<Routes>,
    /// Sessions that had ended when this start registered: the list that follows is not of these.
    pub(crate) ended_before: Arc<EndedSessions>,
    /// Sessions that ended after what the slowest shard has applied.
    pub(crate) ended: Arc<[ClientId]>,
    /// Up to where the list of ended sessions goes with these.
    pub(crate) ended_to: Sequence,
    /// Marks of sessions that shards asked for.
    pub(crate) marks: Arc<[SessionMark]>,
}

/// The part of the routing that concerns one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    /// Its admitted disks that are open, with their targets.
    pub(crate) disks: BTreeMap<DiskId, Vec<TargetId>>,
    /// The same targets, by the shard that owns them.
    pub(crate) homes: BTreeMap<TargetId, ShardIndex>,
    /// Targets of its disks that are not open.
    pub(crate) offline: Vec<TargetId>,
    /// The chain of each of its targets that is in one.
    pub(crate) chains: BTreeMap<TargetId, Arc<Chain>>,
    /// Where the members of those chains live.
    pub(crate) places: BTreeMap<TargetId, NodeId>,
    /// How their nodes are reached.
    pub(crate) addresses: BTreeMap<NodeId, Vec<Address>>,
}

/// How a shard stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ShardReport {
    pub(crate) targets: Vec<TargetReport>,
    pub(crate) disks: Vec<DiskReport>,
    /// Up to where it has applied the list of ended sessions.
    pub(crate) ended: Sequence,
    /// Marks of sessions that its targets ask for.
    pub(crate) marks_wanted: Vec<WantedMark>,
}
