//! What servers and operators ask of the metadata leader about the cluster: who is in it, which targets
//! make which chains, and who may serve.
//!
//! ```text
//!   storage server ── Register ───► a node number and the boot number of this start
//!                  ── Heartbeat ──► a lease, counted from when it was sent; what changed in the routing;
//!                                   marks of sessions that it asked for
//!   client         ── GetRouting ─► what changed in the routing since the version that it has
//!                  ◄─ TellRouting ─ the same, unasked
//!   operator       ── Administer ─► disks admitted, tables made
//!                  ── GetStatus, GetClients ─► how servers stand, which clients there are
//! ```
//!
//! # Routing
//! [`RoutingDelta`] carries what changed after a [`RoutingVersion`], so that a big cluster sends little.
//! An item that is not in it stands as it was; nothing but whole items is sent. Asked from
//! [`RoutingVersion::NONE`], it is everything, in as many pages as it takes.

use emberfs_layout::{
    BootNumber, ChainId, ChainVersion, ChunkId, ChunkSize, ClientId, ClusterId, DiskId, FileId,
    NodeId, RoutingVersion, Sequence, TableId, TableVersion, TargetId,
};
use minicbor::{Decode, Encode};

use crate::codec::list;
pub use crate::disk::{DiskDamage, DiskReport, Growth};
use crate::limits::{
    ADDRESSES_MAX, CHAIN_MEMBERS_MAX, CLIENTS_PAGE_MAX, DISKS_MAX, ENDED_MAX, MARKS_MAX,
    ROUTING_PAGE_MAX, SESSIONS_MAX, TABLE_CHAINS_MAX, TABLE_DISKS_MAX, TARGETS_MAX,
    TARGETS_PER_DISK_MAX,
};
pub use crate::load::{DiskLoad, NodeLoad};
use crate::meta::Time;

/// What fails together: a node, a rack, a zone, as the operator numbered them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct DomainId(#[n(0)] pub u32);

/// State of a chain's member, as all may know it. The transition table is in the membership core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PublicState {
    /// Has all that was acknowledged; reads and writes.
    #[n(0)]
    Serving,
    /// Is being brought up to date; takes writes, no reads.
    #[n(1)]
    Syncing,
    /// Is there, and waits for its predecessor to bring it up to date.
    #[n(2)]
    Waiting,
    /// Was among the last to serve, and is away: nobody else may take over from it.
    #[n(3)]
    LastServing,
    /// Is away.
    #[n(4)]
    Offline,
}

/// State of a target, as its server reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum LocalState {
    /// Has all that its chain committed, by what it was told.
    #[n(0)]
    UpToDate,
    /// Runs, and may lack something.
    #[n(1)]
    Online,
    /// Cannot be used: its disk failed or was taken away.
    #[n(2)]
    Offline,
}

/// One member of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChainMember {
    /// Which target.
    #[n(0)]
    pub target: TargetId,
    /// How it stands.
    #[n(1)]
    pub state: PublicState,
}

/// A chain: its members, those that serve first, head first among them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Chain {
    /// Which chain.
    #[n(0)]
    pub id: ChainId,
    /// Grows with each change of the members or their states.
    #[n(1)]
    pub version: ChainVersion,
    /// The members: serving, then syncing, then all others.
    #[cbor(n(2), decode_with = "list::<CHAIN_MEMBERS_MAX, _, _>")]
    pub members: Vec<ChainMember>,
    /// With fewer serving members than this, writes wait.
    #[n(3)]
    pub min_serving: u8,
}

/// A server, as others reach it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Node {
    /// Which node.
    #[n(0)]
    pub id: NodeId,
    /// What its operator calls it.
    #[n(1)]
    pub name: String,
    /// Where it listens, each `host:port`.
    #[cbor(n(2), decode_with = "list::<ADDRESSES_MAX, _, _>")]
    pub addresses: Vec<String>,
    /// Its latest start.
    #[n(3)]
    pub boot: BootNumber,
    /// What it fails with.
    #[n(4)]
    pub domain: DomainId,
}

/// A disk that was admitted to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Disk {
    /// Which disk.
    #[n(0)]
    pub id: DiskId,
    /// The node that it was admitted on.
    #[n(1)]
    pub node: NodeId,
    /// The targets that it carries.
    #[cbor(n(2), decode_with = "list::<TARGETS_PER_DISK_MAX, _, _>")]
    pub targets: Vec<TargetId>,
}

