//! A counter for each client, up to a bound: a cluster has thousands, a text should not.
//!
//! A client has its counter for as long as a connection of it stands, and after that until another needs the place.
//! Those who find no place are counted together.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metric::Counter;
use crate::table::RPC_CLIENT_REQUESTS;

/// Clients that are told apart at a time (a count): more than anybody looks through.
pub const CLIENTS_MAX: usize = 64;
/// All others.
const OTHER: &str = "other";

/// Connections of each client that has a counter.
static CONNECTIONS: Mutex<BTreeMap<u64, usize>> = Mutex::new(BTreeMap::new());

/// The counter of one client; dropped when its connection ends.
#[derive(Debug)]
pub struct ClientCounter {
    counter: Counter,
    client: Option<u64>,
}

/// The counter of the client with this session, for one connection.
#[must_use]
pub fn client(number: u64) -> ClientCounter {
    let mut connections = lock();
    let has_place = connections.contains_key(&number) || make_place(&mut connections);
    if !has_place {
        return ClientCounter { counter: RPC_CLIENT_REQUESTS.with([OTHER]), client: None };
    }
    *connections.entry(number).or_default() += 1;
    let counter = RPC_CLIENT_REQUESTS.with([&number.to_string()]);
    ClientCounter { counter, client: Some(number) }
}

/// Whether there is a place for one more: perhaps that of a client that has gone.
fn make_place(connections: &mut BTreeMap<u64, usize>) -> bool {
    if connections.len() < CLIENTS_MAX {
        return true;
    }
    let gone = connections.iter().find(|(_, standing)| **standing == 0).map(|(number, _)| *number);
    let Some(gone) = gone else { return false };
    connections.remove(&gone);
    RPC_CLIENT_REQUESTS.forget([&gone.to_string()]);
    true
}

impl ClientCounter {
    /// One more request.
    pub fn add(&self) {
        self.counter.inc();
    }
}

impl Drop for ClientCounter {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        if let Some(standing) = lock().get_mut(&client) {
            *standing -= 1;
        }
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<u64, usize>> {
    // No code under the lock panics half-way through an update.
    CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_anew() {
        let many = CLIENTS_MAX as u64;
        let standing: Vec<ClientCounter> = (0..many).map(client).collect();
        standing.iter().for_each(ClientCounter::add);
        let late = client(many);
        late.add();
        assert_eq!(late.client, None);
        drop(standing);
        let again = client(1);
        assert_eq!((again.client, again.counter.get()), (Some(1), 1), "its place was not needed");
        let new = client(many + 1);
        assert_eq!((new.client, new.counter.get()), (Some(many + 1), 0));
        assert!(lock().len() <= CLIENTS_MAX);
    }
}
