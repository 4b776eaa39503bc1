//! What the scripted servers know: a small file system in memory, and the faults that are to happen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use emberfs_buffer::Payload;
use emberfs_layout::{
    BootNumber, ByteLen, ChainId, ChainVersion, ChunkId, ChunkOffset, ChunkSize, ChunkVersion,
    ClientId, DiskId, InodeId, NodeId, RoutingVersion, Sequence, StripeWidth, TableId,
    TableVersion, TargetId,
};
use emberfs_transport::Peer;
use emberfs_wire::chunk::{
    ChunkChange, ChunkRead, ReadChunks, ReadChunksReply, ReadOutcome, UpdateChunk, UpdateChunkReply,
};
use emberfs_wire::cluster::{
    Chain, ChainMember, ChainTable, Disk, DomainId, Node, PublicState, RoutingDelta,
};
use emberfs_wire::group::GetMember;
use emberfs_wire::limits::{TAGS_MAX, TAGS_OPEN_MAX};
use emberfs_wire::{FsError, Method, PayloadSums, Request, Tag, WireError};
use tokio::sync::Notify;

use super::namespace::Namespace;

pub(super) const META: NodeId = NodeId(1);
/// Members of the metadata group where a test has three.
pub(super) const METAS: [NodeId; 3] = [META, NodeId(2), NodeId(3)];
pub(super) const STORAGE: [NodeId; 3] = [NodeId(11), NodeId(12), NodeId(13)];
pub(super) const CHAINS: [[u32; 3]; 2] = [[110, 120, 130], [121, 131, 111]];

/// What happens to the next request of a kind.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It fails so.
    Fail(WireError),
    /// The connection is closed before it is done.
    CloseBefore,
    /// It is done, and the connection closed before the reply.
    CloseAfter,
    /// Its reply has a wrong byte.
    Damage,
    /// It is done when the gate opens.
    Hang,
    /// The connection is closed, and it is done when the gate opens.
    Late,
    /// There is no room, unless it was done before.
    Full,
}

/// What is wrong with one replica's copy of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ail {
    /// The replica says that it is corrupt.
    Corrupt,
    /// It has a wrong byte when it arrives.
    Flipped,
    /// The connection is closed when it is asked for.
    Away,
}

/// All that the servers share.
#[derive(Debug)]
pub(super) struct World {
    state: Mutex<State>,
    /// Told whenever a request came.
    pub(super) came: Notify,
    /// Lets one hanging request go on.
    pub(super) gate: tokio::sync::Semaphore,
}

impl Default for State {
    fn default() -> Self {
        Self {
            namespace: Namespace::default(),
            routing: routing(),
            chunks: BTreeMap::new(),
            ails: BTreeMap::new(),
            tags: BTreeMap::new(),
            marks: BTreeMap::new(),
            applied: Vec::new(),
            faults: VecDeque::new(),
            calls: BTreeMap::new(),
            shards: BTreeSet::new(),
            clients: BTreeMap::new(),
            open_connections: 0,
            group: Group {
                leader: Some(META),
                addresses: BTreeMap::new(),
                mistaken: BTreeMap::new(),
                hung: BTreeSet::new(),
                discreet: BTreeSet::new(),
                told: BTreeMap::new(),
                asked: BTreeMap::new(),
                term: 1,
            },
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) namespace: Namespace,
    pub(super) routing: RoutingDelta,
    pub(super) chunks: BTreeMap<(TargetId, ChunkId), Vec<u8>>,
    pub(super) ails: BTreeMap<(TargetId, ChunkId), Ail>,
    /// With the chain and the chunk of each.
    tags: BTreeMap<Tag, (ChainId, ChunkId, UpdateChunkReply)>,
    marks: BTreeMap<(ChainId, ClientId), Sequence>,
    /// Every change of a chunk that was made, in order.
    pub(super) applied: Vec<(Tag, ChunkId)>,
    faults: VecDeque<(Method, Fault)>,
    pub(super) calls: BTreeMap<Method, usize>,
    /// Targets that were asked on a shard that is not theirs.
    pub(super) shards: BTreeSet<TargetId>,
    /// The way back to each session's client.
    pub(super) clients: BTreeMap<ClientId, Peer>,
    pub(super) open_connections: usize,
    pub(super) group: Group,
}

/// Who leads, and what is wrong with the members.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) leader: Option<NodeId>,
    /// Where each listens.
    pub(super) addresses: BTreeMap<NodeId, String>,
    /// Those that still take another for the leader, or nobody.
    pub(super) mistaken: BTreeMap<NodeId, Option<NodeId>>,
    /// Those that say nothing until they are not here any more.
    pub(super) hung: BTreeSet<NodeId>,
    /// Those that do not say how they stand until they are not here any more.
    pub(super) discreet: BTreeSet<NodeId>,
    /// Where the first says that the second listens, if that is not so.
    pub(super) told: BTreeMap<(NodeId, NodeId), String>,
    /// Requests to each, but for who leads.
    pub(super) asked: BTreeMap<NodeId, usize>,
    pub(super) term: u64,
}

