//! Sessions are told what changes in the routing, so that they need not find out by a refusal.
//!
//! ```text
//!   chains ── the version that is now ──► run: a round for all changes since the last one
//!                                           └─► each session with a connection ── TellRouting ──►
//! ```
//!
//! Nothing rests on it: who is not reached, or has older routing than the last round, asks when it is refused.
//! A round waits for no session for longer than [`ANSWER_WAIT`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use emberfs_layout::RoutingVersion;
use emberfs_meta_server_state::cluster;
use emberfs_transport::{CallOptions, Peer};
use emberfs_wire::cluster::TellRouting;
use tokio::task::JoinSet;

use super::Leader;
use crate::chunks::Lost;

/// How long a session may take to answer: it only takes note.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Sessions that are told at a time (a count): all of a large cluster in a few turns.
const AT_A_TIME: usize = 1024;

/// Tells sessions for as long as this member leads.
pub(super) async fn run(leader: Arc<Leader>) -> Result<(), Lost> {
    let mut versions = leader.routing.subscribe();
    let mut told = leader.group.read(|view| cluster::routing_version(view)).await?;
    loop {
        // The sender is the leader's, which is held here.
        let now = *versions.wait_for(|version| *version > told).await.expect("not closed");
        while told < now {
            let delta = leader.group.read(|view| cluster::routing_since(view, told)).await?;
            let next = delta.version;
            round(leader.clients.peers(), &TellRouting { since: told, delta }).await;
            told = next;
        }
    }
}

async fn round(peers: Vec<Peer>, news: &TellRouting) {
    let mut telling = JoinSet::new();
    for peer in peers {
        if telling.len() >= AT_A_TIME {
            telling.join_next().await;
        }
        let (news, options) =
            (news.clone(), CallOptions { wait: Some(ANSWER_WAIT), ..CallOptions::default() });
        telling.spawn(async move {
            let told = peer.call(&news, Bytes::new(), &options).await;
            if let Err(error) = told {
                tracing::debug!(%error, "a session was not told of new routing");
            }
        });
    }
    while telling.join_next().await.is_some() {}
}

impl Leader {
    /// The routing's version is this now.
    pub(super) fn routing_is(&self, version: RoutingVersion) {
        self.routing.send_if_modified(|known| {
            let is_news = *known < version;
            *known = version.max(*known);
            is_news
        });
    }
}
