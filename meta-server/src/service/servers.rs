//! Storage servers come, stay and are told what changed; all may ask for the routing.

use std::time::Duration;

use emberfs_layout::{ClientId, Sequence};
use emberfs_meta_server_state::cluster::Start;
use emberfs_meta_server_state::{Body, Outcome, cluster, sessions};
use emberfs_wire::cluster::{
    GetRouting, GetRoutingReply, GetStatusReply, Heartbeat, HeartbeatReply, Register,
    RegisterReply, RoutingDelta,
};
use emberfs_wire::limits::{ENDED_MAX, ROUTING_PAGE_MAX};
use emberfs_wire::{FsError, WireError};

use tokio::time::sleep;

use super::{mismatch, wire_error};
use crate::background::Leader;
use crate::store::StateView;

/// How long a server that is not taken in waits for its answer: each try is an entry of the log.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// Takes a server in, or a new start of one.
pub(super) async fn register(leader: &Leader, asked: Register) -> Result<RegisterReply, WireError> {
    let name = asked.name.clone();
    match leader.group.propose(Body::Register(asked)).await.map_err(wire_error)? {
        Outcome::Registered(Ok(Start { node, boot })) => {
            tracing::info!(%node, %boot, name, "a server started");
            // A session that ends from now on stays on the list until this start has confirmed it.
            let alive = leader.group.read(|view| sessions::alive(view)).await;
            let (sessions, next_session) = alive.map_err(wire_error)?;
            Ok(RegisterReply { node, boot, sessions, next_session })
        }
        Outcome::Registered(Err(text)) => {
            // Its operator reads the words in its own log. It comes again, but not at once.
            tracing::debug!(name, text, "a server is not taken in");
            sleep(REFUSED_PAUSE).await;
            Err(WireError::Wait { text })
        }
        other => Err(mismatch(&other)),
    }
}

/// Answers the latest start of a server with what changed, and a lease if that is all.
pub(super) async fn heartbeat(
    leader: &Leader,
    said: Heartbeat,
) -> Result<HeartbeatReply, WireError> {
    leader.group.confirm().await.map_err(wire_error)?;
    loop {
        let edition = leader.servers.edition();
        let News { routing, settled, ended, ended_to } = news(leader, &said).await?;
        let informed = settled && !routing.more;
        if let Some(lease_ms) = leader.servers.answer(&said, informed, edition) {
            return Ok(HeartbeatReply { lease_ms, routing, ended, ended_to });
        }
    }
}

/// What a server is told.
struct News {
    routing: RoutingDelta,
    /// Whether none of its members serves by what an earlier start was given.
    settled: bool,
    ended: Vec<ClientId>,
    ended_to: Sequence,
}

async fn news(leader: &Leader, said: &Heartbeat) -> Result<News, WireError> {
    let look = |view: &StateView<'_>| {
        let latest = cluster::node(view, said.node)?.is_some_and(|known| known.boot == said.boot);
        let mut routing = cluster::routing_since(view, said.routing)?;
        let (ended, mut ended_to) = sessions::ended(view, said.ended)?;
        if ended.len() < ENDED_MAX {
            ended_to = ended_to.max(sessions::last_ended(view)?);
        } else {
            routing.more = true; // the next heartbeat is to follow at once
        }
        let settled = cluster::settled(view, said.node)?;
        Ok(latest.then_some(News { routing, settled, ended, ended_to }))
    };
    let news = leader.group.read(look).await.map_err(wire_error)?;
    news.ok_or_else(|| FsError::Stale.into())
}

/// What changed in the routing.
pub(super) async fn routing(
    leader: &Leader,
    asked: GetRouting,
) -> Result<GetRoutingReply, WireError> {
    let delta = leader.group.read(|view| cluster::routing_since(view, asked.since)).await;
    Ok(GetRoutingReply { cluster: leader.cluster(), delta: delta.map_err(wire_error)? })
}

/// How servers stand.
pub(super) async fn status(leader: &Leader) -> Result<GetStatusReply, WireError> {
    let (nodes, sessions) = leader
        .group
        .read(|view| Ok((cluster::nodes(view)?, sessions::count(view)?)))
        .await
        .map_err(wire_error)?;
    Ok(GetStatusReply {
        cluster: leader.cluster(),
        leader: leader.identity.node.expect("a member knows its number"),
        nodes: nodes
            .iter()
            .take(ROUTING_PAGE_MAX)
            .map(|node| leader.servers.status(node.id))
            .collect(),
        sessions: sessions.saturating_sub(1), // the leader's own is no client's
    })
}
