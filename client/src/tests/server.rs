//! The scripted servers: one metadata server, or three, and three storage servers of two shards, over loopback.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, ClusterId, NodeId, TargetId};
use emberfs_transport::{Answer, Handler, IncomingCall, Limits, Pending};
use emberfs_wire::chunk::{ReadChunks, UpdateChunk};
use emberfs_wire::cluster::{GetRouting, GetRoutingReply};
use emberfs_wire::group::{GetMember, GetMemberReply, MemberId, MemberStatus, Term};
use emberfs_wire::handshake::{Identity, Role, ShardIndex, ShardTargets, Welcome};
use emberfs_wire::meta::{
    Ask, EndSession, Mutate, OpenSession, OpenSessionReply, RenewSession, RenewSessionReply,
};
use emberfs_wire::{FsError, Request, WireError, decode, encode};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::world::{Fault, META, METAS, STORAGE, World, home_of, shard_of};
use crate::{Address, Client, ClientOptions, ClusterAddress, Credentials};

const CLUSTER: ClusterId = ClusterId(77);
/// Slots of a session: few, so that they are used again.
const SLOTS: u16 = 3;

/// A cluster that listens; it ends with the test's runtime.
pub(super) struct Servers {
    pub(super) world: Arc<World>,
    pub(super) address: ClusterAddress,
    /// What accepts connections for each metadata server.
    members: BTreeMap<NodeId, JoinSet<()>>,
}

/// One connection's side of a server.
#[derive(Clone)]
struct Serving {
    world: Arc<World>,
    node: NodeId,
    shard: u16,
}

/// A connection counts while it stands.
struct Standing(Arc<World>);

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.state().open_connections -= 1;
        self.0.came.notify_waiters();
    }
}

impl Servers {
    pub(super) async fn start() -> Self {
        Self::start_with(&[META]).await
    }

    /// With three members, the first of which leads.
    pub(super) async fn start_group() -> Self {
        Self::start_with(&METAS).await
    }

    async fn start_with(metas: &[NodeId]) -> Self {
        let world = World::new();
        for (place, node) in STORAGE.iter().enumerate() {
            let (listener, address) = bound("127.0.0.1:0").await;
            tokio::spawn(accept(world.clone(), *node, listener));
            world.state().routing.nodes[place].addresses = vec![address.to_string()];
        }
        let (mut members, mut meta) = (BTreeMap::new(), Vec::new());
        for node in metas {
            let (listener, address) = bound("127.0.0.1:0").await;
            let mut accepting = JoinSet::new();
            accepting.spawn(accept(world.clone(), *node, listener));
            members.insert(*node, accepting);
            world.state().group.addresses.insert(*node, address.to_string());
            meta.push(address);
        }
        let address = ClusterAddress { cluster: Some(CLUSTER), meta };
        Self { world, address, members }
    }

    /// A metadata server dies, with all its connections.
    pub(super) async fn kill(&mut self, node: NodeId) {
        self.members.get_mut(&node).expect("a member").shutdown().await;
    }

    /// A metadata server dies, and starts anew where it never listened before.
    pub(super) async fn moves(&mut self, node: NodeId) {
        self.kill(node).await;
        let (listener, address) = bound("127.0.0.1:0").await;
        self.members.entry(node).or_default().spawn(accept(self.world.clone(), node, listener));
        self.world.state().group.addresses.insert(node, address.to_string());
    }

    pub(super) async fn client(&self) -> Client {
        self.client_with(Self::options()).await
    }

    pub(super) async fn client_with(&self, options: ClientOptions) -> Client {
        Client::connect(&self.address, &options).await.expect("a client")
    }

    /// Patient enough for a slow machine, and no test waits for ever.
    pub(super) fn options() -> ClientOptions {
        ClientOptions {
            deadline: Some(std::time::Duration::from_secs(60)),
            credentials: Some(Credentials::root()),
            ..ClientOptions::default()
        }
    }
}

async fn bound(at: &str) -> (TcpListener, Address) {
    let listener = TcpListener::bind(at).await.expect("loopback");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address.parse().expect("an address"))
}

/// Ends with all its connections.
async fn accept(world: Arc<World>, node: NodeId, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("loopback");
        connections.spawn(serve(world.clone(), node, stream));
    }
}

async fn serve(world: Arc<World>, node: NodeId, stream: TcpStream) {
    let Ok(pending) = Pending::accept(stream, Limits::default()).await else { return };
    let shard = pending.hello().shard.unwrap_or_default();
    let client = pending.hello().identity.client;
    let role = if METAS.contains(&node) { Role::Meta } else { Role::Storage };
    let identity =
        Identity { cluster: Some(CLUSTER), role, node: Some(node), boot: None, client: None };
    let (protocol, features) = pending.hello().judge(&identity).expect("the right one");
    let targets = |shard: u16| ShardTargets {
        shard: ShardIndex(shard),
        targets: vec![TargetId(node.get() * 10 + u32::from(shard))],
    };
    let shards = if role == Role::Meta { Vec::new() } else { [0, 1].map(targets).to_vec() };
    let welcome = Welcome { protocol, features, identity, shard, shards };
    let pool = Pool::new(ByteLen(64 << 20));
    let Ok(connection) = pending.welcome(welcome, &pool).await else { return };
    world.state().open_connections += 1;
    let standing = Standing(world.clone());
    if let Some(client) = client.filter(|_| role == Role::Meta) {
        world.state().clients.insert(client, connection.peer());
    }
    connection.run(Serving { world, node, shard: shard.0 }).await;
    drop(standing);
}

