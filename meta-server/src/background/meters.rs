//! What a leader counts of clients and storage servers. Whoever does not lead counts none.

use emberfs_layout::NodeId;
use emberfs_meta_server_state::{cluster, sessions};
use emberfs_metrics::{Gauge, level, table};

use super::Leader;
use crate::group::GroupError;

/// Of one leader; gone with it.
#[derive(Debug)]
pub(super) struct LeaderMeters {
    sessions: Gauge,
    leases: Gauge,
}

impl LeaderMeters {
    pub(super) fn new() -> Self {
        Self { sessions: table::META_SESSIONS.with([]), leases: table::META_LEASES.with([]) }
    }

    /// As it is now.
    ///
    /// # Errors
    /// [`GroupError`] if it leads no more.
    pub(super) async fn note(&self, leader: &Leader) -> Result<(), GroupError> {
        let counted = leader.group.read(|view| Ok((sessions::count(view)?, cluster::nodes(view)?)));
        let (sessions, nodes) = counted.await?;
        let serves = |node: NodeId| leader.servers.may_serve(node);
        let leases = nodes.iter().filter(|node| serves(node.id)).count();
        // Its own is no client's.
        self.sessions.set(i64::from(sessions.saturating_sub(1)));
        self.leases.set(level(leases));
        Ok(())
    }

    /// It leads no more.
    pub(super) fn end(&self) {
        self.sessions.set(0);
        self.leases.set(0);
    }
}
