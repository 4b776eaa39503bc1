//! The routing that a client has, and how it gets newer.
//!
//! The metadata leader tells each session what changes. Whoever finds the routing too old all the same asks for a
//! refresh and names the version that was too old: many that fail together cause one question.

use std::sync::Arc;
use std::time::Duration;

use emberfs_client_session::RoutingTable;
use emberfs_layout::RoutingVersion;
use emberfs_wire::cluster::{GetRouting, RoutingDelta};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::ClientError;
use crate::group::MetaLinks;
use crate::patience::Patience;
use crate::session::Session;

/// Between two questions whether there is newer routing, for all that wonder together: half of what is felt
/// of a chain that changed.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How long such a question may take: whoever wonders goes on waiting meanwhile, and asks again.
const LOOK_WAIT: Duration = Duration::from_millis(1500);

/// The routing; readers take a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: watch::Sender<Arc<RoutingTable>>,
    /// Held by the one that asks; when somebody last looked.
    asking: tokio::sync::Mutex<Option<Instant>>,
}

impl Routes {
    /// As it is now.
    pub(crate) fn now(&self) -> Arc<RoutingTable> {
        self.table.borrow().clone()
    }

    /// Waits until the routing is no longer such that `holds`, whoever finds that out; says nothing if it never is.
    pub(crate) async fn changed(&self, holds: impl Fn(&RoutingTable) -> bool) {
        let mut changes = self.table.subscribe();
        // The sender is this one's own.
        let _changed = changes.wait_for(|table| !holds(table)).await;
    }

    /// Asks for newer routing than `seen`, unless somebody got it meanwhile. There may be none yet: the
    /// caller pauses and tries again.
    pub(crate) async fn refresh(
        &self,
        seen: RoutingVersion,
        meta: &MetaLinks,
        patience: &mut Patience,
    ) -> Result<(), ClientError> {
        let _turn = patience.wait(|| meta.waiting_for(None), self.asking.lock()).await?;
        if self.now().version() > seen {
            return Ok(());
        }
        // Seldom: what each call keeps of it shall be small.
        Box::pin(self.ask(meta, patience)).await
    }

    /// Asks whether there is newer routing, unless somebody looked just now.
    pub(crate) async fn look(&self, meta: &MetaLinks) {
        let Ok(mut looked) = self.asking.try_lock() else { return };
        if looked.is_some_and(|at| at.elapsed() < LOOK_PAUSE) {
            return;
        }
        *looked = Some(Instant::now());
        if let Err(error) = Box::pin(self.ask(meta, &mut Patience::new(Some(LOOK_WAIT)))).await {
            tracing::debug!(%error, "no newer routing");
        }
    }

    /// The same, and nobody waits for it.
    pub(crate) fn look_behind(self: &Arc<Self>, session: &Arc<Session>) {
        let (routes, by) = (self.clone(), session.clone());
        session.spawn(async move { routes.look(&by.meta).await });
    }

    /// Takes in what the group says of its own accord changed after `since`; says which version is known now. What
    /// does not follow on what is known is left out: it is asked for when it is missed.
    pub(crate) fn told(&self, since: RoutingVersion, delta: RoutingDelta) -> RoutingVersion {
        self.table.send_if_modified(|table| {
            let follows = table.version() >= since && table.version() < delta.version;
            if follows {
                Arc::make_mut(table).apply(delta);
            }
            follows
        });
        self.now().version()
    }

    async fn ask(&self, meta: &MetaLinks, patience: &mut Patience) -> Result<(), ClientError> {
        let mut since = self.now().version();
        loop {
            let reply = meta.call(&GetRouting { since }, patience).await?;
            let mut more = false;
            self.table.send_modify(|table| more = Arc::make_mut(table).apply(reply.delta));
            let version = self.now().version();
            if !more {
                return Ok(());
            }
            if version <= since {
                let text = format!("routing is said to go on after {since}, and does not");
                return Err(ClientError::Fault { text });
            }
            since = version;
        }
    }
}
