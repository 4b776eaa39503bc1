//! Connections to storage servers, made when they are first needed and kept.
//!
//! One a server and shard. A server that listens somewhere else by now gets a new one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use emberfs_buffer::Pool;
use emberfs_layout::{ByteLen, NodeId, TargetId};
use emberfs_transport::{Address, Dial, Limits, Link, NoService, Peer, Tcp};
use emberfs_wire::cluster::Node;
use emberfs_wire::handshake::{Hello, Identity, Role, ShardIndex, Welcome};
use emberfs_wire::protocol::{Features, ProtocolRange};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a connection may take to come about before the chain is looked up again: it may have
/// another head by then.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
/// Memory for payloads, which the replies to the leader's requests do not have.
const POOL: ByteLen = ByteLen::ZERO;

/// All connections of a leader to storage servers. Dropped, it closes them.
#[derive(Debug)]
pub(crate) struct Links {
    identity: Identity,
    kept: Mutex<HashMap<(NodeId, Option<ShardIndex>), Kept>>,
}

/// One link, with the address that it goes to and the task that keeps it.
#[derive(Debug)]
struct Kept {
    address: Address,
    link: Link,
    _driver: JoinSet<()>, // of one: it ends its task when dropped
}

impl Links {
    /// None yet; `identity` is whose they will be.
    pub(crate) fn new(identity: Identity) -> Self {
        Self { identity, kept: Mutex::default() }
    }

    /// The connection to the shard of `node` that has `target`; `None` if there is none in time.
    pub(crate) async fn peer(&self, node: &Node, target: TargetId) -> Option<Peer> {
        let (peer, welcome) = self.connected(node, None).await?;
        match shard_of(&welcome, target) {
            Some(shard) if shard != welcome.shard => {
                let (peer, _) = self.connected(node, Some(shard)).await?;
                Some(peer)
            }
            _ => Some(peer),
        }
    }

    async fn connected(&self, node: &Node, shard: Option<ShardIndex>) -> Option<(Peer, Welcome)> {
        let link = self.link(node, shard)?;
        timeout(CONNECT_WAIT, link.peer()).await.ok().flatten()
    }

    fn link(&self, node: &Node, shard: Option<ShardIndex>) -> Option<Link> {
        let address = node.addresses.iter().find_map(|text| text.parse::<Address>().ok())?;
        // No code under the lock panics half-way through an update.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&(node.id, shard))
            && known.address == address
        {
            return Some(known.link.clone());
        }
        let dial = Dial {
            network: Tcp,
            address: address.clone(),
            hello: self.hello(node.id, shard),
            pool: Pool::new(POOL),
            limits: Limits::default(),
        };
        let (link, driver) = Link::new(dial, NoService);
        let mut task = JoinSet::new();
        task.spawn(driver);
        kept.insert((node.id, shard), Kept { address, link: link.clone(), _driver: task });
        Some(link)
    }

    fn hello(&self, node: NodeId, shard: Option<ShardIndex>) -> Hello {
        Hello {
            protocol: ProtocolRange::OURS,
            features: Features::OURS,
            identity: self.identity,
            expected_role: Role::Storage,
            expected_node: Some(node),
            shard,
        }
    }
}

/// On which shard a server says that `target` lives.
fn shard_of(welcome: &Welcome, target: TargetId) -> Option<ShardIndex> {
    let shard = welcome.shards.iter().find(|shard| shard.targets.contains(&target))?;
    Some(shard.shard)
}
