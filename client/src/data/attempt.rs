//! Waiting for the answer of a replica that may hang.
//!
//! A connection to a server that hangs stands all the same, for seconds. The metadata group takes the server
//! out of its chains before that, and says so. When the routing no longer names the replica, the try is over, and
//! goes to whoever it names. What the group says may be lost: whoever waits for longer than most answers take asks.

use std::time::Duration;

use emberfs_client_session::RoutingTable;
use tokio::time::sleep;

use crate::group::MetaLinks;
use crate::routes::Routes;

/// An answer that takes longer is slow: beyond what a busy disk takes, below what a chain needs to change.
const SLOW: Duration = Duration::from_secs(1);
/// How often a slow one looks whether it is time to ask: short beside [`SLOW`].
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Waits for `reply`; `None` once the routing is such that it is not `still` to be waited for.
pub(super) async fn attempt<T>(
    reply: impl Future<Output = T>,
    still: impl Fn(&RoutingTable) -> bool,
    routes: &Routes,
    meta: &MetaLinks,
) -> Option<T> {
    let asking = async {
        sleep(SLOW).await;
        loop {
            routes.look(meta).await;
            sleep(LOOK_AGAIN).await;
        }
    };
    tokio::select! {
        biased;
        reply = reply => Some(reply),
        () = routes.changed(still) => None,
        () = asking => unreachable!("it asks to no end"),
    }
}
