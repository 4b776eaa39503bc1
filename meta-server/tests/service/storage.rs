//! A scripted storage server: it speaks the real messages over real connections, and keeps of each chunk its
//! length alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{
    BootNumber, ByteLen, ChainVersion, ChunkId, ChunkOffset, ChunkVersion, ClientId, DiskId,
    FileId, FileSystemId, KernelId, NodeId, RoutingVersion, Sequence, TargetId,
};
use emberfs_transport::{Answer, Handler, IncomingCall, Limits, Peer, Pending};
use emberfs_wire::chunk::{
    ChunkChange, ChunkEnd, LastChunk, LastChunkReply, Replica, UpdateChunk, UpdateChunkReply,
};
use emberfs_wire::cluster::{
    Chain, Disk, DiskReport, Growth, Heartbeat, HeartbeatReply, LocalState, Register,
    RegisterReply, TakenIn, TargetReport,
};
use emberfs_wire::handshake::{Identity, Role, ShardIndex, Welcome};
use emberfs_wire::{FsError, Request, Tag, WireError, decode, encode};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::member::{Holds, Member, call};

/// Room on each disk.
pub(crate) const CAPACITY: ByteLen = ByteLen(300 << 20);
/// How much of it is taken.
pub(crate) const USED: ByteLen = ByteLen(30 << 20);

/// Where all of their directories are.
pub(crate) const FILE_SYSTEM: FileSystemId = FileSystemId { kernel: KernelId(7), device: 1 };

/// One server with one disk.
pub(crate) struct Storage {
    pub(crate) disk: DiskId,
    pub(crate) node: NodeId,
    name: String,
    address: String,
    boot: BootNumber,
    pub(crate) peer: Peer,
    lock: FileId,
    known: Arc<Mutex<Known>>,
    _serving: JoinSet<()>,
}

/// What it knows and holds.
#[derive(Debug, Default)]
pub(crate) struct Known {
    routing: RoutingVersion,
    ended_to: Sequence,
    pub(crate) ended: BTreeSet<ClientId>,
    disks: BTreeMap<DiskId, Disk>,
    pub(crate) chains: Vec<Chain>,
    /// Its targets report this.
    state: Option<LocalState>,
    /// The lengths of its chunks.
    pub(crate) chunks: BTreeMap<(TargetId, ChunkId), ChunkOffset>,
    /// The changes that it was asked for, with their tags.
    pub(crate) changes: Vec<(Tag, ChunkId, ChunkChange)>,
    /// Whether it has no room: what it is asked for meanwhile is refused, also when it has.
    pub(crate) is_full: bool,
    /// What it has refused.
    pub(crate) refused: BTreeSet<Tag>,
}

#[derive(Clone)]
struct Chunks(Arc<Mutex<Known>>);

impl Storage {
    /// A server of its own, registered.
    pub(crate) async fn new(member: &Member, number: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let known = Arc::new(Mutex::new(Known::default()));
        let mut storage = Self {
            disk: DiskId(u128::from(number)),
            node: NodeId(0),
            name: format!("storage-{number}"),
            address,
            boot: BootNumber::NONE,
            peer: member.peer(Holds::default()).await,
            lock: FileId { file_system: FILE_SYSTEM, number: number.into() },
            known: known.clone(),
            _serving: JoinSet::new(),
        };
        storage.register(None).await;
        let identity = Identity {
            cluster: Some(member.cluster()),
            role: Role::Storage,
            node: Some(storage.node),
            boot: Some(storage.boot),
            client: None,
        };
        storage._serving.spawn(serve(listener, identity, Chunks(known)));
        storage
    }

    async fn register(&mut self, node: Option<NodeId>) {
        let request = self.registration(node);
        let reply = taken_in(call(&self.peer, &request).await.expect("an answer"));
        let again = taken_in(call(&self.peer, &request).await.expect("an answer"));
        (self.node, self.boot) = (again.node, again.boot);
        assert_eq!((reply.node, reply.boot), (again.node, again.boot), "the same start");
        let opened = (1..again.next_session.get()).map(ClientId);
        let ended = opened.filter(|client| !again.sessions.contains(client));
        self.known().ended = ended.collect();
    }

    /// What a new start of it says first.
    pub(crate) fn registration(&self, node: Option<NodeId>) -> Register {
        Register {
            start: rand::random(),
            node,
            name: self.name.clone(),
            addresses: vec![self.address.clone()],
            domain: None,
            disks: vec![self.disk],
            lock: Some(self.lock),
        }
    }

    /// Starts anew: what its targets hold is in doubt.
    pub(crate) async fn start_anew(&mut self) {
        {
            let mut known = self.known();
            (known.routing, known.ended_to) = (RoutingVersion::NONE, Sequence::NONE);
            known.state = Some(LocalState::Online);
        }
        self.register(Some(self.node)).await;
    }

    /// Connects again: the member restarted.
    pub(crate) async fn connect(&mut self, member: &Member) {
        self.peer = member.peer(Holds::default()).await;
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no panic under it")
    }

    /// Its targets.
    pub(crate) fn targets(&self, known: &Known) -> Vec<TargetId> {
        known.disks.get(&self.disk).map(|disk| disk.targets.clone()).unwrap_or_default()
    }