impl Handler for Serving {
    async fn handle(&self, call: IncomingCall) -> Answer {
        let fault = {
            let mut state = self.world.state();
            state.count(call.method);
            let away = read(&call).filter(|request| state.is_away(request));
            state.next_fault(call.method).or(away.map(|_: ReadChunks| Fault::CloseBefore))
        };
        self.world.came.notify_waiters();
        if METAS.contains(&self.node) {
            self.as_member(&call).await?;
        }
        if let Some(answer) = self.standing(&call) {
            return answer;
        }
        match fault {
            None => self.answer(&call),
            Some(Fault::Fail(error)) => Err(error),
            Some(Fault::CloseBefore) => {
                call.peer.close();
                std::future::pending().await
            }
            Some(Fault::CloseAfter) => {
                self.answer(&call).expect("it is done");
                call.peer.close();
                std::future::pending().await
            }
            Some(Fault::Late) => {
                let (late, peer) = (self.clone(), call.peer.clone());
                tokio::spawn(async move {
                    late.world.gate.acquire().await.expect("never closed").forget();
                    // Nobody is there to hear whether it was done.
                    drop(late.answer(&call));
                    late.world.came.notify_waiters();
                });
                peer.close();
                std::future::pending().await
            }
            Some(Fault::Damage) => {
                let (message, payload) = self.answer(&call)?;
                let mut bytes = payload.to_vec();
                *bytes.last_mut().expect("a payload") ^= 1;
                Ok((message, bytes.into()))
            }
            Some(Fault::Full) => {
                let request: UpdateChunk = read(&call).expect("a write");
                let known = self.world.state().knows(&request.tag);
                if known { self.answer(&call) } else { Err(FsError::NoSpace.into()) }
            }
            Some(Fault::Hang) => {
                self.world.gate.acquire().await.expect("never closed").forget();
                self.answer(&call)
            }
        }
    }
}

fn said<T: minicbor::Encode<()>>(message: &T, payload: Bytes) -> Answer {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    Ok((bytes, payload))
}

fn read<R: Request>(call: &IncomingCall) -> Option<R> {
    (call.method == R::METHOD).then(|| decode(&call.message).expect("as the client encoded it"))
}

impl Serving {
    /// What a member says before it looks at the request.
    async fn as_member(&self, call: &IncomingCall) -> Result<(), WireError> {
        if call.method != GetMember::METHOD {
            *self.world.state().group.asked.entry(self.node).or_default() += 1;
        }
        loop {
            let came = self.world.came.notified();
            if !self.world.state().group.is_silent(self.node, call.method) {
                break;
            }
            came.await;
        }
        let state = self.world.state();
        match state.group.leader_as_seen_by(self.node) {
            _ if call.method == GetMember::METHOD => Ok(()),
            Some(leader) if leader == self.node => Ok(()),
            leader => Err(WireError::NotLeader { leader }),
        }
    }

    /// How a member stands, if that is asked.
    fn standing(&self, call: &IncomingCall) -> Option<Answer> {
        let GetMember {} = read(call)?;
        let state = self.world.state();
        let id = |node: NodeId| MemberId(u64::from(node.get()));
        let told = &state.group.told;
        let member = |(node, address): (&NodeId, &String)| MemberStatus {
            member: id(*node),
            address: told.get(&(self.node, *node)).unwrap_or(address).clone(),
            matched: None,
            heard: None,
        };
        let reply = GetMemberReply {
            leader: state.group.leader_as_seen_by(self.node).map(id),
            term: Term(state.group.term),
            members: state.group.addresses.iter().map(member).collect(),
            ..GetMemberReply::new(CLUSTER, id(self.node))
        };
        Some(said(&reply, Bytes::new()))
    }

    fn answer(&self, call: &IncomingCall) -> Answer {
        let mut state = self.world.state();
        let none = Bytes::new;
        if let Some(request) = read::<UpdateChunk>(call) {
            assert_eq!(shard_of(request.replica.target), self.shard, "the right shard");
            assert!(STORAGE.contains(&home_of(request.replica.target)));
            return said(&state.update(&request, call.payload.clone())?, none());
        }
        if let Some(request) = read::<ReadChunks>(call) {
            let (reply, payload) = state.read(&request, self.shard);
            return said(&reply, payload);
        }
        if let Some(request) = read::<GetRouting>(call) {
            let delta = state.routing_since(request.since);
            return said(&GetRoutingReply { cluster: CLUSTER, delta }, none());
        }
        let names = &mut state.namespace;
        if let Some(request) = read::<Ask>(call) {
            let groups = request.caller.groups.is_some();
            return said(&names.ask(&request.query, groups)?, none());
        }
        if let Some(request) = read::<Mutate>(call) {
            return said(&names.mutate(&request)?, none());
        }
        if read::<OpenSession>(call).is_some() {
            names.last_session += 1;
            let client = emberfs_layout::ClientId(names.last_session);
            names.sessions.insert(client);
            return said(&OpenSessionReply { client, slots: SLOTS, lease_ms: 600 }, none());
        }
        if let Some(renewal) = read::<RenewSession>(call) {
            let client = renewal.client;
            names.renewals.insert(client, renewal);
            let live = names.sessions.contains(&client);
            let reply = RenewSessionReply { lease_ms: 600 };
            return if live { said(&reply, none()) } else { Err(FsError::Stale.into()) };
        }
        if let Some(EndSession { client }) = read(call) {
            names.sessions.remove(&client);
            return said(&RenewSessionReply { lease_ms: 600 }, none());
        }
        Err(WireError::bug(format!("{} is not served here", call.method)))
    }
}
