//! What the leader remembers of sessions beside their records: when each last gave a sign of life, the
//! connection by which it can be asked, and the marks below which its chunk writes are settled.
//!
//! It is gone with the leader. A session that this one never heard, as it is older or only just opened, is silent from
//! when it is first looked at; its marks come with the next renewal.
//!
//! Silence is counted in looks, one a second at most, and not by a clock: a leader that hung heard nobody
//! meanwhile, and must not take that for silence of all sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use emberfs_layout::{ClientId, Sequence};
use emberfs_transport::Peer;
use emberfs_wire::cluster::WantedMark;
use emberfs_wire::meta::RenewSession;

/// The sessions that were heard of; none at first.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    looks: u64,
    seen: HashMap<ClientId, Seen>,
    /// Those that were never heard: in which look each was first asked about.
    unheard: HashMap<ClientId, u64>,
}

#[derive(Debug)]
struct Seen {
    /// In which look.
    at: u64,
    peer: Peer,
    /// Its latest renewal.
    renewal: Option<RenewSession>,
}

impl Clients {
    /// A session was opened, by this connection.
    pub(crate) fn opened(&self, client: ClientId, peer: &Peer) {
        self.heard(client, peer, None);
    }

    /// A live session gave a sign of life, by this connection. A renewal that was overtaken by a later one tells
    /// lower marks, which are as true.
    pub(crate) fn renewed(&self, renewal: RenewSession, peer: &Peer) {
        self.heard(renewal.client, peer, Some(renewal));
    }

    fn heard(&self, client: ClientId, peer: &Peer, renewal: Option<RenewSession>) {
        let mut state = self.lock();
        let seen = Seen { at: state.looks, peer: peer.clone(), renewal };
        state.seen.insert(client, seen);
        state.unheard.remove(&client);
    }

    /// A mark, if it was heard.
    pub(crate) fn low_water(&self, wanted: WantedMark) -> Option<Sequence> {
        let state = self.lock();
        let renewal = state.seen.get(&wanted.client)?.renewal.as_ref()?;
        Some(renewal.low_water(wanted.chain))
    }

    /// A session has ended.
    pub(crate) fn forget(&self, client: ClientId) {
        let mut state = self.lock();
        state.seen.remove(&client);
        state.unheard.remove(&client);
    }

    /// Looks once more at who is silent.
    pub(crate) fn look(&self) {
        self.lock().looks += 1;
    }

    /// Whether a session was silent for this many looks.
    pub(crate) fn is_silent(&self, client: ClientId, looks: u64) -> bool {
        let mut state = self.lock();
        let now = state.looks;
        let since = match state.seen.get(&client) {
            Some(seen) => seen.at,
            None => *state.unheard.entry(client).or_insert(now),
        };
        now - since >= looks
    }

    /// How many looks ago a session gave its last sign of life; `None`: this leader heard none.
    pub(crate) fn silent_looks(&self, client: ClientId) -> Option<u64> {
        let state = self.lock();
        state.seen.get(&client).map(|seen| state.looks - seen.at)
    }

    /// The connection of a session, if it stands.
    pub(crate) fn peer(&self, client: ClientId) -> Option<Peer> {
        let state = self.lock();
        let peer = &state.seen.get(&client)?.peer;
        peer.closed().is_none().then(|| peer.clone())
    }

    /// The connections that stand, of all sessions.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let state = self.lock();
        let standing = state.seen.values().filter(|seen| seen.peer.closed().is_none());
        standing.map(|seen| seen.peer.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half-way through an update.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_never_heard_is_silent_from_the_first_look_at_it() {
        let clients = Clients::default();
        let look = |times| (0..times).for_each(|_| clients.look());
        look(100);
        assert!(!clients.is_silent(ClientId(7), 30), "it was opened just now");
        look(29);
        assert!(!clients.is_silent(ClientId(7), 30));
        look(1);
        assert!(clients.is_silent(ClientId(7), 30));
        clients.forget(ClientId(7));
        assert!(!clients.is_silent(ClientId(7), 30));
    }
}
