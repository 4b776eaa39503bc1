//! What a server is told with the answer to its heartbeat.

use emberfs_layout::{ClientId, Sequence};
use emberfs_wire::cluster::{Heartbeat, RoutingDelta, SessionMark, WantedMark};
use emberfs_wire::limits::ENDED_MAX;

use super::chains::{chain_version, settled};
use super::nodes::node;
use super::routing::routing_since;
use crate::sessions;
use crate::transaction::{StoreError, View};

/// What changed since a server last heard of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Of the routing.
    pub routing: RoutingDelta,
    /// Whether the answer may grant a lease: with this the server has all of the routing, and none of its
    /// members serves or syncs by what an earlier start of it was given.
    pub informed: bool,
    /// Sessions that ended.
    pub ended: Vec<ClientId>,
    /// Up to where the list of ended sessions goes with these.
    pub ended_to: Sequence,
    /// Marks of sessions that it asked for.
    pub marks: Vec<SessionMark>,
}

/// What the sender of a heartbeat is to be told; `None` if it is not the latest start of its server.
///
/// `low_waters` are marks that sessions told, and they are looked up *before* `view` is taken, which is as new as what
/// was answered by then: a session has its routing from a leader before it tells a mark, so that no write that the mark
/// settles went by a newer version of the chain than the one that is found here.
///
/// # Errors
/// [`StoreError`].
pub fn news(
    view: &dyn View,
    said: &Heartbeat,
    low_waters: &[(WantedMark, Sequence)],
) -> Result<Option<News>, StoreError> {
    if node(view, said.node)?.is_none_or(|known| known.boot != said.boot) {
        return Ok(None);
    }
    let mut routing = routing_since(view, said.routing)?;
    let (ended, mut ended_to) = sessions::ended(view, said.ended)?;
    if ended.len() < ENDED_MAX {
        ended_to = ended_to.max(sessions::last_ended(view)?);
    } else {
        routing.more = true; // the next heartbeat is to follow at once
    }
    let informed = settled(view, said.node)? && !routing.more;
    let mut marks = Vec::with_capacity(low_waters.len());
    for &(WantedMark { client, chain }, low_water) in low_waters {
        if let Some(version) = chain_version(view, chain)? {
            marks.push(SessionMark { client, chain, low_water, version });
        }
    }
    Ok(Some(News { routing, informed, ended, ended_to, marks }))
}