/// A table of chains over which files are striped.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChainTable {
    /// Which table.
    #[n(0)]
    pub id: TableId,
    /// Grows when chains are added behind the others.
    #[n(1)]
    pub version: TableVersion,
    /// The chains, in order. A layout that names an older version uses the first `old length` of them.
    #[cbor(n(2), decode_with = "list::<TABLE_CHAINS_MAX, _, _>")]
    pub chains: Vec<ChainId>,
    /// How many chains each version had, from version 1 on.
    #[cbor(n(3), decode_with = "list::<TABLE_CHAINS_MAX, _, _>")]
    pub lengths: Vec<u32>,
    /// Copies of each chunk.
    #[n(4)]
    pub replicas: u8,
    /// Size of the chunks of files in it that say nothing else; `None`: of a table that was made before tables said so.
    #[n(5)]
    pub chunk_size: Option<ChunkSize>,
    /// Whether it is the cluster's default: files go to it that say nothing else.
    #[cbor(n(6), default)]
    pub is_default: bool,
}

/// What changed in the routing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RoutingDelta {
    /// What the receiver has once this is applied.
    #[n(0)]
    pub version: RoutingVersion,
    /// Whether more follows: ask again from [`Self::version`].
    #[n(1)]
    pub more: bool,
    /// Nodes that changed.
    #[cbor(n(2), decode_with = "list::<ROUTING_PAGE_MAX, _, _>")]
    pub nodes: Vec<Node>,
    /// Disks that changed.
    #[cbor(n(3), decode_with = "list::<ROUTING_PAGE_MAX, _, _>")]
    pub disks: Vec<Disk>,
    /// Chains that changed.
    #[cbor(n(4), decode_with = "list::<ROUTING_PAGE_MAX, _, _>")]
    pub chains: Vec<Chain>,
    /// Tables that changed.
    #[cbor(n(5), decode_with = "list::<ROUTING_PAGE_MAX, _, _>")]
    pub tables: Vec<ChainTable>,
}

/// Asks for what changed in the routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetRouting {
    /// What the asker has; [`RoutingVersion::NONE`] for nothing.
    #[n(0)]
    pub since: RoutingVersion,
}

/// Answers [`GetRouting`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetRoutingReply {
    /// Whose routing it is.
    #[n(0)]
    pub cluster: ClusterId,
    /// What changed; empty, with the asked version, if nothing did.
    #[n(1)]
    pub delta: RoutingDelta,
}

/// Tells a client what changed in the routing, unasked: so that it need not find out by a refusal. Whoever is
/// not told finds out all the same.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TellRouting {
    /// What the receiver must have, or later, for the change to make sense to it.
    #[n(0)]
    pub since: RoutingVersion,
    /// What changed after that.
    #[n(1)]
    pub delta: RoutingDelta,
}

/// Answers [`TellRouting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TellRoutingReply {
    /// What the receiver has now.
    #[n(0)]
    pub version: RoutingVersion,
}

/// A storage server's first words, once a start: the reply names this start.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Register {
    /// Drawn at random by the server at this start: the same request sent again is the same start.
    #[n(0)]
    pub start: u64,
    /// Its number, if it was given one before.
    #[n(1)]
    pub node: Option<NodeId>,
    /// What its operator calls it; no two nodes share a name.
    #[n(2)]
    pub name: String,
    /// Where it listens, each `host:port`.
    #[cbor(n(3), decode_with = "list::<ADDRESSES_MAX, _, _>")]
    pub addresses: Vec<String>,
    /// What it fails with, if more than itself: otherwise each node is a domain of its own.
    #[n(4)]
    pub domain: Option<DomainId>,
    /// The formatted disks that it found.
    #[cbor(n(5), decode_with = "list::<DISKS_MAX, _, _>")]
    pub disks: Vec<DiskId>,
    /// The file by whose lock this process alone uses the server's directory: an earlier start that had the
    /// same is dead. `None` if its system does not say.
    #[n(6)]
    pub lock: Option<FileId>,
}

/// Answers [`Register`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RegisterReply {
    /// This start is one of the cluster's.
    #[n(0)]
    TakenIn(#[n(0)] TakenIn),
    /// It is not, and asking again changes nothing, in words that say why and what to do.
    #[n(1)]
    Refused {
        /// The words.
        #[n(0)]
        text: String,
    },
}

