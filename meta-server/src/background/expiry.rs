//! Sessions that were silent for too long are ended; those that every server knows to have ended are
//! forgotten.

use std::sync::Arc;
use std::time::Duration;

use emberfs_layout::{ClientId, Sequence};
use emberfs_meta_server_state::{Body, sessions};
use tokio::time::{MissedTickBehavior, interval};

use super::{Leader, SESSIONS_PAGE};
use crate::chunks::Lost;

/// How often silent sessions are looked for: a small part of their lease.
pub(crate) const TICK_MS: u32 = 1_000;
/// After how many looks without a sign of life a session is ended.
const LOOKS: u64 = (sessions::LEASE_MS / TICK_MS) as u64;

/// Looks after sessions for as long as this member leads.
pub(super) async fn run(leader: Arc<Leader>) -> Result<(), Lost> {
    let mut tick = interval(Duration::from_millis(TICK_MS.into()));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forgotten = Sequence::NONE;
    loop {
        tick.tick().await;
        leader.clients.look();
        end_silent(&leader).await?;
        forget_ended(&leader, &mut forgotten).await?;
        leader.meters.note(&leader).await?;
    }
}

async fn end_silent(leader: &Leader) -> Result<(), Lost> {
    let mut after = ClientId(0);
    loop {
        let page = leader.group.read(|view| sessions::list(view, after, SESSIONS_PAGE)).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.client;
        let silent = |session: &sessions::Session| {
            session.client != leader.own && leader.clients.is_silent(session.client, LOOKS)
        };
        for sessions::Session { client, host, what, .. } in page.into_iter().filter(silent) {
            tracing::warn!(%client, host, what, "a session was silent for too long");
            leader.end_session(client).await?;
        }
    }
}

/// Shortens the list of ended sessions to what not every server has confirmed; `forgotten` is up to where
/// it was shortened before.
async fn forget_ended(leader: &Leader, forgotten: &mut Sequence) -> Result<(), Lost> {
    let confirmed = leader.confirmed_by_all().await?;
    if confirmed > *forgotten {
        leader.group.propose(Body::ForgetEnded(confirmed)).await?;
        *forgotten = confirmed;
    }
    Ok(())
}
