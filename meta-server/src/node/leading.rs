//! Watches whether this member leads, and does a leader's work while it does.

use std::sync::Arc;
use std::time::Duration;

use emberfs_chain_replication::membership::LeaseTerm;
use emberfs_meta_server_consensus::{Leadership, Term};
use emberfs_wire::handshake::Identity;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::background::Leader;
use crate::group::Group;

/// Between two beginnings in one term, where the first came to nothing.
const PAUSE: Duration = Duration::from_millis(500);

/// Ends what goes on for a leader when its term, or the waiting task, ends.
struct Led {
    leader: Arc<Leader>,
    tell: watch::Sender<Option<Arc<Leader>>>,
}

impl Drop for Led {
    fn drop(&mut self) {
        self.tell.send_replace(None);
        self.leader.end();
    }
}

/// Follows the group until it has ended; tells the service of each leader. What one leader does belongs to its
/// term: where leadership is lost and regained before anybody looked, all begins anew.
pub(super) async fn lead(
    group: Group,
    identity: Identity,
    lease: LeaseTerm,
    tell: watch::Sender<Option<Arc<Leader>>>,
) {
    let mut leadership = group.leadership();
    loop {
        let now = *leadership.borrow_and_update();
        let work = async {
            let Leadership::Leader { term } = now else { return std::future::pending().await };
            loop {
                one_term(&group, term, identity, lease, tell.clone()).await;
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = work => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

/// Leads in `term` until dropped, or until a part of the work cannot go on.
async fn one_term(
    group: &Group,
    term: Term,
    identity: Identity,
    lease: LeaseTerm,
    tell: watch::Sender<Option<Arc<Leader>>>,
) {
    let began = Instant::now();
    match Leader::begin(group.in_term(term), identity, lease, began).await {
        Ok(leader) => {
            tracing::info!(term = term.get(), "leading");
            tell.send_replace(Some(leader.clone()));
            let _ends = Led { leader: leader.clone(), tell };
            leader.work().await;
        }
        Err(error) => tracing::warn!(%error, "cannot lead"),
    }
}
