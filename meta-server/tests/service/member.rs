//! A member under test, and clients of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::panicking;
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ClientId, ClusterId, InodeId, NodeId, RoutingVersion, Sequence};
use emberfs_meta_server::{Config, Server, format};
use emberfs_transport::{
    Answer, CallError, CallOptions, Handler, IncomingCall, Limits, Peer, Tcp, connect,
};
use emberfs_wire::cluster::{TellRouting, TellRoutingReply};
use emberfs_wire::handshake::{Hello, Identity, Role};
use emberfs_wire::meta::{
    Ask, AskHeld, AskHeldReply, Attributes, Caller, HandleId, Mode, Mutate, Mutation,
    MutationReply, Name, OpenSession, Place, Query, QueryReply, Slot,
};
use emberfs_wire::protocol::{Features, ProtocolRange};
use emberfs_wire::{FsError, Request, WireError, decode, encode};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout};

/// A test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The root directory.
pub(crate) const ROOT: InodeId = InodeId::ROOT;
/// A lease short enough for tests, with room for a busy machine.
pub(crate) const LEASE_MS: u32 = 2_000;

/// A metadata member, alone in its group.
pub(crate) struct Member {
    config: Config,
    /// `None` once it is stopped.
    server: Option<Server>,
    directory: Arc<TempDir>,
}

/// A connection to it, with a session.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) client: ClientId,
    pub(crate) holds: Holds,
    sequence: Sequence,
}

/// The removed files that a client says it has open, and those that it was asked about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holds(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    open: BTreeSet<InodeId>,
    asked: Vec<InodeId>,
    routing: RoutingVersion,
}

impl Holds {
    /// From now on these.
    pub(crate) fn set(&self, open: &[InodeId]) {
        self.held().open = open.iter().copied().collect();
    }

    /// How often it was asked about `inode`.
    pub(crate) fn asked_for(&self, inode: InodeId) -> usize {
        self.held().asked.iter().filter(|asked| **asked == inode).count()
    }

    /// The routing that it was told of without a gap.
    pub(crate) fn routing(&self) -> RoutingVersion {
        self.held().routing
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().expect("no panic under it")
    }
}

impl Handler for Holds {
    async fn handle(&self, call: IncomingCall) -> Answer {
        let mut message = Vec::new();
        let mut held = self.held();
        if call.method == TellRouting::METHOD {
            let news: TellRouting = decode(&call.message).expect("news");
            if news.since <= held.routing {
                held.routing = held.routing.max(news.delta.version);
            }
            encode(&TellRoutingReply { version: held.routing }, &mut message);
        } else {
            assert_eq!(call.method, AskHeld::METHOD);
            let asked: AskHeld = decode(&call.message).expect("a question");
            held.asked.extend(&asked.inodes);
            let held = asked.inodes.into_iter().filter(|inode| held.open.contains(inode)).collect();
            encode(&AskHeldReply { held }, &mut message);
        }
        Ok((message, Bytes::new()))
    }
}

impl Member {
    /// Of a new cluster.
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = Config {
            directory: directory.path().join("meta"),
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            listen_beyond_loopback_without_authentication: false,
            members: Vec::new(),
            node: 1,
            storage_lease_ms: LEASE_MS,
            metrics: None,
            log: Default::default(),
        };
        let cluster = format(&config, None).expect("an empty directory");
        let server = Server::start(&config).await.expect("a formatted directory");
        assert_eq!(server.cluster(), cluster);
        Self { config, server: Some(server), directory: directory.into() }
    }

    /// Stopped and started again; it listens elsewhere.
    pub(crate) async fn restarted(self) -> Self {
        let lease_ms = self.config.storage_lease_ms;
        self.restarted_with(lease_ms).await
    }

    /// The same, with another lease of storage servers.
    pub(crate) async fn restarted_with(self, storage_lease_ms: u32) -> Self {
        let config = Config { storage_lease_ms, ..self.config.clone() };
        let directory = Arc::clone(&self.directory);
        let cluster = self.cluster();
        drop(self);
        let server = Server::start(&config).await.expect("as it was left");
        assert_eq!(server.cluster(), cluster);
        Self { config, server: Some(server), directory }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server().addresses()[0]
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.server().cluster()
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it is stopped when this is dropped")
    }

    /// A connection, without a session.
    pub(crate) async fn peer(&self, holds: Holds) -> Peer {
        let address = self.address().to_string().parse().expect("an address");
        let hello = hello(Some(self.cluster()), Role::Client);
        let pool = Pool::new(ByteLen::ZERO);
        let met = connect(&Tcp, &address, &hello, &pool, Limits::default()).await;
        let (connection, welcome) = met.expect("welcome");
        assert_eq!(welcome.identity.node, Some(NodeId(1)));
        let peer = connection.peer();
        tokio::spawn(connection.run(holds));
        peer
    }

    /// A client with a session.
    pub(crate) async fn client(&self) -> Client {
        let holds = Holds::default();
        let peer = self.peer(holds.clone()).await;
        let start = rand::random();
        let asked = OpenSession { start, host: "test".into(), what: "a test".into() };
        let client = call(&peer, &asked).await.expect("a session").client;
        Client { peer, client, holds, sequence: Sequence::NONE }
    }
}

