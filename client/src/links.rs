//! Connections: one to each metadata server, one to each shard of a storage server that is used.
//!
//! Each is a [`Link`], dialled again whenever it ends. Links die with the set that holds them.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_client_session::{Next, Work, decide};
use emberfs_layout::{ClientId, ClusterId, NodeId, TargetId};
use emberfs_transport::link::LinkState;
use emberfs_transport::{Address, CallOptions, Dial, Limits, Link, Network, NoService, Peer, Tcp};
use emberfs_wire::Request;
use emberfs_wire::cluster::Node;
use emberfs_wire::handshake::{Hello, Identity, Role, ShardIndex, Welcome};
use emberfs_wire::protocol::{Features, ProtocolRange};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::error::{ClientError, Try, WaitingFor};
use crate::patience::Patience;

/// How long a call waits for a connection to a storage server before it looks for another way: long
/// enough to connect anywhere on earth, short beside the time that a chain needs to change.
const CONNECT_WAIT: Duration = Duration::from_millis(500);

/// How long one metadata server may take before another is asked, where there are several: far beyond what
/// an election takes. The request is the same, so that it does no harm if the first is still at it.
const META_WAIT: Duration = Duration::from_secs(15);

/// What all connections of a client have in common.
#[derive(Clone, Debug)]
pub(crate) struct Dialling {
    pub(crate) runtime: Handle,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) client: Option<ClientId>,
    pub(crate) pool: Pool,
    pub(crate) limits: Limits,
}

/// A link and its driver, which ends with it.
#[derive(Debug)]
pub(crate) struct Driven {
    link: Link,
    driver: AbortHandle,
}

/// Connections to the metadata group.
#[derive(Debug)]
pub(crate) struct MetaLinks {
    members: Vec<Driven>,
    /// The member that answered last.
    preferred: AtomicUsize,
}

/// Connections to storage servers, made when they are first used.
#[derive(Debug)]
pub(crate) struct StorageLinks {
    dialling: Dialling,
    links: Mutex<BTreeMap<Place, Storage>>,
}

/// A shard of a storage server; without a shard: whichever the server chooses.
type Place = (NodeId, Option<ShardIndex>);

#[derive(Debug)]
struct Storage {
    addresses: Vec<String>,
    driven: Driven,
}

/// A server that listens at several addresses: the first that answers is taken.
#[derive(Clone, Debug)]
struct AnyOf(Vec<Address>);

impl Network for AnyOf {
    type Stream = TcpStream;

    async fn connect(&self, to: &Address) -> io::Result<TcpStream> {
        let mut last = Err(io::Error::new(io::ErrorKind::NotFound, format!("no way to {to}")));
        for address in &self.0 {
            last = Tcp.connect(address).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }
}

impl Dialling {
    fn hello(&self, role: Role, node: Option<NodeId>, shard: Option<ShardIndex>) -> Hello {
        let (cluster, client) = (self.cluster, self.client);
        Hello {
            protocol: ProtocolRange::OURS,
            features: Features::OURS,
            identity: Identity { cluster, role: Role::Client, node: None, boot: None, client },
            expected_role: role,
            expected_node: node,
            shard,
        }
    }

    fn dial<N>(&self, network: N, address: Address, hello: Hello) -> Dial<N> {
        Dial { network, address, hello, pool: self.pool.clone(), limits: self.limits }
    }