/// What a server is told that was taken in.
///
/// The leader forgets an ended session once every server has confirmed it, and a server forgets it with
/// its process. So each start is told which sessions live: of those that were opened before
/// [`Self::next_session`], all others have ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TakenIn {
    /// The node's number, for ever.
    #[n(0)]
    pub node: NodeId,
    /// The number of this start.
    #[n(1)]
    pub boot: BootNumber,
    /// The sessions that live, at this start or later.
    #[cbor(n(2), decode_with = "list::<SESSIONS_MAX, _, _>")]
    pub sessions: Vec<ClientId>,
    /// The number that the next session gets.
    #[n(3)]
    pub next_session: ClientId,
}

/// How one target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TargetReport {
    /// Which target.
    #[n(0)]
    pub target: TargetId,
    /// How it stands.
    #[n(1)]
    pub state: LocalState,
    /// The version of its chain that it goes by; [`ChainVersion::NONE`] before it heard of one.
    #[n(2)]
    pub chain: ChainVersion,
    /// What is in the way of it, or of the member that it brings up to date.
    #[n(3)]
    pub hindrance: Option<Hindrance>,
}

/// What keeps a member of a chain from being brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Hindrance {
    /// It has no room for what it missed.
    #[n(0)]
    NoRoom,
    /// Its predecessor, which says so, cannot read this chunk.
    #[n(1)]
    Unreadable(#[n(0)] ChunkId),
}

/// A storage server's sign of life, and its request for a lease.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Heartbeat {
    /// Who.
    #[n(0)]
    pub node: NodeId,
    /// Which start of it; one that is not the latest is refused.
    #[n(1)]
    pub boot: BootNumber,
    /// Its targets.
    #[cbor(n(2), decode_with = "list::<TARGETS_MAX, _, _>")]
    pub targets: Vec<TargetReport>,
    /// Its disks.
    #[cbor(n(3), decode_with = "list::<DISKS_MAX, _, _>")]
    pub disks: Vec<DiskReport>,
    /// The routing that it has.
    #[n(4)]
    pub routing: RoutingVersion,
    /// Up to where it has applied the list of ended sessions.
    #[n(5)]
    pub ended: Sequence,
    /// Low-water marks that it asks for: these sessions' tags are in the way of others' changes.
    #[cbor(n(6), decode_with = "list::<MARKS_MAX, _, _>")]
    pub marks_wanted: Vec<WantedMark>,
    /// What it did in the last seconds, if it counts.
    #[n(7)]
    pub load: Option<NodeLoad>,
}

/// Asks for the low-water mark of a session for a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct WantedMark {
    /// Which session.
    #[n(0)]
    pub client: ClientId,
    /// Which chain.
    #[n(1)]
    pub chain: ChainId,
}

/// The low-water mark of a session for a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SessionMark {
    /// Which session.
    #[n(0)]
    pub client: ClientId,
    /// Which chain.
    #[n(1)]
    pub chain: ChainId,
    /// Its writes to the chain below this are settled.
    #[n(2)]
    pub low_water: Sequence,
    /// They went by this version of the chain, or by older ones. A replica that goes by an older one does not learn
    /// the mark.
    #[n(3)]
    pub version: ChainVersion,
}

/// Answers [`Heartbeat`]: until `lease_ms` after the heartbeat was *sent*, the server may serve.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HeartbeatReply {
    /// How long the lease is, in milliseconds: half of what the leader waits.
    #[n(0)]
    pub lease_ms: u32,
    /// What changed in the routing.
    #[n(1)]
    pub routing: RoutingDelta,
    /// Sessions that ended after [`Heartbeat::ended`]: their late writes are refused.
    #[cbor(n(2), decode_with = "list::<ENDED_MAX, _, _>")]
    pub ended: Vec<ClientId>,
    /// Up to where the list of ended sessions goes with these.
    #[n(3)]
    pub ended_to: Sequence,
    /// Of [`Heartbeat::marks_wanted`] those that the leader knows.
    #[cbor(n(4), decode_with = "list::<MARKS_MAX, _, _>")]
    pub marks: Vec<SessionMark>,
}

