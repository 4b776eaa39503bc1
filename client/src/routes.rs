//! The routing that a client has, and how it gets newer.
//!
//! Whoever finds it too old asks for a refresh and names the version that was too old: many that fail
//! together cause one question.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use emberfs_client_session::RoutingTable;
use emberfs_layout::RoutingVersion;
use emberfs_wire::cluster::GetRouting;

use crate::error::ClientError;
use crate::links::MetaLinks;
use crate::patience::Patience;

/// The routing; readers take a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    table: Mutex<Arc<RoutingTable>>,
    /// Held by the one that asks.
    asking: tokio::sync::Mutex<()>,
}

impl Routes {
    /// As it is now.
    pub(crate) fn now(&self) -> Arc<RoutingTable> {
        self.table().clone()
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
        let mut since = self.now().version();
        if since > seen {
            return Ok(());
        }
        loop {
            let reply = meta.call(&GetRouting { since }, patience).await?;
            let more = Arc::make_mut(&mut self.table()).apply(reply.delta);
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

    fn table(&self) -> MutexGuard<'_, Arc<RoutingTable>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