    fn drive(&self, (link, driver): (Link, impl Future<Output = ()> + Send + 'static)) -> Driven {
        Driven { link, driver: self.runtime.spawn(driver).abort_handle() }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Driven {
    fn is_up(&self) -> bool {
        match self.link.state() {
            LinkState::Up { peer, .. } => peer.closed().is_none(),
            LinkState::Down { .. } => false,
        }
    }

    /// The connection, if there is one within [`CONNECT_WAIT`].
    async fn peer_soon(link: &Link) -> Result<(Peer, Welcome), Try> {
        let waited = timeout(CONNECT_WAIT, link.peer()).await;
        waited.ok().flatten().ok_or_else(|| Try::Unreachable(why_down(link)))
    }
}

/// What the last try to connect said.
fn why_down(link: &Link) -> String {
    match link.state() {
        LinkState::Down { why: Some(why) } => why,
        LinkState::Down { why: None } => "connecting".to_owned(),
        LinkState::Up { .. } => "connected".to_owned(),
    }
}

impl MetaLinks {
    /// Dials each of `addresses`; `handler` answers what the group asks.
    pub(crate) fn new(
        dialling: &Dialling,
        addresses: &[Address],
        handler: &(impl IntoDriver + Clone),
    ) -> Self {
        let members = addresses.iter().map(|address| {
            let hello = dialling.hello(Role::Meta, None, None);
            handler.clone().drive(dialling, dialling.dial(Tcp, address.clone(), hello))
        });
        Self { members: members.collect(), preferred: AtomicUsize::new(0) }
    }

    /// Asks the group until it answers: a request with a slot or an id of its own, or a question, so that
    /// asking again is harmless.
    pub(crate) async fn call<R: Request + Sync>(
        &self,
        request: &R,
        patience: &mut Patience,
    ) -> Result<R::Reply, ClientError> {
        let wait = (self.members.len() > 1).then_some(META_WAIT);
        let options = CallOptions { wait, ..CallOptions::default() };
        let mut last = None;
        for tries in 0.. {
            let what = || self.waiting_for(last.as_ref());
            let (member, peer) = patience.wait(what, self.peer()).await?;
            let answer = patience.wait(what, peer.call(request, Bytes::new(), &options)).await?;
            let failed = match answer {
                Ok(reply) => return Ok(reply.message),
                Err(error) => Try::from(error),
            };
            let decision = decide(Work::Meta, failed.as_failure(), tries, rand::random());
            match decision.next {
                Next::Refused(why) => return Err(why.into()),
                Next::Fault => return Err(ClientError::Fault { text: failed.to_string() }),
                Next::Elsewhere => self.prefer_after(member),
                Next::Again | Next::Refresh => {}
            }
            let what = || self.waiting_for(Some(&failed));
            patience.pause(what, decision.pause).await?;
            last = Some(failed);
        }
        unreachable!("tries are counted to no end")
    }

    /// What a call waits for now.
    pub(crate) fn waiting_for(&self, last: Option<&Try>) -> WaitingFor {
        let each = self.members.iter().map(|member| why_down(&member.link));
        let last = last.map_or_else(|| each.collect::<Vec<_>>().join("; "), Try::to_string);
        WaitingFor::MetadataGroup { last }
    }

    /// A connection that stands: the preferred member's, else any other's, else the first that comes.
    async fn peer(&self) -> (usize, Peer) {
        let count = self.members.len();
        let first = self.preferred.load(Ordering::Relaxed);
        let mut order = (0..count).map(|step| (first + step) % count);
        if let Some(member) = order.find(|member| self.members[*member].is_up())
            && let Some((peer, _)) = self.members[member].link.peer().await
        {
            return (member, peer);
        }
        let each = self.members.iter().enumerate();
        let mut any: FuturesUnordered<_> = each
            .map(|(member, driven)| async move {
                driven.link.peer().await.map(|(peer, _)| (member, peer))
            })
            .collect();
        while let Some(up) = any.next().await {
            if let Some(up) = up {
                return up;
            }
        }
        // All drivers were stopped: the client is being dropped, and with it this call.
        std::future::pending().await
    }

    fn prefer_after(&self, member: usize) {
        self.preferred.store((member + 1) % self.members.len(), Ordering::Relaxed);
    }
}

/// A handler whose connections can be driven by any thread.
pub(crate) trait IntoDriver: Sized {
    /// Starts a link with it.
    fn drive(self, dialling: &Dialling, dial: Dial<Tcp>) -> Driven;
}

impl IntoDriver for NoService {
    fn drive(self, dialling: &Dialling, dial: Dial<Tcp>) -> Driven {
        dialling.drive(Link::new(dial, self))
    }
}

impl IntoDriver for crate::held::Held {
    fn drive(self, dialling: &Dialling, dial: Dial<Tcp>) -> Driven {
        dialling.drive(Link::new(dial, self))
    }
}

impl StorageLinks {
    pub(crate) fn new(dialling: Dialling) -> Self {
        Self { dialling, links: Mutex::default() }
    }

    /// A connection to the shard of `node` that has `target`, and which that is.
    pub(crate) async fn peer(
        &self,
        node: &Node,
        target: TargetId,
    ) -> Result<(NodeId, ShardIndex, Peer), Try> {
        let any = self.link(node, None)?;
        let (peer, welcome) = Driven::peer_soon(&any).await?;
        let home = welcome.shards.iter().find(|shard| shard.targets.contains(&target));
        let shard = home.map_or(welcome.shard, |home| home.shard);
        if shard == welcome.shard {
            return Ok((node.id, shard, peer));
        }
        let own = self.link(node, Some(shard))?;
        let (peer, _) = Driven::peer_soon(&own).await?;
        Ok((node.id, shard, peer))
    }

    fn link(&self, node: &Node, shard: Option<ShardIndex>) -> Result<Link, Try> {
        let mut links = self.links();
        if let Some(known) = links.get(&(node.id, shard))
            && known.addresses == node.addresses
        {
            return Ok(known.driven.link.clone());
        }
        let parsed = node.addresses.iter().map(|address| address.parse::<Address>());
        let unreachable =
            |why: &dyn std::fmt::Display| Try::Unreachable(format!("{}: {why}", node.name));
        let parsed: Vec<_> =
            parsed.collect::<Result<_, _>>().map_err(|error| unreachable(&error))?;
        let first = parsed.first().ok_or_else(|| unreachable(&"it has no address"))?.clone();
        let hello = self.dialling.hello(Role::Storage, Some(node.id), shard);
        let dial = self.dialling.dial(AnyOf(parsed), first, hello);
        let driven = self.dialling.drive(Link::new(dial, NoService));
        let link = driven.link.clone();
        links.insert((node.id, shard), Storage { addresses: node.addresses.clone(), driven });
        Ok(link)
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<Place, Storage>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
