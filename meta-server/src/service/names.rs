//! Sessions, changes of the namespace and questions about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use emberfs_layout::{ByteLen, DiskId, InodeId};
use emberfs_meta_server_state::namespace::{self, Answer};
use emberfs_meta_server_state::{Body, Outcome, PendingTruncation, Unfinished, cluster, sessions};
use emberfs_transport::Peer;
use emberfs_wire::cluster::DiskReport;
use emberfs_wire::disk::{self, RawSpace};
use emberfs_wire::meta::{
    Ask, EndSession, Mutate, MutationReply, OpenSession, OpenSessionReply, Query, QueryReply,
    RenewSession, RenewSessionReply, Space,
};
use emberfs_wire::{FsError, WireError};

use super::mismatch;
use crate::background::Leader;
use crate::store::StateView;

/// How long a client waits before it asks again for a session, in milliseconds, when too many live.
const FULL_PAUSE_MS: u32 = 1_000;

/// Opens a session; the connection is where its client will be asked what it holds.
pub(super) async fn open_session(
    leader: &Leader,
    peer: &Peer,
    asked: OpenSession,
) -> Result<OpenSessionReply, WireError> {
    let live = leader.group.read(|view| sessions::count(view)).await?;
    if live >= sessions::SESSIONS_MAX {
        let text = format!("{live} sessions live, more cannot be opened");
        return Err(WireError::Retry { after_ms: FULL_PAUSE_MS, text });
    }
    match leader.group.propose(Body::OpenSession(asked)).await? {
        Outcome::SessionOpened(reply) => {
            leader.clients.opened(reply.client, peer);
            Ok(reply)
        }
        other => Err(mismatch(&other)),
    }
}

/// Notes a sign of life. The state is read first, and not only for the session: when its marks are noted, this member
/// has applied all of the routing that the session went by.
pub(super) async fn renew_session(
    leader: &Leader,
    peer: &Peer,
    asked: RenewSession,
) -> Result<RenewSessionReply, WireError> {
    let client = asked.client;
    let lives = leader.group.read(|view| sessions::find(view, client)).await?;
    if lives.is_none() {
        return Err(FsError::Stale.into());
    }
    leader.clients.renewed(asked, peer);
    Ok(RenewSessionReply { lease_ms: sessions::LEASE_MS })
}

/// Ends a session that its client closed.
pub(super) async fn end_session(
    leader: &Leader,
    asked: EndSession,
) -> Result<RenewSessionReply, WireError> {
    leader.end_session(asked.client).await?;
    Ok(RenewSessionReply { lease_ms: sessions::LEASE_MS })
}

/// Changes the namespace; answers when chains have carried out what belongs to it.
pub(super) async fn mutate(
    leader: &Arc<Leader>,
    asked: Mutate,
) -> Result<MutationReply, WireError> {
    loop {
        match leader.group.propose(Body::Mutate(asked.clone())).await? {
            Outcome::Mutation { reply, truncation: None } => return reply.map_err(WireError::from),
            Outcome::Mutation { reply, truncation: Some(pending) } => {
                leader.settle(pending.inode).await?;
                return reply.map_err(WireError::from);
            }
            Outcome::Blocked(unfinished) => leader.settle(inode_of(unfinished)).await?,
            other => return Err(mismatch(&other)),
        }
    }
}

/// Answers a question; first brings in a length that is in doubt.
pub(super) async fn ask(leader: &Arc<Leader>, asked: Ask) -> Result<QueryReply, WireError> {
    if asked.query == Query::Space {
        return space(leader).await.map(QueryReply::Space);
    }
    loop {
        match leader.group.read(|view| namespace::ask(view, &asked)).await? {
            Answer::Reply(reply) => return Ok(reply),
            Answer::Refused(why) => return Err(why.into()),
            Answer::After(unfinished) => leader.settle(inode_of(unfinished)).await?,
        }
    }
}

/// The room on admitted disks by their latest reports, divided by the replicas of new files.
async fn space(leader: &Leader) -> Result<Space, WireError> {
    let look = |view: &StateView<'_>| {
        let defaults =
            cluster::defaults(view)?.map(|defaults| cluster::table(view, defaults.table));
        let table = defaults.transpose()?.flatten();
        Ok((table, cluster::disks(view)?, cluster::nodes(view)?, namespace::inode_count(view)?))
    };
    let (table, disks, nodes, inodes) = leader.group.read(look).await?;
    let replicas = u64::from(table.map_or(1, |table| table.replicas.max(1)));
    let admitted: BTreeSet<DiskId> = disks.iter().map(|disk| disk.id).collect();
    let reports = nodes.iter().flat_map(|node| leader.servers.status(node.id).disks);
    let reports: Vec<DiskReport> = reports.filter(|disk| admitted.contains(&disk.disk)).collect();
    let RawSpace { capacity, used } = disk::space(&reports);
    let free = ByteLen(capacity.get().saturating_sub(used.get()) / replicas);
    Ok(Space { total: ByteLen(capacity.get() / replicas), free, inodes })
}

fn inode_of(unfinished: Unfinished) -> InodeId {
    match unfinished {
        Unfinished::Truncation(PendingTruncation { inode, .. }) | Unfinished::Length(inode) => {
            inode
        }
    }
}
