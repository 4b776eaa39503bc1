//! The other servers, as one shard reaches them: a link to each that it needs, and to the right shard.
//!
//! The first link to a server goes to whichever of its shards it likes; the Welcome says which shard owns
//! which target, and from then on a target is asked over a link to its own shard. Where the table is out
//! of date the other server passes the request on itself, so it never has to be right.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use emberfs_buffer::Pool;
use emberfs_layout::{ClusterId, NodeId, TargetId};
use emberfs_transport::link::LinkState;
use emberfs_transport::{
    Address, CallError, CallOptions, Dial, Limits, Link, NoService, Peer, Reply, Tcp,
};
use emberfs_wire::Request;
use emberfs_wire::handshake::{Hello, Identity, Role, ShardIndex, Welcome};
use emberfs_wire::protocol::{Features, ProtocolRange};
use thiserror::Error;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use crate::news::{News, Routes};

/// How long a link may take to stand before a request is given up: the chain's change comes next, or the
/// core sends it again.
const CONNECT_WAIT: Duration = Duration::from_secs(1);

/// Links to other servers; owned by one shard.
#[derive(Debug)]
pub(crate) struct Peers {
    cluster: ClusterId,
    pool: Pool,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Who this server is, once that is known.
    us: Option<Identity>,
    routes: Arc<Routes>,
    links: BTreeMap<(NodeId, Option<ShardIndex>), Kept>,
    /// Connections to the very shard of a target, while they stand: what almost every request takes.
    direct: BTreeMap<TargetId, Peer>,
}

/// A link and the task that keeps it, which ends with it.
#[derive(Debug)]
struct Kept {
    address: Address,
    link: Link,
    driver: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why a member of the chain did not answer.
#[derive(Debug, Error)]
pub(crate) enum PeerError {
    /// Nobody knows where it lives.
    #[error("no server is known for {target}")]
    Unknown {
        /// Which member.
        target: TargetId,
    },
    /// Its server cannot be reached.
    #[error("no connection to {node}: {why}")]
    Unreachable {
        /// Which server.
        node: NodeId,
        /// What the last try said.
        why: String,
    },
    /// It was reached, and the request failed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Peers {
    pub(crate) fn new(cluster: ClusterId, pool: Pool) -> Self {
        Self { cluster, pool, state: RefCell::default() }
    }

    /// Goes by new routes: links to servers that moved or went are dropped.
    pub(crate) fn follow(&self, news: &News) {
        let mut state = self.state.borrow_mut();
        let News { node, boot, routes, .. } = news;
        if Arc::ptr_eq(&state.routes, routes) {
            return;
        }
        state.us = Some(Identity {
            cluster: Some(self.cluster),
            role: Role::Storage,
            node: Some(*node),
            boot: Some(*boot),
            client: None,
        });
        state.routes = Arc::clone(routes);
        state.links.retain(|(node, _), kept| address_of(routes, *node) == Some(&kept.address));
        state.direct.clear();
    }

    /// Asks the server of `target`.
    pub(crate) async fn call<R: Request>(
        &self,
        target: TargetId,
        request: &R,
        payload: Bytes,
        options: &CallOptions,
    ) -> Result<Reply<R::Reply>, PeerError> {
        let peer = self.peer(target).await?;
        let answer = peer.call(request, payload, options).await;
        if let Err(CallError::Closed(_)) = &answer {
            self.state.borrow_mut().direct.remove(&target);
        }
        Ok(answer?)
    }

    /// A connection to the server of `target`, to its shard if one stands.
    async fn peer(&self, target: TargetId) -> Result<Peer, PeerError> {
        let (node, any) = {
            let mut state = self.state.borrow_mut();
            if let Some(peer) = state.direct.get(&target).filter(|peer| peer.closed().is_none()) {
                return Ok(peer.clone());
            }
            let node = *state.routes.places.get(&target).ok_or(PeerError::Unknown { target })?;
            let any = state.link(node, None, &self.pool).ok_or(PeerError::Unknown { target })?;
            (node, any)
        };
        let stands = timeout(CONNECT_WAIT, any.peer()).await;
        let Ok(Some((peer, welcome))) = stands else {
            let why = match any.state() {
                LinkState::Down { why: Some(why) } => why,
                _ => "it takes too long".to_owned(),
            };
            return Err(PeerError::Unreachable { node, why });
        };
        let mut state = self.state.borrow_mut();
        let direct = match home(&welcome, target) {
            Some(shard) if shard != welcome.shard => {
                match state.link(node, Some(shard), &self.pool).map(|link| link.state()) {
                    Some(LinkState::Up { peer, .. }) => peer,
                    _ => return Ok(peer),
                }
            }
            Some(_) => peer,
            None => return Ok(peer),
        };
        state.direct.insert(target, direct.clone());
        Ok(direct)
    }
}

impl State {
    /// The link to a shard of `node`, begun if there is none yet.
    fn link(&mut self, node: NodeId, shard: Option<ShardIndex>, pool: &Pool) -> Option<Link> {
        if let Some(kept) = self.links.get(&(node, shard)) {
            return Some(kept.link.clone());
        }
        let address = address_of(&self.routes, node)?.clone();
        let hello = Hello {
            protocol: ProtocolRange::OURS,
            features: Features::OURS,
            identity: self.us?,
            expected_role: Role::Storage,
            expected_node: Some(node),
            shard,
        };
        let (pool, limits) = (pool.clone(), Limits::default());
        let dial = Dial { network: Tcp, address: address.clone(), hello, pool, limits };
        let (link, driver) = Link::new(dial, NoService);
        let kept = Kept { address, link: link.clone(), driver: spawn_local(driver) };
        self.links.insert((node, shard), kept);
        Some(link)
    }
}

/// Servers are reached at the first address that they name.
fn address_of(routes: &Routes, node: NodeId) -> Option<&Address> {
    routes.addresses.get(&node)?.first()
}

fn home(welcome: &Welcome, target: TargetId) -> Option<ShardIndex> {
    let of = welcome.shards.iter().find(|shard| shard.targets.contains(&target))?;
    Some(of.shard)
}
