//! Chains follow their members: what servers report, or do not report, is held against the transition table
//! again and again, and what follows is proposed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use emberfs_layout::{BootNumber, RoutingVersion, TargetId};
use emberfs_meta_server_state::Body;
use emberfs_meta_server_state::cluster::{self, PlacedChain};
use emberfs_wire::cluster::Chain;
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
    loop {
        let version = leader.group.read(|view| cluster::routing_version(view)).await?;
        if version != known {
            let read = |view: &StateView<'_>| {
                Ok((cluster::routing_version(view)?, cluster::placed_chains(view)?))
            };
            let before = std::mem::take(&mut chains);
            (known, chains) = leader.group.read(read).await?;
            tell(&before, &chains);
        }
        look(&leader, &chains).await?;
        sleep(PAUSE).await;
        leader.servers.news().await;
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
        let Some(next) = leader.servers.decide(placed) else { continue };
        let (id, from) = (placed.chain.id, placed.chain.version);
        let boots = boots(placed, &next);
        let leader = leader.clone();
        changes.spawn(async move {
            let done = leader.group.propose(Body::SetChain { from, chain: next, boots }).await;
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

/// The latest start of each member's server, in the order of the changed chain.
fn boots(placed: &PlacedChain, next: &Chain) -> Vec<BootNumber> {
    let members = placed.chain.members.iter().zip(&placed.places);
    let known: BTreeMap<TargetId, BootNumber> =
        members.map(|(member, place)| (member.target, place.boot)).collect();
    next.members.iter().map(|member| known[&member.target]).collect()
}
