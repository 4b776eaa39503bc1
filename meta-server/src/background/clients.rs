//! What the leader remembers of sessions beside their records: when each last gave a sign of life, and
//! the connection by which it can be asked.
//!
//! It is gone with the leader. A new one counts each session's silence from its own beginning.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use emberfs_layout::ClientId;
use emberfs_transport::Peer;
use tokio::time::Instant;

/// The sessions that were heard of.
#[derive(Debug)]
pub(crate) struct Clients {
    began: Instant,
    seen: Mutex<HashMap<ClientId, Seen>>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    peer: Peer,
}

impl Clients {
    /// None was heard of; silence counts from `began`.
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, seen: Mutex::default() }
    }

    /// A live session gave a sign of life, by this connection.
    pub(crate) fn heard(&self, client: ClientId, peer: &Peer) {
        let seen = Seen { at: Instant::now(), peer: peer.clone() };
        self.lock().insert(client, seen);
    }

    /// A session has ended.
    pub(crate) fn forget(&self, client: ClientId) {
        self.lock().remove(&client);
    }

    /// Whether a session was silent for `lease`.
    pub(crate) fn is_silent(&self, client: ClientId, lease: Duration) -> bool {
        self.lock().get(&client).map_or(self.began, |seen| seen.at).elapsed() >= lease
    }

    /// The connection of a session, if it stands.
    pub(crate) fn peer(&self, client: ClientId) -> Option<Peer> {
        let seen = self.lock();
        let peer = &seen.get(&client)?.peer;
        peer.closed().is_none().then(|| peer.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, Seen>> {
        // No code under the lock panics half-way through an update.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
