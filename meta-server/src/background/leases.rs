//! The lease of storage servers is a leader's own, and recorded for the next: a longer one before it is granted by, a
//! shorter one here, when all that was granted by the longer has ended.

use std::sync::Arc;
use std::time::Duration;

use emberfs_chain_replication::membership::LeaseTerm;
use emberfs_meta_server_state::{Body, StoreError, View, cluster};
use tokio::time::{Instant, sleep_until};

use super::Leader;
use crate::chunks::Lost;
use crate::config::LEASE_MS_MAX;

/// By what a leader grants, and by what leaders before may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shortened {
    /// When it began.
    pub(super) began: Instant,
    pub(super) own: LeaseTerm,
    pub(super) longest: LeaseTerm,
}

/// The longest lease by which a leader may have granted, as the state has it; none where nobody can have got one. Leaders
/// of an earlier version recorded none: where there are servers, they may have granted by the longest that there is.
pub(super) fn longest_granted(view: &dyn View) -> Result<Option<LeaseTerm>, StoreError> {
    let ms = match cluster::lease_ms(view)? {
        Some(ms) => ms,
        None if cluster::nodes(view)?.is_empty() => return Ok(None),
        None => LEASE_MS_MAX,
    };
    Ok(LeaseTerm::new(ms))
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

#[cfg(test)]
mod tests {
    use emberfs_meta_server_consensus::MemberId;
    use emberfs_meta_server_state::Overlay;
    use emberfs_wire::cluster::Register;
    use tempfile::TempDir;

    use super::*;
    use crate::store::{StoreOptions, Syncs, open};

    /// The state of a cluster that an earlier version led.
    #[test]
    fn where_servers_are_and_no_lease_is_recorded_the_longest_may_be_under_way() {
        let dir = TempDir::new().unwrap();
        let (member, syncs) = (MemberId(1), Syncs::all());
        let options = StoreOptions { dir: dir.path().to_owned(), member, members: 1, syncs };
        let state = open(&options).unwrap().state;
        let mut txn = Overlay::new(&state);
        let ms = |view: &dyn View| longest_granted(view).unwrap().map(LeaseTerm::ms);
        assert_eq!(ms(&txn), None, "nobody has got any");
        let asked = Register {
            start: 1,
            node: None,
            name: "storage-1".to_owned(),
            addresses: vec!["127.0.0.1:7100".to_owned()],
            domain: None,
            disks: Vec::new(),
            lock: None,
        };
        cluster::register(&mut txn, &asked).unwrap().unwrap();
        assert_eq!(ms(&txn), Some(LEASE_MS_MAX));
        cluster::raise_lease(&mut txn, 3_000).unwrap();
        assert_eq!(ms(&txn), Some(3_000));
    }
}
