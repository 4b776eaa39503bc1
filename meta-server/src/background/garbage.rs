//! Chunks of removed files go, once no client has the file open.
//!
//! A detached tree stands in the queue as a whole and is unfolded by bounded commands, until only files
//! are left. Of those, live sessions are asked which they hold; the chunks of the others are removed,
//! then their places in the queue. A session that cannot be asked holds everything: it comes back or its
//! lease ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use emberfs_layout::{ChunkIndex, ClientId, InodeId};
use emberfs_meta_server_state::namespace::{self, GarbageWork};
use emberfs_meta_server_state::{Body, sessions};
use emberfs_transport::CallOptions;
use emberfs_wire::meta::{AskHeld, Time};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{Leader, SESSIONS_PAGE};
use crate::chunks::Lost;

/// How often the queue is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Places of the queue that are worked on together (a count): one question to each session is for all.
const PAGE: usize = 256;
/// Files whose chunks are removed at once (a count): enough to keep chains busy, few enough to leave
/// their disks to others.
const REMOVED_AT_ONCE: usize = 16;
/// How long a file is let be after its last name went: the reply to an open from before is in by then, and
/// its client can say that it holds the file.
const REST: Duration = Duration::from_secs(2);
/// How long a session may take to say what it holds.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Empties the queue again and again, for as long as this member leads.
pub(super) async fn run(leader: Arc<Leader>) -> Result<(), Lost> {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut after = None;
        loop {
            let page = leader.group.read(|view| namespace::garbage(view, after, PAGE)).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.place);
            collect(&leader, page).await?;
        }
    }
}

async fn collect(leader: &Arc<Leader>, page: Vec<GarbageWork>) -> Result<(), Lost> {
    let (trees, files): (Vec<_>, Vec<_>) = page.into_iter().partition(|work| work.entries > 0);
    for tree in trees {
        leader.group.propose(Body::UnfoldGarbage { place: tree.place }).await?;
    }
    let rested = |file: &GarbageWork| !file.written && age(file.since) >= REST;
    let files: Vec<_> = files.into_iter().filter(rested).collect();
    if files.is_empty() {
        return Ok(());
    }
    let inodes: Vec<InodeId> = files.iter().map(|file| file.inode).collect();
    let Some(held) = leader.held(&inodes).await? else { return Ok(()) };
    // A late write of a dead session would make a chunk that nobody ever removes.
    let ended = leader.group.read(|view| sessions::last_ended(view)).await?;
    leader.ended_is_known(ended).await?;
    let mut removing = JoinSet::new();
    for file in files.into_iter().filter(|file| !held.contains(&file.inode)) {
        while removing.len() >= REMOVED_AT_ONCE {
            next(&mut removing).await?;
        }
        removing.spawn(remove(leader.clone(), file));
    }
    while !removing.is_empty() {
        next(&mut removing).await?;
    }
    Ok(())
}

/// How long ago a moment was by the clock that commands are stamped with; nothing, if it went back since.
fn age(since: Time) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = u64::try_from(since.seconds).unwrap_or(0);
    now.saturating_sub(Duration::new(seconds, since.nanos))
}

async fn next(removing: &mut JoinSet<Result<(), Lost>>) -> Result<(), Lost> {
    match removing.join_next().await {
        Some(removed) => removed.expect("no panic, not aborted"),
        None => Ok(()),
    }
}

async fn remove(leader: Arc<Leader>, garbage: GarbageWork) -> Result<(), Lost> {
    if let Some(data) = garbage.data {
        let file = leader.chunks.file(data).await?;
        leader.chunks.remove_from(&file, ChunkIndex(0)).await?;
    }
    leader.group.propose(Body::FinishRemoval { place: garbage.place }).await?;
    Ok(())
}

impl Leader {
    /// Which of these files a live session has open; `None` if not every session can be asked.
    async fn held(&self, inodes: &[InodeId]) -> Result<Option<BTreeSet<InodeId>>, Lost> {
        let (mut held, mut after) = (BTreeSet::new(), ClientId(0));
        loop {
            let page = self.group.read(|view| sessions::list(view, after, SESSIONS_PAGE)).await?;
            let Some(last) = page.last() else { return Ok(Some(held)) };
            after = last.client;
            let mut asking = JoinSet::new();
            for session in page.iter().filter(|session| session.client != self.own) {
                let Some(peer) = self.clients.peer(session.client) else { return Ok(None) };
                let question = AskHeld { inodes: inodes.to_vec() };
                let options = CallOptions { wait: Some(ANSWER_WAIT), ..CallOptions::default() };
                asking.spawn(async move { peer.call(&question, Bytes::new(), &options).await });
            }
            while let Some(answer) = asking.join_next().await {
                match answer.expect("no panic, not aborted") {
                    Ok(reply) => held.extend(reply.message.held),
                    Err(error) => {
                        tracing::debug!(%error, "a session does not say what it holds");
                        return Ok(None);
                    }
                }
            }
        }
    }
}
