//! Waiting for the answer of a replica that may hang.
//!
//! A connection to a server that hangs stands all the same, for seconds. The metadata group takes the server
//! out of its chains before that. So whoever waits for longer than most answers take looks at newer routing
//! meanwhile; when that no longer names the replica, the try is over, and goes to whoever it names.

use std::time::Duration;

use emberfs_client_session::RoutingTable;
use tokio::time::sleep;

use crate::links::MetaLinks;
use crate::routes::Routes;

/// An answer that takes longer is slow: beyond what a busy disk takes, below what a chain needs to change.
const SLOW: Duration = Duration::from_secs(1);
/// How often a slow one looks whether somebody found newer routing: short beside [`SLOW`].
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Waits for `reply`; `None` once the routing is such that it is not `still` to be waited for.
pub(super) async fn attempt<T>(
    reply: impl Future<Output = T>,
    still: impl Fn(&RoutingTable) -> bool,
    routes: &Routes,
    meta: &MetaLinks,
) -> Option<T> {
    let outdated = async {
        sleep(SLOW).await;
        loop {
            routes.look(meta).await;
            if !still(&routes.now()) {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    tokio::select! {
        biased;
        reply = reply => Some(reply),
        () = outdated => None,
    }
}
