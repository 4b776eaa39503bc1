//! Connections: how they are made, and those to storage servers, one to each shard that is used.
//!
//! Those to the metadata group are in [`group`](crate::group). Each is a [`Link`], dialled again whenever it ends. Links die with the set that holds them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use emberfs_buffer::Pool;
use emberfs_layout::{ClientId, ClusterId, NodeId, TargetId};
use emberfs_transport::link::LinkState;
use emberfs_transport::{Address, Dial, Limits, Link, Network, NoService, Peer, Tcp};
use emberfs_wire::cluster::Node;
use emberfs_wire::handshake::{Hello, Identity, Role, ShardIndex, Welcome};
use emberfs_wire::protocol::{Features, ProtocolRange};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::error::Try;
use crate::options::ClientOptions;

/// How long a call waits for a connection to a storage server before it looks for another way: long
/// enough to connect anywhere on earth, short beside the time that a chain needs to change.
const CONNECT_WAIT: Duration = Duration::from_millis(500);

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
    pub(crate) link: Link,
    driver: AbortHandle,
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
    /// To this cluster, or to any, without a session; to be called within a runtime, which then drives the connections.
    pub(crate) fn new(cluster: Option<ClusterId>, options: &ClientOptions) -> Self {
        let (runtime, pool) = (Handle::current(), options.pool());
        Self { runtime, cluster, client: None, pool, limits: options.limits }
    }

    pub(crate) fn hello(
        &self,
        role: Role,
        node: Option<NodeId>,
        shard: Option<ShardIndex>,
    ) -> Hello {
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

    pub(crate) fn dial<N>(&self, network: N, address: Address, hello: Hello) -> Dial<N> {
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
    /// What the last try to connect said.
    pub(crate) fn why_down(&self) -> String {
        why_down(&self.link)
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

/// A handler of connections to members of the metadata group that can be driven by any thread.
pub(crate) trait IntoDriver: Clone + Debug + Send + Sync + 'static {
    /// Starts a link with it.
    fn drive(self, dialling: &Dialling, dial: Dial<Tcp>) -> Driven;
}

impl IntoDriver for NoService {
    fn drive(self, dialling: &Dialling, dial: Dial<Tcp>) -> Driven {
        dialling.drive(Link::to_member(dial, self))
    }
}

impl IntoDriver for crate::asked::Asked {
    fn drive(self, dialling: &Dialling, dial: Dial<Tcp>) -> Driven {
        dialling.drive(Link::to_member(dial, self))
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
