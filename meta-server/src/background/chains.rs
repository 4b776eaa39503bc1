//! Chains follow their members: what servers report, or do not report, is held against the transition table
//! again and again, and what follows is proposed.

use std::sync::Arc;
use std::time::Duration;

use emberfs_chain_replication::membership::Change;
use emberfs_layout::RoutingVersion;
use emberfs_meta_server_state::Body;
use emberfs_meta_server_state::cluster::{self, PlacedChain};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Leader;
use crate::chunks::Lost;
use crate::store::StateView;

/// The least time between two looks at all chains: news of many servers are taken together.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks after all chains for as long as this member leads.
pub(super) async fn run(leader: Arc<Leader>) -> Result<(), Lost> {
    let mut chains = Vec::new();
    let mut known = RoutingVersion::NONE;
    let mut servers = leader.servers.listen();
    loop {
        let version = leader.group.read(|view| cluster::routing_version(view)).await?;
        if version != known {
            let read = |view: &StateView<'_>| {
                Ok((cluster::routing_version(view)?, cluster::placed_chains(view)?))
            };
            let before = std::mem::take(&mut chains);
            (known, chains) = leader.group.read(read).await?;
            tell(&before, &chains);
            leader.routing_is(known);
        }
        look(&leader, &chains).await?;
        sleep(PAUSE).await;
        servers.news().await;
    }
}

/// Logs the chains that changed; both lists are in the order of ids, and none ever goes.
fn tell(before: &[PlacedChain], now: &[PlacedChain]) {
    for (_, PlacedChain { chain, .. }) in
        before.iter().zip(now).filter(|(before, now)| before.chain.version != now.chain.version)
    {
        let members: Vec<String> =
            chain.members.iter().map(|m| format!("{} {:?}", m.target, m.state)).collect();
        tracing::info!(chain = %chain.id, version = %chain.version, ?members, "a chain changed");
    }
}

/// Proposes what each chain is to become, all of them together.
async fn look(leader: &Arc<Leader>, chains: &[PlacedChain]) -> Result<(), Lost> {
    let mut changes = JoinSet::new();
    for placed in chains {
        let Some(change) = leader.servers.decide(placed) else { continue };
        let Change { from, chain, boots } = change;
        let id = chain.id;
        let leader = leader.clone();
        changes.spawn(async move {
            let done = leader.group.propose(Body::SetChain { from, chain, boots }).await;
            if done.is_ok() {
                leader.servers.applied(id);
            }
            done
        });
    }
    while let Some(done) = changes.join_next().await {
        done.expect("no panic, not aborted")?;
    }
    Ok(())
}