impl Group {
    /// Who leads, as a member sees it.
    pub(super) fn leader_as_seen_by(&self, member: NodeId) -> Option<NodeId> {
        self.mistaken.get(&member).copied().unwrap_or(self.leader)
    }

    /// Whether a member says nothing to a request of this kind now.
    pub(super) fn is_silent(&self, member: NodeId, method: Method) -> bool {
        let stands = method == GetMember::METHOD;
        self.hung.contains(&member) || (stands && self.discreet.contains(&member))
    }
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        let (state, came) = (Mutex::default(), Notify::new());
        Arc::new(Self { state, came, gate: tokio::sync::Semaphore::new(0) })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds it")
    }

    /// Lets the next requests of this kind meet these faults, in order.
    pub(super) fn script(&self, method: Method, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults.into_iter().map(|fault| (method, fault)));
    }

    pub(super) fn faults_left(&self) -> usize {
        self.state().faults_left()
    }

    /// Another leads from now on, or nobody.
    pub(super) fn elect(&self, leader: Option<NodeId>) {
        let mut state = self.state();
        state.group.leader = leader;
        state.group.term += 1;
        drop(state);
        self.came.notify_waiters();
    }

    /// How many requests of this kind came.
    pub(super) fn calls(&self, method: Method) -> usize {
        self.state().calls.get(&method).copied().unwrap_or(0)
    }

    /// Waits until something is so.
    pub(super) async fn until(&self, what: &str, is: impl Fn(&State) -> bool) {
        let wait = async {
            loop {
                let came = self.came.notified();
                if is(&self.state()) {
                    return;
                }
                came.await;
            }
        };
        let done = tokio::time::timeout(std::time::Duration::from_secs(60), wait).await;
        done.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

pub(super) fn shard_of(target: TargetId) -> u16 {
    u16::try_from(target.get() % 10).expect("a digit")
}

pub(super) fn home_of(target: TargetId) -> NodeId {
    NodeId(target.get() / 10)
}

fn chain(id: usize, version: u64) -> Chain {
    let member =
        |target: &u32| ChainMember { target: TargetId(*target), state: PublicState::Serving };
    Chain {
        id: ChainId(u32::try_from(id + 1).expect("small")),
        version: ChainVersion(version),
        members: CHAINS[id].iter().map(member).collect(),
        min_serving: 2,
    }
}

/// The routing at the start; the nodes' addresses are filled in when they listen.
fn routing() -> RoutingDelta {
    let node = |id: &NodeId| Node {
        id: *id,
        name: id.to_string(),
        addresses: Vec::new(),
        boot: BootNumber(1),
        domain: DomainId(id.get()),
    };
    let disk = |id: &NodeId| Disk {
        id: DiskId(u128::from(id.get())),
        node: *id,
        targets: [0, 1].map(|shard| TargetId(id.get() * 10 + shard)).to_vec(),
    };
    RoutingDelta {
        version: RoutingVersion(1),
        more: false,
        nodes: STORAGE.iter().map(node).collect(),
        disks: STORAGE.iter().map(disk).collect(),
        chains: (0..CHAINS.len()).map(|id| chain(id, 1)).collect(),
        tables: vec![ChainTable {
            id: TableId(1),
            version: TableVersion(1),
            chains: vec![ChainId(1), ChainId(2)],
            lengths: vec![2],
            replicas: 3,
            chunk_size: Some(ChunkSize::MIN),
            is_default: true,
        }],
    }
}

pub(super) fn layout() -> emberfs_layout::FileLayout {
    emberfs_layout::FileLayout {
        chunk_size: ChunkSize::MIN,
        stripe: StripeWidth::new(2).expect("not empty"),
        table: TableId(1),
        table_version: TableVersion(1),
        seed: 1,
    }
}

impl State {
    pub(super) fn faults_left(&self) -> usize {
        self.faults.len()
    }

    pub(super) fn count(&mut self, method: Method) {
        *self.calls.entry(method).or_default() += 1;
    }

    pub(super) fn next_fault(&mut self, method: Method) -> Option<Fault> {
        let place = self.faults.iter().position(|(of, _)| *of == method)?;
        self.faults.remove(place).map(|(_, fault)| fault)
    }

    /// Changes the first chain: only these members serve from now on.
    pub(super) fn serve_only(&mut self, serving: &[u32]) {
        let chain = &mut self.routing.chains[0];
        chain.version = chain.version.next();
        for member in &mut chain.members {
            let serves = serving.contains(&member.target.get());
            member.state = if serves { PublicState::Serving } else { PublicState::Offline };
        }
        chain.members.sort_by_key(|member| member.state != PublicState::Serving);
        self.routing.version = self.routing.version.next();
    }

    fn chain(&self, replica: &emberfs_wire::chunk::Replica) -> Result<&Chain, WireError> {
        let chain = self.routing.chains.iter().find(|chain| chain.id == replica.chain);
        let chain = chain.expect("clients know only chains that are there");
        if chain.version != replica.version {
            let (asked, known) = (replica.version, chain.version);
            return Err(WireError::RefreshRouting { chain: chain.id, asked, known });
        }
        let member = chain.members.iter().find(|member| member.target == replica.target);
        assert_eq!(member.expect("a member").state, PublicState::Serving);
        Ok(chain)
    }

    /// Whether an update was done before.
    pub(super) fn knows(&self, tag: &Tag) -> bool {
        self.tags.contains_key(tag)
    }

    /// What the whole chain does with an update: exactly once.
    pub(super) fn update(
        &mut self,
        request: &UpdateChunk,
        payload: Bytes,
    ) -> Result<UpdateChunkReply, WireError> {
        let members = self.chain(&request.replica)?.members.clone();
        assert_eq!(members[0].target, request.replica.target, "writes go to the head");
        if !self.namespace.sessions.contains(&request.tag.client) {
            return Err(FsError::Stale.into());
        }
        assert!(request.low_water <= request.tag.sequence);
        let (chain, client) = (request.replica.chain, request.tag.client);
        let mark = self.marks.entry((chain, client)).or_default();
        *mark = request.low_water.max(*mark);
        let over = |tag: &Tag| tag.client == client && tag.sequence < *mark;
        if over(&request.tag) {
            return Err(FsError::Stale.into());
        }
        self.tags.retain(|tag, (of, ..)| *of != chain || !over(tag));
        if let Some((.., reply)) = self.tags.get(&request.tag) {
            return Ok(*reply);
        }
        let is_first = request.tag.sequence == request.low_water;
        let most = if is_first { TAGS_MAX } else { TAGS_OPEN_MAX };
        if self.tags.values().filter(|(_, of, _)| *of == request.chunk).count() >= most {
            return Err(WireError::Retry { after_ms: 1, text: "too many replies are open".into() });
        }
        let ChunkChange::Write(sums) = &request.change else { panic!("clients only write") };
        let payload = sums.bind(payload).expect("well formed").check().expect("as sent");
        let (start, end) = (payload.start().get() as usize, payload.end().get() as usize);
        assert!(end <= request.chunk_size.bytes() as usize);
        let mut len = 0;
        for member in members.iter().filter(|m| m.state == PublicState::Serving) {
            let chunk = self.chunks.entry((member.target, request.chunk)).or_default();
            chunk.resize(chunk.len().max(end), 0);
            chunk[start..end].copy_from_slice(payload.bytes());
            len = chunk.len();
        }
        self.applied.push((request.tag, request.chunk));
        let chunk_len = ChunkOffset(u32::try_from(len).expect("small"));
        let version = ChunkVersion(self.applied.len() as u64);
        let reply = UpdateChunkReply { version, chunk_len };
        self.tags.insert(request.tag, (chain, request.chunk, reply));
        Ok(reply)
    }

    /// Whether a request is one that closes its connection.
    pub(super) fn is_away(&self, request: &ReadChunks) -> bool {
        let of = |read: &ChunkRead| self.ails.get(&(read.replica.target, read.chunk));
        request.reads.iter().any(|read| of(read) == Some(&Ail::Away))
    }

    pub(super) fn read(&mut self, request: &ReadChunks, shard: u16) -> (ReadChunksReply, Bytes) {
        let mut bytes = Vec::new();
        let mut outcomes = Vec::new();
        for read in &request.reads {
            if shard_of(read.replica.target) != shard {
                self.shards.insert(read.replica.target);
            }
            outcomes.push(match self.chain(&read.replica) {
                Ok(_) => self.read_one(read, &mut bytes),
                Err(error) => ReadOutcome::Failed(error),
            });
        }
        (ReadChunksReply { outcomes }, bytes.into())
    }

    fn read_one(&self, read: &ChunkRead, bytes: &mut Vec<u8>) -> ReadOutcome {
        let Some(chunk) = self.chunks.get(&(read.replica.target, read.chunk)) else {
            return ReadOutcome::Absent;
        };
        let end = ((read.start.get() + read.len.get()) as usize).min(chunk.len());
        let part = &chunk[(read.start.get() as usize).min(end)..end];
        let block = layout().chunk_size.block_size();
        let payload = Payload::compute(Bytes::copy_from_slice(part), read.start, block);
        let ail = self.ails.get(&(read.replica.target, read.chunk));
        if ail == Some(&Ail::Corrupt) {
            let (target, chunk) = (read.replica.target, read.chunk);
            return ReadOutcome::Failed(WireError::Corrupt { target, chunk });
        }
        bytes.extend_from_slice(part);
        if ail == Some(&Ail::Flipped) {
            *bytes.last_mut().expect("some were asked for") ^= 1;
        }
        ReadOutcome::Found {
            version: ChunkVersion(1),
            chunk_len: ChunkOffset(u32::try_from(chunk.len()).expect("small")),
            data: PayloadSums::of(&payload.expect("within a chunk")),
        }
    }

    /// All of the routing, or nothing if the asker has it.
    pub(super) fn routing_since(&self, since: RoutingVersion) -> RoutingDelta {
        if since >= self.routing.version {
            return RoutingDelta { version: since, ..RoutingDelta::default() };
        }
        self.routing.clone()
    }

    /// The length of a file as its inode has it.
    pub(super) fn size(&self, inode: InodeId) -> ByteLen {
        self.namespace.inodes[&inode].attributes.size
    }
}
