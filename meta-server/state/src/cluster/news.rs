//! What a server is told with the answer to its heartbeat.

use emberfs_layout::{ClientId, Sequence};
use emberfs_wire::cluster::{Heartbeat, RoutingDelta};
use emberfs_wire::limits::ENDED_MAX;

use super::chains::settled;
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
}

/// What the sender of a heartbeat is to be told; `None` if it is not the latest start of its server.
///
/// # Errors
/// [`StoreError`].
pub fn news(view: &dyn View, said: &Heartbeat) -> Result<Option<News>, StoreError> {
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
    Ok(Some(News { routing, informed, ended, ended_to }))
}