    pub(crate) fn heartbeat(&self) -> Heartbeat {
        let known = self.known();
        let report = |target| TargetReport {
            target,
            state: known.state.unwrap_or(LocalState::UpToDate),
            chain: known.chain_of(target).map_or(ChainVersion::NONE, |chain| chain.version),
            hindrance: None,
        };
        Heartbeat {
            node: self.node,
            boot: self.boot,
            targets: self.targets(&known).into_iter().map(report).collect(),
            disks: vec![self.report()],
            routing: known.routing,
            ended: known.ended_to,
            marks_wanted: Vec::new(),
            load: None,
        }
    }

    fn report(&self) -> DiskReport {
        DiskReport {
            disk: self.disk,
            capacity: CAPACITY,
            used: USED,
            growth: None,
            damage: None,
            load: None,
        }
    }

    /// A heartbeat by which all of its capacity is room of the file system that all servers have.
    pub(crate) fn heartbeat_with_shared_room(&self) -> Heartbeat {
        let (file_system, room) = (FILE_SYSTEM, CAPACITY);
        let growth = Some(Growth { file_system, counted: CAPACITY, room });
        Heartbeat { disks: vec![DiskReport { growth, ..self.report() }], ..self.heartbeat() }
    }

    /// Sends a heartbeat and learns from its answer.
    pub(crate) async fn beat(&self) -> Result<HeartbeatReply, WireError> {
        let reply = call(&self.peer, &self.heartbeat()).await?;
        let mut known = self.known();
        known.routing = reply.routing.version;
        known.ended_to = reply.ended_to;
        known.ended.extend(&reply.ended);
        known.disks.extend(reply.routing.disks.iter().map(|disk| (disk.id, disk.clone())));
        for chain in &reply.routing.chains {
            known.chains.retain(|known| known.id != chain.id);
            known.chains.push(chain.clone());
        }
        Ok(reply)
    }
}

pub(crate) fn taken_in(reply: RegisterReply) -> TakenIn {
    match reply {
        RegisterReply::TakenIn(taken_in) => taken_in,
        RegisterReply::Refused { text } => panic!("refused: {text}"),
    }
}

impl Known {
    fn chain_of(&self, target: TargetId) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.members.iter().any(|m| m.target == target))
    }

    /// Refuses what is not for the chain as it is known here.
    fn check(&self, replica: &Replica) -> Result<(), WireError> {
        let known = self.chain_of(replica.target).map_or(ChainVersion::NONE, |chain| chain.version);
        if known == replica.version {
            return Ok(());
        }
        Err(WireError::RefreshRouting { chain: replica.chain, asked: replica.version, known })
    }

    fn update(&mut self, asked: UpdateChunk) -> Result<UpdateChunkReply, WireError> {
        self.check(&asked.replica)?;
        let UpdateChunk { replica, tag, low_water, chunk, change, .. } = asked;
        self.refused.retain(|known| known.client != tag.client || known.sequence >= low_water);
        if self.is_full {
            self.refused.insert(tag);
        }
        if self.refused.contains(&tag) {
            return Err(WireError::Refuse { why: FsError::NoSpace });
        }
        let place = (replica.target, chunk);
        match change {
            ChunkChange::Remove => {
                self.chunks.remove(&place);
            }
            ChunkChange::Cut(len) => {
                self.chunks.entry(place).and_modify(|known| *known = len.min(*known));
            }
            ChunkChange::Write(_) => panic!("a metadata member writes no bytes"),
        }
        self.changes.push((tag, chunk, change));
        let chunk_len = self.chunks.get(&place).copied().unwrap_or(ChunkOffset(0));
        Ok(UpdateChunkReply { version: ChunkVersion(1), chunk_len })
    }

    fn last(&self, asked: &LastChunk) -> Result<LastChunkReply, WireError> {
        self.check(&asked.replica)?;
        let (target, data) = (asked.replica.target, asked.data);
        let of_file = self.chunks.iter().filter(|((t, c), _)| (*t, c.data) == (target, data));
        let last = of_file.max_by_key(|((_, chunk), _)| chunk.index);
        let last = last.map(|((_, chunk), len)| ChunkEnd { index: chunk.index, len: *len });
        Ok(LastChunkReply { last, pending: None })
    }
}

impl Handler for Chunks {
    async fn handle(&self, call: IncomingCall) -> Answer {
        let mut known = self.0.lock().expect("no panic under it");
        let mut message = Vec::new();
        match call.method {
            UpdateChunk::METHOD => {
                let asked = decode(&call.message).expect("a request");
                encode(&known.update(asked)?, &mut message);
            }
            LastChunk::METHOD => {
                let asked = decode(&call.message).expect("a request");
                encode(&known.last(&asked)?, &mut message);
            }
            other => panic!("{other} is not asked by a metadata member"),
        }
        Ok((message, Bytes::new()))
    }
}

async fn serve(listener: TcpListener, identity: Identity, chunks: Chunks) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("loopback");
        let chunks = chunks.clone();
        connections.spawn(async move {
            let pending = Pending::accept(stream, Limits::default()).await.expect("a hello");
            let (protocol, features) = pending.hello().judge(&identity).expect("it fits");
            let shard = ShardIndex(0);
            let welcome = Welcome { protocol, features, identity, shard, shards: Vec::new() };
            let pool = Pool::new(ByteLen::ZERO);
            let connection = pending.welcome(welcome, &pool).await.expect("sent");
            connection.run(chunks).await;
        });
    }
}