/// What an operator orders.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AdminOrder {
    /// Admits a formatted disk that its server reported, and gives it targets.
    #[n(0)]
    AddDisk {
        /// Which disk.
        #[n(0)]
        disk: DiskId,
        /// How many targets it shall carry.
        #[n(1)]
        targets: u16,
    },
    /// Makes a table of chains over free targets.
    #[n(1)]
    CreateTable {
        /// Copies of each chunk.
        #[n(0)]
        replicas: u8,
        /// With fewer serving replicas writes wait; `None`: `max(1, replicas - 1)`.
        #[n(1)]
        min_serving: Option<u8>,
        /// Size of the chunks of files in it that say nothing else; `None`: 1 MiB.
        #[n(2)]
        chunk_size: Option<ChunkSize>,
        /// Over the free targets of these disks alone; none: of all.
        #[cbor(n(3), default, decode_with = "list::<TABLE_DISKS_MAX, _, _>")]
        disks: Vec<DiskId>,
        /// Whether it becomes the cluster's default; the first one is in any case.
        #[cbor(n(4), default)]
        is_default: bool,
    },
}

/// Asks the leader to carry out an operator's order, once for each tag.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Administer {
    /// Drawn at random by the asker: the same order sent again is carried out once.
    #[n(0)]
    pub order_id: u64,
    /// What to do.
    #[n(1)]
    pub order: AdminOrder,
}

/// Answers [`Administer`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AdministerReply {
    /// The disk is in, with these targets.
    #[n(0)]
    DiskAdded(#[n(0)] Disk),
    /// The table is made.
    #[n(1)]
    TableCreated(#[n(0)] ChainTable),
    /// It cannot be done, for this reason, in words that say what to do.
    #[n(2)]
    Refused {
        /// The words.
        #[n(0)]
        text: String,
    },
}

/// Asks how servers stand beyond what the routing says; answered from the leader's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetStatus {}

/// How one storage server stands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeStatus {
    /// Which node.
    #[n(0)]
    pub node: NodeId,
    /// How long ago its last heartbeat came, in milliseconds; `None`: not since this leader began.
    #[n(1)]
    pub heard_ms_ago: Option<u32>,
    /// Its disks, as it last reported them; also those not yet admitted.
    #[cbor(n(2), decode_with = "list::<DISKS_MAX, _, _>")]
    pub disks: Vec<DiskReport>,
    /// Its targets, as it last reported them.
    #[cbor(n(3), decode_with = "list::<TARGETS_MAX, _, _>")]
    pub targets: Vec<TargetReport>,
    /// What it did in the last seconds, as it last reported.
    #[n(4)]
    pub load: Option<NodeLoad>,
}

/// Answers [`GetStatus`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetStatusReply {
    /// Whose status it is.
    #[n(0)]
    pub cluster: ClusterId,
    /// The member that answers, which leads.
    #[n(1)]
    pub leader: NodeId,
    /// The storage servers.
    #[cbor(n(2), decode_with = "list::<ROUTING_PAGE_MAX, _, _>")]
    pub nodes: Vec<NodeStatus>,
    /// How many client sessions live.
    #[n(3)]
    pub sessions: u32,
    /// After how long without a heartbeat a storage server is taken for gone, in milliseconds.
    #[n(4)]
    pub lease_ms: Option<u32>,
    /// What the member that answers did in the last seconds, if it counts.
    #[n(5)]
    pub load: Option<NodeLoad>,
}

/// Asks which clients there are, page by page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetClients {
    /// The last client of the page before; number 0 for the first page.
    #[n(0)]
    pub after: ClientId,
}

/// Answers [`GetClients`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct GetClientsReply {
    /// Sessions that live, by number.
    #[cbor(n(0), decode_with = "list::<CLIENTS_PAGE_MAX, _, _>")]
    pub clients: Vec<ClientStatus>,
    /// Whether more follow.
    #[n(1)]
    pub more: bool,
    /// After how long without a sign of life a session is ended, in milliseconds.
    #[n(2)]
    pub lease_ms: u32,
}

/// One client's session, as the leader knows it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ClientStatus {
    /// Which session.
    #[n(0)]
    pub client: ClientId,
    /// The client's machine, as it said.
    #[n(1)]
    pub host: String,
    /// What the client is, as it said: a mount and its path, a program's name.
    #[n(2)]
    pub what: String,
    /// When the session was opened, by the leader's clock.
    #[n(3)]
    pub opened: Time,
    /// How long ago it last gave a sign of life, in milliseconds, counted in whole seconds; `None`: not
    /// since this leader began.
    #[n(4)]
    pub heard_ms_ago: Option<u32>,
    /// How many handles it has open for writing.
    #[n(5)]
    pub writers: u32,
}
