//! Storage servers come, stay and are told what changed; all may ask for the routing.

use std::time::Duration;

use emberfs_meta_server_state::cluster::{News, Replaced, Start};
use emberfs_meta_server_state::{Body, Outcome, cluster, sessions};
use emberfs_wire::cluster::{
    GetRouting, GetRoutingReply, GetStatusReply, Heartbeat, HeartbeatReply, Node, NodeLoad,
    Register, RegisterReply, TakenIn,
};
use emberfs_wire::limits::ROUTING_PAGE_MAX;
use emberfs_wire::{FsError, WireError};

use tokio::time::{Instant, sleep};

use super::{Service, mismatch};
use crate::background::Leader;
use crate::store::StateView;

/// How long a server that is not taken in waits for its answer: whatever starts it again and again, each
/// try is an entry of the log.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// For how long a registration waits for a sign that another process has its number, before it is told to
/// come again: below the time that a server waits for an answer.
const RIVAL_WAIT: Duration = Duration::from_secs(1);
/// A heartbeat that comes so soon after a registration may have been on its way when its sender died, as when
/// this process hung meanwhile.
const RIVAL_LATE: Duration = Duration::from_millis(250);

/// Takes a server in, or a new start of one.
pub(super) async fn register(leader: &Leader, asked: Register) -> Result<RegisterReply, WireError> {
    if let Some(text) = rival(leader, &asked).await? {
        tracing::warn!(name = asked.name, text, "refused a server");
        return Ok(RegisterReply::Refused { text });
    }
    let name = asked.name.clone();
    match leader.group.propose(Body::Register(asked)).await? {
        Outcome::Registered(Ok(Start { node, boot })) => {
            tracing::info!(%node, %boot, name, "a server started");
            // A session that ends from now on stays on the list until this start has confirmed it.
            let (sessions, next_session) = leader.group.read(|view| sessions::alive(view)).await?;
            let taken_in = TakenIn { node, boot, sessions, next_session };
            Ok(RegisterReply::TakenIn(taken_in))
        }
        Outcome::Registered(Err(text)) => {
            tracing::warn!(name, text, "refused a server");
            sleep(REFUSED_PAUSE).await;
            Ok(RegisterReply::Refused { text })
        }
        other => Err(mismatch(&other)),
    }
}

/// Whether the node that a server says to be runs elsewhere, in words that say what to do. A server that
/// was killed and started again is taken in at once, as it has the lock that the killed process had. Any other
/// may run on a copy of the directory, on this machine or another, whatever address it names: it waits until
/// the earlier start is heard of, or is silent for the time of its lease.
///
/// # Errors
/// [`WireError::Wait`] while that is not known.
async fn rival(leader: &Leader, asked: &Register) -> Result<Option<String>, WireError> {
    let known = leader.group.read(|view| cluster::replaced(view, asked)).await?;
    // Not before: a heartbeat that waited for the group together with this is no sign of life.
    let came = Instant::now();
    let Some(Replaced { node: Node { id, name, addresses, .. }, is_dead: false }) = known else {
        return Ok(None);
    };
    let mut servers = leader.servers.listen();
    let at = addresses.join(", ");
    while leader.servers.may_serve(id) {
        let heard =
            leader.servers.status(id).heard_ms_ago.map(u64::from).map(Duration::from_millis);
        if heard.is_some_and(|ago| ago + RIVAL_LATE < came.elapsed()) {
            return Ok(Some(format!(
                "{id} (`{name}`) runs at {at} and answers: stop that server first; if this one's \
                 directory is a copy of its, give this one a `name`, a `directory` and disks of its own"
            )));
        }
        if came.elapsed() > RIVAL_WAIT {
            let text = format!("{id} (`{name}`) may still run at {at}: until its lease is over");
            return Err(WireError::Wait { text });
        }
        servers.news().await;
    }
    Ok(None)
}

/// Answers the latest start of a server with what changed, and a lease if that is all.
pub(super) async fn heartbeat(
    leader: &Leader,
    said: Heartbeat,
) -> Result<HeartbeatReply, WireError> {
    leader.group.confirm().await?;
    loop {
        let edition = leader.servers.edition();
        let low_waters = leader.low_waters(&said.marks_wanted);
        let news = leader.group.read(|view| cluster::news(view, &said, &low_waters)).await?;
        let News { routing, informed, ended, ended_to, marks } = news.ok_or(FsError::Stale)?;
        if let Some(lease_ms) = leader.servers.answer(&said, informed, edition) {
            return Ok(HeartbeatReply { lease_ms, routing, ended, ended_to, marks });
        }
    }
}

/// What changed in the routing.
pub(super) async fn routing(
    service: &Service,
    asked: GetRouting,
) -> Result<GetRoutingReply, WireError> {
    let delta = service.look(|view| cluster::routing_since(view, asked.since)).await?;
    Ok(GetRoutingReply { cluster: service.around.cluster, delta })
}

/// How servers stand. A leader that has only just begun has heard of none: it listens for a while first.
pub(super) async fn status(
    leader: &Leader,
    load: Option<NodeLoad>,
) -> Result<GetStatusReply, WireError> {
    let look = |view: &StateView<'_>| Ok((cluster::nodes(view)?, sessions::count(view)?));
    let (mut nodes, mut sessions) = leader.group.read(look).await?;
    if leader.servers.first_heard(nodes.iter().map(|node| node.id).collect()).await {
        // As it is now.
        (nodes, sessions) = leader.group.read(look).await?;
    }
    Ok(GetStatusReply {
        cluster: leader.cluster(),
        leader: leader.identity.node.expect("a member knows its number"),
        nodes: nodes
            .iter()
            .take(ROUTING_PAGE_MAX)
            .map(|node| leader.servers.status(node.id))
            .collect(),
        sessions: sessions.saturating_sub(1), // the leader's own is no client's
        lease_ms: Some(leader.servers.lease_ms()),
        load,
    })
}
