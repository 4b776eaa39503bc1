//! Files whose chunks are behind their inodes: a truncation that chains have yet to carry out, a length
//! that a dead session left open, or a report that may be from before a truncation.
//!
//! One job a file settles both, one after the other, until nothing is left: so no cut of an earlier
//! truncation can be under way when a later one is finished and the file grows again. Whoever needs the
//! file settled waits for the job; for the others a new leader, or a tick, begins it.
//!
//! # Late messages
//! Before chains are asked for a length, every server that may serve has confirmed that the dead session
//! ended: nothing is added behind the answer. What sessions that live were acknowledged before they reported
//! it is in the answer: all members of a chain have committed it. Before chains are asked to cut, the same holds
//! for the sessions of leaders before this one: no cut of theirs can still come.

use std::sync::Arc;
use std::time::Duration;

use emberfs_layout::{InodeId, Sequence};
use emberfs_meta_server_state::namespace::{self, LengthWork, TruncationWork};
use emberfs_meta_server_state::{Body, cluster, sessions};
use emberfs_wire::WireError;
use emberfs_wire::cluster::Node;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Leader;
use super::jobs::Finished;
use crate::chunks::Lost;
use crate::group::GroupError;
use crate::store::StateView;

/// How often unsettled files are looked for that nobody waits for.
const TICK: Duration = Duration::from_secs(1);
/// How many of each kind are taken up at a tick (a count).
const TAKEN_UP: usize = 1024;

/// What is unsettled of a file.
enum Work {
    Truncation(TruncationWork),
    Length(LengthWork),
}

/// Settles what an earlier leader or a dead session left behind, for as long as this member leads.
pub(super) async fn run(leader: Arc<Leader>) -> Result<(), Lost> {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let (truncations, lengths) = leader
            .group
            .read(|view| {
                let truncations = namespace::pending_truncations(view, None, TAKEN_UP)?;
                let (lengths, _) = namespace::length_recoveries(view, None, TAKEN_UP)?;
                Ok((truncations, lengths))
            })
            .await?;
        let truncations = truncations.iter().map(|work| work.inode);
        for inode in truncations.chain(lengths.iter().map(|work| work.inode)) {
            leader.begin_to_settle(inode);
        }
    }
}

impl Leader {
    /// Waits until nothing of `inode` is unsettled.
    pub(crate) async fn settle(self: &Arc<Self>, inode: InodeId) -> Result<(), WireError> {
        while self.unsettled(inode).await?.is_some() {
            let job = self.begin_to_settle(inode).ok_or(GroupError::NOT_LEADING)?;
            job.wait().await;
        }
        Ok(())
    }

    fn begin_to_settle(self: &Arc<Self>, inode: InodeId) -> Option<Finished> {
        let leader = self.clone();
        self.settling.start(inode, || async move {
            if let Err(lost) = leader.settle_now(inode).await {
                tracing::debug!(%inode, %lost, "a file stays unsettled");
                sleep(TICK).await; // whoever waits begins it again
            }
        })
    }

    async fn settle_now(&self, inode: InodeId) -> Result<(), Lost> {
        while let Some(work) = self.unsettled(inode).await? {
            let finish = match work {
                Work::Truncation(TruncationWork { inode, len, round, data }) => {
                    self.ended_is_known(self.earlier).await?;
                    let file = self.chunks.file(data).await?;
                    self.chunks.truncate(&file, len).await?;
                    Body::FinishTruncation { inode, round }
                }
                Work::Length(LengthWork { inode, round, data }) => {
                    let ended = self.group.read(|view| sessions::last_ended(view)).await?;
                    self.ended_is_known(ended).await?;
                    let file = self.chunks.file(data).await?;
                    let end = self.chunks.end(&file).await?;
                    tracing::info!(%inode, %end, "asked the chains how long a file is");
                    Body::RecoverLength { inode, round, end }
                }
            };
            self.group.propose(finish).await?;
        }
        Ok(())
    }

    async fn unsettled(&self, inode: InodeId) -> Result<Option<Work>, GroupError> {
        let look = |view: &StateView<'_>| {
            if let Some(work) = namespace::pending_truncation(view, inode)? {
                return Ok(Some(Work::Truncation(work)));
            }
            Ok(namespace::length_recovery(view, inode)?.map(Work::Length))
        };
        self.group.read(look).await
    }

    /// Waits until every server that may serve knows the sessions that ended up to `ended`. One that may
    /// not learns of them with the answer that lets it serve again.
    pub(super) async fn ended_is_known(&self, ended: Sequence) -> Result<(), Lost> {
        let mut servers = self.servers.listen();
        loop {
            let nodes = self.group.read(|view| cluster::nodes(view)).await?;
            let behind = |node: &Node| {
                self.servers.may_serve(node.id) && self.servers.confirmed(node.id) < ended
            };
            if !nodes.iter().any(behind) {
                return Ok(());
            }
            servers.news().await;
        }
    }

    /// Up to where all servers have confirmed the list of ended sessions.
    pub(super) async fn confirmed_by_all(&self) -> Result<Sequence, Lost> {
        let (nodes, last) = self
            .group
            .read(|view| Ok((cluster::nodes(view)?, sessions::last_ended(view)?)))
            .await?;
        let confirmed = nodes.iter().map(|node| self.servers.confirmed(node.id));
        Ok(confirmed.min().unwrap_or(last))
    }
}
