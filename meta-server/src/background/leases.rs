//! The lease of storage servers is a leader's own, and recorded for the next: a longer one before it is granted by, a
//! shorter one here, when all that was granted by the longer has ended.

use std::sync::Arc;
use std::time::Duration;

use emberfs_chain_replication::membership::LeaseTerm;
use emberfs_meta_server_state::Body;
use tokio::time::{Instant, sleep_until};

use super::Leader;
use crate::chunks::Lost;

/// By what a leader grants, and by what leaders before may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shortened {
    /// When it began.
    pub(super) began: Instant,
    pub(super) own: LeaseTerm,
    pub(super) longest: LeaseTerm,
}

/// Records the leader's own lease, if that is shorter than the recorded one, once nobody holds a longer.
pub(super) async fn run(leader: Arc<Leader>) -> Result<(), Lost> {
    let Shortened { began, own, longest } = leader.leases;
    if own.ms() < longest.ms() {
        sleep_until(began + Duration::from_millis(longest.ms().into())).await;
        leader.group.propose(Body::SetLease(own.ms())).await?;
        tracing::info!(
            before_ms = longest.ms(),
            ms = own.ms(),
            "a shorter lease of storage servers"
        );
    }
    std::future::pending().await
}
