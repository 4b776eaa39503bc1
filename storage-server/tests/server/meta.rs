//! A metadata endpoint of the tests' own: one thread that answers registrations and heartbeats from a
//! routing that the test writes. What it says is what the real leader says in the same place; when it says
//! it is for the test to decide.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{
    BootNumber, ByteLen, ChainId, ChainVersion, ClientId, ClusterId, DiskId, FileId, NodeId,
    RoutingVersion, Sequence, TargetId,
};
use emberfs_transport::{Answer, Handler, IncomingCall, Limits, Pending};
use emberfs_wire::cluster::{
    Chain, ChainMember, Disk, DomainId, Heartbeat, HeartbeatReply, LocalState, Node, PublicState,
    Register, RegisterReply, RoutingDelta, SessionMark, TakenIn, TargetReport, WantedMark,
};
use emberfs_wire::handshake::{Identity, Role, ShardIndex, Welcome};
use emberfs_wire::{FsError, Method, Request, WireError, decode, encode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// Nothing that a test waits for takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough for a machine that runs many tests at once.
pub(crate) const LEASE_MS: u32 = 3000;

/// The endpoint, until it is dropped.
pub(crate) struct Meta {
    pub(crate) address: String,
    state: Arc<(Mutex<State>, Condvar)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What it knows.
pub(crate) struct State {
    cluster: ClusterId,
    version: RoutingVersion,
    pub(crate) nodes: BTreeMap<NodeId, Node>,
    disks: BTreeMap<DiskId, Disk>,
    chains: BTreeMap<ChainId, Chain>,
    starts: BTreeMap<u64, RegisterReply>,
    /// The locks of all starts, in their order.
    pub(crate) locks: Vec<Option<FileId>>,
    /// The last heartbeat of each node.
    pub(crate) beats: BTreeMap<NodeId, Heartbeat>,
    /// How long leases are; `None`: heartbeats are asked to come again.
    pub(crate) lease_ms: Option<u32>,
    ended: Vec<ClientId>,
    /// How many of these are forgotten.
    forgotten: usize,
    /// What a server that registers is told of sessions: those that live, and the next one's number.
    pub(crate) sessions: (Vec<ClientId>, ClientId),
    /// The marks that it knows, for all chains.
    pub(crate) marks: BTreeMap<ClientId, Sequence>,
    /// Whether nobody is taken in any more.
    pub(crate) closed: bool,
}

impl Meta {
    pub(crate) fn start(cluster: ClusterId) -> Self {
        let state = State {
            cluster,
            version: RoutingVersion(1),
            nodes: BTreeMap::new(),
            disks: BTreeMap::new(),
            chains: BTreeMap::new(),
            starts: BTreeMap::new(),
            locks: Vec::new(),
            beats: BTreeMap::new(),
            lease_ms: Some(LEASE_MS),
            ended: Vec::new(),
            forgotten: 0,
            sessions: (Vec::new(), ClientId(0)),
            marks: BTreeMap::new(),
            closed: false,
        };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let (stop, stopped) = oneshot::channel();
        let (told, address) = std::sync::mpsc::channel();
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("an event loop");
            LocalSet::new().block_on(&runtime, async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                told.send(listener.local_addr().expect("bound").to_string()).expect("awaited");
                tokio::select! {
                    () = listen(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = address.recv().expect("it listens");
        Self { address, state, stop: Some(stop), thread: Some(thread) }
    }

    /// Changes what it knows.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let out = change(&mut state);
        state.version = state.version.next();
        out
    }

    /// Waits until what it knows is so.
    pub(crate) fn wait<T>(&self, what: &str, mut until: impl FnMut(&State) -> Option<T>) -> T {
        let start = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(out) = until(&state) {
                return out;
            }
            assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
            let (again, _) = self.state.1.wait_timeout(state, PATIENCE).expect("no panic under it");
            state = again;
        }
    }

    /// Waits for the node of this name to register as a start that is not `before`.
    pub(crate) fn node(&self, name: &str, before: Option<BootNumber>) -> (NodeId, BootNumber) {
        self.wait("a registration", |state| {
            let node = state.nodes.values().find(|node| node.name == name)?;
            (Some(node.boot) != before).then_some((node.id, node.boot))
        })
    }

    /// Admits disks to nodes, one target each, and makes a chain of all, each in its state. Waits until
    /// those that serve do.
    pub(crate) fn make_chain(
        &self,
        members: &[(NodeId, DiskId, PublicState)],
    ) -> (ChainId, ChainVersion, Vec<TargetId>) {
        let (id, version, targets) = self.change(|meta| {
            let admit = |(node, disk, _): &_| meta.admit(*node, *disk);
            let targets: Vec<TargetId> = members.iter().map(admit).collect();
            let id = ChainId(targets[0].0);
            let version =
                meta.chains.get(&id).map_or(ChainVersion(1), |chain| chain.version.next());
            let stated = targets.iter().zip(members);
            let member = |(target, (_, _, state)): (&TargetId, &(_, _, PublicState))| ChainMember {
                target: *target,
                state: *state,
            };
            let members = stated.map(member).collect();
            meta.chains.insert(id, Chain { id, version, members, min_serving: 1 });
            (id, version, targets)
        });
        for (target, (_, _, state)) in targets.iter().zip(members) {
            if *state == PublicState::Serving {
                self.up_to_date(*target, version);
            }
        }
        (id, version, targets)
    }

    /// Waits until `target` reports that it has all of this version of its chain.
    pub(crate) fn up_to_date(&self, target: TargetId, version: ChainVersion) {
        let (state, chain) = (LocalState::UpToDate, version);
        let wanted = TargetReport { target, state, chain, hindrance: None };
        self.wait("a target to be up to date", |meta| {
            let mut reports = meta.beats.values().flat_map(|beat| &beat.targets);
            reports.any(|report| *report == wanted).then_some(())
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().expect("no panic under it")
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it does not panic");
        }
    }
}

impl State {
    /// The one target of a disk.
    fn admit(&mut self, node: NodeId, disk: DiskId) -> TargetId {
        let next = TargetId(10 + u32::try_from(self.disks.len()).expect("a few"));
        let known = self.disks.entry(disk);
        known.or_insert(Disk { id: disk, node, targets: vec![next] }).targets[0]
    }

    pub(crate) fn end_session(&mut self, client: ClientId) {
        self.ended.push(client);
    }

    /// The list of ended sessions is shortened, as all servers have confirmed it.
    pub(crate) fn forget_ended(&mut self) {
        self.forgotten = self.ended.len();
    }

    fn register(&mut self, request: Register) -> Result<RegisterReply, WireError> {
        if let Some(reply) = self.starts.get(&request.start) {
            return Ok(reply.clone());
        }
        if self.closed {
            return Err(FsError::NotPermitted.into());
        }
        let named = self.nodes.values().find(|node| node.name == request.name);
        let node = match (request.node, named) {
            (asked, Some(named)) if asked != Some(named.id) => {
                let text = format!("{} has this name", named.id);
                return Err(WireError::Wait { text });
            }
            (Some(node), _) => node,
            (None, _) => NodeId(1 + u32::try_from(self.nodes.len()).expect("a few")),
        };
        let boot = BootNumber(1 + self.starts.len() as u64);
        let (sessions, next_session) = self.sessions.clone();
        let reply = RegisterReply::TakenIn(TakenIn { node, boot, sessions, next_session });
        self.starts.insert(request.start, reply.clone());
        let Register { name, addresses, lock, .. } = request;
        self.locks.push(lock);
        self.nodes.insert(node, Node { id: node, name, addresses, boot, domain: DomainId(node.0) });
        self.version = self.version.next();
        Ok(reply)
    }

    fn heartbeat(&mut self, beat: Heartbeat) -> Result<HeartbeatReply, WireError> {
        let node = self.nodes.get(&beat.node).ok_or(FsError::NotFound)?;
        if node.boot != beat.boot {
            return Err(FsError::Stale.into());
        }
        let mut routing = RoutingDelta { version: self.version, ..RoutingDelta::default() };
        if beat.routing != self.version {
            routing.nodes = self.nodes.values().cloned().collect();
            routing.disks = self.disks.values().cloned().collect();
            routing.chains = self.chains.values().cloned().collect();
        }
        let known = usize::try_from(beat.ended.get()).expect("a few");
        let ended = self.ended.get(known.max(self.forgotten)..).unwrap_or_default().to_vec();
        let ended_to = Sequence(self.ended.len() as u64);
        let mark = |&WantedMark { client, chain }: &WantedMark| {
            let (low_water, version) =
                (*self.marks.get(&client)?, self.chains.get(&chain)?.version);
            Some(SessionMark { client, chain, low_water, version })
        };
        let marks = beat.marks_wanted.iter().filter_map(mark).collect();
        self.beats.insert(beat.node, beat);
        let again = WireError::Retry { after_ms: 10, text: "muted by the test".to_owned() };
        let lease_ms = self.lease_ms.ok_or(again)?;
        Ok(HeartbeatReply { lease_ms, routing, ended, ended_to, marks })
    }
}

async fn listen(listener: TcpListener, state: Arc<(Mutex<State>, Condvar)>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a peer");
        let endpoint = Endpoint { state: Arc::clone(&state) };
        tokio::task::spawn_local(async move {
            let Ok(pending) = Pending::accept(stream, Limits::default()).await else { return };
            let cluster = Some(endpoint.state.0.lock().expect("no panic under it").cluster);
            let node = Some(NodeId(1));
            let identity = Identity { cluster, role: Role::Meta, node, boot: None, client: None };
            match pending.hello().judge(&identity) {
                Err(refusal) => drop(pending.refuse(refusal).await),
                Ok((protocol, features)) => {
                    let (shard, shards) = (ShardIndex(0), Vec::new());
                    let welcome = Welcome { protocol, features, identity, shard, shards };
                    let pool = Pool::new(ByteLen::ZERO);
                    if let Ok(connection) = pending.welcome(welcome, &pool).await {
                        connection.run(endpoint).await;
                    }
                }
            }
        });
    }
}

struct Endpoint {
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Handler for Endpoint {
    async fn handle(&self, call: IncomingCall) -> Answer {
        const REGISTER: Method = Register::METHOD;
        const HEARTBEAT: Method = Heartbeat::METHOD;
        let unreadable = |error: emberfs_wire::DecodeError| WireError::bug(error.to_string());
        let mut state = self.state.0.lock().expect("no panic under it");
        let mut message = Vec::new();
        match call.method {
            REGISTER => {
                let request = decode(&call.message).map_err(unreadable)?;
                encode(&state.register(request)?, &mut message);
            }
            HEARTBEAT => {
                let beat = decode(&call.message).map_err(unreadable)?;
                encode(&state.heartbeat(beat)?, &mut message);
            }
            other => return Err(WireError::bug(format!("{other} is not served here"))),
        }
        self.state.1.notify_all();
        Ok((message, Bytes::new()))
    }
}