/// Stopped, before its directory is removed: it would make files there while it runs.
impl Drop for Member {
    fn drop(&mut self) {
        let Some(server) = self.server.take() else { return };
        let stopped = block_in_place(|| Handle::current().block_on(server.stop()));
        assert!(stopped.is_ok() || panicking(), "a clean stop: {stopped:?}");
    }
}

/// What a peer says first.
pub(crate) fn hello(cluster: Option<ClusterId>, role: Role) -> Hello {
    Hello {
        protocol: ProtocolRange::OURS,
        features: Features::OURS,
        identity: Identity { cluster, role, node: None, boot: None, client: None },
        expected_role: Role::Meta,
        expected_node: None,
        shard: None,
    }
}

/// Asks until the answer is another than to come again.
pub(crate) async fn call<R: Request>(peer: &Peer, request: &R) -> Result<R::Reply, WireError> {
    let start = Instant::now();
    loop {
        let options = CallOptions { wait: Some(PATIENCE), ..CallOptions::default() };
        match peer.call(request, Bytes::new(), &options).await {
            Ok(reply) => return Ok(reply.message),
            Err(CallError::Failed(
                error @ (WireError::Retry { .. } | WireError::NotLeader { .. }),
            )) => {
                assert!(start.elapsed() < PATIENCE, "{error}");
                tokio::task::yield_now().await;
            }
            Err(CallError::Failed(error)) => return Err(error),
            Err(other) => panic!("{other}"),
        }
    }
}

/// Waits until `look` finds something.
pub(crate) async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look().await {
                break found;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, found).await.expect("within a minute")
}

pub(crate) fn root() -> Caller {
    Caller { uid: 0, gid: 0, groups: Some(Vec::new()) }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// Creates or opens a file in the root directory, for writing.
pub(crate) fn create(file: &str, handle: u64) -> Mutation {
    Mutation::Create {
        parent: Place::inode(ROOT),
        name: name(file),
        mode: Mode(0o644),
        exclusive: false,
        truncate: false,
        read: true,
        write: Some(HandleId(handle)),
        chunk_size: None,
    }
}

/// The attributes in a reply.
pub(crate) fn attributes(reply: Result<MutationReply, WireError>) -> Attributes {
    match reply.expect("done") {
        MutationReply::Inode { attributes, .. } => attributes,
        other => panic!("no inode in {other:?}"),
    }
}

impl Client {
    /// The next request of its one slot.
    pub(crate) fn next(&mut self, mutation: Mutation) -> Mutate {
        self.sequence = self.sequence.next();
        let slot = Slot { client: self.client, slot: 0, sequence: self.sequence };
        Mutate { slot, caller: root(), mutation }
    }

    /// Changes something.
    pub(crate) async fn mutate(&mut self, mutation: Mutation) -> Result<MutationReply, WireError> {
        let request = self.next(mutation);
        call(&self.peer, &request).await
    }

    /// Asks something.
    pub(crate) async fn ask(&self, query: Query) -> Result<QueryReply, WireError> {
        call(&self.peer, &Ask { caller: root(), query }).await
    }

    /// The attributes of a name in the root directory.
    pub(crate) async fn stat(&self, file: &str) -> Result<Attributes, FsError> {
        let of = Place::entry(ROOT, &name(file));
        match self.ask(Query::Attributes { of, follow: false }).await {
            Ok(QueryReply::Attributes(attributes)) => Ok(attributes),
            Err(WireError::Refuse { why }) => Err(why),
            other => panic!("{other:?}"),
        }
    }
}
